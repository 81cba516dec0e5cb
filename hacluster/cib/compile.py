"""The model as a complete CIB: nouns from the templates, relations written here.

Pure apart from reading templates: the same Cluster gives the same bytes, on any machine, without a cluster. The version
attributes are zero, and the status section is that of nodes which have just come up and run nothing: so the scheduler
can be asked about the result as it is. merge puts the configuration into a live CIB, and takes nothing else of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from lxml import etree

from hacluster import model
from hacluster.cib import fencing_draft, names, placement, remote, residue, storage
from hacluster.cib.draft import Draft, element, nvpair
from hacluster.cib.simulate import with_online_nodes
from hacluster.cib.templates import Library
from hacluster.problems import Problem, Refused, kind

# The newest schema, and the feature set, of Pacemaker 2.1.5 (Debian 12), the oldest that hacluster moves VMs live on.
# A newer one takes both. Without a feature set `pcs -f` cannot edit the file ("Application of update diff failed").
SCHEMA = "pacemaker-3.9"
FEATURE_SET = "3.16.1"

STOP_MARGIN = 60
"""Seconds beyond a guest's budget to destroy it and to prove that it is gone; destroy alone took over 15 somewhere."""
MIGRATE_MARGIN = 60
"""Seconds beyond a migration's own bound to look at both hosts and put things in order."""
MINIMAL_STOP = 180
MINIMAL_MIGRATE_TO = 660
"""What the agents advise at least for these operations, in seconds: no VM gets less, however small its own budget."""
PRIORITY_FENCING_DELAY = 15
"""Seconds at least; Pacemaker's documentation wants it well above any delay of a fence device, and 15 s for example."""

ID_TAKEN = kind(
    "HA201",
    "Two things would have the same id in the CIB",
    "An id names one element of the whole configuration. VMs, fence devices and what hactl makes itself share them.",
)


def compile(cluster: model.Cluster, library: Library | None = None) -> bytes:
    """The whole CIB as UTF-8 XML, indented by two spaces. Raises Refused as `compile_element` does."""
    return serialize(compile_element(cluster, library))


def serialize(cib: etree._Element) -> bytes:
    """A CIB as hactl writes it to files: UTF-8, two spaces, one element a line."""
    etree.indent(cib, space="  ")
    return bytes(etree.tostring(cib, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def compile_element(cluster: model.Cluster, library: Library | None = None) -> etree._Element:
    """The whole CIB as an element. Raises Refused with HA201 (an id twice) and HA21x (templates and their values)."""
    cib = _Compiler(cluster, library or Library()).cib()
    if found := list(_check_ids(cib)):
        raise Refused(found)
    return residue.lay_over(cib, residue.parse(cluster.residue)) if cluster.residue else cib


class _Compiler:
    """One compilation: fencing, storage and VMs into one draft, and that into a CIB."""

    def __init__(self, cluster: model.Cluster, library: Library) -> None:
        self.cluster = cluster
        self.library = library
        self.draft = Draft(cluster, library)

    def cib(self) -> etree._Element:
        fencing_draft.add(self.draft)
        storage.lock_manager(self.draft)
        places = {each.name: storage.add(each, self.draft) for each in self.cluster.storages}
        remote.add(self.draft)
        self._vms(places)
        return self._assemble()

    # -- virtual machines

    def _vms(self, places: dict[str, str | None]) -> None:
        """The VMs, a tag for each set of storages, and what keeps VMs on or off nodes.

        Orders and colocations name the tag: their number grows with the storages, not with the VMs. A `<template>`
        would do the same, and makes every `pcs config` fail (docs/decisions/0006-vms-share-a-tag.md).
        """
        for (agent, storages), vms in _by_kind(self.cluster.vms).items():
            tag = etree.Element("tag", id=names.vms_on(storages, agent))
            self.draft.tags.append(tag)
            for vm in vms:
                etree.SubElement(tag, "obj_ref", id=vm.name)
            for clone in [place for name in storages if (place := places[name]) is not None]:
                self.draft.then(clone, tag.get("id"))
            if agent == "hacluster":
                self.draft.then(names.clone(names.LOCKSPACE), tag.get("id"))
            storage.pin(self.draft, tag.get("id"), storages)
        for vm in self.cluster.vms:
            self.draft.resources.append(self._vm(vm))
        placement.add(self.draft)

    def _vm(self, vm: model.Vm) -> etree._Element:
        sha256 = hashlib.sha256(vm.domain_xml).hexdigest()
        default = model.Migration()
        return self.library.render(
            "vm" if vm.agent == "hacluster" else f"{vm.agent}-vm",
            vm.name,
            name=vm.name,
            uuid=vm.uuid,
            config=names.domain_file(vm.name, sha256, vm.agent),
            xml_sha256=sha256,
            stop_budget=vm.stop_budget,
            stop_timeout=max(MINIMAL_STOP, vm.stop_budget + STOP_MARGIN),
            handover=storage.handover(self.cluster, vm),
            migration_transport=self.cluster.migration_transport,
            migration_hosts=_migration_hosts(self.cluster),
            migrate_to_timeout=max(MINIMAL_MIGRATE_TO, vm.migration.timeout + MIGRATE_MARGIN),
            bandwidth=vm.migration.bandwidth,
            parallel=vm.migration.parallel,
            post_copy="true" if vm.migration.post_copy else None,
            downtime=vm.migration.downtime,
            migration_timeout=vm.migration.timeout if vm.migration.timeout != default.timeout else None,
            auto_converge="true" if vm.migration.auto_converge else None,
            migrate_options=_migrate_options(vm.migration),
            priority=vm.priority or None,
            allow_migrate="true" if vm.migration.mode == "live" else "false",
            moves="none" if vm.migration.mode == "none" else None,
            **placement.uses(self.cluster, vm),
        )

    # -- the whole

    def _assemble(self) -> etree._Element:
        two = len(self.cluster.members) == 2
        properties = self.library.render(
            "properties",
            names.PROPERTY_SET,
            cluster_name=self.cluster.name,
            priority_fencing_delay=_head_start(self.cluster) if two else None,
        )
        needed = {**placement.properties(self.cluster), **fencing_draft.properties(self.cluster)}
        for name, value in sorted({**needed, **self.cluster.properties}.items()):
            nvpair(properties, name, value)
        defaults = self.library.render(
            "defaults", names.DEFAULTS, stickiness=self.cluster.stickiness, priority=1 if two else None
        )
        owned = [
            *(names.manifest_property(pair.get("name")) for pair in properties),
            *(each.get("id") for each in (*self.draft.made(), defaults)),
        ]
        manifest = etree.Element("cluster_property_set", id=names.MANIFEST_SET)
        nvpair(manifest, names.MANIFEST, " ".join(sorted(owned)))

        cib = element(
            "cib",
            ("crm_feature_set", FEATURE_SET),
            ("validate-with", SCHEMA),
            ("epoch", "0"),
            ("num_updates", "0"),
            ("admin_epoch", "0"),
            ("have-quorum", "1"),
        )
        configuration = etree.SubElement(cib, "configuration")
        etree.SubElement(configuration, "crm_config").extend([properties, manifest])
        nodes = etree.SubElement(configuration, "nodes")
        for node in self.cluster.nodes:
            has = placement.capacity(self.cluster, node)
            if node.remote:
                if has is None:
                    continue  # Pacemaker adds it itself, once it has a connection
                member = etree.SubElement(nodes, "node", id=node.name, type="remote", uname=node.name)
            else:
                member = etree.SubElement(nodes, "node", id=str(node.id), uname=node.name)
            if has is not None:
                member.append(has)
        etree.SubElement(configuration, "resources").extend(self.draft.resources)
        etree.SubElement(configuration, "constraints").extend(self.draft.constraints)
        if self.draft.levels:
            etree.SubElement(configuration, "fencing-topology").extend(self.draft.levels)
        if self.draft.tags:
            etree.SubElement(configuration, "tags").extend(self.draft.tags)
        etree.SubElement(configuration, "rsc_defaults").append(defaults)
        etree.SubElement(cib, "status")
        return with_online_nodes(cib, [node.name for node in self.cluster.members])


def _by_kind(vms: Iterable[model.Vm]) -> dict[tuple[str, tuple[str, ...]], list[model.Vm]]:
    """VMs by agent and storages, that is by the template they share, in the order in which the spec names them."""
    grouped: dict[tuple[str, tuple[str, ...]], list[model.Vm]] = {}
    for vm in vms:
        grouped.setdefault((vm.agent, vm.storages), []).append(vm)
    return grouped


def _head_start(cluster: model.Cluster) -> int:
    """Seconds that the node which counts less waits before it fences the other."""
    delays = (max(device.delay or 0, device.delay_max or 0) for device in cluster.fence_devices)
    return max(PRIORITY_FENCING_DELAY, *(2 * delay for delay in delays), 0)


def _migration_hosts(cluster: model.Cluster) -> str | None:
    hosts = [f"{node.name}={node.migration_host}" for node in cluster.nodes if node.migration_host is not None]
    return " ".join(hosts) or None


def _migrate_options(policy: model.Migration) -> str | None:
    """What ocf:heartbeat:VirtualDomain has no parameter for, as virsh's switches."""
    options = ["--auto-converge"] if policy.auto_converge else []
    options += ["--postcopy", "--postcopy-after-precopy"] if policy.post_copy else []
    options += ["--parallel", "--parallel-connections", str(policy.parallel)] if policy.parallel else []
    return " ".join(options) or None


def _check_ids(cib: etree._Element) -> Iterator[Problem]:
    """No id twice. Nodes are apart: theirs are corosync's numbers, in a space of their own."""
    owners: dict[str, list[str]] = {}
    for section in cib.iterfind("configuration/*"):
        for each in section.iter():
            if (id_ := each.get("id")) and each.tag not in ("node", "obj_ref", "resource_ref"):
                owners.setdefault(id_, []).append(each.tag)
    for id_, tags in owners.items():
        if len(tags) > 1:
            yield ID_TAKEN(
                f"{id_} would be the id of {len(tags)} things",
                where=id_,
                remedy="rename the VM, fence device or storage of that name",
                elements=", ".join(tags),
            )

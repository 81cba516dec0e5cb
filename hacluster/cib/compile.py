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
from hacluster.cib import fencing, names
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
"""Seconds; it must be well above any delay of a fence device. The Pacemaker documentation's own example."""

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
    return cib


class _Compiler:
    """One compilation: what all parts of it need, and the constraints in the order they come up."""

    def __init__(self, cluster: model.Cluster, library: Library) -> None:
        self.cluster = cluster
        self.library = library
        self.resources: list[etree._Element] = []
        self.constraints: list[etree._Element] = []
        self.levels: list[etree._Element] = []
        self.tags: list[etree._Element] = []

    def cib(self) -> etree._Element:
        for device in self.cluster.fence_devices:
            self._fence_device(device)
        self._topology()
        self._lock_manager()
        places = {storage.name: self._storage(storage) for storage in self.cluster.storages}
        self._vms(places)
        return self._assemble()

    # -- relations

    def _then(self, first: str, then: str) -> None:
        """`then` starts after `first`, and only where it runs; it stops before it."""
        self.constraints.append(
            etree.Element("rsc_order", id=names.order(first, then), first=first, then=then, kind="Mandatory")
        )
        self.constraints.append(
            _element(
                "rsc_colocation",
                ("id", names.colocation(then, first)),
                ("rsc", then),
                ("with-rsc", first),
                ("score", "INFINITY"),
            )
        )

    def _location(self, id_: str, resource: str, node: str, score: str) -> None:
        self.constraints.append(etree.Element("rsc_location", id=id_, rsc=resource, node=node, score=score))

    def _has(self, id_: str) -> bool:
        return any(resource.get("id") == id_ for resource in self.resources)

    def _clone(self, template: str, primitive: str, **values: str | int | None) -> str:
        """The clone of that template, made when it is first needed; its id."""
        id_ = names.clone(primitive)
        if not self._has(id_):
            self.resources.append(self.library.render(template, id_, id=primitive, **values))
        return id_

    # -- fencing

    def _fence_device(self, device: model.FenceDevice) -> None:
        rendered = self.library.render(
            "stonith",
            device.name,
            name=device.name,
            agent=device.agent,
            targets=" ".join(device.targets),
            delay=device.delay,
            provides=fencing.provides(device.agent),
        )
        attributes = rendered.find("instance_attributes")
        for name, value in sorted({**device.parameters, **dict.fromkeys(device.secrets, "lrm://")}.items()):
            _nvpair(attributes, name, value)
        self.resources.append(rendered)
        if len(device.targets) == 1:
            (target,) = device.targets
            self._location(names.not_on(device.name, target), device.name, target, "-INFINITY")

    def _topology(self) -> None:
        for node in self.cluster.nodes:
            able = [device.name for device in self.cluster.fence_devices if node.name in device.targets]
            if node.fencing in ((), tuple((name,) for name in able)) and len(able) <= 1:
                continue  # one device alone can fence it: nothing to choose
            for index, devices in enumerate(node.fencing, start=1):
                self.levels.append(
                    etree.Element(
                        "fencing-level",
                        id=names.fencing_level(node.name, index),
                        target=node.name,
                        index=str(index),
                        devices=",".join(devices),
                    )
                )

    # -- storage

    def _lock_manager(self) -> None:
        """The DLM, unless something else keeps the locks, and the lockspace of the run-locks upon it."""
        if self.cluster.lock_manager == "dlm":
            self._clone("controld", names.DLM)
        driver = self.cluster.lock_driver
        leases = driver.name != "none"
        self._after_dlm(
            self._clone(
                "lockspace",
                names.LOCKSPACE,
                lock_driver=driver.name if leases else None,
                lockspace_dir=driver.directory if leases else None,
                lockspace_mount=driver.mount if leases else None,
            )
        )

    def _after_dlm(self, clone: str) -> None:
        if self.cluster.lock_manager == "dlm":
            self._then(names.clone(names.DLM), clone)

    def _storage(self, storage: model.Storage) -> str | None:
        """Compile a storage; the clone after which VMs on it can start, or None when nothing has to be activated."""
        if isinstance(storage, model.Gfs2):
            return self._gfs2(storage)
        if isinstance(storage, model.Directory):
            return self._clone(
                "directory",
                names.filesystem(storage.name),
                source=storage.source,
                mount=storage.mount,
                options=",".join(dict.fromkeys(("bind", *storage.options))),
            )
        return None

    def _gfs2(self, storage: model.Gfs2) -> str:
        manager = names.clone(storage.volume_manager)
        if not self._has(manager):
            self._clone(storage.volume_manager, storage.volume_manager)
            self._after_dlm(manager)
        volume = self._clone(
            "lvm-activate",
            names.volume(storage.name),
            volume_group=storage.volume_group,
            logical_volume=storage.logical_volume,
            volume_manager=storage.volume_manager,
        )
        self._then(manager, volume)
        mounted = self._clone(
            "gfs2",
            names.filesystem(storage.name),
            device=storage.device,
            mount=storage.mount,
            options=",".join(storage.options) or None,
        )
        self._then(volume, mounted)
        return mounted

    # -- virtual machines

    def _vms(self, places: dict[str, str | None]) -> None:
        """The VMs, a tag for each set of storages, and what keeps VMs on or off nodes.

        Orders and colocations name the tag: their number grows with the storages, not with the VMs. A `<template>`
        would do the same, and makes every `pcs config` fail (docs/decisions/0006-vms-share-a-tag.md).
        """
        for (agent, storages), vms in _by_kind(self.cluster.vms).items():
            tag = etree.Element("tag", id=names.vms_on(storages, agent))
            self.tags.append(tag)
            for vm in vms:
                etree.SubElement(tag, "obj_ref", id=vm.name)
            for clone in [place for name in storages if (place := places[name]) is not None]:
                self._then(clone, tag.get("id"))
            if agent == "hacluster":
                self._then(names.clone(names.LOCKSPACE), tag.get("id"))
        for vm in self.cluster.vms:
            self.resources.append(self._vm(vm))
            self._placement(vm)

    def _vm(self, vm: model.Vm) -> etree._Element:
        sha256 = hashlib.sha256(vm.domain_xml).hexdigest()
        default = model.Migration()
        return self.library.render(
            "vm" if vm.agent == "hacluster" else f"{vm.agent}-vm",
            vm.name,
            name=vm.name,
            uuid=vm.uuid,
            config=names.domain_file(vm.name, sha256),
            xml_sha256=sha256,
            stop_budget=vm.stop_budget,
            stop_timeout=max(MINIMAL_STOP, vm.stop_budget + STOP_MARGIN),
            handover=self._handover(vm),
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
        )

    def _handover(self, vm: model.Vm) -> str:
        """`running` only where QEMU's own image lock holds cluster-wide under every disk: files on GFS2. Elsewhere
        `leased`, if the admin wants to rely on libvirt's leases: the agent looks for them before each move.
        """
        on_gfs2 = {storage.name for storage in self.cluster.storages if isinstance(storage, model.Gfs2)}
        if vm.disks and all(disk.device == "file" and disk.storage in on_gfs2 for disk in vm.disks):
            return "running"
        return "leased" if vm.disks and self.cluster.lock_driver.handover == "running" else "paused"

    def _placement(self, vm: model.Vm) -> None:
        for node, score in sorted(vm.placement.prefer.items()):
            self._location(names.prefers(vm.name, node), vm.name, node, str(score))
        for node in sorted(vm.placement.avoid):
            self._location(names.avoids(vm.name, node), vm.name, node, "-INFINITY")

    # -- the whole

    def _assemble(self) -> etree._Element:
        two = len(self.cluster.nodes) == 2
        properties = self.library.render(
            "properties",
            names.PROPERTY_SET,
            cluster_name=self.cluster.name,
            priority_fencing_delay=PRIORITY_FENCING_DELAY if two else None,
        )
        for name, value in sorted(self.cluster.properties.items()):
            _nvpair(properties, name, value)
        defaults = self.library.render("defaults", names.DEFAULTS, stickiness=self.cluster.stickiness)
        owned = [
            *(names.manifest_property(pair.get("name")) for pair in properties),
            *(e.get("id") for e in (*self.resources, *self.constraints, *self.levels, *self.tags, defaults)),
        ]
        manifest = etree.Element("cluster_property_set", id=names.MANIFEST_SET)
        _nvpair(manifest, names.MANIFEST, " ".join(sorted(owned)))

        cib = _element(
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
            etree.SubElement(nodes, "node", id=str(node.id), uname=node.name)
        etree.SubElement(configuration, "resources").extend(self.resources)
        etree.SubElement(configuration, "constraints").extend(self.constraints)
        if self.levels:
            etree.SubElement(configuration, "fencing-topology").extend(self.levels)
        if self.tags:
            etree.SubElement(configuration, "tags").extend(self.tags)
        etree.SubElement(configuration, "rsc_defaults").append(defaults)
        etree.SubElement(cib, "status")
        return with_online_nodes(cib, [node.name for node in self.cluster.nodes])


def _by_kind(vms: Iterable[model.Vm]) -> dict[tuple[str, tuple[str, ...]], list[model.Vm]]:
    """VMs by agent and storages, that is by the template they share, in the order in which the spec names them."""
    grouped: dict[tuple[str, tuple[str, ...]], list[model.Vm]] = {}
    for vm in vms:
        grouped.setdefault((vm.agent, vm.storages), []).append(vm)
    return grouped


def _migration_hosts(cluster: model.Cluster) -> str | None:
    hosts = [f"{node.name}={node.migration_host}" for node in cluster.nodes if node.migration_host is not None]
    return " ".join(hosts) or None


def _migrate_options(policy: model.Migration) -> str | None:
    """What ocf:heartbeat:VirtualDomain has no parameter for, as virsh's switches."""
    options = ["--auto-converge"] if policy.auto_converge else []
    options += ["--postcopy", "--postcopy-after-precopy"] if policy.post_copy else []
    options += ["--parallel", "--parallel-connections", str(policy.parallel)] if policy.parallel else []
    return " ".join(options) or None


def _element(tag: str, *attributes: tuple[str, str]) -> etree._Element:
    """An element whose attributes keep this order, also those whose names are no Python names."""
    element = etree.Element(tag)
    for name, value in attributes:
        element.set(name, value)
    return element


def _nvpair(nvset: etree._Element, name: str, value: str) -> None:
    """Set a name in a set: the value that is there is replaced in place, a new one is added at the end."""
    for pair in nvset.iterchildren("nvpair"):
        if pair.get("name") == name:
            pair.set("value", value)
            return
    etree.SubElement(nvset, "nvpair", id=f"{nvset.get('id')}-{name}", name=name, value=value)


def _check_ids(cib: etree._Element) -> Iterator[Problem]:
    """No id twice. Nodes are apart: theirs are corosync's numbers, in a space of their own."""
    owners: dict[str, list[str]] = {}
    for element in cib.iterfind("configuration/*//*[@id]"):
        if element.tag not in ("node", "obj_ref"):
            owners.setdefault(element.get("id"), []).append(str(element.tag))
    for id_, tags in owners.items():
        if len(tags) > 1:
            yield ID_TAKEN(
                f"{id_} would be the id of {len(tags)} things",
                where=id_,
                remedy="rename the VM, fence device or storage of that name",
                elements=", ".join(tags),
            )

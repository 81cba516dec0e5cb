"""From the CIB, crm_mon's reading of it and the nodes' facts to an Observation. Pure.

The configuration is read from the CIB. Which resource is where is crm_mon's word: the CIB's status section holds
operation histories, and turning those into states is the scheduler's own work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from lxml import etree

from hacluster import claim, fencing_proof
from hacluster.cib import managed
from hacluster.claim import Claim
from hacluster.observe import leases, state
from hacluster.observe.findings import judge
from hacluster.observe.views import CloneView, ClusterView, Failure, FenceView, NodeView, Observation, VmView
from hacluster.ports import HostFacts, Unknown

GUARD_ATTRIBUTE = "hacluster-guard"
_HEARTBEAT = ("ocf", "heartbeat", "VirtualDomain")


def observe(
    cib: bytes,
    monitor: bytes,
    facts: Mapping[str, HostFacts | Unknown],
    now: float | None = None,
) -> Observation:
    """The Observation, with its findings.

    `monitor` is crm_mon's XML; `now` is epoch seconds, without which the age of claims is not judged.
    """
    root, seen = etree.fromstring(cib), etree.fromstring(monitor)
    nodes = tuple(_nodes(root, seen, facts))
    claims = tuple(_claims(root))
    by_vm = {found.vm: found for found in claims}
    resources = {r.get("id", ""): r for r in seen.iterfind("./resources/*")}
    # Other people's clusters have VMs and fence devices in groups; crm_mon shows these within their group.
    single = resources | {r.get("id", ""): r for r in seen.iterfind("./resources/group/resource")}
    vms = [
        _vm(vm, single.get(vm.name), nodes, by_vm.get(vm.name), agent=agent[1])
        for agent in (managed.AGENT, _HEARTBEAT)
        for vm in managed.vms(root, agent)
    ]
    known = {vm.name for vm in vms}
    fences = tuple(_fence(p, single.get(p.get("id", ""))) for p in _fence_primitives(root))
    known |= {device.name for device in fences}
    clones = tuple(_clone(element, nodes) for element in seen.iterfind("./resources/clone"))
    known |= {one.name for one in clones}
    seen_now = Observation(
        cluster=_cluster(root, seen),
        nodes=nodes,
        fencing=fences,
        clones=clones,
        vms=tuple(sorted(vms, key=lambda vm: vm.name)),
        others={name: _other(element) for name, element in resources.items() if name not in known},
        failures=(*_failures(seen), *_not_installed(root)),
        claims=claims,
        foreign_moves=tuple(_foreign_moves(root)),
        lock_driver=leases.wanted(root),
        proven=fencing_proof.standings(root, node_names(cib), now),
    )
    found = (*judge(seen_now, now), *leases.judge(seen_now), *fencing_proof.findings(seen_now.proven))
    judged = (replace(vm, problems=tuple(p for p in found if p.where == f"vm {vm.name}")) for vm in seen_now.vms)
    return replace(seen_now, vms=tuple(judged), problems=found)


def version(cib: etree._Element) -> tuple[int, int, int]:
    """A CIB's version: admin_epoch, epoch (configuration changes) and num_updates (status changes)."""
    admin, epoch, updates = (int(cib.get(name, "0")) for name in ("admin_epoch", "epoch", "num_updates"))
    return admin, epoch, updates


def node_names(cib: bytes) -> tuple[str, ...]:
    """The cluster's full members, as the CIB names them, sorted."""
    found = etree.fromstring(cib).iterfind("./configuration/nodes/node")
    return tuple(sorted(n.get("uname", "") for n in found if n.get("type", "member") == "member"))


def _cluster(root: etree._Element, seen: etree._Element) -> ClusterView:
    dc = seen.find("./summary/current_dc")
    return ClusterView(
        name=_property(root, "cluster-name", ""),
        version=version(root),
        quorum=root.get("have-quorum") == "1",
        dc=dc.get("name") if dc is not None and dc.get("present") == "true" else None,
        maintenance=_true(_property(root, "maintenance-mode", "false")),
        stonith=_true(_property(root, "stonith-enabled", "true")),
        changed_by=" ".join(filter(None, (root.get("update-client"), "on", root.get("update-origin"))))
        if root.get("update-origin")
        else "",
        changed_at=root.get("cib-last-written", ""),
    )


def _property(root: etree._Element, name: str, default: str) -> str:
    # Pacemaker lets the bootstrap set win over all others.
    sets = sorted(
        root.iterfind("./configuration/crm_config/cluster_property_set"),
        key=lambda one: one.get("id") != "cib-bootstrap-options",
    )
    for nvpair in (pair for one in sets for pair in one.iterfind("nvpair")):
        if nvpair.get("name") == name:
            return str(nvpair.get("value", default))
    return default


def _nodes(root: etree._Element, seen: etree._Element, facts: Mapping[str, HostFacts | Unknown]) -> Iterator[NodeView]:
    guards = {
        node_state.get("uname", ""): pair.get("value")
        for node_state in root.iterfind("./status/node_state")
        for pair in node_state.iterfind("./transient_attributes/instance_attributes/nvpair")
        if pair.get("name") == GUARD_ATTRIBUTE
    }
    down = {state.get("uname") for state in root.iterfind("./status/node_state") if state.get("expected") == "down"}
    for node in sorted(seen.iterfind("./nodes/node"), key=lambda n: n.get("name", "")):
        name = node.get("name", "")
        yield NodeView(
            name=name,
            online=_true(node.get("online")),
            pending=_true(node.get("pending")),
            unclean=_true(node.get("unclean")),
            standby=_true(node.get("standby")) or _true(node.get("standby_onfail")),
            maintenance=_true(node.get("maintenance")),
            down=name in down,
            guard=guards.get(name),
            facts=facts.get(name, Unknown("not asked")),
        )


def _vm(
    vm: managed.ManagedVm,
    seen: etree._Element | None,
    nodes: Sequence[NodeView],
    held: Claim | None,
    *,
    agent: str,
) -> VmView:
    role, on, pending, failed, blocked = _status(seen)
    told = state.Testimony(
        role=role,
        on=on,
        pending=pending,
        failed=failed,
        blocked=blocked,
        wanted=vm.wanted,
        domains={node.name: state.domain(node, vm.uuid, vm.name) for node in nodes},
        locks={node.name: state.lock(node, vm.uuid) for node in nodes},
        presence={node.name: state.presence(node, vm.uuid, vm.name) for node in nodes},
        claim=held,
    )
    word, node = state.word(told)
    return VmView(
        name=vm.name,
        uuid=vm.uuid,
        agent=agent,
        config=vm.config,
        wanted=vm.wanted,
        role=role,
        nodes=on,
        pending=pending,
        failed=failed,
        blocked=blocked,
        domains=told.domains,
        locks=told.locks,
        presence=told.presence,
        state=word,
        node=node,
        claim=held,
        managed=seen is None or _true(seen.get("managed", "true")),
    )


def _status(seen: etree._Element | None) -> tuple[str, tuple[str, ...], str, bool, bool]:
    """Role, nodes, pending operation, failed, blocked: as crm_mon has them for one primitive."""
    if seen is None:
        return "Unknown", (), "", False, False
    return (
        seen.get("role", "Unknown"),
        tuple(node.get("name", "") for node in seen.iterfind("node")),
        seen.get("pending", ""),
        _true(seen.get("failed")),
        _true(seen.get("blocked")),
    )


def _fence_primitives(root: etree._Element) -> Iterator[etree._Element]:
    for primitive in root.iterfind("./configuration/resources//primitive"):
        if primitive.get("class") == "stonith":
            yield primitive


def _fence(primitive: etree._Element, seen: etree._Element | None) -> FenceView:
    parameters = {p.get("name"): p.get("value", "") for p in primitive.iterfind("./instance_attributes/nvpair")}
    meta = {p.get("name"): p.get("value", "") for p in primitive.iterfind("./meta_attributes/nvpair")}
    _, on, _, failed, _ = _status(seen)
    return FenceView(
        name=primitive.get("id", ""),
        agent=primitive.get("type", ""),
        targets=tuple(parameters.get("pcmk_host_list", "").replace(",", " ").split()),
        running_on=on,
        failed=failed,
        wanted=meta.get("target-role", "Started") != "Stopped",
    )


def _clone(element: etree._Element, nodes: Sequence[NodeView]) -> CloneView:
    on = {node.name: "stopped" if node.online else "–" for node in nodes}
    agent = ""
    for instance in element.iterfind("resource"):
        agent = instance.get("resource_agent", agent)
        role, where, pending, failed, blocked = _status(instance)
        said = "blocked" if blocked else "failed" if failed else (pending or role).lower()
        on.update(dict.fromkeys(where, said))
    return CloneView(element.get("id", ""), agent, on)


def _other(element: etree._Element) -> str:
    if element.tag != "resource":
        return str(element.tag)
    role, on, pending, failed, blocked = _status(element)
    said = "blocked" if blocked else "failed" if failed else (pending or role).lower()
    return f"{said} on {', '.join(on)}" if on else said


def _failures(seen: etree._Element) -> Iterator[Failure]:
    for failure in seen.iterfind("./failures/failure"):
        key = failure.get("op_key") or failure.get("id", "")
        resource, operation, _ = key.rsplit("_", 2) if key.count("_") >= 2 else (key, failure.get("task", ""), "")
        if resource.endswith("_migrate"):  # the operations migrate_to and migrate_from contain the separator
            resource, operation = resource.removesuffix("_migrate"), f"migrate_{operation}"
        yield Failure(
            resource=resource,
            operation=operation,
            node=failure.get("node", ""),
            code=failure.get("exitstatus", ""),
            reason=failure.get("exitreason", ""),
            at=failure.get("last-rc-change", ""),
        )


def _not_installed(root: etree._Element) -> Iterator[Failure]:
    """Probes that found programs of the agent missing: Pacemaker keeps it off that node and calls it no failure."""
    for node_state in root.iterfind("./status/node_state"):
        for op in node_state.iterfind("./lrm/lrm_resources/lrm_resource/lrm_rsc_op"):
            if op.get("id", "").endswith("_last_0") and op.get("operation") == "monitor" and op.get("rc-code") == "5":
                yield Failure(
                    resource=op.getparent().get("id", ""),
                    operation="probe",
                    node=node_state.get("uname", ""),
                    code="not installed",
                    reason=op.get("exit-reason", ""),
                    at="",
                )


def _claims(root: etree._Element) -> Iterator[Claim]:
    for location in root.iterfind("./configuration/constraints/rsc_location"):
        if location.get("id", "").startswith(claim.PREFIX):
            found = claim.find(root, location.get("id", "").removeprefix(claim.PREFIX))
            if found is not None:
                yield found


def _foreign_moves(root: etree._Element) -> Iterator[str]:
    """What `pcs resource move`, ban and crm_resource leave behind."""
    for constraint in root.iterfind("./configuration/constraints/*"):
        if constraint.get("id", "").startswith(("cli-prefer-", "cli-ban-")):
            yield constraint.get("id", "")


def _true(value: str | None) -> bool:
    return (value or "").lower() in ("true", "yes", "on", "1", "y")

"""What Pacemaker's tools print: crm_mon's and crm_simulate's XML, of the simulated status. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from hacluster.cib import managed
from hacluster.sim import scheduler, status
from hacluster.sim.scheduler import Belief


def monitor(cib: etree._Element, in_flight: Mapping[str, set[str]]) -> bytes:
    """`crm_mon --output-as=xml --inactive`; `in_flight` are nodes with a running operation, by VM."""
    root = etree.Element("pacemaker-result", {"api-version": "2.25"})
    online = [node for node in scheduler.members(cib) if status.online(cib, node)]
    summary = etree.SubElement(root, "summary")
    if online:
        dc = {"present": "true", "name": min(online), "with_quorum": str(cib.get("have-quorum") == "1").lower()}
        etree.SubElement(summary, "current_dc", dc)
    nodes = etree.SubElement(root, "nodes")
    for node in scheduler.members(cib):
        etree.SubElement(nodes, "node", _node(cib, node))
    resources = etree.SubElement(root, "resources")
    for vm in managed.vms(cib):
        _vm(resources, cib, vm.name, scheduler.believe(cib, vm), bool(in_flight.get(vm.name)))
    _others(resources, cib, online)
    _failures(etree.SubElement(root, "failures"), cib)
    text: bytes = etree.tostring(root)
    return text


def simulation(cib: etree._Element) -> bytes:
    """`crm_simulate --run --output-as=xml`, of the VMs and of fencing."""
    root = etree.Element("pacemaker-result", {"api-version": "2.25"})
    resources = etree.SubElement(etree.SubElement(root, "cluster_status"), "resources")
    for vm in managed.vms(cib):
        _vm(resources, cib, vm.name, scheduler.believe(cib, vm), False)
    actions = etree.SubElement(root, "actions")
    for node in scheduler.to_fence(cib):
        etree.SubElement(actions, "node_action", task="Fence (reboot)", node=node, reason="peer is lost")
    for plan in scheduler.plans(cib):
        if plan.kind is None:
            continue
        action = {"resource": plan.vm, "action": plan.kind}
        if plan.kind in ("start", "stop"):
            action["node"] = plan.target or plan.source or ""
        else:
            action |= {"source": plan.source or "", "dest": plan.target or ""}
        etree.SubElement(actions, "rsc_action", action)
    etree.SubElement(root, "status", code="0", message="OK")
    text: bytes = etree.tostring(root)
    return text


def _node(cib: etree._Element, node: str) -> dict[str, str]:
    return {
        "name": node,
        "online": str(status.online(cib, node)).lower(),
        "unclean": str(status.unclean(cib, node)).lower(),
        "standby": str(scheduler.standby(cib, node)).lower(),
        "standby_onfail": "false",
        "maintenance": "false",
        "pending": "false",
    }


def _vm(resources: etree._Element, cib: etree._Element, name: str, found: Belief, busy: bool) -> None:
    pending = next((op for op in status.operations(cib, name) if op.code is None), None)
    words = {"start": "Starting", "stop": "Stopping", "migrate_to": "Migrating", "migrate_from": "Migrating"}
    element = etree.SubElement(
        resources,
        "resource",
        id=name,
        resource_agent="ocf:hacluster:VirtualDomain",
        role="Started" if found.active else "Stopped",
        active=str(bool(found.active)).lower(),
        failed=str(bool(found.failed) or found.blocked).lower(),
        blocked=str(found.blocked).lower(),
        managed=str(not found.blocked).lower(),
    )
    if busy and pending is not None:
        element.set("pending", words.get(pending.name, "Monitoring"))
    for node in sorted(found.active):
        etree.SubElement(element, "node", name=node)


def _others(resources: etree._Element, cib: etree._Element, online: list[str]) -> None:
    """Fence devices run somewhere; clones run on every member, the guard's once it has announced itself."""
    for primitive in cib.iterfind("./configuration/resources/primitive[@class='stonith']"):
        agent = f"stonith:{primitive.get('type')}"
        element = etree.SubElement(
            resources, "resource", id=primitive.get("id"), resource_agent=agent, role="Started", active="true"
        )
        barred = {
            location.get("node")
            for location in cib.iterfind("./configuration/constraints/rsc_location")
            if location.get("rsc") == primitive.get("id") and location.get("score") == "-INFINITY"
        }
        for node in [node for node in online if node not in barred][:1]:
            etree.SubElement(element, "node", name=node)
    for clone in cib.iterfind("./configuration/resources/clone"):
        element = etree.SubElement(resources, "clone", id=clone.get("id"))
        for node in online:
            guard = clone.get("id", "").startswith("hacluster-lockspace")
            up = not guard or status.attribute(cib, node, scheduler.GUARD) is not None
            instance = etree.SubElement(
                element,
                "resource",
                id=clone.find(".//primitive").get("id"),
                resource_agent="ocf:hacluster:lockspace" if guard else "ocf:heartbeat:Filesystem",
                role="Started" if up else "Starting",
                active=str(up).lower(),
            )
            etree.SubElement(instance, "node", name=node)


def _failures(failures: etree._Element, cib: etree._Element) -> None:
    for vm in managed.vms(cib):
        for ran in status.operations(cib, vm.name):
            if ran.code is not None and not ran.ok:
                etree.SubElement(
                    failures,
                    "failure",
                    op_key=f"{vm.name}_{ran.name}_{ran.interval}",
                    node=ran.node,
                    exitstatus="error",
                    exitreason=ran.reason,
                    task=ran.name,
                )

"""The status section of a CIB, written as Pacemaker 2.1.5 writes it: node states, and what executors did.

A resource's operations are kept by id: `ID_last_0` for start, stop and probe, `ID_monitor_INTERVAL` for a recurring
monitor, `ID_last_failure_0` beside them for a failure; the operations of a migration have ids of their own
(`ID_migrate_to_0`), and of those no exit reason is kept. `call-id` counts on each node, and again from its boot.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

_MIGRATIONS = ("migrate_to", "migrate_from")
_PENDING, _DONE, _TIMEOUT, _ERROR = -1, 0, 2, 4
_UUID = "5d1c7f5e-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Ran:
    """An operation that an executor began or ended. `order` grows over the whole cluster; `when` is epoch seconds.

    `code` is None while it runs; `expected` is the code that counts as success.
    """

    node: str
    resource: str
    name: str
    call: int
    order: int
    when: int
    code: int | None = None
    expected: int = 0
    interval: int = 0
    timed_out: bool = False
    reason: str = ""
    source: str = ""
    target: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended as asked; a probe's 7 is an answer too."""
        good = (self.expected, 7, 0) if self.name == "monitor" and not self.interval else (self.expected,)
        return self.code in good and not self.timed_out


def node_state(cib: etree._Element, node: str) -> etree._Element:
    """A node's part of the status, made when it is not there."""
    found = cib.find(f"./status/node_state[@uname='{node}']")
    if found is None:
        known = cib.find(f"./configuration/nodes/node[@uname='{node}']")
        status = cib.find("./status")
        if status is None:
            status = etree.SubElement(cib, "status")
        found = etree.SubElement(status, "node_state", id=known.get("id"), uname=node)
    return found


def member(cib: etree._Element, node: str) -> None:
    """A node has joined, with nothing running: what was recorded of it is forgotten."""
    state = node_state(cib, node)
    _empty(state)
    state.attrib.update({"in_ccm": "true", "crmd": "online", "join": "member", "expected": "member"})


def lost(cib: etree._Element, node: str) -> None:
    """A node is not heard any more: unclean until it has been fenced."""
    node_state(cib, node).attrib.update({"in_ccm": "false", "crmd": "offline", "join": "down"})


def down(cib: etree._Element, node: str) -> None:
    """A node has been fenced: it runs nothing, and nothing is expected of it."""
    state = node_state(cib, node)
    _empty(state)
    state.attrib.update({"in_ccm": "false", "crmd": "offline", "join": "down", "expected": "down"})


def online(cib: etree._Element, node: str) -> bool:
    """Whether a node is a member."""
    return bool(node_state(cib, node).get("crmd") == "online")


def unclean(cib: etree._Element, node: str) -> bool:
    """Whether a node was a member, is gone, and has not been fenced."""
    state = node_state(cib, node)
    return bool(state.get("crmd") != "online" and state.get("expected") == "member")


def attribute(cib: etree._Element, node: str, name: str) -> str | None:
    """A transient attribute of a node."""
    found = node_state(cib, node).find(f"./transient_attributes/instance_attributes/nvpair[@name='{name}']")
    return None if found is None else str(found.get("value"))


def set_attribute(cib: etree._Element, node: str, name: str, value: str | None) -> None:
    """Set it, or take it away."""
    state = node_state(cib, node)
    holder = state.find("./transient_attributes/instance_attributes")
    if holder is None:
        outer = etree.SubElement(state, "transient_attributes", id=state.get("id"))
        holder = etree.SubElement(outer, "instance_attributes", id=f"status-{state.get('id')}")
    for old in holder.findall(f"nvpair[@name='{name}']"):
        holder.remove(old)
    if value is not None:
        etree.SubElement(holder, "nvpair", id=f"status-{state.get('id')}-{name}", name=name, value=value)


def record(cib: etree._Element, ran: Ran) -> None:
    """Write an operation into the history of its node."""
    holder = _history(cib, ran.node, ran.resource)
    reason = ran.reason
    if ran.name in _MIGRATIONS:
        idents, reason = [f"{ran.resource}_{ran.name}_0"], ""
    elif ran.code is not None and not ran.ok:
        idents = [f"{ran.resource}_last_failure_0", *([] if ran.interval else [f"{ran.resource}_last_0"])]
    elif ran.interval:
        idents = [f"{ran.resource}_monitor_{ran.interval}"]
    else:
        idents = [f"{ran.resource}_last_0"]
    for ident in idents:
        for old in holder.findall(f"lrm_rsc_op[@id='{ident}']"):
            holder.remove(old)
        etree.SubElement(holder, "lrm_rsc_op", _attributes(ran, ident, reason))


def forget(cib: etree._Element, node: str, resource: str) -> None:
    """What `crm_resource --refresh` takes away: a resource's whole history on a node, and its failures counted."""
    for resources in node_state(cib, node).iterfind("./lrm/lrm_resources"):
        for old in resources.findall(f"lrm_resource[@id='{resource}']"):
            resources.remove(old)
    set_attribute(cib, node, f"fail-count-{resource}", None)


def operations(cib: etree._Element, resource: str) -> tuple[Ran, ...]:
    """All recorded operations of a resource, the earliest first."""
    found = [
        _read(op, state.get("uname"), resource)
        for state in cib.iterfind("./status/node_state")
        for op in state.iterfind(f"./lrm/lrm_resources/lrm_resource[@id='{resource}']/lrm_rsc_op")
    ]
    return tuple(sorted(found, key=lambda ran: ran.order))


def _empty(state: etree._Element) -> None:
    for part in list(state):
        state.remove(part)


def _history(cib: etree._Element, node: str, resource: str) -> etree._Element:
    state = node_state(cib, node)
    resources = state.find("./lrm/lrm_resources")
    if resources is None:
        resources = etree.SubElement(etree.SubElement(state, "lrm", id=state.get("id")), "lrm_resources")
    holder = resources.find(f"lrm_resource[@id='{resource}']")
    if holder is None:
        agent = {"type": "VirtualDomain", "class": "ocf", "provider": "hacluster"}
        holder = etree.SubElement(resources, "lrm_resource", {"id": resource, **agent})
    return holder


def _attributes(ran: Ran, ident: str, reason: str) -> dict[str, str]:
    pending = ran.code is None
    code = 193 if ran.code is None else ran.code
    status = _PENDING if pending else _TIMEOUT if ran.timed_out else _DONE
    transition = f"{ran.order}:{ran.order}:{ran.expected}:{_UUID}"
    attributes = {
        "id": ident,
        "operation_key": f"{ran.resource}_{ran.name}_{ran.interval}",
        "operation": ran.name,
        "crm-debug-origin": "do_update_resource",
        "crm_feature_set": "3.16.1",
        "transition-key": transition,
        "transition-magic": f"{status}:{code};{transition}",
        "exit-reason": reason,
        "on_node": ran.node,
        "call-id": "-1" if pending else str(ran.call),
        "rc-code": str(code),
        "op-status": str(status),
        "interval": str(ran.interval),
        "last-rc-change": str(ran.when),
        "exec-time": "0",
        "queue-time": "0",
    }
    if ran.name in _MIGRATIONS:
        attributes |= {"migrate_source": ran.source, "migrate_target": ran.target}
    return attributes


def _read(op: etree._Element, node: str, resource: str) -> Ran:
    _, order, expected, _ = op.get("transition-key").split(":")
    pending = op.get("op-status") == str(_PENDING)
    return Ran(
        node=node,
        resource=resource,
        name=op.get("operation"),
        call=int(op.get("call-id")),
        order=int(order),
        when=int(op.get("last-rc-change")),
        code=None if pending else int(op.get("rc-code")),
        expected=int(expected),
        interval=int(op.get("interval")),
        timed_out=op.get("op-status") in (str(_TIMEOUT), str(_ERROR)),
        reason=op.get("exit-reason", ""),
        source=op.get("migrate_source", ""),
        target=op.get("migrate_target", ""),
    )

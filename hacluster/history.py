"""What Pacemaker's executors did: a resource's recorded operations, read from the CIB's status section. Pure.

Pacemaker keeps, per node and resource, the last operation (`ID_last_0`), the last failure (`ID_last_failure_0`) and
the recurring monitors. `call-id` grows with every operation a node's executor runs, so an operation whose call-id was
not there before a moment was run after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

# Pacemaker's op-status values: the operation is still to come, and it was not run to its own end.
_PENDING = -1
_NOT_RUN = frozenset({2, 3, 4})  # timed out, not supported, error


@dataclass(frozen=True, slots=True)
class Operation:
    """One recorded operation. `interval` is ms; `changed` is epoch seconds; `reason` is the agent's exit reason.

    `source` and `target` are those of a migration.
    """

    node: str
    name: str
    code: int
    status: int
    call: int
    interval: int = 0
    changed: int = 0
    reason: str = ""
    source: str = ""
    target: str = ""

    @property
    def pending(self) -> bool:
        """Whether it is still running (record-pending)."""
        return self.status == _PENDING

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than asked: a timeout, an error, or a code that is not success.

        A probe's "not running" (7) and a monitor's "master" (8) are answers, not failures.
        """
        if self.pending:
            return False
        if self.status in _NOT_RUN:
            return True
        return self.code not in ((0, 7, 8) if self.name == "monitor" else (0,))


History = Mapping[str, tuple[Operation, ...]]


def operations(cib: etree._Element, resource: str) -> History:
    """The recorded operations of a primitive, by node, oldest call first."""
    found: dict[str, tuple[Operation, ...]] = {}
    for state in cib.iterfind("./status/node_state"):
        node = state.get("uname", "")
        ops = [
            _read(op, node)
            for lrm in state.iterfind("./lrm/lrm_resources/lrm_resource")
            if lrm.get("id") == resource
            for op in lrm.iterfind("lrm_rsc_op")
        ]
        if ops:
            found[node] = tuple(sorted(ops, key=lambda op: op.call))
    return found


def since(before: History, now: History) -> tuple[Operation, ...]:
    """The operations that are recorded now and were not before (by node, call-id and name)."""
    old = {(op.node, op.call, op.name, op.status) for ops in before.values() for op in ops}
    return tuple(op for ops in now.values() for op in ops if (op.node, op.call, op.name, op.status) not in old)


def last_failure(before: History, now: History) -> str:
    """The newest failure of those that were not there before, for people: operation, node and the agent's reason."""
    failed = [op for op in since(before, now) if op.failed]
    if not failed:
        return "none recorded"
    last = max(failed, key=lambda op: op.changed)
    return f"{last.name} on {last.node}: {last.reason or 'no reason recorded'}"


def mark(now: History) -> str:
    """What is recorded at this moment, in a word that fits into an attribute: each node's call-ids and operations."""
    return ";".join(
        f"{node}:{'.'.join(f'{op.call}{op.name}' for op in ops if not op.pending)}" for node, ops in sorted(now.items())
    )


def marked(now: History, word: str) -> History:
    """Those of the operations recorded now that were recorded when the mark was made. No clock is asked."""
    known = dict(part.split(":", 1) for part in word.split(";") if ":" in part)
    return {
        node: tuple(op for op in ops if f"{op.call}{op.name}" in known.get(node, "").split("."))
        for node, ops in now.items()
    }


def stale_arrivals(now: History, source: str, target: str) -> tuple[str, ...]:
    """Nodes that remember an earlier arrival of the same pair: Pacemaker 2.1.5 takes it for the one of the next move,
    and if that move's transition is aborted in mid-copy it has the VM stopped and started."""
    return tuple(
        node
        for node, ops in now.items()
        if node == target and any(op.name == "migrate_from" and op.source == source for op in ops)
    )


def _read(op: etree._Element, node: str) -> Operation:
    def number(name: str, default: int) -> int:
        try:
            return int(op.get(name, default))
        except ValueError:
            return default

    return Operation(
        node=node,
        name=op.get("operation", ""),
        code=number("rc-code", 1),
        status=number("op-status", 0),
        call=number("call-id", -1),
        interval=number("interval", 0),
        changed=number("last-rc-change", 0),
        reason=op.get("exit-reason", ""),
        source=op.get("migrate_source", ""),
        target=op.get("migrate_target", ""),
    )


def moved(cib: etree._Element, resource: str, source: str, target: str) -> bytes:
    """A copy of a CIB in which a resource is recorded on another node: what the scheduler will see after a move."""
    copy: etree._Element = etree.fromstring(etree.tostring(cib))
    for state in copy.iterfind("./status/node_state"):
        if state.get("uname") not in (source, target):
            continue
        for recorded in state.iterfind("./lrm/lrm_resources/lrm_resource"):
            if recorded.get("id") == resource:
                _pretend(recorded, resource, state.get("uname") == target, _started(cib, resource, source), _later(cib))
    text: bytes = etree.tostring(copy)
    return text


def stopped(cib: etree._Element, resource: str, node: str) -> bytes:
    """A copy of a CIB in which a resource is recorded as stopped on its node: what the scheduler will see then."""
    copy: etree._Element = etree.fromstring(etree.tostring(cib))
    for recorded in copy.iterfind(f"./status/node_state[@uname='{node}']/lrm/lrm_resources/lrm_resource"):
        if recorded.get("id") == resource:
            _pretend(recorded, resource, False, _started(cib, resource, node), _later(cib))
    text: bytes = etree.tostring(copy)
    return text


def _started(cib: etree._Element, resource: str, node: str) -> etree._Element | None:
    """The record that made a resource active on a node; its digests tell the scheduler that nothing changed."""
    records = [
        op
        for op in cib.iterfind(f"./status/node_state[@uname='{node}']/lrm/lrm_resources/lrm_resource/lrm_rsc_op")
        if op.getparent().get("id") == resource and op.get("interval", "0") == "0" and op.get("rc-code") == "0"
    ]
    return max(records, key=lambda op: int(op.get("call-id", "-1")), default=None)


def _later(cib: etree._Element) -> dict[str, str]:
    """The call-id and the time of an operation after all that are recorded. Nodes have no common order but the time:
    of a migration to a node and a stop there in the same second, Pacemaker takes the migration for the later one."""
    calls = [int(op.get("call-id", "0")) for op in cib.iterfind("./status//lrm_rsc_op")]
    times = [int(op.get("last-rc-change", "0")) for op in cib.iterfind("./status//lrm_rsc_op")]
    return {"call-id": str(max(calls, default=0) + 1), "last-rc-change": str(max(times, default=0) + 1)}


def _pretend(
    recorded: etree._Element, resource: str, here: bool, start: etree._Element | None, later: Mapping[str, str]
) -> None:
    for op in list(recorded):
        recorded.remove(op)
    record = etree.SubElement(recorded, "lrm_rsc_op", {} if start is None else dict(start.attrib))
    record.attrib.update(later)
    name, code = ("start", "0") if here else ("stop", "0")
    record.set("id", f"{resource}_last_0")
    record.set("operation_key", f"{resource}_{name}_0")
    record.set("operation", name)
    record.set("rc-code", code)
    record.set("op-status", "0")
    record.set("interval", "0")
    # A key is ACTION:TRANSITION:EXPECTED:UUID, and a probe that found the resource had expected code 7.
    key = (start.get("transition-key", "") if start is not None else "").split(":")
    transition = f"0:0:{code}:{key[3] if len(key) == 4 else '00000000-0000-0000-0000-000000000000'}"
    record.set("transition-key", transition)
    record.set("transition-magic", f"0:{code};{transition}")

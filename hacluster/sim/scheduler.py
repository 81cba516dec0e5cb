"""Pacemaker's scheduler, reduced to VMs: from a CIB to where each VM is believed to be and what is done next. Pure.

Kept: probes before anything else, fencing before recovery, on-fail=block, partial and dangling migrations, the claim
as a location preference against the stickiness, target-role, standby, maintenance, quorum (freeze), and
migration-threshold. Left out: everything that is no VM (storage and lockspace count as running wherever a node is a
member and its guard has announced itself), order between VMs, utilization, and most of the transition: a migration
goes on through its three steps unless something aborts it, everything else is decided anew after each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from lxml import etree

from hacluster.cib import managed
from hacluster.cib.managed import ManagedVm
from hacluster.sim import status
from hacluster.sim.status import Ran

GUARD = "hacluster-guard"
_INFINITY = 1_000_000
Kind = Literal["start", "stop", "migrate", "move", "recover", "restart"]


@dataclass(frozen=True, slots=True)
class Op:
    """One operation to be run. `source` and `target` are a migration's."""

    name: str
    node: str
    source: str = ""
    target: str = ""


@dataclass
class Belief:
    """Where a VM is, as its history says. `partial` is a migration's (source, target) before its migrate_from;
    `clear` are nodes on which only the stop after a migration is missing; `fence` nodes whose stop failed."""

    active: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    blocked: bool = False
    partial: tuple[str, str] | None = None
    clear: set[str] = field(default_factory=set)
    fence: set[str] = field(default_factory=set)
    unprobed: set[str] = field(default_factory=set)
    planned: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a VM: the operations that can begin `now`, what follows unless something aborts the transition
    (`then`, one after another), and how crm_simulate would call the whole."""

    vm: str
    now: tuple[Op, ...] = ()
    then: tuple[Op, ...] = ()
    kind: Kind | None = None
    source: str | None = None
    target: str | None = None
    settled: str | None = None
    """The node where it runs well and nothing is to be done."""


def members(cib: etree._Element) -> tuple[str, ...]:
    """The names of all nodes."""
    return tuple(node.get("uname") for node in cib.iterfind("./configuration/nodes/node"))


def to_fence(cib: etree._Element) -> tuple[str, ...]:
    """Nodes to be fenced: lost ones, and those on which a VM's stop failed. Nobody without quorum."""
    if cib.get("have-quorum") != "1" or _property(cib, "stonith-enabled", "true") != "true":
        return ()
    failed = {node for vm in managed.vms(cib) for node in believe(cib, vm).fence}
    return tuple(node for node in members(cib) if status.unclean(cib, node) or node in failed)


def plans(cib: etree._Element) -> tuple[Plan, ...]:
    """A plan for each VM."""
    beliefs = {vm.name: believe(cib, vm) for vm in managed.vms(cib)}
    return tuple(_plan(cib, vm, beliefs) for vm in managed.vms(cib))


def believe(cib: etree._Element, vm: ManagedVm) -> Belief:
    """Where a VM is believed to be."""
    found = Belief()
    ran = status.operations(cib, vm.name)
    there = [node for node in members(cib) if status.online(cib, node) or status.unclean(cib, node)]
    for node in there:
        _local(found, node, [op for op in ran if op.node == node and op.name != "migrate_to"])
    for op in ran:
        if op.name == "migrate_to" and op.node in there and op.code is not None:
            _migration(cib, found, ran, op)
    found.unprobed = {node for node in found.unprobed if status.online(cib, node)}
    return found


def _local(found: Belief, node: str, ran: list[Ran]) -> None:
    known = False
    for op in ran:
        known = True
        if op.name == "stop":
            _set(found.active, node, not op.ok)
            _set(found.failed, node, not op.ok and op.code is not None)
            _set(found.fence, node, not op.ok and op.code is not None)
        elif op.name == "monitor" and op.interval == 0:
            _set(found.active, node, op.code != 7)
            _set(found.failed, node, op.code not in (0, 7, None))
            known = op.code is not None
        else:
            found.active.add(node)
            _set(found.failed, node, op.code is not None and not op.ok)
    if not known:
        found.unprobed.add(node)


def _migration(cib: etree._Element, found: Belief, ran: tuple[Ran, ...], op: Ran) -> None:
    """What a recorded migrate_to says, beside the records of both nodes (unpack_migrate_to_* in Pacemaker)."""
    # Pacemaker looks for any migrate_from of the same pair, also one of an earlier move: see there-and-back.toml.
    arrival = next((a for a in ran if (a.name, a.node, a.source) == ("migrate_from", op.target, op.node)), None)
    newer_here = _newer(ran, op.node, op)
    newer_there = _newer(ran, op.target, arrival or op)
    if not op.ok:
        if not newer_here:
            found.active.add(op.node)
            found.blocked = True
        return
    if (newer_here and newer_there) or (arrival is not None and _newer(ran, op.node, op, ("start", "stop"))):
        return
    if arrival is not None:
        if arrival.ok:
            found.active.discard(op.node)
            found.clear.add(op.node)
        elif not newer_here:
            found.active.add(op.node)
            found.failed.add(op.node)
        return
    here = not newer_here and op.node in found.active | {op.node} and status.online(cib, op.node)
    there = not newer_there and status.online(cib, op.target)
    _set(found.active, op.node, not newer_here)
    if there:
        found.active.add(op.target)
        if here:
            found.partial = (op.node, op.target)
    elif here and not newer_there:
        found.failed.add(op.node)


def _newer(ran: tuple[Ran, ...], node: str, than: Ran, names: tuple[str, ...] = ("start", "stop", "monitor")) -> bool:
    return any(op.node == node and op.interval == 0 and op.name in names and _after(op, than) for op in ran)


def _after(op: Ran, other: Ran) -> bool:
    """Whether a record is the newer one (pe__is_newer_op): by call on one node, else by time, else by transition."""
    if op.node == other.node and op.call >= 0 and other.call >= 0:
        return op.call > other.call
    return (op.when, op.order) > (other.when, other.order)


def _plan(cib: etree._Element, vm: ManagedVm, beliefs: dict[str, Belief]) -> Plan:
    found = beliefs[vm.name]
    if vm.meta.get("is-managed", "true") == "false" or maintenance(cib):
        return Plan(vm.name)
    if found.unprobed:
        return Plan(vm.name, tuple(Op("monitor", node) for node in sorted(found.unprobed)))
    if found.blocked or found.fence:
        return Plan(vm.name)
    if any(status.unclean(cib, node) for node in found.active | found.clear):
        elsewhere = place(cib, vm, beliefs) if vm.wanted else None
        gone = min(found.active | found.clear)  # only its fencing tells that the VM is gone from there
        return Plan(vm.name, kind="move" if elsewhere else "stop", source=gone, target=elsewhere)
    if found.clear:
        return Plan(vm.name, tuple(Op("stop", node) for node in sorted(found.clear)))
    wanted = found.planned = place(cib, vm, beliefs) if vm.wanted else None
    if cib.get("have-quorum") != "1" and not found.active:
        return Plan(vm.name)
    return _act(vm, found, wanted)


def _act(vm: ManagedVm, found: Belief, wanted: str | None) -> Plan:
    active = sorted(found.active)
    if found.partial is not None and found.partial[1] == wanted:
        source, target = found.partial
        stop = (Op("stop", source),)
        return Plan(vm.name, (Op("migrate_from", target, source, target),), stop, "migrate", source, target)
    if not active:
        return Plan(vm.name) if wanted is None else Plan(vm.name, (Op("start", wanted),), (), "start", None, wanted)
    stops = tuple(Op("stop", node) for node in active)
    if wanted is None:
        return Plan(vm.name, stops, (), "stop", active[0])
    if active == [wanted] and not found.failed:
        return Plan(vm.name, settled=wanted)
    if len(active) == 1 and not found.failed and vm.moves_live:
        (source,) = active
        then = (Op("migrate_from", wanted, source, wanted), Op("stop", source))
        return Plan(vm.name, (Op("migrate_to", source, source, wanted),), then, "migrate", source, wanted)
    kind: Kind = "recover" if found.failed else "move" if active != [wanted] else "restart"
    return Plan(vm.name, stops, (), kind, active[0], wanted)


def place(cib: etree._Element, vm: ManagedVm, beliefs: dict[str, Belief]) -> str | None:
    """The node with the highest score; None when none can take it."""
    found = beliefs[vm.name]
    stickiness = int(_default(cib, "resource-stickiness", "0"))
    best: tuple[int, int, str] | None = None
    for node in members(cib):
        score = sum(_locations(cib, vm, node))
        if not _eligible(cib, vm, node) or score <= -_INFINITY:
            continue
        score += stickiness if found.active == {node} else 0  # nothing sticks to two nodes, as in a migration
        others = sum(node in belief.active | {belief.planned} for name, belief in beliefs.items() if name != vm.name)
        rank = (-score, others, node)
        best = rank if best is None else min(best, rank)
    return None if best is None else best[2]


def _eligible(cib: etree._Element, vm: ManagedVm, node: str) -> bool:
    failures = int(status.attribute(cib, node, f"fail-count-{vm.name}") or 0)
    return (
        status.online(cib, node)
        and status.attribute(cib, node, GUARD) is not None
        and not standby(cib, node)
        and status.attribute(cib, node, "shutdown") is None
        and failures < int(vm.meta.get("migration-threshold", _INFINITY))
    )


def standby(cib: etree._Element, node: str) -> bool:
    """Whether an admin has put a node into standby."""
    found = cib.find(f"./configuration/nodes/node[@uname='{node}']/instance_attributes/nvpair[@name='standby']")
    return found is not None and found.get("value") in ("on", "true")


def maintenance(cib: etree._Element) -> bool:
    """Whether nothing is done with any resource."""
    return _property(cib, "maintenance-mode", "false") == "true"


def _locations(cib: etree._Element, vm: ManagedVm, node: str) -> Iterator[int]:
    for location in cib.iterfind("./configuration/constraints/rsc_location"):
        if location.get("rsc") != vm.name:
            continue
        if location.get("node") == node:
            yield score_of(location.get("score"))
        for rule in location.iterfind("rule"):
            if any(e.get("attribute") == "#uname" and e.get("value") == node for e in rule.iterfind("expression")):
                yield score_of(rule.get("score"))


def score_of(text: str) -> int:
    """A score as a number; INFINITY is a million."""
    return int(text.replace("+", "").replace("INFINITY", str(_INFINITY)))


def _set(nodes: set[str], node: str, there: bool) -> None:
    if there:
        nodes.add(node)
    else:
        nodes.discard(node)


def _property(cib: etree._Element, name: str, default: str) -> str:
    found = cib.find(f"./configuration/crm_config/cluster_property_set/nvpair[@name='{name}']")
    return default if found is None else str(found.get("value"))


def _default(cib: etree._Element, name: str, default: str) -> str:
    found = cib.find(f"./configuration/rsc_defaults/meta_attributes/nvpair[@name='{name}']")
    return default if found is None else str(found.get("value"))

"""Emptying a node and taking it back: where each VM would go, everything that stands against it, and the wait.

Pacemaker moves the VMs, as many at once as its migration-limit says and each as fast as its spec says; this asks its
scheduler first, puts the node into standby, and watches. Standby outlasts the node's reboots; `resume` ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from hacluster import capacity, preflight, rehearsal
from hacluster.cib import managed, simulate
from hacluster.observe import NodeView, Observation, VmView
from hacluster.ports import Domain, HostFacts, World
from hacluster.problems import Problem, Refused, errors, kind
from hacluster.rehearsal import Looked, look

WOULD_RESTART = kind(
    "HA480",
    "A VM would be stopped and started instead of moved live",
    "It is not moved live, as its spec says, or Pacemaker cannot do it now: the guest is shut down and boots there.",
    acceptable=True,
)
NO_PLACE = kind(
    "HA481",
    "A VM has no place while the node is drained",
    "Pacemaker's scheduler finds no other node for it: no memory or CPUs left, or its rules leave none. It would be "
    "stopped, and stay so until the node is back.",
    acceptable=True,
)
OTHERS_MOVE = kind(
    "HA482",
    "Draining the node would stop or move VMs of other nodes",
    "More important VMs take their place, or rules bind them to those that move.",
    acceptable=True,
)
NOT_DRAINED = kind(
    "HA483",
    "The node is not empty",
    "It is in standby, and Pacemaker has ended what it could: a failed live migration leaves the guest where it "
    "is, and running: that is the lesser harm.",
)
NOT_RESUMED = kind(
    "HA484", "The node did not come back in time", "It is out of standby, and cannot run VMs yet: the facts say why."
)
STAYS = kind(
    "HA485",
    "Pacemaker would leave a VM on the node",
    "It does not act on that VM: unmanaged, blocked after a failure, or in maintenance. In standby everything under it "
    "would still be stopped.",
)

PACE = 0.5
CALM = 10.0
"""Seconds without anything to do for Pacemaker after which what is still on the node will stay there."""


@dataclass(frozen=True, slots=True)
class Going:
    """What would become of one VM of the node. `how` is Pacemaker's word: migrate, move (stop and start) or stop."""

    vm: str
    how: str
    target: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What draining a node would do. `limit` is live migrations at once, None: Pacemaker's own measure."""

    node: str
    going: tuple[Going, ...]
    limit: int | None
    findings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Drained:
    """A node that is empty. `arrived` maps each VM to where it is now; `restarted` are those that were booted anew."""

    node: str
    arrived: Mapping[str, str]
    restarted: tuple[str, ...]
    seconds: float


Tell = Callable[[str], None]


def plan(world: World, node: str) -> Plan:
    """Ask where everything would go, and all that stands against it. Raises Refused when it cannot be asked."""
    looked = look(world)
    view = _node(looked.seen, node)
    found = list(_cluster(looked, view))
    staged = with_standby(looked.cib, node)
    before, then = (simulate.parse(world.pacemaker.simulate(raw)) for raw in (looked.raw, etree.tostring(staged)))
    here = [vm for vm in looked.seen.vms if node in vm.copies]
    going = []
    for vm in here:
        going += [Going(vm.name, act.kind, act.target) for act in then.of(vm.name)[:1] if not act.blocked]
        found += _vm(world, looked, vm, then.of(vm.name))
    found += _room(world, looked, going)
    found += _others(then, before, {vm.name for vm in here}, [vm.name for vm in looked.seen.vms])
    if not errors(found):
        told = capacity.forecast(staged, world.pacemaker.simulate, 1)
        found += [each for each in capacity.findings(told) if each.where != f"nodes.{node}"]
    return Plan(node, tuple(going), _limit(looked.cib), tuple(dict.fromkeys(found)))


def drain(
    world: World, node: str, *, accepted: frozenset[str] = frozenset(), tell: Tell, timeout: float | None = None
) -> Drained:
    """Empty a node. Raises Refused with every finding before anything is changed, or with what stayed on it.

    `timeout` is seconds; ten minutes for each round of migrations by default.
    """
    tell("checking")
    planned = plan(world, node)
    if wrong := errors(planned.findings, accepted):
        raise Refused(wrong)
    began = world.clock.now()
    world.pacemaker.set_standby(node, True)
    rounds = 1 + len(planned.going) // (planned.limit or 2)
    return _watch(world, planned, began, began + (timeout or 600.0 * rounds), tell)


def _watch(world: World, planned: Plan, began: float, until: float, tell: Tell) -> Drained:
    names = [going.vm for going in planned.going]
    calm: float | None = None
    while True:
        seen = look(world).seen
        views = [view for view in seen.vms if view.name in names or planned.node in view.copies]
        left = [view for view in views if planned.node in (*view.copies, *view.unknown)]
        idle = world.pacemaker.idle() is True
        now = world.clock.now()
        if not left and idle:
            return _arrived(planned.node, views, now - began)
        calm = (calm or now) if idle else None
        if now > until or (calm is not None and now - calm > CALM):
            raise Refused([_stayed(seen, planned.node, view) for view in left] or [_busy(planned.node)])
        tell(f"{len(names) - len(left)} of {len(names)} away; " + "; ".join(f"{v.name} {v.state}" for v in left))
        world.clock.sleep(PACE)


def _arrived(node: str, views: list[VmView], seconds: float) -> Drained:
    arrived = {view.name: view.node or view.state for view in views}
    told = {view.name: view.domains.get(view.node or "") for view in views}
    booted = tuple(name for name, domain in told.items() if isinstance(domain, Domain) and domain.reason == "booted")
    return Drained(node, arrived, booted, seconds)


def _stayed(seen: Observation, node: str, view: VmView) -> Problem:
    failures = [f"{f.operation} on {f.node}: {f.reason or f.code}" for f in seen.failures if f.resource == view.name]
    return NOT_DRAINED(
        f"{view.name} is still on {node}: {view.state}",
        where=f"vm {view.name}",
        remedy=f"hactl vm cleanup {view.name}, then: hactl node drain {node}; to take the node back: "
        f"hactl node resume {node}",
        last_failure=failures[-1] if failures else "none on record",
    )


def _busy(node: str) -> Problem:
    return NOT_DRAINED(
        f"{node} is empty, and Pacemaker is still busy", where=f"node {node}", remedy="hactl status, and wait"
    )


def returning(world: World, node: str) -> tuple[Going, ...]:
    """What would move once a node is taken out of standby. Raises Refused as `plan` does."""
    looked = look(world)
    _node(looked.seen, node)
    then = simulate.parse(world.pacemaker.simulate(etree.tostring(with_standby(looked.cib, node, on=False))))
    names = [vm.name for vm in looked.seen.vms]
    return tuple(Going(act.resource, act.kind, act.target) for act in then.actions if act.resource in names)


def resume(world: World, node: str, *, tell: Tell, timeout: float = 180.0) -> float:
    """Take a node back and wait until VMs can run there; the seconds it took. Raises Refused."""
    view = _node(look(world).seen, node)
    if not view.online:
        raise Refused(_not_ready(view))
    began = world.clock.now()
    world.pacemaker.set_standby(node, False)
    while True:
        seen = look(world).seen
        waits = _waits(seen, _node(seen, node))
        if not waits and world.pacemaker.idle() is True:
            return world.clock.now() - began
        tell("waiting for " + (", ".join(waits) or "Pacemaker"))
        if world.clock.now() - began > timeout:
            raise Refused(
                NOT_RESUMED(
                    f"{node} is out of standby and not ready: {', '.join(waits) or 'Pacemaker is busy'}",
                    where=f"node {node}",
                    remedy="hactl status",
                )
            )
        world.clock.sleep(PACE)


def _waits(seen: Observation, view: NodeView) -> list[str]:
    """What a node still lacks to run VMs."""
    waits = [] if view.state == "online" else [f"{view.name}, which is {view.state}"]
    waits += [clone.name for clone in seen.clones if clone.on.get(view.name) not in ("started", None)]
    guarded = any(clone.agent == "ocf:hacluster:lockspace" for clone in seen.clones)
    return waits + (["its guard"] if guarded and view.guard is None else [])


def with_standby(cib: etree._Element, node: str, *, on: bool = True) -> etree._Element:
    """A copy of a CIB with a node in standby, or out of it."""
    copy: etree._Element = etree.fromstring(etree.tostring(cib))
    member = copy.find(f"./configuration/nodes/node[@uname='{node}']")
    for old in member.findall(".//nvpair[@name='standby']") if member is not None else ():
        old.getparent().remove(old)
    if on and member is not None:
        held = etree.SubElement(member, "instance_attributes", id="hactl-drain")
        etree.SubElement(held, "nvpair", id="hactl-drain-standby", name="standby", value="on")
    return copy


def _node(seen: Observation, name: str) -> NodeView:
    view = seen.node(name)
    if view is None:
        known = [node.name for node in seen.nodes]
        remedy = preflight.nearest(name, known, "hactl status")
        raise Refused(preflight.UNKNOWN_NODE(f"the cluster has no node {name}", where=f"node {name}", remedy=remedy))
    return view


def _not_ready(view: NodeView) -> Problem:
    return preflight.NODE_NOT_READY(f"{view.name} is {view.state}", where=f"node {view.name}", remedy="hactl status")


def _cluster(looked: Looked, view: NodeView) -> Iterator[Problem]:
    if not view.online or view.unclean:
        yield _not_ready(view)
    if not looked.seen.cluster.quorum:
        yield preflight.NO_QUORUM("this partition has no quorum", where="cluster", remedy="hactl status")
    if looked.seen.cluster.maintenance or view.maintenance:
        whole = looked.seen.cluster.maintenance
        yield preflight.NOT_MANAGED(
            f"{'the cluster' if whole else view.name} is in maintenance mode: Pacemaker moves nothing",
            where="cluster" if whole else f"node {view.name}",
            remedy="pcs property set maintenance-mode=false" if whole else f"pcs node unmaintenance {view.name}",
        )


def _vm(world: World, looked: Looked, view: VmView, acts: tuple[simulate.Action, ...]) -> Iterator[Problem]:
    """All that stands against what would become of one VM."""
    vm = managed.vm(looked.cib, view.name)
    where, act = f"vm {view.name}", next((each for each in acts if not each.blocked), None)
    if act is None or vm is None:
        yield STAYS(
            f"Pacemaker would leave {view.name} where it is: {view.state}",
            where=where,
            remedy=f"pcs resource manage {view.name}; if an operation failed: hactl vm cleanup {view.name}",
        )
        return
    if act.kind == "stop" or act.target is None:
        yield NO_PLACE(
            f"{view.name} would be stopped: {act.reason or 'no node is left for it'}",
            where=where,
            remedy="make room, or loosen its rules; --accept HA481 stops it",
        )
        return
    live = act.kind == "migrate"
    yield from preflight.check(rehearsal.questions(world, looked, vm, act.target, cold=not live))
    if not live:
        yield WOULD_RESTART(
            f"{view.name} would be shut down and started on {act.target}",
            where=where,
            remedy=f"--accept HA480, or first: hactl vm move {view.name} --cold, when it suits",
        )


def _room(world: World, looked: Looked, going: list[Going]) -> Iterator[Problem]:
    """Memory on each target for all that come to it: each alone has been looked at."""
    facts = rehearsal.facts_of(looked.seen)
    for target in sorted({each.target for each in going if each.target}):
        told, need = facts.get(target), preflight.HOST_RESERVE
        vms = [vm for each in going if each.target == target and (vm := managed.vm(looked.cib, each.vm))]
        for vm in vms:
            view = looked.seen.vm(vm.name)
            domain = rehearsal.domain_of(world, vm, view.node if view else None)
            need += preflight.memory_of(domain) if domain is not None else 0
        free = told.mem_available if isinstance(told, HostFacts) else None
        if len(vms) > 1 and free is not None and free < need:
            yield preflight.NO_MEMORY(
                f"{target} has {free >> 20} MiB free, and {', '.join(vm.name for vm in vms)} need {need >> 20} MiB",
                where=f"node {target}",
                remedy="move some of them elsewhere first: hactl vm move",
            )


def _others(
    then: simulate.Simulation, before: simulate.Simulation, here: set[str], vms: list[str]
) -> Iterator[Problem]:
    for act in then.actions:
        if act.resource in vms and act.resource not in here and act not in before.actions:
            yield OTHERS_MOVE(
                f"{act}", where=f"vm {act.resource}", remedy="--accept HA482, or make room on the other nodes"
            )


def _limit(cib: etree._Element) -> int | None:
    for pair in cib.iterfind("./configuration/crm_config//nvpair[@name='migration-limit']"):
        value = int(pair.get("value", "-1"))
        return value if value > 0 else None
    return None

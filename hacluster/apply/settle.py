"""After the push: wait until Pacemaker has nothing left to do, and see for oneself that it is what was wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lxml import etree

from hacluster.apply.prepare import Prepared
from hacluster.cib import merge
from hacluster.observe import Observation, look
from hacluster.observe.views import VmView
from hacluster.ports import World
from hacluster.problems import Problem, Refused, kind

STILL_BUSY = kind(
    "HA345",
    "Pacemaker is not done yet",
    "The configuration is pushed and stays; hactl stopped watching after the time given by --wait.",
)
NOT_AS_WANTED = kind(
    "HA346",
    "A VM is not what the spec wants",
    "The configuration is pushed, Pacemaker has nothing left to do, and the VM does not run exactly once.",
)

_PACE = 0.5
# Between the push and the DC's noticing it, everything looks settled; so it has to look so twice.
_CALM = 2

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Aim:
    """What the pushed configuration wants, as far as it is ours: ids, and (VM, node) pairs that may not be."""

    owned: frozenset[str]
    avoided: frozenset[tuple[str, str]]

    def vms(self, seen: Observation) -> list[VmView]:
        """Our VMs."""
        return [vm for vm in seen.vms if vm.name in self.owned]


def aim(cib: etree._Element) -> Aim:
    """What a CIB wants of the things that hactl owns."""
    locations = cib.iterfind("./configuration/constraints/rsc_location[@score='-INFINITY']")
    return Aim(merge.owned(cib), frozenset((one.get("rsc", ""), one.get("node", "")) for one in locations))


def settle(world: World, prepared: Prepared, tell: Tell, wait: float) -> Observation:
    """Wait, then verify. Raises Refused when it takes longer than `wait` seconds, or does not become as wanted."""
    until = world.clock.now() + wait
    goal = aim(etree.fromstring(prepared.plan.desired))
    calm = 0
    while True:
        idle = world.pacemaker.idle()
        seen = look(world.pacemaker, world.hosts, world.clock)
        waiting = tuple(_unsettled(seen))
        calm = calm + 1 if idle is True and not waiting else 0
        if calm >= _CALM:
            break
        if world.clock.now() >= until:
            raise Refused([*_late(seen, waiting, wait), *_failed(seen, goal)])
        tell(_progress(seen, goal, waiting))
        world.clock.sleep(_PACE)
    if problems := tuple(_failed(seen, goal)):
        raise Refused(problems)
    return seen


def _unsettled(seen: Observation) -> Iterator[str]:
    for vm in seen.vms:
        if vm.state.startswith(("moving", "starting", "stopping")):
            yield f"{vm.name} {vm.state}"
    for clone in seen.clones:
        busy = [node for node, word in clone.on.items() if word in ("starting", "stopping", "monitoring")]
        if busy:
            yield f"{clone.name} {clone.on[busy[0]]} on {', '.join(busy)}"
    for device in seen.fencing:
        if device.wanted and not device.running_on and not device.failed and any(n.online for n in seen.nodes):
            yield f"{device.name} starting"


def _progress(seen: Observation, goal: Aim, waiting: tuple[str, ...]) -> str:
    wanted = [vm for vm in goal.vms(seen) if vm.wanted]
    running = sum(vm.node is not None and vm.state.startswith("running") for vm in wanted)
    more = f"; {waiting[0]}" if waiting else ""
    return f"{running} of {len(wanted)} VMs run{more}"


def _late(seen: Observation, waiting: tuple[str, ...], wait: float) -> Iterator[Problem]:
    yield STILL_BUSY(
        f"Pacemaker was not done after {wait:g} s",
        where="cluster",
        remedy="hactl status",
        still="; ".join(waiting[:5]) or "a transition is running",
    )


def _failed(seen: Observation, goal: Aim) -> Iterator[Problem]:
    """What keeps the result from being the wish: VMs that do not run once, and what Pacemaker has on record."""
    for vm in goal.vms(seen):
        right = vm.node is not None and len(vm.copies) == 1 and (vm.name, vm.node) not in goal.avoided
        right = right and vm.state.startswith("running")
        if (vm.wanted and not right) or (not vm.wanted and vm.copies):
            causes = [
                f"{f.operation} on {f.node}: {f.reason or f.code}" for f in seen.failures if f.resource == vm.name
            ]
            yield NOT_AS_WANTED(
                f"{vm.name} is {vm.state}",
                where=f"vm {vm.name}",
                remedy=f"hactl vm show {vm.name}",
                failed="; ".join(causes) or "nothing on record",
            )
    mine = goal.owned | {clone.name for clone in seen.clones}
    yield from (p for p in seen.problems if p.severity == "error" and p.where.removeprefix("fencing ") in mine)

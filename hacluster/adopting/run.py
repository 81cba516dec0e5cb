"""Bringing running VMs under another agent, in one push and without stopping them.

Pacemaker restarts a resource whose agent changes. So in the same push that changes the agent, the VM goes into
maintenance: Pacemaker then neither stops it nor starts it anywhere, whatever it believes, and the old agent, which
would not understand the new parameters, is not asked any more (is-managed=false alone lets its monitors go on). Every
node forgets the old agent's answers and asks the new one, which finds the guest by its process and (the guarded one)
seals it. Only when the nodes, the locks, Pacemaker and the scheduler's simulation agree, maintenance ends. Whatever
fails before leaves the guest running and in maintenance, and the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from hacluster import observe
from hacluster.adopting.asking import Asked, caused
from hacluster.adopting.findings import acts, home, process, sealed
from hacluster.adopting.marks import unmarked
from hacluster.adopting.pushing import changed, finished, note, push, tidy
from hacluster.apply.run import deliver
from hacluster.cib import simulate
from hacluster.forget import forget
from hacluster.model import Vm
from hacluster.observe import Observation
from hacluster.ports import World
from hacluster.problems import Refused, kind

NOT_TAKEN = kind(
    "HA296",
    "The new agent has not taken the VM over",
    "The agent is changed, and Pacemaker keeps its hands off the VM. Its guest runs on as before. Once what is missing "
    "has been mended, the same command goes on from here.",
)

_PACE = 0.5
_PATIENCE = 90.0
"""Seconds for the new agent's first answers on all nodes."""
_ATTEMPTS = 12

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Adopted:
    """A VM that was adopted: its node, and the process that ran before and runs still."""

    vm: str
    node: str
    pid: int


def adopt(world: World, asked: Asked, tell: Tell) -> tuple[Adopted, ...]:
    """Carry it out. Raises Refused: with the findings, before anything is changed; with HA296 when the new agent does
    not answer as it should: the VMs run on, in maintenance.
    """
    if asked.problems:
        raise Refused(asked.problems)
    before = {vm.name: process(vm, asked.seen) for vm in asked.vms}
    if not asked.pushed:
        deliver(world, asked.files, tell)
        tell("changing the agent, hands off the guest")
        push(world, lambda live: changed(live, asked), asked.planned)
        _rest(world)
    online = tuple(node.name for node in asked.seen.nodes if node.online)
    for vm in asked.vms:
        tell(f"the new agent looks for {vm.name}")
        forget(world, vm.name, online, home(vm, asked.seen))
    _await(world, asked, tell)
    _would_leave_alone(world, asked)
    tell("giving it back to Pacemaker")
    noted = note(world, asked)
    tidy(world, asked)
    push(world, lambda live: finished(live, asked.vms, noted), None)
    _rest(world)
    seen = _await(world, asked, tell)
    return tuple(_same(vm, before[vm.name], seen) for vm in asked.vms)


def _rest(world: World) -> None:
    """Wait until Pacemaker has nothing to do, twice in a row: between a push and its notice all looks quiet."""
    calm, limit = 0, world.clock.now() + _PATIENCE
    while calm < 2 and world.clock.now() < limit:
        calm = calm + 1 if world.pacemaker.idle() is True else 0
        world.clock.sleep(_PACE)


def _await(world: World, asked: Asked, tell: Tell) -> Observation:
    """Wait until every VM is seen to run where it was, known to Pacemaker there, and (guarded) sealed."""
    limit = world.clock.now() + _PATIENCE
    while True:
        seen = observe.look(world.pacemaker, world.hosts, world.clock)
        missing = {vm.name: said for vm in asked.vms if (said := _missing(vm, asked.seen, seen))}
        if not missing:
            return seen
        if world.clock.now() > limit:
            raise Refused(
                [
                    NOT_TAKEN(
                        f"{name}: {said}",
                        where=f"vm {name}",
                        remedy=f"hactl vm show {name}; the same command again goes on from here",
                    )
                    for name, said in missing.items()
                ]
            )
        tell("; ".join(f"{name}: {said}" for name, said in missing.items()))
        world.clock.sleep(_PACE)


def _missing(vm: Vm, before: Observation, seen: Observation) -> str:
    """What is not yet as it should be; empty when all is."""
    view, node = seen.vm(vm.name), home(vm, seen)
    if node is None or node != home(vm, before):
        return f"it is not seen to run on {home(vm, before)} any more"
    if view is None or view.agent != vm.agent:
        return "Pacemaker does not have it under the new agent"
    if view.failed:
        said = [f.reason or f.code for f in seen.failures if f.resource == vm.name]
        return f"the new agent failed: {said[0] if said else 'no reason on record'}"
    if view.nodes != (node,) or view.pending:
        return f"Pacemaker does not know yet that it runs on {node}"
    if vm.agent == "hacluster" and not sealed(vm, seen):
        return "its run-lock is not sealed"
    return ""


def _would_leave_alone(world: World, asked: Asked) -> None:
    """Ask the scheduler what it would do with the VMs managed again; Refused if that is anything."""
    live = etree.fromstring(world.pacemaker.cib())
    now = simulate.parse(world.pacemaker.simulate(etree.tostring(live)))
    then = simulate.parse(world.pacemaker.simulate(etree.tostring(unmarked(live, asked.vms))))
    if found := acts(caused(now, then), "managed again"):
        raise Refused(found)


def _same(vm: Vm, before: tuple[int, int] | None, seen: Observation) -> Adopted:
    """The proof that the guest did not notice: the very process that ran before runs now."""
    after = process(vm, seen)
    if before is None or after != before:
        raise Refused(
            NOT_TAKEN(
                f"{vm.name} runs in another process than before",
                where=f"vm {vm.name}",
                remedy=f"hactl vm show {vm.name}",
                before=before,
                after=after,
            )
        )
    return Adopted(vm.name, home(vm, seen) or "", before[0])

"""The commands of a move: make it, rehearse it, go on with it; live, or cold by the modules that do that.

All decisions are in `preflight` and `move`; `rehearsal` looks before, `watching` is the loop afterwards.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import structlog
from lxml import etree

from hacluster import claim as claims
from hacluster import claiming, cold_moving, history, preflight, rehearsal
from hacluster.cib import managed
from hacluster.claim import Claim
from hacluster.claiming import STILL_MOVING
from hacluster.forget import forget
from hacluster.ports import Unreachable, World
from hacluster.problems import Problem, Refused, kind
from hacluster.rehearsal import Looked, find, look
from hacluster.watching import GRACE, Moved, Progress, Tell, watch

log = structlog.get_logger(__name__)

NOT_BEGUN = kind(
    "HA453",
    "hactl was stopped, and no move is under way",
    "It was interrupted before the move's claim was made, or after it had been removed.",
)


def move(
    world: World, name: str, target: str | None, *, cold: bool = False, tell: Tell, timeout: float | None = None
) -> Moved:
    """Move a VM. Raises Refused with every finding before anything is changed, or with how the move failed.

    `timeout` is how long to watch, in seconds; the VM's own migration timeout and a minute by default.
    """
    if cold:
        return cold_moving.move(world, name, target, tell=tell, timeout=timeout)
    tell(Progress("checking"))
    looked, vm, claim = _prepare(world, name, target)
    claim = _forget_the_same_move(world, looked, claim, tell)
    began = world.clock.now()
    log.info("move", vm=name, source=claim.source, target=claim.target)
    try:
        mine = world.pacemaker.create_constraint(claims.to_xml(claim))
    except Unreachable as error:
        raise Refused(claiming.not_known(name, error)) from error
    if not mine:
        again = look(world)
        raise Refused(preflight.check(rehearsal.questions(world, again, vm, claim.target)) or claiming.raced(name))
    return watch(world, vm, claim, began, tell=tell, timeout=timeout)


def rehearse(world: World, name: str, target: str | None, *, cold: bool = False) -> Claim:
    """Everything that `move` does before it changes anything; the claim that it would make. Raises Refused."""
    return cold_moving.rehearse(world, name, target) if cold else _prepare(world, name, target)[2]


def _prepare(world: World, name: str, target: str | None) -> tuple[Looked, managed.ManagedVm, Claim]:
    looked = look(world)
    vm = find(looked, name)
    asked = rehearsal.choose(world, looked, vm, target)
    assert asked.source is not None  # preflight found exactly one copy
    claim = claiming.new(world, looked, name, (asked.source, asked.target))
    rehearsal.rehearse(world, looked, claim)
    return looked, vm, claim


def _forget_the_same_move(world: World, looked: Looked, claim: Claim, tell: Tell) -> Claim:
    """Have the target forget an earlier arrival from the same source (see history.stale_arrivals); the claim that is
    to be made then. The home remembers all the while that the VM is there, so that nothing happens to it."""
    stale = history.stale_arrivals(history.operations(looked.cib, claim.vm), claim.source, claim.target)
    if not stale:
        return claim
    tell(Progress("forgetting an earlier move of this pair"))
    forget(world, claim.vm, stale, claim.source)
    now = history.operations(etree.fromstring(world.pacemaker.cib()), claim.vm)
    return replace(claim, recorded=history.mark(now), since=int(world.clock.wall()))


def resume(world: World, name: str, target: str | None = None, *, tell: Tell, timeout: float | None = None) -> Moved:
    """Go on with a move whose hactl is gone, from what the cluster itself says. Raises as `move` does.

    A move to another node than `target` is not resumed: its end would not be what was asked for.
    """
    looked = look(world)
    vm = find(looked, name)
    claim = claiming.standing(looked, name)
    if target not in (None, claim.target):
        raise Refused(
            preflight.MOVE_UNDER_WAY(
                f"{name} is being moved to {claim.target}, not to {target}",
                where=f"vm {name}",
                remedy=f"hactl vm move {name} {claim.target} --resume",
            )
        )
    if claim.how != "live":
        return cold_moving.resume(world, looked, claim, tell=tell, timeout=timeout)
    began = world.clock.now() - max(0.0, world.clock.wall() - claim.since)
    return watch(world, vm, claim, began, tell=tell, timeout=timeout, grace=GRACE)


def interrupted(world: World, name: str) -> Problem:
    """What to tell somebody who stopped watching: as the cluster has it now, where it still answers."""
    target = "NODE"
    with suppress(Unreachable, Refused):
        cib = etree.fromstring(world.pacemaker.cib())
        claim, vm = claims.find(cib, name), managed.vm(cib, name)
        if claim is None:
            return NOT_BEGUN(
                f"no move of {name} is under way: it had not begun, or is over",
                where=f"vm {name}",
                remedy=f"hactl vm show {name}",
            )
        if claim.how != "live" and vm is not None:
            return cold_moving.interrupted(claim, vm.wanted)
        target = claim.target
    return STILL_MOVING(
        f"hactl stopped watching; the move of {name} goes on in Pacemaker",
        where=f"vm {name}",
        remedy=f"hactl vm move {name} {target} --resume; to end it: hactl vm move {name} --abort",
    )

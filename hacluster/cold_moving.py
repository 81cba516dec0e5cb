"""Carrying out a cold move: claim and Stopped in one push, proof that nothing is left, then Started on the target.

Nothing is remembered outside the cluster: the claim says that it is a cold move, target-role how far it is.
"""

from __future__ import annotations

import structlog

from hacluster import claiming, history, rehearsal
from hacluster.cib import managed
from hacluster.claim import Claim, put
from hacluster.claiming import STILL_MOVING
from hacluster.cold import Scene, Start, Step, decide, pending
from hacluster.move import Arrived, Failed, Wait
from hacluster.ports import Unreachable, World
from hacluster.problems import Problem, Refused
from hacluster.rehearsal import Looked, find, look
from hacluster.watching import GRACE, PACE, Moved, Picture, Progress, Tell, clear, intent_of, picture, unclaim

log = structlog.get_logger(__name__)

START = 120.0
"""Seconds that a start may take before hactl stops watching."""
_STOP = 60.0
"""Seconds beyond the guest's budget: to destroy it, and to prove that it is gone."""
_CALM = 2
"""How often in a row Pacemaker must have nothing to do: between a push and the DC's noticing it, it looks so too."""
_TRIES = 3


def move(world: World, name: str, target: str | None, *, tell: Tell, timeout: float | None = None) -> Moved:
    """Shut a VM down, prove that it is gone, and start it on another node. Raises Refused with every finding before
    anything is changed, or with how the move failed and what the VM is now.

    `timeout` is how long to watch, in seconds; the VM's stop budget and three minutes by default.
    """
    tell(Progress("checking"))
    for _try in range(_TRIES):
        looked, vm, claim = _prepare(world, name, target)
        began = world.clock.now()
        if _push(world, looked, claim, "Stopped"):
            log.info("cold move", vm=name, source=claim.source, target=claim.target)
            return watch(world, vm, claim, began, tell=tell, timeout=timeout)
    raise Refused(claiming.raced(name))


def rehearse(world: World, name: str, target: str | None) -> Claim:
    """Everything that `move` does before it changes anything; the claim that it would make. Raises Refused."""
    return _prepare(world, name, target)[2]


def resume(world: World, looked: Looked, claim: Claim, *, tell: Tell, timeout: float | None = None) -> Moved:
    """Go on with a cold move, or with one that was taken back. Raises as `move` does."""
    vm = find(looked, claim.vm)
    began = world.clock.now() - max(0.0, world.clock.wall() - claim.since)
    return watch(world, vm, claim, began, tell=tell, timeout=timeout, grace=GRACE)


def take_back(world: World, looked: Looked, claim: Claim) -> Claim | None:
    """Have a VM in a cold move started where it came from; the claim that says so, None when somebody was faster.

    In one push: should hactl end after it, Pacemaker does the rest.
    """
    back = claiming.new(world, looked, claim.vm, (claim.source, claim.source), "back")
    return back if _push(world, looked, back, None) else None


def watch(
    world: World,
    vm: managed.ManagedVm,
    claim: Claim,
    began: float,
    *,
    tell: Tell,
    timeout: float | None,
    grace: float = 0.0,
) -> Moved:
    """Ask again and again until the move is over; start the VM when that is proven to be safe."""
    budget = float(vm.parameters.get("stop_budget", 120)) + _STOP + START
    limit = max(began + (timeout if timeout is not None else budget), world.clock.now() + grace)
    calm = 0
    while True:
        step, wanted = _step(world, vm, claim)
        if isinstance(step, Arrived):
            calm = calm + 1 if world.pacemaker.idle() is True else 0
            if calm >= _CALM:
                unclaim(world, claim)
                seconds = world.clock.now() - began
                log.info("moved cold", vm=vm.name, target=claim.target, seconds=round(seconds, 2))
                return Moved(vm.name, claim.source, claim.target, seconds, claim.how)
            step = Wait(f"runs on {claim.target}; Pacemaker takes note")
        if isinstance(step, Failed):
            clear(world, claim, step)
            log.warning("cold move failed", vm=vm.name, code=step.problem.code, message=step.problem.message)
            raise Refused(step.problem)
        if isinstance(step, Start):
            _start(world, vm.name)
            step = Wait(f"proven to be stopped; starting on {claim.target}")
        tell(Progress(step.phase))
        if world.clock.now() > limit:
            where = f"{vm.name} is not on {claim.target} yet: {step.phase}"
            raise Refused(_left(claim, where, wanted, watched=f"{int(limit - began)} s"))
        world.clock.sleep(PACE)


def _step(world: World, vm: managed.ManagedVm, claim: Claim) -> tuple[Step, bool]:
    """One look and one decision, and whether the VM is let run. The nodes are asked only when it may have changed."""
    try:
        seen = picture(world, claim)
    except (Unreachable, Refused) as error:
        return Wait(f"the cluster does not answer ({error})"), False
    now = managed.vm(seen.cib, vm.name)
    wanted = now is not None and now.wanted
    intent = intent_of(vm, claim, seen)
    running = pending(history.since(intent.before, seen.history), "start" if wanted else "stop")
    if seen.claim is not None and running is not None and running.node in seen.online:
        return Wait(f"{'starting' if wanted else 'shutting down'} on {running.node}"), wanted
    return decide(intent, _scene(world, seen, wanted)), wanted


def _scene(world: World, seen: Picture, wanted: bool) -> Scene:
    facts = world.hosts.facts(seen.nodes, deadline=5.0)
    return Scene(seen.claim, seen.other, wanted, seen.history, facts, seen.gone)


def _start(world: World, name: str) -> None:
    """Let it run; if the cluster is silent just now, the next look asks for it again."""
    try:
        world.pacemaker.set_target_role(name, None)
    except (Unreachable, Refused) as error:
        log.warning("not started yet", vm=name, reason=str(error))


def _push(world: World, looked: Looked, claim: Claim, role: str | None) -> bool:
    try:
        return claiming.push(world, claiming.configuration(looked.cib), lambda cib: put(cib, claim, role))
    except Unreachable as error:
        raise Refused(claiming.not_known(claim.vm, error)) from error


def _prepare(world: World, name: str, target: str | None) -> tuple[Looked, managed.ManagedVm, Claim]:
    looked = look(world)
    vm = find(looked, name)
    asked = rehearsal.choose(world, looked, vm, target, cold=True)
    assert asked.source is not None  # preflight found exactly one copy
    claim = claiming.new(world, looked, name, (asked.source, asked.target), "cold")
    rehearsal.rehearse_cold(world, looked, claim)
    return looked, vm, claim


def interrupted(claim: Claim, wanted: bool) -> Problem:
    """What to tell somebody who stopped watching; `wanted` says that the VM is let run already."""
    return _left(claim, f"hactl stopped watching the cold move of {claim.vm} to {claim.target}", wanted)


def _left(claim: Claim, where: str, wanted: bool, **facts: object) -> Problem:
    until = "Pacemaker goes on starting it" if wanted else "it is not started before somebody goes on"
    back = "" if claim.how == "back" else f"; or start it on {claim.source} again: hactl vm move {claim.vm} --abort"
    return STILL_MOVING(
        f"{where}; {until}",
        where=f"vm {claim.vm}",
        remedy=f"hactl vm move {claim.vm} --resume{back}; hactl vm show {claim.vm}",
        **facts,
    )

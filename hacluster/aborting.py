"""Ending a move that is under way, wherever that is safe: `hactl vm move VM --abort`.

A live move is ended by its source's libvirt while it copies; a claim that nothing has come of yet is taken away. After
the hand-over it can only go on. A cold move is taken back: the VM starts where it came from, by Pacemaker alone should
hactl end. Nothing is called ended before exactly one copy is proven, sealed and running.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from hacluster import claiming, cold_moving, history, rehearsal
from hacluster.cib import managed
from hacluster.claim import Claim
from hacluster.history import Operation
from hacluster.move import Failed, Intent, Wait, sealed_at, state_on, whereabouts
from hacluster.ports import Unreachable, World
from hacluster.problems import Problem, Refused, errors, kind
from hacluster.rehearsal import Looked, find, look
from hacluster.watching import PACE, Picture, Progress, Tell, cancel_copy, clear, intent_of, judge, picture, unclaim

log = structlog.get_logger(__name__)

OTHERS_MOVE = kind(
    "HA445",
    "Somebody else is at this move",
    "The hactl that began it still runs, or it cannot be told whether it does. Ending the move does no harm to the "
    "guest, but whoever moves it wanted it elsewhere, and may be about to switch off its node.",
    acceptable=True,
)
TOO_LATE = kind(
    "HA446",
    "The move can only go on",
    "Its guest has left the source, or Pacemaker is recovering it. Whatever is stopped now would be stopped in the "
    "middle; the way back is another move.",
)
NOT_ENDED = kind(
    "HA448",
    "It is not proven that the move has ended",
    "hactl stopped watching after the time in the facts. The guest is safe: at every moment its run-lock lets one copy "
    "run.",
)

PATIENCE = 120.0
"""Seconds: a cancelled copy, the seal taken back, and each node forgetting, on a slow day."""
_CALM = 2
"""How often in a row Pacemaker must have nothing to do before a claim counts as one that nothing comes of."""
_TRIES = 3
_FORGETTING = "the copy is cancelled; Pacemaker forgets it"


@dataclass(frozen=True, slots=True)
class Ended:
    """A move that was ended; the VM runs, once and sealed, on `node`. `how` is the claim's word."""

    vm: str
    node: str
    how: str
    seconds: float


def abort(
    world: World,
    name: str,
    *,
    accepted: frozenset[str] = frozenset(),
    tell: Tell,
    timeout: float | None = None,
) -> Ended:
    """End a move of a VM, whoever began it. Raises Refused when there is none, when it can only go on, when a living
    operator's move is not to be ended without `accepted` HA445, or when its end is not proven within `timeout`
    seconds.
    """
    tell(Progress("checking"))
    looked, vm, claim = _judged(world, name, accepted)
    began = world.clock.now()
    log.info("abort", vm=name, how=claim.how, owner=claim.owner, accepted=sorted(accepted))
    if claim.how == "live":
        node = _live(world, vm, claim, tell, began + (PATIENCE if timeout is None else timeout))
    else:
        node = _cold(world, looked, claim, tell, timeout)
    seconds = world.clock.now() - began
    log.info("aborted", vm=name, runs_on=node, seconds=round(seconds, 2))
    return Ended(name, node, claim.how, seconds)


def rehearse(world: World, name: str, accepted: frozenset[str] = frozenset()) -> Claim:
    """What `abort` looks at before it changes anything: the claim of the move that it would end. Raises Refused."""
    return _judged(world, name, accepted)[2]


def _judged(world: World, name: str, accepted: frozenset[str]) -> tuple[Looked, managed.ManagedVm, Claim]:
    looked = look(world)
    vm = find(looked, name)
    claim = claiming.standing(looked, name)
    found = [problem for problem in (_whose(world, looked, claim), _late(world, looked, vm, claim)) if problem]
    if stopping := errors(found, accepted):
        raise Refused(stopping)
    return looked, vm, claim


def _whose(world: World, looked: Looked, claim: Claim) -> Problem | None:
    """Somebody else's move, unless it is known that his hactl has ended."""
    if claim.owner == claiming.owner() or (mover := rehearsal.mover(world, looked, claim)) == "gone":
        return None
    return OTHERS_MOVE(
        f"{claim.vm} is being moved to {claim.target} by {claim.owner or 'somebody unknown'}",
        where=f"vm {claim.vm}",
        remedy=f"ask them; or end their move: hactl vm move {claim.vm} --abort --accept {OTHERS_MOVE.code}",
        pid=f"{claim.pid or 'unknown'} ({mover})",
        progress=rehearsal.progress(world, looked, claim) or "not known",
    )


def _late(world: World, looked: Looked, vm: managed.ManagedVm, claim: Claim) -> Problem | None:
    seen = picture(world, claim)
    if claim.how == "live":
        return _no_way_back(claim, seen.online, _new(vm, claim, seen))
    return _no_way_back_cold(looked, claim, seen.online, _new(vm, claim, seen))


def _new(vm: managed.ManagedVm, claim: Claim, seen: Picture) -> tuple[Operation, ...]:
    return history.since(intent_of(vm, claim, seen).before, seen.history)


def _no_way_back(claim: Claim, online: frozenset[str], new: tuple[Operation, ...]) -> Problem | None:
    """Whether a live move has come to where it can only go on, and why."""
    done = [op for op in new if op.name in ("migrate_to", "migrate_from", "start", "stop") and not op.pending]
    passed = next((op for op in done if op.name != "migrate_to" or not op.failed), None)
    if claim.source not in online:
        why = f"{claim.source} is gone; Pacemaker fences it and starts {claim.vm} elsewhere"
    elif passed is not None:
        word = {"migrate_to": "left", "migrate_from": "arrived on", "start": "started on", "stop": "stopped on"}
        why = f"{claim.vm} has {word[passed.name]} {passed.node}"
    else:
        return None
    return _too_late(claim, why)


def _no_way_back_cold(
    looked: Looked, claim: Claim, online: frozenset[str], new: tuple[Operation, ...]
) -> Problem | None:
    """The same for a cold move: it goes back as long as nothing of the VM is, or starts, elsewhere."""
    view = looked.seen.vm(claim.vm)
    assert view is not None  # found in the same CIB
    starting = next((op for op in new if op.name == "start" and op.pending), None)
    elsewhere = [node for node in view.copies if node != claim.source]
    if claim.source not in online:
        why = f"{claim.source}, where it came from, is not there any more"
    elif claim.how == "back":
        why = f"{claim.vm} is on its way back to {claim.target} already"
    elif elsewhere or (starting is not None and starting.node != claim.source):
        why = f"{claim.vm} starts on {', '.join(elsewhere) or starting.node if starting else elsewhere[0]} already"
    elif view.unknown:
        why = f"it is not known whether {claim.vm} is on {', '.join(view.unknown)}"
    else:
        return None
    return _too_late(claim, why)


def _too_late(claim: Claim, why: str) -> Problem:
    return TOO_LATE(
        f"the move of {claim.vm} to {claim.target} can only go on: {why}",
        where=f"vm {claim.vm}",
        remedy=f"hactl vm move {claim.vm} --resume; afterwards it can be moved back",
    )


def _cold(world: World, looked: Looked, claim: Claim, tell: Tell, timeout: float | None) -> str:
    """Have the VM started where it came from, and wait until it is there."""
    for _try in range(_TRIES):
        back = cold_moving.take_back(world, looked, claim)
        if back is not None:
            tell(Progress(f"it is to start on {claim.source} again"))
            vm = find(looked, claim.vm)
            return cold_moving.watch(world, vm, back, world.clock.now(), tell=tell, timeout=timeout).target
        looked = look(world)
        if claiming.standing(looked, claim.vm) != claim:
            break
        if problem := _late(world, looked, find(looked, claim.vm), claim):
            raise Refused(problem)
    raise Refused(claiming.raced(claim.vm))


def _live(world: World, vm: managed.ManagedVm, claim: Claim, tell: Tell, limit: float) -> str:
    """Cancel, wait, clear, until the VM is proven to be where it was, sealed, and nothing is left of the move."""
    calm = 0
    while True:
        calm = calm + 1 if world.pacemaker.idle() is True else 0
        phase = "the cluster does not answer"
        try:
            ended = _next(world, vm, claim, calm, tell)
        except Unreachable as error:
            phase = f"{phase} ({error})"
        else:
            if isinstance(ended, str):
                return ended
            phase = ended.phase
        tell(Progress(phase))
        if world.clock.now() > limit:
            raise Refused(
                NOT_ENDED(
                    f"the move of {vm.name} is not proven to have ended: {phase}",
                    where=f"vm {vm.name}",
                    remedy=f"hactl vm show {vm.name}; then once more: hactl vm move {vm.name} --abort; "
                    "docs/runbooks/a-move-hangs.md",
                )
            )
        world.clock.sleep(PACE)


def _next(world: World, vm: managed.ManagedVm, claim: Claim, calm: int, tell: Tell) -> Wait | str:
    """One look at a live move that is to end, and what follows from it; the VM's node when it has ended."""
    seen = picture(world, claim)
    intent = intent_of(vm, claim, seen)
    new = history.since(intent.before, seen.history)
    migration = next((op for op in new if op.name == "migrate_to"), None)
    if migration is not None and migration.pending:
        cancel_copy(world, intent)
        return Wait("cancelling the copy")
    if migration is not None and migration.failed:
        step = judge(world, intent, seen)
        if isinstance(step, Wait):
            return step
        if isinstance(step, Failed):
            tell(Progress(_FORGETTING))
            clear(world, claim, step)
            if not step.clean_up:
                raise Refused(step.problem)
        return Wait(_FORGETTING)
    if seen.claim is not None:
        if problem := _no_way_back(claim, seen.online, new):
            raise Refused(problem)
        if calm >= _CALM:
            unclaim(world, claim)
        return Wait("seeing whether Pacemaker has begun")
    return _ended(world, intent, seen) if calm >= _CALM else Wait("Pacemaker takes note")


def _ended(world: World, intent: Intent, seen: Picture) -> Wait | str:
    """Nothing is left of the move: where its one copy is, sealed and running."""
    facts = world.hosts.facts(seen.nodes, deadline=5.0)
    copies, unknown = whereabouts(facts, intent.uuid, seen.gone)
    if unknown:
        return Wait(f"waiting for {', '.join(unknown)} to answer")
    if len(copies) != 1:
        return Wait(f"copies on {', '.join(copies) or 'no node'}")
    (node,) = copies
    if sealed_at(facts, node, intent.uuid) and state_on(facts, node, intent.uuid) == "running":
        return node
    return Wait(f"{node} takes its lock back")

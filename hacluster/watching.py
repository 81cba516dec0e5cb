"""Watching a live move to its end: look, decide, tell, again and again; then free what is proven safe to free.

Nothing that was decided is remembered outside the cluster, so the same loop, begun later in another process or on
another node, comes to the same end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from lxml import etree

from hacluster import claim as claims
from hacluster import converging, history, observe
from hacluster.cib import managed
from hacluster.claim import Claim, How
from hacluster.claiming import STILL_MOVING, before
from hacluster.forget import forget
from hacluster.move import (
    ABORTED,
    GIVEN_UP,
    MIGRATION_FAILED,
    WAITING,
    Arrived,
    Failed,
    Intent,
    Step,
    View,
    Wait,
    decide,
)
from hacluster.ports import Unknown, Unreachable, World
from hacluster.problems import Problem, Refused

log = structlog.get_logger(__name__)

# How often the cluster is asked while a move is under way, and how long an answer to a claim may take, in seconds.
PACE = 0.25
GRACE = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a watcher is shown: the phase, and a running migration's numbers as libvirt has them (see Hosts.job)."""

    phase: str
    job: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A move that succeeded. `seconds` is from the claim to the proof; `how` is the claim's word."""

    vm: str
    source: str
    target: str
    seconds: float
    how: How = "live"


Tell = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Picture:
    """The cluster's own view of a move: its CIB, and what in it concerns the VM.

    `claim` is ours, if it still stands, and `other` one that stands in its place. `online` are the members; `gone` are
    nodes of which Pacemaker expects nothing: fenced, or left in order.
    """

    cib: etree._Element
    claim: Claim | None
    other: Claim | None
    history: history.History
    online: frozenset[str]
    gone: frozenset[str]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of all nodes."""
        return tuple(node.get("uname", "") for node in self.cib.iterfind("./configuration/nodes/node"))


def picture(world: World, claim: Claim) -> Picture:
    """What the CIB says now. Raises Unreachable and Refused as Pacemaker.cib does."""
    cib = etree.fromstring(world.pacemaker.cib())
    states = list(cib.iterfind("./status/node_state"))
    online = frozenset(state.get("uname", "") for state in states if state.get("crmd") == "online")
    # Pacemaker expects nothing of a node that it fenced or that left in order; before that it is "member".
    gone = frozenset(
        state.get("uname", "") for state in states if state.get("crmd") != "online" and state.get("expected") == "down"
    )
    there = claims.find(cib, claim.vm)
    mine, other = (claim, None) if there == claim else (None, there)
    return Picture(cib, mine, other, history.operations(cib, claim.vm), online, gone)


class Calm:
    """For how long Pacemaker has had nothing to do, as far as it was asked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._since: float | None = None

    def look(self, seen: Picture) -> float:
        """Seconds until now. It is not asked where an operation of the VM is recorded as pending: then it is busy."""
        busy = any(op.pending and op.interval == 0 for ops in seen.history.values() for op in ops)
        if busy or self._world.pacemaker.idle() is not True:
            self._since = None
            return 0.0
        now = self._world.clock.now()
        self._since = now if self._since is None else self._since
        return now - self._since

    def broken(self) -> None:
        """Nobody knows, or something is under way."""
        self._since = None


def judge(world: World, intent: Intent, seen: Picture, calm: Calm | None = None) -> Step:
    """The decision about a picture, with every node's own word. That is dear: a probe on each of them."""
    facts = world.hosts.facts(seen.nodes, deadline=5.0)
    view = View(seen.claim, seen.history, facts, seen.online, seen.gone)
    step = decide(intent, view)
    if calm is None or not isinstance(step, Wait):
        return step
    return decide(intent, replace(view, calm=calm.look(seen)))


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
    """Ask again and again until the move is over; free what is proven safe to free."""
    patience = timeout if timeout is not None else float(vm.parameters.get("migration_timeout", 600)) + GRACE
    limit = max(began + patience, world.clock.now() + grace)
    narrator, calm = _Narrator(tell), Calm(world)
    while True:
        step = _step(world, vm, claim, narrator, calm)
        if isinstance(step, Arrived):
            seconds = world.clock.now() - began
            unclaim(world, claim)
            log.info("moved", vm=vm.name, target=claim.target, seconds=round(seconds, 2))
            return Moved(vm.name, claim.source, claim.target, seconds)
        if isinstance(step, Failed):
            clear(world, claim, step)
            log.warning("move failed", vm=vm.name, code=step.problem.code, message=step.problem.message)
            raise Refused(narrator.explained(step.problem))
        if world.clock.now() > limit:
            raise Refused(
                STILL_MOVING(
                    f"{vm.name} is still on its way to {claim.target}: {step.phase}",
                    where=f"vm {vm.name}",
                    remedy=f"hactl vm move {vm.name} {claim.target} --resume, or --abort; "
                    "docs/runbooks/a-move-hangs.md",
                    watched=f"{int(patience)} s",
                    last_failure=_last_failure(world, claim),
                )
            )
        world.clock.sleep(PACE)


def _last_failure(world: World, claim: Claim) -> str:
    try:
        seen = picture(world, claim)
    except (Unreachable, Refused):
        return "the cluster does not answer"
    return history.last_failure(before(seen.cib, claim), seen.history)


def unclaim(world: World, claim: Claim) -> None:
    """Take this very claim away. Raises Refused, with what to do, when no cluster answers."""
    try:
        world.pacemaker.delete_constraint(claim.ident, value=claim.told if claim.since else "")
    except Unreachable as error:
        raise Refused(
            STILL_MOVING(
                f"the move of {claim.vm} is over, but its claim could not be removed: {error}",
                where=f"constraint {claim.ident}",
                remedy=f"through another node: hactl vm move {claim.vm} --resume --node NODE",
            )
        ) from error


def clear(world: World, claim: Claim, failed: Failed) -> None:
    """Take away what the decision says is safe; first the claim, or Pacemaker would try the migration again.

    Whoever watches beside us does the same; all of them make the nodes forget in the same order, the home last.
    """
    if failed.drop_claim:
        unclaim(world, claim)
    if failed.clean_up:
        online = tuple(
            node.name for node in observe.look(world.pacemaker, world.hosts, world.clock).nodes if node.online
        )
        forget(world, claim.vm, online, claim.source)


def cancel_copy(world: World, intent: Intent) -> None:
    """Have the source's libvirt end the migration, if one is at a point where it can be ended.

    Safe at any moment: until the switch-over the guest goes on at its source, afterwards libvirt refuses.
    """
    with suppress(Unreachable, Refused):
        argv = ["virsh", "--connect", "qemu:///system", "domjobabort", intent.vm]
        world.runner.run(intent.source, argv, deadline=5.0)


def intent_of(vm: managed.ManagedVm, claim: Claim, seen: Picture) -> Intent:
    """What a claim is about, with the operations that were recorded before it."""
    return Intent(vm.name, vm.uuid, claim.source, claim.target, before(seen.cib, claim))


def _step(world: World, vm: managed.ManagedVm, claim: Claim, tell: Tell, calm: Calm) -> Step:
    """One look and one decision. The nodes are asked only once Pacemaker has something to report: that is dear."""
    try:
        seen = picture(world, claim)
    except (Unreachable, Refused) as error:
        # A node that hactl works through may be fenced in mid-move; the loop's limit ends a cluster that stays silent.
        step = Wait(f"the cluster does not answer ({error})")
        calm.broken()
        tell(Progress(step.phase))
        return step
    intent = intent_of(vm, claim, seen)
    quiet = seen.claim is not None and not any(not op.pending for op in history.since(intent.before, seen.history))
    if quiet and intent.source in seen.online:
        step = _copying(world, intent, seen, tell)
        if step.phase != WAITING:
            calm.broken()
        if step.phase != WAITING or calm.look(seen) < GIVEN_UP:
            return step
    decided = judge(world, intent, seen, calm)
    if isinstance(decided, Wait):
        tell(Progress(decided.phase))
    return decided


def _copying(world: World, intent: Intent, seen: Picture, tell: Tell) -> Wait:
    """Nothing has ended yet, so the source's libvirt alone is asked: how far it is."""
    job = world.hosts.job(intent.source, intent.vm, deadline=2.0)
    if isinstance(job, Unknown):
        step = Wait(f"waiting for {intent.source}'s libvirt to answer")
    elif job is None:
        step = Wait(WAITING)
    elif intent.target in seen.gone:
        # QEMU itself would wait for the dead end of its connection for a quarter of an hour.
        cancel_copy(world, intent)
        step = Wait(_GONE.format(intent.target))
    else:
        step = Wait("migrating")
    tell(Progress(step.phase, job if isinstance(job, Mapping) else None))
    return step


_GONE = "{} is gone; the copy is cancelled"


class _Narrator:
    """Tells one move from its beginning: what a phase means, and why a copy failed, depends on what came before."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._migrated = False
        self._gone = False
        self._outrun: Mapping[str, int] = {}

    def __call__(self, progress: Progress) -> None:
        job = progress.job or {}
        self._migrated |= progress.phase == "migrating"
        self._gone |= progress.phase.endswith(_GONE.format(""))
        if converging.outrun(job):
            self._outrun = job
        if self._migrated and progress.phase == WAITING:
            progress = Progress("the copy has ended; Pacemaker takes note")
        elif self._outrun and self._outrun.get("memory_iteration") == job.get("memory_iteration"):
            # The rate of change is of the round before, the line's of the last moment: the verdict is for a round.
            progress = replace(progress, phase=f"{progress.phase}; the guest changes memory as fast as it is copied")
        self._tell(progress)

    def explained(self, problem: Problem) -> Problem:
        """A failed migration with what was seen of it: that its target was lost, or that the guest was too fast."""
        vm = problem.where.removeprefix("vm ")
        if problem.code == MIGRATION_FAILED.code and self._gone:
            return replace(problem, remedy=f"its target was fenced; to another node: hactl vm move {vm}")
        if problem.code != MIGRATION_FAILED.code or not self._outrun or ABORTED in problem.message:
            return problem
        return replace(
            problem,
            facts=(*problem.facts, ("memory", converging.rates(self._outrun))),
            remedy=f"set vms.{vm}.migration.auto_converge = true, or a longer timeout or more bandwidth there, then: "
            f"hactl apply; or move it cold: hactl vm move {vm} --cold",
        )

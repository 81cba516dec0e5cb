"""Watching a move to its end: look, decide, tell, again and again; then free what is proven safe to free.

Nothing that was decided is remembered outside the cluster, so the same loop, begun later in another process or on
another node, comes to the same end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from lxml import etree

from hacluster import claim as claims
from hacluster import history, observe
from hacluster.cib import managed
from hacluster.forget import forget
from hacluster.move import WAITING, Arrived, Failed, Intent, View, Wait, decide
from hacluster.ports import Unknown, Unreachable, World
from hacluster.problems import Refused, kind

log = structlog.get_logger(__name__)

STILL_MOVING = kind(
    "HA444",
    "The move is not over",
    "hactl stopped watching after the time in the facts. Pacemaker goes on, and the claim stays, so "
    "that nobody else interferes.",
)

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
    """A move that succeeded. `seconds` is from the claim to the proof."""

    vm: str
    source: str
    target: str
    seconds: float


Tell = Callable[[Progress], None]


def watch(
    world: World,
    vm: managed.ManagedVm,
    intent: Intent,
    began: float,
    *,
    tell: Tell,
    timeout: float | None,
    grace: float = 0.0,
) -> Moved:
    """Ask again and again until the move is over; free what is proven safe to free."""
    patience = timeout if timeout is not None else float(vm.parameters.get("migration_timeout", 600)) + GRACE
    limit = max(began + patience, world.clock.now() + grace)
    tell = _narrated(tell)
    while True:
        step = _step(world, intent, tell)
        if isinstance(step, Arrived):
            seconds = world.clock.now() - began
            world.pacemaker.delete_constraint(claims.PREFIX + intent.vm)
            log.info("moved", vm=intent.vm, target=intent.target, seconds=round(seconds, 2))
            return Moved(intent.vm, intent.source, intent.target, seconds)
        if isinstance(step, Failed):
            _clear(world, intent, step)
            log.warning("move failed", vm=intent.vm, code=step.problem.code, message=step.problem.message)
            raise Refused(step.problem)
        if world.clock.now() > limit:
            raise Refused(
                STILL_MOVING(
                    f"{intent.vm} is still on its way to {intent.target}: {step.phase}",
                    where=f"vm {intent.vm}",
                    remedy=f"hactl vm move {intent.vm} {intent.target} --resume; docs/runbooks/a-move-hangs.md",
                    watched=f"{int(patience)} s",
                )
            )
        world.clock.sleep(PACE)


def _step(world: World, intent: Intent, tell: Tell) -> Arrived | Failed | Wait:
    """One look and one decision. The nodes are asked only once Pacemaker has something to report: that is dear."""
    try:
        cib = etree.fromstring(world.pacemaker.cib())
    except (Unreachable, Refused) as error:
        # A node that hactl works through may be fenced in mid-move; the loop's limit ends a cluster that stays silent.
        step = Wait(f"the cluster does not answer ({error})")
        tell(Progress(step.phase))
        return step
    ops = history.operations(cib, intent.vm)
    states = list(cib.iterfind("./status/node_state"))
    online = frozenset(state.get("uname", "") for state in states if state.get("crmd") == "online")
    # Pacemaker expects nothing of a node that it fenced or that left in order; before that it is "member".
    gone = frozenset(
        state.get("uname", "") for state in states if state.get("crmd") != "online" and state.get("expected") == "down"
    )
    claim = claims.find(cib, intent.vm)
    quiet = claim is not None and not any(not op.pending for op in history.since(intent.before, ops))
    if quiet and intent.source in online:
        job = world.hosts.job(intent.source, intent.vm, deadline=2.0)
        moving = isinstance(job, Mapping)
        silent = f"waiting for {intent.source}'s libvirt to answer"
        step = Wait("migrating" if moving else silent if isinstance(job, Unknown) else WAITING)
        tell(Progress(step.phase, job if isinstance(job, Mapping) else None))
        return step
    nodes = [node.get("uname", "") for node in cib.iterfind("./configuration/nodes/node")]
    decided = decide(intent, View(claim, ops, world.hosts.facts(nodes, deadline=5.0), online, gone))
    if isinstance(decided, Wait):
        tell(Progress(decided.phase))
    return decided


def _narrated(tell: Tell) -> Tell:
    """`tell` for one move from its beginning: waiting after the migration is another thing than before it."""
    migrated = False

    def told(progress: Progress) -> None:
        nonlocal migrated
        migrated |= progress.phase == "migrating"
        tell(Progress("migrated; Pacemaker takes note") if migrated and progress.phase == WAITING else progress)

    return told


def _clear(world: World, intent: Intent, failed: Failed) -> None:
    """Take away what the decision says is safe; first the claim, or Pacemaker would try the migration again."""
    if failed.drop_claim:
        world.pacemaker.delete_constraint(claims.PREFIX + intent.vm)
    if failed.clean_up:
        online = tuple(
            node.name for node in observe.look(world.pacemaker, world.hosts, world.clock).nodes if node.online
        )
        forget(world, intent.vm, online, intent.source)

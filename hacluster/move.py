"""The move: what to do next with a VM on its way from one node to another. Pure; `moving` carries it out.

`decide(intent, view)` looks at the world as it is and says whether to wait, that the VM has arrived, or that the move
failed and what is then safe to clear. There is no journal: whoever asks again, also another process after a crash,
gets the same answer from the same world. It never believes an exit code: a move has succeeded only when exactly one
copy is proven, sealed on the target, and every other node answered that it has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hacluster import history
from hacluster.claim import Claim
from hacluster.history import History, Operation
from hacluster.ports import HeldLock, HostFacts, Unknown
from hacluster.problems import Problem, kind

SEALED, GATE = "EX", "PW"

MIGRATION_FAILED = kind(
    "HA430",
    "The live migration failed; the VM still runs on its source",
    "libvirt, QEMU or the guard ended the migration. The guest was not stopped: `migrate_to` has on-fail=block, so it "
    "goes on running where it was. Mend the cause named in the facts, then move again.",
)
RESTARTED = kind(
    "HA431",
    "The VM was stopped and started instead of moved",
    "Pacemaker ended the move by a stop and a start. The VM runs once, but its guest was rebooted, and a tool that "
    "called that a live move would be lying. The facts name the operation that failed.",
)
ARRIVED_ELSEWHERE = kind(
    "HA432",
    "The VM runs on another node than the one it was moved to",
    "While it moved, a node was fenced or somebody changed the cluster, and Pacemaker placed the VM anew.",
)
UNPROVEN = kind(
    "HA433",
    "It is not proven where the VM runs",
    "A node did not answer, or two nodes report a copy while a move is unresolved. Nothing was changed: the run-lock "
    "keeps every further copy out. See docs/runbooks/a-move-hangs.md.",
)
CLAIM_GONE = kind(
    "HA434",
    "The claim of this move was removed by somebody else",
    "The location constraint that instructs Pacemaker disappeared while the move was under way. Without it Pacemaker "
    "may stop the VM on both nodes and start it again.",
)
HANDOVER_FAILED = kind(
    "HA435",
    "The VM arrived, but could not be handed over",
    "The migration itself was complete, and then the target could not take the run-lock or resume the guest. "
    "Pacemaker stops the VM on both nodes and starts it again.",
)
NOT_CARRIED_OUT = kind(
    "HA436",
    "Pacemaker does not carry the move out",
    "The claim instructs it to, but it has had nothing to do for a while and the VM runs where it was: the target may "
    "not run it any more, or somebody made Pacemaker forget or leave alone the VM in the middle of its move.",
)

WAITING = "waiting for Pacemaker"
ABORTED = "canceled by client"
"""libvirt's words for a migration that somebody ended through it."""
SETTLED, GIVEN_UP = 2.0, 30.0
"""Seconds for which Pacemaker must have had nothing to do until what the nodes prove is the move's end although the
records of it are gone; and until a VM that is still at home will not be moved."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One move. `before` is the VM's recorded operations at the moment the claim was made."""

    vm: str
    uuid: str
    source: str
    target: str
    before: History


@dataclass(frozen=True, slots=True)
class View:
    """The world as far as a move needs it. `gone` are nodes that were fenced or left in order: they have no copy.
    `calm` is for how many seconds Pacemaker is known to have had nothing to do."""

    claim: Claim | None
    history: History
    facts: Mapping[str, HostFacts | Unknown]
    online: frozenset[str]
    gone: frozenset[str] = frozenset()
    calm: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to decide yet; `phase` says in the operator's words what is going on."""

    phase: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """Exactly one copy, running and sealed on the target: the claim may go."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The move is over without success. `drop_claim` and `clean_up` say what is proven safe to clear."""

    problem: Problem
    drop_claim: bool
    clean_up: bool = False


Step = Wait | Arrived | Failed


def decide(intent: Intent, view: View) -> Step:
    """The next step of a move, from the world alone."""
    new = tuple(explained(op, view.facts, intent.uuid) for op in history.since(intent.before, view.history))
    copies, unknown = whereabouts(view.facts, intent.uuid, view.gone)
    step = _recorded(intent, view, new, copies, unknown)
    if isinstance(step, Wait) and not unknown and len(copies) == 1:
        return _come_to_rest(intent, view, new, copies[0]) or step
    return step


def _recorded(
    intent: Intent, view: View, new: tuple[Operation, ...], copies: tuple[str, ...], unknown: tuple[str, ...]
) -> Step:
    """The next step by what Pacemaker has recorded of the move."""
    if (failure := _failed(new, "migrate_to")) is not None:
        return _after_failed_migration(intent, view, failure, copies, unknown)
    if (failure := _failed(new, "migrate_from")) is not None and not _ended(new, intent):
        return Wait("the hand-over failed; Pacemaker stops and starts the VM")
    if (started := _restart(new)) is not None:
        return _restarted(intent, new, started, copies)
    if _ran(new, intent.target, "migrate_from"):
        return _after_arrival(intent, view, new, copies, unknown)
    if view.claim is None:
        return _without_claim(intent, copies, unknown)
    if intent.source not in view.online:
        return Wait(f"{intent.source} is gone; Pacemaker fences it and recovers the VM")
    if _ran(new, intent.source, "migrate_to"):
        return Wait("handing over")
    return Wait("migrating" if _moving(view, intent) else WAITING)


def whereabouts(
    facts: Mapping[str, HostFacts | Unknown], uuid: str, gone: frozenset[str] = frozenset()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Nodes that have a copy of the VM, and nodes of which it is not known; all others proved that they have none.

    A silent node that is `gone` (fenced, or left in order) has none; one that answers is believed whatever it is.
    """
    copies, unknown = [], []
    for node, told in sorted(facts.items()):
        silent = "ABSENT" if node in gone else "UNKNOWN"
        presence = silent if isinstance(told, Unknown) else told.presence_of(uuid)
        if presence == "PRESENT":
            copies.append(node)
        elif presence != "ABSENT":
            unknown.append(node)
    return tuple(copies), tuple(unknown)


def lock_on(facts: Mapping[str, HostFacts | Unknown], node: str, uuid: str) -> HeldLock | None:
    """The run-lock a node says it holds for a VM; None when it holds none or did not answer."""
    told = facts.get(node)
    if isinstance(told, HostFacts) and told.locks is not None:
        return next((lock for lock in told.locks if lock.uuid == uuid), None)
    return None


def mode_on(facts: Mapping[str, HostFacts | Unknown], node: str, uuid: str) -> str:
    """The mode of the run-lock a node says it holds for a VM, or the word none."""
    lock = lock_on(facts, node, uuid)
    return "none" if lock is None else lock.mode


def state_on(facts: Mapping[str, HostFacts | Unknown], node: str, uuid: str) -> str | None:
    """libvirt's word for a VM's state on a node (running, paused …); None when it has none or did not answer."""
    told = facts.get(node)
    if isinstance(told, HostFacts) and told.domains is not None:
        return next((domain.state for domain in told.domains if domain.uuid == uuid), None)
    return None


def sealed_at(facts: Mapping[str, HostFacts | Unknown], node: str, uuid: str) -> bool:
    """Whether a node says it holds the VM's run-lock exclusively."""
    return mode_on(facts, node, uuid) == SEALED


def _after_failed_migration(
    intent: Intent, view: View, failure: Operation, copies: tuple[str, ...], unknown: tuple[str, ...]
) -> Step:
    at_home = copies == (intent.source,) and intent.target not in unknown
    if at_home and sealed_at(view.facts, intent.source, intent.uuid):
        problem = MIGRATION_FAILED(
            f"{intent.vm} was not moved: {failure.reason or 'the agent gave no reason'}",
            where=f"vm {intent.vm}",
            remedy=f"somebody ended it, with hactl vm move {intent.vm} --abort or virsh domjobabort; hactl vm list"
            if ABORTED in failure.reason
            else f"mend the cause, then: hactl vm move {intent.vm} {intent.target}",
            still_runs_on=intent.source,
        )
        return Failed(problem, drop_claim=True, clean_up=True)
    if not unknown and at_home:
        return Wait("the migration failed; the source takes its lock back")
    if copies == (intent.source,) and not view.online.intersection(unknown):
        return Wait(f"the migration failed; waiting for the fencing of {', '.join(unknown)}")
    return Failed(_unproven(intent, copies, unknown, failure.reason), drop_claim=True)


def _restarted(intent: Intent, new: tuple[Operation, ...], started: Operation, copies: tuple[str, ...]) -> Step:
    if started.node not in copies or not _ended(new, intent):
        return Wait("Pacemaker restarts the VM")
    cause = next((op for op in new if op.failed), None)
    why = f": {cause.reason or cause.name + ' failed'}" if cause else ""
    kind_of = RESTARTED if started.node == intent.target else ARRIVED_ELSEWHERE
    problem = kind_of(
        f"{intent.vm} was stopped and started on {started.node}, not moved live{why}",
        where=f"vm {intent.vm}",
        remedy=f"hactl vm show {intent.vm}",
        runs_on=started.node,
    )
    return Failed(problem, drop_claim=True)


def _after_arrival(
    intent: Intent, view: View, new: tuple[Operation, ...], copies: tuple[str, ...], unknown: tuple[str, ...]
) -> Step:
    if copies == (intent.target,) and not unknown:
        sealed = sealed_at(view.facts, intent.target, intent.uuid)
        if sealed and state_on(view.facts, intent.target, intent.uuid) == "running":
            # The stop that Pacemaker still has to run on the source finds nothing there; the claim outlives it, because
            # a claim that goes earlier may make the scheduler change its mind in the middle.
            if _ran(new, intent.source, "stop") or intent.source not in view.online:
                return Arrived()
            return Wait("arrived; Pacemaker clears the source")
        return Wait("handing over")
    return Wait("arrived; waiting for proof that the source is empty")


def _come_to_rest(intent: Intent, view: View, new: tuple[Operation, ...], home: str) -> Step | None:
    """The end of a move whose records are gone (pcs resource refresh takes them), or which Pacemaker has let be: it has
    nothing to do, knows where the VM is, and that node alone has it, sealed and running. None while that is not so."""
    pending = any(op.pending and op.interval == 0 for ops in view.history.values() for op in ops)
    well = sealed_at(view.facts, home, intent.uuid) and state_on(view.facts, home, intent.uuid) == "running"
    if view.claim is None or pending or not well or _restart(new) is not None:
        return None
    other = intent.source if home == intent.target else intent.target
    if _knows(view, home) != "here" or (_knows(view, other) == "here" and other in view.online):
        return None
    if home == intent.target and view.calm >= SETTLED and (_knows(view, other) or other not in view.online):
        return Arrived()
    if home == intent.source and view.calm >= GIVEN_UP:
        problem = NOT_CARRIED_OUT(
            f"{intent.vm} was not moved: Pacemaker has nothing to do, and it runs on {intent.source} as before",
            where=f"vm {intent.vm}",
            remedy=f"hactl status; if {intent.target} is well: hactl vm move {intent.vm} {intent.target}",
            still_runs_on=intent.source,
        )
        return Failed(problem, drop_claim=True)
    return None


def _knows(view: View, node: str) -> str:
    """Whether Pacemaker has the VM on a node, by the last that it recorded there: here, gone, or neither (empty)."""
    ended = [op for op in view.history.get(node, ()) if op.interval == 0 and not op.pending]
    last = max(ended, key=lambda op: op.call, default=None)
    if last is None or last.failed:
        return ""
    if last.name in ("start", "migrate_from") or (last.name, last.code) == ("monitor", 0):
        return "here"
    return "gone" if last.name == "stop" or (last.name, last.code) == ("monitor", 7) else ""


def _without_claim(intent: Intent, copies: tuple[str, ...], unknown: tuple[str, ...]) -> Step:
    problem = CLAIM_GONE(
        f"the claim on {intent.vm} was removed while it moved from {intent.source} to {intent.target}",
        where=f"constraint hactl-move-{intent.vm}",
        remedy=f"hactl vm show {intent.vm}",
        runs_on=", ".join(copies) or "no node known",
        unknown=", ".join(unknown) or "none",
    )
    return Failed(problem, drop_claim=False)


def _unproven(intent: Intent, copies: tuple[str, ...], unknown: tuple[str, ...], reason: str) -> Problem:
    return UNPROVEN(
        f"the move of {intent.vm} failed and it is not proven that only {intent.source} runs it",
        where=f"vm {intent.vm}",
        remedy=f"hactl vm show {intent.vm}; see docs/runbooks/a-move-hangs.md",
        copies=", ".join(copies) or "none seen",
        no_answer=", ".join(unknown) or "none",
        reason=reason or "none given",
    )


def explained(op: Operation, facts: Mapping[str, HostFacts | Unknown], uuid: str) -> Operation:
    """A failed operation with its reason: Pacemaker's, or where it has none, the one its node kept."""
    told = facts.get(op.node)
    if op.reason or not op.failed or not isinstance(told, HostFacts):
        return op
    kept = told.failures.get(uuid)
    return op if kept is None or kept.action != op.name else replace(op, reason=kept.sentence)


def _failed(new: tuple[Operation, ...], name: str) -> Operation | None:
    return next((op for op in new if op.name == name and op.failed), None)


def _ran(new: tuple[Operation, ...], node: str, name: str) -> bool:
    return any(op.node == node and op.name == name and not op.failed and not op.pending for op in new)


def _restart(new: tuple[Operation, ...]) -> Operation | None:
    return next((op for op in new if op.name == "start" and not op.failed and not op.pending), None)


def _ended(new: tuple[Operation, ...], intent: Intent) -> bool:
    """Whether Pacemaker's recovery has come to a start that holds."""
    return _restart(new) is not None and not any(op.pending for op in new if op.interval == 0)


def _moving(view: View, intent: Intent) -> bool:
    return mode_on(view.facts, intent.source, intent.uuid) == GATE

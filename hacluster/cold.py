"""A cold move: what to do next with a VM that is stopped on one node to be started on another. Pure.

As `move.decide` for live ones: the world alone says how far it is. The VM is started again only when no node has a
copy or a lock of it left, and it has arrived only when exactly one copy runs, sealed on the target. A cold move that is
taken back is the same with its source for target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hacluster import history
from hacluster.claim import Claim
from hacluster.history import History, Operation
from hacluster.move import (
    ARRIVED_ELSEWHERE,
    CLAIM_GONE,
    Arrived,
    Failed,
    Intent,
    Wait,
    explained,
    sealed_at,
    state_on,
    whereabouts,
)
from hacluster.ports import HostFacts, Unknown
from hacluster.problems import kind

TAKEN_OVER = kind(
    "HA447",
    "Somebody else ended the move",
    "The claim of this move was replaced. A cold move that is taken back starts its VM where it came from.",
)


@dataclass(frozen=True, slots=True)
class Scene:
    """The world as far as a cold move needs it. `wanted` says that target-role lets the VM run; `other` is a claim
    that stands in place of ours; `gone` are nodes that were fenced or left in order: they have no copy."""

    claim: Claim | None
    other: Claim | None
    wanted: bool
    history: History
    facts: Mapping[str, HostFacts | Unknown]
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Start:
    """Nothing of the VM is left anywhere: it may be started on the target."""


Step = Wait | Start | Arrived | Failed


def decide(intent: Intent, scene: Scene) -> Step:
    """The next step of a cold move, from the world alone."""
    new = tuple(explained(op, scene.facts, intent.uuid) for op in history.since(intent.before, scene.history))
    copies, unknown = whereabouts(scene.facts, intent.uuid, scene.gone)
    if scene.claim is None:
        return _without_claim(intent, scene, copies, unknown)
    if unknown:
        return Wait(f"waiting for proof that {intent.vm} is not on {', '.join(unknown)}")
    return _coming_up(intent, scene, new, copies) if scene.wanted else _going_down(intent, scene, new, copies)


def pending(ops: tuple[Operation, ...], name: str) -> Operation | None:
    """The operation of that name that runs now, if one does."""
    return next((op for op in ops if op.pending and op.name == name and op.interval == 0), None)


def _going_down(intent: Intent, scene: Scene, new: tuple[Operation, ...], copies: tuple[str, ...]) -> Step:
    if failed := _failed(new, "stop"):
        return Wait(f"the stop failed on {failed.node} ({failed.reason or 'no reason'}); Pacemaker fences it")
    if copies:
        return Wait(f"shutting down on {' and '.join(copies)}")
    if any(op.pending for op in new):
        return Wait("stopped; Pacemaker takes note")
    if holders := _holders(scene, intent.uuid):
        return Wait(f"stopped; its run-lock is not free yet on {', '.join(holders)}")
    return Start()


def _coming_up(intent: Intent, scene: Scene, new: tuple[Operation, ...], copies: tuple[str, ...]) -> Step:
    busy = any(op.pending and op.interval == 0 for op in new)
    runs = [
        node
        for node in copies
        if sealed_at(scene.facts, node, intent.uuid) and state_on(scene.facts, node, intent.uuid) == "running"
    ]
    if len(copies) == 1 and runs and not busy:
        if runs == [intent.target]:
            return Arrived()
        if any(op.node == runs[0] and op.name == "start" and not op.failed for op in new):
            failed = _failed(new, "start")
            why = f": the start on {failed.node} failed ({failed.reason or 'no reason'})" if failed else ""
            problem = ARRIVED_ELSEWHERE(
                f"{intent.vm} was started on {runs[0]}, not on {intent.target}{why}",
                where=f"vm {intent.vm}",
                remedy=f"hactl vm show {intent.vm}",
                runs_on=runs[0],
            )
            return Failed(problem, drop_claim=True)
    if not copies and (failed := _failed(new, "start")):
        return Wait(f"the start failed on {failed.node} ({failed.reason or 'no reason'}); Pacemaker tries again")
    return Wait(f"starting on {intent.target}")


def _without_claim(intent: Intent, scene: Scene, copies: tuple[str, ...], unknown: tuple[str, ...]) -> Step:
    about = {"runs_on": ", ".join(copies) or "no node known", "unknown": ", ".join(unknown) or "none"}
    if scene.other is not None:
        taken = f"was taken back to {scene.other.target}" if scene.other.how == "back" else "was replaced by another"
        problem = TAKEN_OVER(
            f"the cold move of {intent.vm} to {intent.target} {taken}",
            where=f"vm {intent.vm}",
            remedy=f"hactl vm show {intent.vm}",
            by=scene.other.owner or "unknown",
            **about,
        )
        return Failed(problem, drop_claim=False)
    start = "" if scene.wanted else f"; it is told to stay stopped, to start it: hactl vm start {intent.vm}"
    problem = CLAIM_GONE(
        f"the claim on {intent.vm} was removed while it was moved cold from {intent.source} to {intent.target}",
        where=f"constraint hactl-move-{intent.vm}",
        remedy=f"hactl vm show {intent.vm}{start}",
        **about,
    )
    return Failed(problem, drop_claim=False)


def _holders(scene: Scene, uuid: str) -> tuple[str, ...]:
    """Nodes that hold a lock of the VM, or do not say whether they do."""
    return tuple(
        node
        for node, told in sorted(scene.facts.items())
        if (isinstance(told, Unknown) and node not in scene.gone)
        or (isinstance(told, HostFacts) and (told.locks is None or any(lock.uuid == uuid for lock in told.locks)))
    )


def _failed(new: tuple[Operation, ...], name: str) -> Operation | None:
    """The newest failure of that operation, unless the same node has succeeded since."""
    last: dict[str, Operation] = {}
    for op in sorted((op for op in new if op.name == name and not op.pending), key=lambda op: op.call):
        last[op.node] = op
    return max((op for op in last.values() if op.failed), key=lambda op: op.changed, default=None)

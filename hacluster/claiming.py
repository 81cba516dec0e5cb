"""Our own claim: made from what was seen, found again, and changed together with a VM's target-role in one push.

A live move's claim is created by itself (a second one is refused by the cluster). A cold move changes two things that
must not be seen apart, so the whole CIB is pushed as a compare-and-set against the configuration that was judged.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable

from lxml import etree

from hacluster import claim as claims
from hacluster import history, preflight
from hacluster.claim import Claim
from hacluster.ports import Conflict, Unreachable, World
from hacluster.problems import Problem, Refused, kind
from hacluster.rehearsal import Looked

NO_CLAIM = kind("HA443", "There is no move to resume or to end", "No claim stands on this VM.")
STILL_MOVING = kind(
    "HA444",
    "The move is not over",
    "hactl stopped watching. The claim stays, so that nobody else interferes. A live move goes on in Pacemaker; a cold "
    "one goes on only when somebody resumes it, and until then its VM is not started anywhere.",
)
TOO_BUSY = kind(
    "HA449",
    "The cluster did not hold still",
    "A push must be newer than what the cluster has, also than its last status change. It never was.",
)

_ATTEMPTS = 12
_PAUSE = 0.3


def new(world: World, looked: Looked, name: str, way: tuple[str, str], how: claims.How = "live") -> Claim:
    """A claim of ours, on the world as it was seen; `way` is its source and its target."""
    recorded = history.mark(history.operations(looked.cib, name))
    return Claim(name, *way, owner(), os.getpid(), int(world.clock.wall()), how, recorded)


def standing(looked: Looked, name: str) -> Claim:
    """The claim that stands on a VM. Raises Refused when there is none."""
    claim = claims.find(looked.cib, name)
    if claim is None:
        raise Refused(NO_CLAIM(f"nothing moves {name}", where=f"vm {name}", remedy=f"hactl vm move {name} NODE"))
    return claim


def before(cib: etree._Element, claim: Claim) -> history.History:
    """What was recorded before a claim was made: as the claim itself says, or, where one was written without that,
    as far as the records' own times tell (whole seconds)."""
    now = history.operations(cib, claim.vm)
    if claim.recorded:
        return history.marked(now, claim.recorded)
    return {node: tuple(op for op in ops if op.changed < claim.since) for node, ops in now.items()}


def owner() -> str:
    """Who is at work here, as a claim names him."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def push(world: World, planned: tuple[str, ...], change: Callable[[etree._Element], None]) -> bool:
    """Push the live CIB with a change made to it; False when its configuration is not the one of `planned` any more.

    A change of the status alone makes a push fail too; then it is made again on the newer CIB, a bounded number of
    times. Raises Refused and Unreachable.
    """
    for _attempt in range(_ATTEMPTS):
        cib = etree.fromstring(world.pacemaker.cib())
        if configuration(cib) != planned:
            return False
        change(cib)
        try:
            world.pacemaker.replace(etree.tostring(cib))
        except Conflict:
            world.clock.sleep(_PAUSE)
            continue
        return True
    raise Refused(
        TOO_BUSY(
            f"the cluster's status changed during each of {_ATTEMPTS} attempts to push",
            where="CIB",
            remedy="hactl status; again when nothing starts, stops or moves",
        )
    )


def configuration(cib: etree._Element) -> tuple[str, ...]:
    """Which configuration a CIB has: its version without the count of status changes."""
    return tuple(cib.get(name, "0") for name in ("admin_epoch", "epoch"))


def not_known(name: str, error: Unreachable) -> Problem:
    """That the cluster fell silent while a move was to begin."""
    return STILL_MOVING(
        f"it is not known whether the move of {name} has begun: {error}",
        where=f"vm {name}",
        remedy=f"hactl vm show {name} --node NODE, through another node; then --resume or --abort, if a claim is there",
    )


def raced(name: str) -> Problem:
    """That somebody else was faster, and is done already."""
    return preflight.MOVE_UNDER_WAY(
        f"somebody else claimed {name} at the same moment", where=f"vm {name}", remedy=f"hactl vm show {name}"
    )

"""The commands of a live move: make it, rehearse it, go on with it.

All decisions are in `preflight` and `move`; `rehearsal` looks before, `watching` is the loop afterwards.
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import replace

import structlog
from lxml import etree

from hacluster import claim as claims
from hacluster import history, preflight, rehearsal
from hacluster.cib import managed
from hacluster.claim import Claim
from hacluster.forget import forget
from hacluster.ports import Unreachable, World
from hacluster.problems import Problem, Refused, kind
from hacluster.rehearsal import Looked, find, look
from hacluster.watching import GRACE, STILL_MOVING, Moved, Progress, Tell, watch

log = structlog.get_logger(__name__)

NO_CLAIM = kind("HA443", "There is no move to resume or to end", "No claim stands on this VM.")


def move(world: World, name: str, target: str | None, *, tell: Tell, timeout: float | None = None) -> Moved:
    """Move a VM live. Raises Refused with every finding before anything is changed, or with how the move failed.

    `timeout` is how long to watch, in seconds; the VM's own migration timeout and a minute by default.
    """
    tell(Progress("checking"))
    looked, vm, claim = _prepare(world, name, target)
    claim = _forget_the_same_move(world, looked, claim, tell)
    began = world.clock.now()
    log.info("move", vm=name, source=claim.source, target=claim.target)
    try:
        mine = world.pacemaker.create_constraint(claims.to_xml(claim))
    except Unreachable as error:
        raise Refused(not_known(name, error)) from error
    if not mine:
        again = look(world)
        raise Refused(preflight.check(rehearsal.questions(world, again, vm, claim.target)) or raced(name))
    return watch(world, vm, claim, before(looked.cib, claim), began, tell=tell, timeout=timeout)


def rehearse(world: World, name: str, target: str | None) -> Claim:
    """Everything that `move` does before it changes anything; the claim that it would make. Raises Refused."""
    return _prepare(world, name, target)[2]


def _prepare(world: World, name: str, target: str | None) -> tuple[Looked, managed.ManagedVm, Claim]:
    looked = look(world)
    vm = find(looked, name)
    asked = rehearsal.choose(world, looked, vm, target)
    assert asked.source is not None  # preflight found exactly one copy
    claim = new_claim(world, looked, name, asked.source, asked.target)
    rehearsal.rehearse(world, looked, claim)
    return looked, vm, claim


def new_claim(world: World, looked: Looked, name: str, source: str, target: str) -> Claim:
    """A claim of ours, on the world as it was seen."""
    recorded = history.mark(history.operations(looked.cib, name))
    return Claim(name, source, target, owner(), os.getpid(), int(world.clock.wall()), recorded=recorded)


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
    """Go on with a live move whose hactl is gone, from what the cluster itself says. Raises as `move` does.

    A move to another node than `target` is not resumed: its end would not be what was asked for.
    """
    looked = look(world)
    vm = find(looked, name)
    claim = claimed(looked, name)
    if target not in (None, claim.target):
        raise Refused(
            preflight.MOVE_UNDER_WAY(
                f"{name} is being moved to {claim.target}, not to {target}",
                where=f"vm {name}",
                remedy=f"hactl vm move {name} {claim.target} --resume",
            )
        )
    began = world.clock.now() - max(0.0, world.clock.wall() - claim.since)
    return watch(world, vm, claim, before(looked.cib, claim), began, tell=tell, timeout=timeout, grace=GRACE)


def claimed(looked: Looked, name: str) -> Claim:
    """The claim that stands on a VM. Raises Refused when there is none."""
    claim = claims.find(looked.cib, name)
    if claim is None:
        raise Refused(NO_CLAIM(f"nothing moves {name}", where=f"vm {name}", remedy=f"hactl vm move {name} NODE"))
    return claim


def interrupted(name: str, target: str | None) -> Problem:
    """What to tell somebody who stopped watching."""
    return STILL_MOVING(
        f"hactl stopped watching; the move of {name} goes on in Pacemaker",
        where=f"vm {name}",
        remedy=f"hactl vm move {name} {target or 'NODE'} --resume; to end it: hactl vm move {name} --abort",
    )


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

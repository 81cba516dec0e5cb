"""The commands of a move: make it, rehearse it, go on with it.

All decisions are in `preflight` and `move`; `rehearsal` looks before, `watching` is the loop afterwards.
"""

from __future__ import annotations

import getpass
import os
import socket

import structlog
from lxml import etree

from hacluster import claim as claims
from hacluster import history, preflight, rehearsal
from hacluster.cib import managed
from hacluster.claim import Claim
from hacluster.move import Intent
from hacluster.ports import World
from hacluster.problems import Problem, Refused, kind
from hacluster.rehearsal import find, look
from hacluster.watching import GRACE, STILL_MOVING, Moved, Progress, Tell, watch

log = structlog.get_logger(__name__)

NO_CLAIM = kind("HA443", "There is no move to resume", "No claim stands on this VM.")


def move(world: World, name: str, target: str | None, *, tell: Tell, timeout: float | None = None) -> Moved:
    """Move a VM live. Raises Refused with every finding before anything is changed, or with how the move failed.

    `timeout` is how long to watch, in seconds; the VM's own migration timeout and a minute by default.
    """
    tell(Progress("checking"))
    vm, claim, before = _prepare(world, name, target)
    intent = Intent(name, vm.uuid, claim.source, claim.target, before)
    began = world.clock.now()
    log.info("move", vm=name, source=claim.source, target=claim.target)
    if not world.pacemaker.create_constraint(claims.to_xml(claim)):
        again = look(world)
        raise Refused(preflight.check(rehearsal.questions(world, again, vm, claim.target)) or _raced(name))
    return watch(world, vm, intent, began, tell=tell, timeout=timeout)


def rehearse(world: World, name: str, target: str | None) -> Claim:
    """Everything that `move` does before it changes anything; the claim that it would make. Raises Refused."""
    return _prepare(world, name, target)[1]


def _prepare(world: World, name: str, target: str | None) -> tuple[managed.ManagedVm, Claim, history.History]:
    looked = look(world)
    vm = find(looked, name)
    asked = rehearsal.choose(world, looked, vm, target)
    assert asked.source is not None  # preflight found exactly one copy
    claim = Claim(name, asked.source, asked.target, _owner(), os.getpid(), int(world.clock.wall()))
    rehearsal.rehearse(world, looked, claim)
    return vm, claim, history.operations(looked.cib, name)


def resume(world: World, name: str, target: str | None = None, *, tell: Tell, timeout: float | None = None) -> Moved:
    """Go on with a move whose hactl is gone, from what the cluster itself says. Raises as `move` does.

    A move to another node than `target` is not resumed: its end would not be what was asked for.
    """
    looked = look(world)
    vm = find(looked, name)
    claim = claims.find(looked.cib, name)
    if claim is None:
        raise Refused(NO_CLAIM(f"nothing moves {name}", where=f"vm {name}", remedy=f"hactl vm move {name} NODE"))
    if target not in (None, claim.target):
        raise Refused(
            preflight.MOVE_UNDER_WAY(
                f"{name} is being moved to {claim.target}, not to {target}",
                where=f"vm {name}",
                remedy=f"hactl vm move {name} {claim.target} --resume",
            )
        )
    before = _before(looked.cib, name, claim)
    intent = Intent(name, vm.uuid, claim.source, claim.target, before)
    began = world.clock.now() - max(0.0, world.clock.wall() - claim.since)
    return watch(world, vm, intent, began, tell=tell, timeout=timeout, grace=GRACE)


def interrupted(name: str, target: str | None) -> Problem:
    """What to tell somebody who stopped watching."""
    return STILL_MOVING(
        f"hactl stopped watching; the move of {name} goes on in Pacemaker",
        where=f"vm {name}",
        remedy=f"hactl vm move {name} {target or 'NODE'} --resume",
    )


def _before(cib: etree._Element, vm: str, claim: Claim) -> history.History:
    """What was recorded before a claim was made, as far as the records' own times tell (whole seconds)."""
    return {
        node: tuple(op for op in ops if op.changed < claim.since) for node, ops in history.operations(cib, vm).items()
    }


def _owner() -> str:
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def _raced(name: str) -> Problem:
    return preflight.MOVE_UNDER_WAY(
        f"somebody else claimed {name} at the same moment", where=f"vm {name}", remedy=f"hactl vm show {name}"
    )

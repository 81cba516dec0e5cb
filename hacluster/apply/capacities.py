"""Tells Pacemaker what the nodes have for VMs, beside the push: what grows before it, what shrinks after it.

So there is no moment in which VMs use what no node has yet, or no node has any more. Each value is set by itself,
through crm_attribute: Pacemaker holds an election when another tool changes <nodes>, and not when this one does.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import structlog
from lxml import etree

from hacluster.apply.prepare import Prepared
from hacluster.cib import capacities, difference
from hacluster.observe.read import version
from hacluster.ports import World

log = structlog.get_logger(__name__)

Tell = Callable[[str], None]


def grow(world: World, prepared: Prepared, tell: Tell) -> Prepared | None:
    """Set what grows, and plan the same for the CIB as it is then. None when somebody else changed it meanwhile.

    Nothing is set when the CIB is another one already. Raises Refused, Unreachable.
    """
    growing = [room for room in _rooms(prepared) if room.grows]
    if not growing:
        return prepared
    live = etree.fromstring(world.pacemaker.cib())
    if difference.changes(prepared.before, live):
        return None
    tell(f"what {', '.join(dict.fromkeys(room.node for room in growing))} has for VMs")
    for room in growing:
        world.pacemaker.set_utilization(room.node, room.name, room.new)
    live = etree.fromstring(world.pacemaker.cib())
    expected = deepcopy(prepared.before)
    capacities.put(expected, growing)
    if difference.changes(expected, live):
        return None
    log.info("capacities grew", rooms=[f"{room.node} {room.name}={room.new}" for room in growing])
    planned = replace(prepared.plan, planned=version(live)[:2], digest=difference.digest(live))
    return replace(prepared, before=live, plan=planned)


def shrink(world: World, prepared: Prepared) -> None:
    """Set what shrinks. Raises Refused, Unreachable."""
    for room in _rooms(prepared):
        if not room.grows:
            world.pacemaker.set_utilization(room.node, room.name, room.new)
            log.info("a capacity shrank", node=room.node, name=room.name, value=room.new)


def _rooms(prepared: Prepared) -> tuple[capacities.Room, ...]:
    return capacities.differences(prepared.before, etree.fromstring(prepared.plan.desired))

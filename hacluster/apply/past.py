"""Reading and keeping the records of what was applied, over the ports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog
from lxml import etree

from hacluster.apply import record
from hacluster.apply.record import Record
from hacluster.ports import Unknown, Unreachable, World
from hacluster.problems import Problem, Refused, kind

log = structlog.get_logger(__name__)

UNKNOWN_PAST = kind(
    "HA352",
    "What was last applied is not known",
    "Without it, hactl cannot tell what others did to the things that it owns from what the spec changed: all of that "
    "is shown as a change of the spec.",
    severity="warning",
)


def read(world: World, checksums: Sequence[str], nodes: Iterable[str]) -> dict[str, Record]:
    """Those of the records that any of the nodes has, whole, by their checksums. The nodes are asked one after another,
    the one that the cluster is asked through first."""
    found: dict[str, Record] = {}
    first = world.pacemaker.local_node()
    for node in sorted(nodes, key=lambda name: name != first):
        missing = [each for each in checksums if each not in found]
        if not missing:
            break
        there = world.hosts.read(node, [record.path(each) for each in missing])
        if isinstance(there, Unknown):
            continue
        for each in missing:
            content = there.get(record.path(each))
            # A file's last line end may be lost on the way; the checksum is that of the text with it.
            whole = None if content is None else content.rstrip(b"\n") + b"\n"
            if whole is not None and record.checksum(whole) == each:
                try:
                    found[each] = record.decode(whole)
                except ValueError as error:
                    log.warning("record not read", node=node, record=each, reason=str(error))
    return found


def last(world: World, live: etree._Element, nodes: Iterable[str]) -> tuple[Record | None, tuple[Problem, ...]]:
    """The record that the live CIB names, and what is to be said when it cannot be had. Both are nothing where hactl
    has never applied anything."""
    named = record.applied(live)
    if not named:
        return None, ()
    found = read(world, [named], nodes).get(named)
    if found is not None:
        return found, ()
    unknown = UNKNOWN_PAST(
        f"no node has the record {named} of what was last applied",
        where="CIB",
        remedy="read the changes below as if each could be somebody else's; the next apply writes a new record",
        path=record.path(named),
    )
    return None, (unknown,)


def forget(world: World, checksums: Sequence[str], nodes: Iterable[str]) -> None:
    """Delete records everywhere. Best effort: one that stays is in nobody's way."""
    if not checksums:
        return
    for node in nodes:
        try:
            world.hosts.remove(node, [record.path(each) for each in checksums])
        except (Unreachable, Refused, OSError) as error:
            log.warning("old records stay", node=node, reason=str(error))

"""Which VM Pacemaker places before which: one order for all rules together. Pure.

Of two VMs that a rule binds, Pacemaker places one first and the other in view of it. Where rules taken together make a
circle of that, it breaks the circle somewhere and keeps not even the hard rules on it: with "a, b, c apart" and "c, a
apart", written in this order, two of them came to run on one node (crm_simulate of Pacemaker 2.1.5). So anti-affinity,
which means the same in any order, is written in the one order that affinity leaves.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hacluster import model

Rule = model.Affinity | model.AntiAffinity


@dataclass(frozen=True, slots=True)
class Precedence:
    """Each VM's position; the names of anti-affinities of two sides whose own side comes first, not the other; and the
    rules that fit into no order with those before them."""

    position: Mapping[str, int]
    turned: frozenset[str]
    circular: tuple[Rule, ...]


def of(
    vms: Iterable[str], affinities: Iterable[model.Affinity], anti_affinities: Iterable[model.AntiAffinity]
) -> Precedence:
    """The order of `vms`: as given, as far as the rules allow."""
    after: dict[str, set[str]] = {}
    turned: set[str] = set()
    circular: list[Rule] = []
    for near in affinities:
        if not _add(after, f" {near.name}", near.vms[:1], near.vms[1:]):
            circular.append(near)
    for far in anti_affinities:
        if not far.apart_from or _add(after, f"  {far.name}", far.apart_from, far.vms):
            continue
        if _add(after, f"  {far.name}", far.vms, far.apart_from):
            turned.add(far.name)
        else:
            circular.append(far)
    return Precedence(_sorted(list(vms), after), frozenset(turned), tuple(circular))


def _add(after: dict[str, set[str]], between: str, first: tuple[str, ...], then: tuple[str, ...]) -> bool:
    """Have every one of `first` come before every one of `then`, by way of a place of their own (a name that no VM
    has); or nothing and False where that makes a circle."""
    if _reached(after, then) & set(first):
        return False
    for vm in first:
        after.setdefault(vm, set()).add(between)
    after.setdefault(between, set()).update(then)
    return True


def _reached(after: Mapping[str, set[str]], begin: Iterable[str]) -> set[str]:
    """All that comes after any of `begin`, and these."""
    seen: set[str] = set()
    todo = list(begin)
    while todo:
        place = todo.pop()
        if place not in seen:
            seen.add(place)
            todo += after.get(place, ())
    return seen


def _sorted(vms: list[str], after: Mapping[str, set[str]]) -> dict[str, int]:
    """Topologically, and by the order given where that leaves a choice."""
    rank = {vm: i for i, vm in enumerate(vms)}
    waits = dict.fromkeys(rank, 0)
    for thens in after.values():
        for then in thens:
            waits[then] = waits.get(then, 0) + 1
    ready = [(rank.get(place, -1), place) for place, count in waits.items() if not count]
    heapq.heapify(ready)
    position: dict[str, int] = {}
    while ready:
        _, place = heapq.heappop(ready)
        if place in rank:
            position[place] = len(position)
        for then in after.get(place, ()):
            waits[then] -= 1
            if not waits[then]:
                heapq.heappush(ready, (rank.get(then, -1), then))
    return position

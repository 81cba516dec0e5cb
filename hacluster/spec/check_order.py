"""Does any VM wait for itself? A start order that goes in a circle is shown as the circle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hacluster.spec import kinds
from hacluster.spec.check_placement import members
from hacluster.spec.scalars import Found

# A VM by its name, or the boundary between two steps of a start order: with it a step of a hundred VMs after another
# of a hundred is two hundred arrows, not ten thousand.
Place = str | tuple[str, int]


def check(draft: dict[str, Any], found: Found) -> None:
    """Add the first circle that the start orders make together."""
    circle = _circle(_arrows(draft))
    if circle is None:
        return
    vms = [place for place in circle if isinstance(place, str)]
    orders = list(dict.fromkeys(place[0] for place in circle if not isinstance(place, str)))
    found.append(
        kinds.ORDER_LOOP(
            " then ".join([*vms, vms[0]]) if len(vms) > 1 else f"{vms[0]} stands in two steps of one order",
            where=orders[0],
            remedy="take one of them out of a step",
            orders=", ".join(orders),
        )
    )


def _arrows(draft: dict[str, Any]) -> Mapping[Place, Iterable[Place]]:
    arrows: dict[Place, list[Place]] = {}
    for table in draft["start_order"].values():
        steps = [members(step, draft) for step in table["steps"] or ()]
        for i, step in enumerate(steps):
            for vm in step:
                if i + 1 < len(steps):
                    arrows.setdefault(vm, []).append((table["where"], i))
                if i:
                    arrows.setdefault((table["where"], i - 1), []).append(vm)
    return arrows


def _circle(arrows: Mapping[Place, Iterable[Place]]) -> list[Place] | None:
    """A circle, as the places on it in order; found by walking on until a place of the way comes up again."""
    done: set[Place] = set()
    for start in arrows:
        way: dict[Place, None] = {}
        todo: list[tuple[Place, bool]] = [(start, False)]
        while todo:
            place, leaving = todo.pop()
            if leaving:
                way.pop(place)
                done.add(place)
            elif place in way:
                places = list(way)
                return places[places.index(place) :]
            elif place not in done:
                way[place] = None
                todo.append((place, True))
                todo += ((each, False) for each in arrows.get(place, ()))
    return None

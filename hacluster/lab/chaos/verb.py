"""What a verb of chaos is: something that goes wrong, or that somebody types, and how it is made good again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hacluster.lab.chaos.deeds import Aim, Deed
from hacluster.lab.chaos.scene import Scene

Healing = Callable[[], None]
Do = Callable[[Scene, Aim], tuple[Deed, Healing | None]]
"""Does it, and gives back what undoes it; None when nothing has to be undone. Raises Missed when it cannot be done."""

ANYWHERE = ("home", "other", "any")


@dataclass(frozen=True, slots=True)
class Verb:
    """One kind of fault or order.

    `group` is fault, move, operator or hand. `aims` says which nodes the seed may draw: `home`, `other`, or `any` for
    a node by its name. `hold` bounds the seconds until it is undone. `must_refuse` says that a guarded cluster has to
    refuse it. `kinds` are the clusters it makes sense in. A verb with weight 0 is only done when it is named.
    """

    name: str
    group: str
    about: str
    do: Do
    aims: tuple[str, ...] = ANYWHERE
    hold: tuple[float, float] = (0.0, 0.0)
    weight: int = 2
    must_refuse: bool = False
    kinds: tuple[str, ...] = ("guarded", "stock")

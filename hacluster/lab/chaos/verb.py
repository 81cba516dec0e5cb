"""What a verb of chaos is: something that goes wrong, or that somebody types, and how it is made good again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hacluster.lab.chaos.deeds import DONE, Aim, Deed
from hacluster.lab.chaos.scene import Scene

Healing = Callable[[], object]
Do = Callable[[Scene, Aim], tuple[Deed, Healing | None]]
"""Does it, and gives back what undoes it; None when nothing has to be undone. Raises Missed when it cannot be done."""


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
    aims: tuple[str, ...] = ("home", "other", "any")
    hold: tuple[float, float] = (0.0, 0.0)
    weight: int = 2
    must_refuse: bool = False
    kinds: tuple[str, ...] = ("guarded", "stock")


def in_node(script: str, undo: str = "", timeout: float = 60) -> Do:
    """A verb that is a shell script in the node aimed at. In both, `$vm`, `$xml` and `$seconds` stand for the aim's."""

    def filled(scene: Scene, aim: Aim, text: str) -> str:
        return f"vm={aim.vm} xml=$(echo {scene.config(aim.vm)}) seconds={aim.seconds}; {text}"

    def do(scene: Scene, aim: Aim) -> tuple[Deed, Healing | None]:
        node = scene.node(aim)
        deed = scene.sh(node, filled(scene, aim, script), timeout)
        return located(node, deed), (lambda: scene.sh(node, filled(scene, aim, undo), timeout)) if undo else None

    return do


def located(node: str, deed: Deed) -> Deed:
    """The deed, with the node it was done on."""
    return Deed(deed.outcome, f"{node}: {deed.said}" if deed.outcome != DONE else node)


def one_of(names: tuple[str, ...], pick: float) -> str:
    """The name that a number from 0 to 1 picks."""
    return names[int(pick * len(names)) % len(names)]

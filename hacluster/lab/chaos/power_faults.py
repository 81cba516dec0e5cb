"""Nodes that lose their power, hang, or lose their wires."""

from __future__ import annotations

from hacluster.lab.chaos.deeds import DONE, Aim, Deed, Missed
from hacluster.lab.chaos.scene import Scene
from hacluster.lab.chaos.verb import Healing, Verb


def power_cut(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """Pull the plug, and plug it in again. The node's BMC has power of its own and may be quicker."""
    node = scene.node(aim)
    scene.bed.power(node, "off")
    return Deed(DONE, node), lambda: _ignore(scene.bed.power(node, "on"))


def freeze(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """Every process of the node stands still, its vCPUs too; then it goes on as if nothing had been."""
    node = scene.node(aim)
    if scene.bed.power(node, "status") == "frozen":
        raise Missed(f"{node} is frozen already")
    scene.bed.power(node, "freeze")

    def thaw() -> None:
        if scene.bed.power(node, "status") == "frozen":
            scene.bed.power(node, "thaw")

    return Deed(DONE, node), thaw


def _ignore(state: str) -> None:
    del state


VERBS = (
    Verb("power-cut", "fault", "a node loses its power", power_cut, hold=(2, 12), weight=4),
    Verb("freeze", "fault", "a node hangs, and goes on unless it was fenced", freeze, hold=(1, 9), weight=3),
)

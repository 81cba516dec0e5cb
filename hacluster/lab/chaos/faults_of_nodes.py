"""Nodes that lose their power, hang, lose their wires, and boards that do not answer, or late."""

from __future__ import annotations

import os
import signal

from hacluster.lab.chaos import boards
from hacluster.lab.chaos.deeds import DONE, Aim, Deed, Missed
from hacluster.lab.chaos.scene import Scene
from hacluster.lab.chaos.verb import Do, Healing, Verb


def power_cut(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """Pull the plug, and plug it in again. The node's BMC has power of its own and may be quicker."""
    node = scene.node(aim)
    scene.bed.power(node, "off")
    return Deed(DONE, node), lambda: scene.switch_on(node)


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


def pulled(link: int | None) -> Do:
    """A corosync link out of the switch, or all of them; plugged in again if the node has not lost its power since."""

    def do(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
        node = scene.node(aim)
        scene.bed.link(node, False, link)
        return Deed(DONE, node), lambda: scene.plug(node)

    return do


def one_way(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """The node hears the others and is not heard: it knows a hardware address of theirs that nobody has."""
    node = scene.node(aim)
    others = [
        (f"eth{link}", address)
        for other in scene.cluster.nodes
        if other.name != node
        for link, address in enumerate(other.addresses)
    ]
    deaf = "; ".join(f"ip neigh replace {a} lladdr 02:00:00:00:00:01 dev {d} nud permanent" for d, a in others)
    heard = "; ".join(f"ip neigh del {a} dev {d}" for d, a in others)
    return scene.sh(node, deaf), lambda: scene.sh(node, heard)


def board_dead(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """The node's BMC does not answer."""
    pids = boards.processes(scene.bed, aim.node)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)

    def heal() -> None:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    return Deed(DONE, aim.node), heal


def board_slow(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """The node's BMC takes seconds for each order."""
    return Deed(DONE, aim.node), boards.replace(scene.bed, aim.node, boards.SLOW)


def board_lying(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """The node's BMC says that it has switched, and has not: what fencing must never be. Two copies are to follow."""
    return Deed(DONE, aim.node), boards.replace(scene.bed, aim.node, boards.LYING)


VERBS = (
    Verb("power-cut", "fault", "a node loses its power", power_cut, hold=(2, 12), weight=4),
    Verb("freeze", "fault", "a node hangs, and goes on unless it was fenced", freeze, hold=(1, 9), weight=3),
    Verb("links-pulled", "fault", "all of a node's links are pulled", pulled(None), hold=(1, 10), weight=3),
    Verb("link0-pulled", "fault", "the first link of a node is pulled", pulled(0), hold=(2, 12)),
    Verb("link1-pulled", "fault", "the migration link of a node is pulled", pulled(1), hold=(2, 12)),
    Verb("one-way", "fault", "a node hears the others and is not heard", one_way, hold=(2, 12)),
    Verb("board-dead", "fault", "a BMC does not answer", board_dead, aims=("any",), hold=(5, 20)),
    Verb("board-slow", "fault", "a BMC is slow", board_slow, aims=("any",), hold=(10, 25)),
    Verb("board-lying", "fault", "a BMC lies", board_lying, aims=("any",), hold=(60, 60), weight=0),
)

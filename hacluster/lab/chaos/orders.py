"""What operators type at the cluster: moves, and orders that come at bad moments."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from hacluster.lab.chaos.deeds import DONE, FAILED, REFUSED, Aim, Deed
from hacluster.lab.chaos.scene import Scene
from hacluster.lab.chaos.verb import Healing, Verb, in_node, located

MOVES_WITHIN = 150.0
CUT_WITHIN = 4.0
"""Seconds from the beginning of a move within which it is broken: hactl looks for two of them, then it migrates."""
WORST = (FAILED, REFUSED, DONE)


def move(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """A live move."""
    target = scene.other(aim)
    return located(f"to {target}", scene.typed(scene.prompt(), scene.move(aim.vm, target), MOVES_WITHIN)), None


def two_movers(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """Two operators, on two nodes, move one VM to two places at once; what became of both."""
    here = scene.home(aim)
    targets = [node for node in scene.powered() if node != here]
    if len(targets) < 2:
        return move(scene, aim)
    with ThreadPoolExecutor(2) as pool:
        orders = [pool.submit(scene.typed, target, scene.move(aim.vm, target), MOVES_WITHIN) for target in targets[:2]]
        deeds = [order.result() for order in orders]
    said = "; ".join(f"to {target}: {deed.outcome} {deed.said}" for target, deed in zip(targets, deeds, strict=False))
    return Deed(max((deed.outcome for deed in deeds), key=WORST.index), said), None


def move_killed(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """The operator's command is killed in the middle, and taken up again where there is a way to."""
    target, prompt, seconds = scene.other(aim), scene.prompt(), aim.pick * CUT_WITHIN + 0.5
    words = scene.move(aim.vm, target)
    scene.run(prompt, ["timeout", "-s", "KILL", f"{seconds:.2f}", *words], 30)
    again = scene.move_again(aim.vm, target)
    time.sleep(aim.seconds)
    deed = scene.typed(scene.prompt(), again, MOVES_WITHIN)
    return Deed(deed.outcome, f"to {target}, killed after {seconds:.1f} s; {' '.join(again)}: {deed.said}"), None


def move_cut(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """The migration network of the target goes away in the middle of a move."""
    target = scene.other(aim)
    with ThreadPoolExecutor(1) as pool:
        order = pool.submit(scene.typed, scene.prompt(), scene.move(aim.vm, target), MOVES_WITHIN)
        time.sleep(aim.pick * CUT_WITHIN)
        scene.bed.link(target, False, 1)
        time.sleep(aim.seconds)
        scene.plug(target)
        deed = order.result()
    return located(f"to {target}", deed), None


def foreign_move(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """Pacemaker's own tool moves it, and the constraint that it leaves is cleared later."""
    target = scene.other(aim)
    deed = scene.typed(scene.prompt(), ["crm_resource", "--move", "-r", aim.vm, "-N", target], 30)
    return located(f"to {target}", deed), lambda: _clear(scene, aim)


def ban(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """It is banned from its node, and allowed there again later."""
    here = scene.home(aim)
    deed = scene.typed(scene.prompt(), ["crm_resource", "--ban", "-r", aim.vm, "-N", here], 30)
    return located(here, deed), lambda: _clear(scene, aim)


def _clear(scene: Scene, aim: Aim) -> Deed:
    return scene.typed(scene.prompt(), ["crm_resource", "--clear", "-r", aim.vm], 30)


def clean_up(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """Its failures are forgotten, whatever it is doing now."""
    return scene.typed(scene.prompt(), scene.clean_up(aim.vm), 120), None


def refresh(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """All of its history is forgotten: Pacemaker probes every node, whatever it is doing now."""
    return scene.typed(scene.prompt(), ["crm_resource", "--refresh", "-r", aim.vm], 60), None


def unmanage(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """Pacemaker may only look at it for a while."""

    def order(*words: str) -> Deed:
        return scene.typed(scene.prompt(), ["crm_resource", "--meta", "-r", aim.vm, *words], 30)

    return order("-p", "is-managed", "-v", "false"), lambda: order("-d", "is-managed")


def maintenance(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """Pacemaker may only look at everything for a while."""
    del aim

    def order(*words: str) -> Deed:
        return scene.typed(scene.prompt(), ["crm_attribute", "-n", "maintenance-mode", *words], 30)

    return order("-v", "true"), lambda: order("-D")


def standby(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """A node is to give all its VMs away, and may have some again later."""
    node = scene.node(aim)

    def order(*words: str) -> Deed:
        return scene.typed(scene.prompt(), ["crm_attribute", "-N", node, "-n", "standby", *words], 30)

    return located(node, order("-v", "on")), lambda: order("-D")


def stop(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """The VM is stopped, and started again."""
    deed = scene.typed(scene.prompt(), scene.power(aim.vm, "stop"), 120)
    return deed, lambda: scene.typed(scene.prompt(), scene.power(aim.vm, "start"), 120)


def leave_in_maintenance(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """Maintenance mode, then Pacemaker is stopped under running guests: a clean leave, nobody is fenced."""
    node = scene.node(aim)
    maintenance(scene, aim)
    deed = scene.sh(node, "timeout 40 systemctl stop pacemaker && systemctl stop corosync", 60)
    scene.typed(scene.prompt(node), ["crm_attribute", "-n", "maintenance-mode", "-D"], 30)
    return located(node, deed), lambda: scene.sh(node, "systemctl start corosync pacemaker", 60)


LEAVE = "timeout 90 systemctl stop pacemaker && systemctl stop corosync"
JOIN = "systemctl start corosync pacemaker"

VERBS = (
    Verb("move", "move", "a live move", move, ("other",), weight=8),
    Verb("move-twice", "move", "two operators move one VM at once", two_movers, ("other",), weight=3),
    Verb("move-killed", "move", "the moving command is killed in the middle, and taken up again", move_killed,
         ("other",), (0, 5), weight=3),
    Verb("move-cut", "move", "the target's migration network goes away in a move", move_cut, ("other",), (1, 8), 3),
    Verb("foreign-move", "move", "crm_resource --move, cleared later", foreign_move, ("other",), (0, 10), 2),
    Verb("ban", "move", "crm_resource --ban from its node, cleared later", ban, ("home",), (0, 10)),
    Verb("cleanup", "operator", "its failures are forgotten", clean_up, ("home",)),
    Verb("refresh", "operator", "crm_resource --refresh", refresh, ("home",)),
    Verb("unmanage", "operator", "it is unmanaged for a while", unmanage, ("home",), (1, 10)),
    Verb("maintenance", "operator", "maintenance mode for a while", maintenance, ("home",), (1, 10)),
    Verb("standby", "operator", "a node is set standby for a while", standby, hold=(1, 12)),
    Verb("stop-start", "operator", "it is stopped and started", stop, ("home",), (0, 4), 1),
    Verb("leave", "operator", "the cluster is stopped on a node, and started", in_node(LEAVE, JOIN, 120),
         hold=(1, 6), weight=1),
    Verb("leave-in-maintenance", "operator", "maintenance mode, then the cluster is stopped on a node",
         leave_in_maintenance, hold=(2, 10), weight=1),
    Verb("libvirt-restart", "operator", "systemctl restart libvirtd",
         in_node("rm -f /run/libvirt/qemu/autostarted; systemctl restart libvirtd", timeout=60), hold=(0, 0)),
)  # fmt: skip

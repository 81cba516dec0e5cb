"""Processes that die or stand still: the cluster's daemons, libvirt's, the guard's, and QEMU itself."""

from __future__ import annotations

import os
import signal

from hacluster.lab.chaos.deeds import DONE, SKIPPED, Aim, Deed, Missed
from hacluster.lab.chaos.scene import Scene
from hacluster.lab.chaos.verb import Do, Healing, Verb, located, one_of

COROSYNC = ("corosync",)
PACEMAKER = (
    "pacemakerd", "pacemaker-based", "pacemaker-controld", "pacemaker-execd", "pacemaker-fenced", "pacemaker-attrd",
    "pacemaker-schedulerd",
)  # fmt: skip
KILL_GUARD = """
end=$(($(date +%s) + $1)); found=
while [ -z "$found" ] && [ $(date +%s) -le $end ]; do
    for p in /proc/[0-9]*; do
        words=$(tr '\\0' ' ' 2>/dev/null <$p/cmdline) || continue
        case $words in /usr/bin/python3*hacluster*)
            kill -KILL ${p#/proc/} 2>/dev/null && found=yes && echo "$words" | cut -c1-100;;
        esac
    done
done; true
"""
LIBVIRT = ("libvirtd", "libvirtd", "virtlogd", "virtlockd")


def killed(daemons: tuple[str, ...]) -> Do:
    """SIGKILL. Whoever has to start it again does, or the node is fenced."""

    def do(scene: Scene, aim: Aim) -> tuple[Deed, None]:
        node, daemon = scene.node(aim), one_of(daemons, aim.pick)
        return _named(daemon, located(node, scene.sh(node, f"kill -KILL $(pidof {daemon})", 15))), None

    return do


def stopped(daemons: tuple[str, ...]) -> Do:
    """SIGSTOP, and SIGCONT."""

    def do(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
        node, daemon = scene.node(aim), one_of(daemons, aim.pick)
        deed = scene.sh(node, f"kill -STOP $(pidof {daemon})", 15)
        return _named(daemon, located(node, deed)), lambda: scene.sh(node, f"kill -CONT $(pidof {daemon})", 15)

    return do


def guard_killed(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """The guard's processes on a node, as soon as there are any: agents, attendants, clients of the lock manager."""
    node = scene.node(aim)
    done = scene.run(node, ["sh", "-c", KILL_GUARD, "sh", str(int(aim.seconds))], aim.seconds + 15)
    said = " | ".join(line for line in done.stdout.splitlines() if line)
    return Deed(DONE if said else SKIPPED, f"{node}: {said or 'none ran'}"), None


def qemu_killed(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """The VM's own process, by this machine's hand."""
    copy = scene.observer.copy(aim.vm)
    if copy is None:
        raise Missed(f"{aim.vm} runs nowhere")
    os.kill(copy.pid, signal.SIGKILL)
    return Deed(DONE, copy.node), None


def qemu_stopped(scene: Scene, aim: Aim) -> tuple[Deed, Healing]:
    """The VM's own process stands still, and goes on."""
    copy = scene.observer.copy(aim.vm)
    if copy is None:
        raise Missed(f"{aim.vm} runs nowhere")
    os.kill(copy.pid, signal.SIGSTOP)

    def go_on() -> None:
        if scene.observer.alive(copy):
            os.kill(copy.pid, signal.SIGCONT)

    return Deed(DONE, copy.node), go_on


def _named(daemon: str, deed: Deed) -> Deed:
    return Deed(deed.outcome, f"{daemon} on {deed.said}")


VERBS = (
    Verb("kill-corosync", "fault", "kill -9 corosync", killed(COROSYNC)),
    Verb("stop-corosync", "fault", "SIGSTOP corosync, SIGCONT", stopped(COROSYNC), hold=(0.5, 8)),
    Verb("kill-pacemaker", "fault", "kill -9 one of Pacemaker's daemons", killed(PACEMAKER), weight=4),
    Verb("stop-pacemaker", "fault", "SIGSTOP one of Pacemaker's daemons, SIGCONT", stopped(PACEMAKER), hold=(1, 12),
         weight=3),
    Verb("kill-libvirt", "fault", "kill -9 one of libvirt's daemons", killed(LIBVIRT), weight=3),
    Verb("stop-libvirt", "fault", "SIGSTOP one of libvirt's daemons, SIGCONT", stopped(LIBVIRT), hold=(1, 15),
         weight=3),
    Verb("kill-guard", "fault", "kill -9 agents, attendants and lock clients of a node", guard_killed,
         hold=(2, 6), kinds=("guarded",)),
    Verb("kill-qemu", "fault", "kill -9 the VM itself", qemu_killed, aims=("home",)),
    Verb("stop-qemu", "fault", "SIGSTOP the VM itself, SIGCONT", qemu_stopped, aims=("home",), hold=(1, 12)),
)  # fmt: skip

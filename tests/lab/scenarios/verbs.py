"""What can be done in a scenario, as text, and what it means in a real cluster. The words are those of the simulator's
tests/scenarios/verbs.py; what is not here cannot be done in the namespace lab."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from functools import partial

from hacluster.lab.chaos import boards
from hacluster.lab.chaos.faults_of_storage import BACK, EMPTY, FULL, GONE
from hacluster.lab.chaos.scene import Scene
from tests.lab.scenarios.people import NOTE, SAVED, TYPED, Person, typed
from tests.lab.scenarios.taps import REACHED, WANTED
from tests.scenarios.scenario import Step

HOOK = "/etc/libvirt/hooks/qemu.d/hacluster"
PYTHON = "/usr/bin/python3"
STRANGER = f"nohup {PYTHON} -ISc 'import time; time.sleep(600)' -uuid {{uuid}} >/dev/null 2>&1 & echo $! >/tmp/stranger"
FULL_RUN = "mount -o remount,size=$(df -k --output=used /run | tail -n 1)k /run; cat /dev/zero >/run/filled; true"
EMPTY_RUN = "rm -f /run/filled; mount -o remount,size=256m /run"
LOST = """
port=$(ss -tnpH state established dport = :16509 | sed -n 's/.*:\\([0-9]*\\) .*:16509 .*"virsh".*/\\1/p')
test -n "$port" && nft "add table inet stage; add chain inet stage in { type filter hook input priority 0; }; \\
add rule inet stage in tcp sport 16509 tcp dport { $(echo $port | tr ' ' ',') } drop"
"""
"""What comes back to the virsh that drives a migration from here is lost; what it says arrives."""
REFUSED = """nft 'add table inet stage; add chain inet stage in { type filter hook input priority 0; }; \\
add rule inet stage in tcp dport 49152-49215 reject with tcp reset'"""
"""No guest's memory reaches a node any more, nor the rest of one that is being sent."""
FREED = "nft delete table inet stage 2>/dev/null; true"
LIBVIRTD = "/usr/sbin/libvirtd"
SOCKETS = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd-tcp.socket"
DEAD = f"mount --bind /dev/null {LIBVIRTD}; pkill -KILL -x libvirtd"
"""Dead until somebody starts it: systemd, which would start another at once, finds no program."""
STARTED = f"""while findmnt -n {LIBVIRTD}; do umount {LIBVIRTD}; done
systemctl reset-failed libvirtd {SOCKETS}; systemctl start {SOCKETS}; systemctl start libvirtd"""
DEAF = "ip neigh replace {address} lladdr 02:00:00:00:00:01 dev eth{link} nud permanent"
HEARD = "ip neigh del {address} dev eth{link} 2>/dev/null; true"
AGENT = "[V]irtualDomain(.real)? (start|stop|monitor|migrate)"
KILLED = """
for pid in $(pgrep -f '{agent}'); do
    does=$(tr '\\0' '\\n' </proc/$pid/cmdline | tail -n 1)
    kill -KILL $pid && mv "{wanted}/$does ends".* {reached}/ 2>/dev/null
done
"""
"""An agent that is killed has ended: its tap, if it has one, dies with it."""


class Verbs:
    """All of them, over a scene. `people` are those who typed something, by name."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.people: dict[str, Person] = {}
        self._steps = 0
        self._deaf: list[tuple[str, str]] = []
        self._strangers: list[str] = []

    def act(self, step: Step) -> Callable[[], object]:
        """What a step does, ready to be done also in the middle of something else."""
        words = step.do.split()
        if words[0] in TYPED:
            return lambda: self._type(step, words)
        for pattern, do in PATTERNS:
            if found := re.fullmatch(pattern, step.do):
                return partial(do, self, *found.groups())
        raise AssertionError(f"nobody does this in the lab: {step.do}")

    # ---- people

    def _type(self, step: Step, words: list[str]) -> Person:
        self._steps += 1
        node, argv = typed(self._scene, step, words)
        if words[:2] == ["virsh", "restore"]:
            self._carry(node)
        name = step.by or f"nobody{self._steps}"
        person = self.people[name] = Person(self._scene, node, name, argv)
        if not step.meanwhile:
            person.wait()
        return person

    def _carry(self, node: str) -> None:
        """Give a node the image that somebody saved, wherever he did."""
        for other in self._scene.powered():
            image = self._scene.run(other, ["base64", SAVED], 30)
            if other != node and image.returncode == 0:
                self._scene.bed.exec(node, ["sh", "-c", f"base64 -d >{SAVED}"], stdin=image.stdout)

    def _kill_person(self, who: str) -> None:
        person = self.people[who]
        self._scene.sh(person.node, f"kill -KILL $(cat {NOTE}.{who})")

    # ---- nodes and what runs on them

    def board(self, node: str, how: str) -> None:
        """What a node's board does from now on."""
        bed = self._scene.bed
        boards.put_back(bed, node)
        if how == "dead":
            for pid in boards.processes(bed, node):
                os.kill(pid, signal.SIGSTOP)
        elif how != "works":
            boards.replace(bed, node, {"slow": boards.SLOW, "lies": boards.LYING}[how])

    def _heal(self) -> None:
        for node in self._scene.nodes:
            self._scene.plug(node)
        while self._deaf:
            self._neighbours(*self._deaf.pop(), HEARD)

    def _deafen(self, node: str, other: str) -> None:
        self._deaf.append((node, other))
        self._neighbours(node, other, DEAF)

    def _neighbours(self, node: str, other: str, command: str) -> None:
        """What `other` does about the addresses of `node`, on each link."""
        addresses = next(known.addresses for known in self._scene.cluster.nodes if known.name == node)
        script = "; ".join(command.format(address=address, link=link) for link, address in enumerate(addresses))
        self._scene.sh(other, script)

    def _qemu(self, order: str, vm: str, node: str) -> None:
        name = {"kill": "KILL", "SIGSTOP": "STOP", "SIGCONT": "CONT"}[order]
        self._scene.sh(node, f"pkill -{name} -f '[g]uest={vm},'")

    def _daemon(self, order: str, what: str, node: str) -> None:
        if (order, what) == ("kill", "agent"):
            self._scene.sh(node, KILLED.format(agent=AGENT, wanted=WANTED, reached=REACHED))
            return
        if (order, what) == ("kill", "libvirtd"):
            self._scene.sh(node, DEAD)
            return
        name = {"kill": "KILL", "SIGSTOP": "STOP", "SIGCONT": "CONT"}[order]
        pattern = {"agent": f"-f '{AGENT}'", "virsh": "-f '^virsh.* migrate'"}.get(what, f"-x {what[:15]}")
        self._scene.sh(node, f"pkill -{name} {pattern}")

    def _storage(self, node: str, how: str) -> None:
        for vm in self._scene.vms:
            self._scene.sh(node, f"vm={vm}; test -e /dev/lab/{vm} -o -e /dev/lab/{vm}.away || exit 0; "
                                 f"{GONE if how == 'gone' else BACK}")  # fmt: skip

    def _admins_hook(self, node: str) -> None:
        path = "/etc/libvirt/hooks/qemu"
        self._scene.sh(node, f"printf '#!/bin/sh\\nexit 0\\n' >{path}; chmod 755 {path}; systemctl restart libvirtd")

    def _copy_fails(self) -> None:
        for node in self._scene.powered():
            self._scene.sh(node, REFUSED)

    def _copy_works(self) -> None:
        for node in self._scene.powered():
            self._scene.sh(node, FREED)

    def _lose_reply(self) -> None:
        for node in self._scene.powered():
            self._scene.sh(node, LOST)

    def _python(self, node: str, on: str) -> None:
        there, away = f"{PYTHON}.away", PYTHON
        self._scene.sh(node, f"mv {there} {away}" if on == "on" else f"mv {away} {there}")

    def _fill(self, node: str, folder: str) -> None:
        self._scene.sh(node, {"/var": FULL, "/run": FULL_RUN}[folder])

    def _empty(self, node: str, folder: str) -> None:
        self._scene.sh(node, {"/var": EMPTY, "/run": EMPTY_RUN}[folder])

    def _power(self, order: str, node: str) -> None:
        if order == "cut":
            self._scene.bed.power(node, "off")
        else:
            self._scene.switch_on(node)

    def _unplug(self, node: str, link: str) -> None:
        self._scene.bed.link(node, False, int(link))

    def _isolate(self, nodes: str) -> None:
        for node in nodes.split():
            self._scene.bed.link(node, False)

    def _start_libvirtd(self, node: str) -> None:
        self._scene.sh(node, STARTED)

    def _delete_config(self, vm: str, node: str) -> None:
        self._scene.sh(node, f"rm -f {self._scene.config(vm)}")

    def _hook(self, node: str, on: str) -> None:
        self._scene.sh(node, f"chmod {'+x' if on == 'on' else '-x'} {HOOK}")

    def _guard(self, node: str, version: str) -> None:
        self._scene.sh(node, f"attrd_updater -n hacluster-guard -U {version}")

    def _stranger(self, vm: str, node: str) -> None:
        self._strangers.append(node)
        self._scene.sh(node, STRANGER.format(uuid=self._scene.vms[vm].uuid))

    def leave(self) -> None:
        """Whoever was there only to be seen goes: what he looked like would be held against the end."""
        for node in self._strangers:
            self._scene.sh(node, "kill $(cat /tmp/stranger)")

    def _remove_claim(self, vm: str) -> None:
        claim = f"//rsc_location[@id='hactl-move-{vm}']"
        self._scene.sh(self._scene.nodes[-1], f'cibadmin --delete --xpath "{claim}"')


PATTERNS: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"power (cut|on) (\S+)", Verbs._power),
    (r"board (\S+) (works|lies|dead|slow)", Verbs.board),
    (r"isolate (.+)", Verbs._isolate),
    (r"deafen (\S+) to (\S+)", Verbs._deafen),
    (r"unplug (\S+) ([01])", Verbs._unplug),
    (r"heal", Verbs._heal),
    (r"(kill|SIGSTOP|SIGCONT) qemu (\S+) (\S+)", Verbs._qemu),
    (r"(kill|SIGSTOP|SIGCONT) (\S+) (\S+)", Verbs._daemon),
    (r"kill (\S+)", Verbs._kill_person),
    (r"start libvirtd (\S+)", Verbs._start_libvirtd),
    (r"storage (\S+) (gone|well)", Verbs._storage),
    (r"delete config (\S+) (\S+)", Verbs._delete_config),
    (r"hook (\S+) (off|on)", Verbs._hook),
    (r"guard (\S+) (\S+)", Verbs._guard),
    (r"stranger (\S+) (\S+)", Verbs._stranger),
    (r"admin's hook (\S+)", Verbs._admins_hook),
    (r"remove claim (\S+)", Verbs._remove_claim),
    (r"the copy fails", Verbs._copy_fails),
    (r"the copy works", Verbs._copy_works),
    (r"lose the reply", Verbs._lose_reply),
    (r"python (\S+) (off|on)", Verbs._python),
    (r"fill (\S+) (/run|/var)", Verbs._fill),
    (r"empty (\S+) (/run|/var)", Verbs._empty),
)


def can_do(do: str) -> bool:
    """Whether the lab knows how to do this."""
    if do.split(maxsplit=1)[0] in (*TYPED, "wait", "settle"):
        return True
    return any(re.fullmatch(pattern, do) for pattern, _ in PATTERNS)

"""What can be done in a scenario, as text, and what it means in a real cluster. The words are those of the simulator's
tests/scenarios/verbs.py; what is not here cannot be done in the namespace lab."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from functools import partial

from hacluster.lab.chaos import boards
from hacluster.lab.chaos.faults_of_storage import BACK, GONE
from hacluster.lab.chaos.scene import Scene
from tests.lab.scenarios.taps import REACHED, WANTED
from tests.scenarios.scenario import Step

TYPED = ("hactl", "virsh", "pcs", "unmanaged")
TYPED_WITHIN = 240.0
PERSON = "/run/person"
HOOK = "/etc/libvirt/hooks/qemu.d/hacluster"
PYTHON = "/usr/bin/python3"
STRANGER = f"nohup {PYTHON} -ISc 'import time; time.sleep(600)' -uuid {{uuid}} >/dev/null 2>&1 & echo $! >/run/stranger"
UNMANAGED = """<domain type='qemu'><name>{name}</name><uuid>00000000-0000-4000-8000-{number:012x}</uuid>
<memory unit='KiB'>4096</memory><os><type arch='x86_64'>hvm</type></os><devices/></domain>"""
AGENT = "[V]irtualDomain(.real)? (start|stop|monitor|migrate)"
KILLED = """
for pid in $(pgrep -f '{agent}'); do
    does=$(tr '\\0' '\\n' </proc/$pid/cmdline | tail -n 1)
    kill -KILL $pid && mv "{wanted}/$does ends".* {reached}/ 2>/dev/null
done
"""
"""An agent that is killed has ended: its tap, if it has one, dies with it."""
ABORT = "for _ in 1 2 3 4 5 6 7 8 9 10; do virsh domjobabort {vm} && exit 0; sleep 0.1; done; exit 1"


class Person:
    """Somebody who typed a command in a node, and what came of it."""

    def __init__(self, scene: Scene, node: str, name: str, argv: list[str]) -> None:
        self.node = node
        self.words = argv
        note = ["sh", "-c", f'echo $$ >"{PERSON}.$0"; exec "$@"', name, *argv]
        self._process = subprocess.Popen(
            scene.bed.command(node, note), env=scene.bed.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.said = ""

    def wait(self) -> None:
        """To its end, or until the time is over: then it is left, and was not told."""
        try:
            self.said = self._process.communicate(timeout=TYPED_WITHIN)[0]
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.said = f"{self._process.communicate()[0]}\nstill at it after {TYPED_WITHIN:.0f} s"

    @property
    def told(self) -> list[str]:
        """The outcome in words: done, failed, killed, silence, or the codes of a refusal."""
        code = self._process.returncode
        if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
            return ["killed"]
        if code == 0:
            return ["done"]
        codes = re.findall(r"\bHA\d{3}\b", self.said)
        return [*codes, "silence", "failed"] if "HA604" in codes or "HA603" in codes else [*codes, "failed"]


class Verbs:
    """All of them, over a scene. `people` are those who typed something, by name."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.people: dict[str, Person] = {}
        self._steps = 0

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

    def _type(self, step: Step, words: list[str]) -> None:
        self._steps += 1
        node, argv = self._typed(step, words)
        name = step.by or f"nobody{self._steps}"
        person = self.people[name] = Person(self._scene, node, name, argv)
        if not step.meanwhile:
            person.wait()

    def _typed(self, step: Step, words: list[str]) -> tuple[str, list[str]]:
        """Where it is typed, and what."""
        scene = self._scene
        if words[0] == "hactl":
            return step.on or "n3", words
        if words[:3] in (["pcs", "cluster", "stop"], ["pcs", "cluster", "start"]) and len(words) > 3:
            return words[3], words[:3]
        if words[:3] == ["pcs", "resource", "move"]:  # which otherwise waits until the VM has arrived
            return step.on or "n3", ["pcs", "resource", "move-with-constraint", *words[3:]]
        if words[0] == "pcs":
            return step.on or "n3", words
        if words[0] == "unmanaged":
            xml = UNMANAGED.format(name=words[1], number=len(words[1]))
            return words[2], ["sh", "-c", f'echo "{xml}" >/run/{words[1]}.xml; virsh create /run/{words[1]}.xml']
        command, vm = words[1], words[2] if len(words) > 2 else ""
        node = step.on or scene.observer.home(vm) or "n1"
        if command in ("create", "define"):
            return node, ["sh", "-c", f"virsh {command} {scene.config(vm)}"]
        if command == "migrate":
            uri = f"qemu+tcp://{scene.hosts[words[3]]}/system"
            return node, ["virsh", "migrate", "--live", vm, uri]
        return node, ["virsh", *words[1:]]

    def _kill_person(self, who: str) -> None:
        person = self.people[who]
        self._scene.sh(person.node, f"kill -KILL $(cat {PERSON}.{who})")

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

    def _qemu(self, order: str, vm: str, node: str) -> None:
        name = {"kill": "KILL", "SIGSTOP": "STOP", "SIGCONT": "CONT"}[order]
        self._scene.sh(node, f"pkill -{name} -f '[g]uest={vm},'")

    def _daemon(self, order: str, what: str, node: str) -> None:
        if (order, what) == ("kill", "agent"):
            self._scene.sh(node, KILLED.format(agent=AGENT, wanted=WANTED, reached=REACHED))
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
            for vm in self._scene.vms:
                if (
                    self._scene.sh(node, f"grep -q \"async='migration out'\" /run/libvirt/qemu/{vm}.xml").outcome
                    == "done"
                ):
                    self._scene.sh(node, ABORT.format(vm=vm))
                    return

    def _power(self, order: str, node: str) -> None:
        if order == "cut":
            self._scene.bed.power(node, "off")
        else:
            self._scene.switch_on(node)

    def _unplug(self, node: str, link: str = "") -> None:
        self._scene.bed.link(node, False, int(link) if link else None)

    def _start_libvirtd(self, node: str) -> None:
        self._scene.sh(node, "systemctl reset-failed libvirtd; systemctl start libvirtd")

    def _delete_config(self, vm: str, node: str) -> None:
        self._scene.sh(node, f"rm -f {self._scene.config(vm)}")

    def _hook(self, node: str, on: str) -> None:
        self._scene.sh(node, f"chmod {'+x' if on == 'on' else '-x'} {HOOK}")

    def _guard(self, node: str, version: str) -> None:
        self._scene.sh(node, f"attrd_updater -n hacluster-guard -U {version}")

    def _stranger(self, vm: str, node: str) -> None:
        self._scene.sh(node, STRANGER.format(uuid=self._scene.vms[vm].uuid))

    def _remove_claim(self, vm: str) -> None:
        claim = f"//rsc_location[@id='hactl-move-{vm}']"
        self._scene.sh(self._scene.nodes[-1], f'cibadmin --delete --xpath "{claim}"')


PATTERNS: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"power (cut|on) (\S+)", Verbs._power),
    (r"board (\S+) (works|lies|dead|slow)", Verbs.board),
    (r"isolate (\S+)", Verbs._unplug),
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
)


def can_do(do: str) -> bool:
    """Whether the lab knows how to do this."""
    if do.split(maxsplit=1)[0] in (*TYPED, "wait", "settle"):
        return True
    return any(re.fullmatch(pattern, do) for pattern, _ in PATTERNS)

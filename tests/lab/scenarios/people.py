"""Who types a command in a scenario on the lab, where, and what he was told."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from hacluster.lab.chaos.scene import Scene
from tests.scenarios.scenario import Step

TYPED = ("hactl", "virsh", "pcs", "unmanaged")
LEFT_AFTER, TYPED_WITHIN = 60.0, 120.0
"""Seconds that others wait for a command; that it gets at the end of the scenario."""
NOTE = "/tmp/person"
"""Where a person's process notes its number; not in /run, which a scenario may fill up."""
SAVED = "/tmp/saved"
UNMANAGED = """<domain type='qemu'><name>{name}</name><uuid>00000000-0000-4000-8000-{number:012x}</uuid>
<memory unit='KiB'>4096</memory><os><type arch='x86_64'>hvm</type></os><devices/></domain>"""


class Person:
    """Somebody who typed a command in a node, and what came of it."""

    def __init__(self, scene: Scene, node: str, name: str, argv: list[str]) -> None:
        self.node = node
        self.words = argv
        note = ["sh", "-c", f'echo $$ >"{NOTE}.$0"; exec "$@"', name, *argv]
        self._process = subprocess.Popen(
            scene.bed.command(node, note), env=scene.bed.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.said = ""
        self._over = False

    def wait(self, seconds: float = LEFT_AFTER) -> None:
        """To its end, or so long: then others go on, and he is still at it."""
        if not self._over:
            with suppress(subprocess.TimeoutExpired):
                self.said = self._process.communicate(timeout=seconds)[0]
                self._over = True

    def watch(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """See him to his end, or so far, or for so long; what he says is heard by whoever waits for him."""
        end = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < end and not until():
            time.sleep(0.05)

    def leave(self) -> None:
        """The last wait: who is still at it afterwards is told nothing any more."""
        self.wait(TYPED_WITHIN)
        if not self._over:
            self._process.kill()
            self.said = f"{self._process.communicate()[0]}\nstill at it at the end"

    @property
    def told(self) -> list[str]:
        """The outcome in words: done, failed, killed, waits, silence, or the codes of a refusal."""
        if not self._over:
            return ["waits"]
        code = self._process.returncode
        if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
            return ["killed"]
        if code == 0:
            return ["done"]
        codes = re.findall(r"\bHA\d{3}\b", self.said)
        return [*codes, "silence", "failed"] if "HA604" in codes or "HA603" in codes else [*codes, "failed"]


def typed(scene: Scene, step: Step, words: list[str]) -> tuple[str, list[str]]:
    """Where a step's command is typed, and as what."""
    if words[0] == "hactl":
        return step.on or "n3", words
    if words[:3] in (["pcs", "cluster", "stop"], ["pcs", "cluster", "start"]) and len(words) > 3:
        return words[3], words[:3]
    if words[:3] == ["pcs", "resource", "move"]:  # which otherwise waits until the VM has arrived
        return step.on or "n3", ["pcs", "resource", "move-with-constraint", *words[3:]]
    if words[:3] == ["pcs", "stonith", "confirm"]:
        return step.on or "n3", [*words, "--force"]
    if words[0] == "pcs":
        return step.on or "n3", words
    if words[0] == "unmanaged":
        xml = UNMANAGED.format(name=words[1], number=len(words[1]))
        return words[2], ["sh", "-c", f'echo "{xml}" >/tmp/{words[1]}.xml; virsh create /tmp/{words[1]}.xml']
    return _virsh(scene, step, *words[1:])


def _virsh(scene: Scene, step: Step, command: str, vm: str = "", *rest: str) -> tuple[str, list[str]]:
    node = step.on or scene.observer.home(vm) or "n1"
    if command in ("create", "define"):
        return node, ["sh", "-c", f"virsh {command} {scene.config(vm)}"]
    if command == "migrate":
        return node, ["virsh", "migrate", "--live", vm, f"qemu+tcp://{scene.hosts[rest[0]]}/system"]
    if command in ("save", "restore"):
        return node, ["virsh", command, *([vm] if command == "save" else []), SAVED]
    return node, ["virsh", command, vm, *rest] if vm else ["virsh", command]

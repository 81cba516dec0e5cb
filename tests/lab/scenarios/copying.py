"""The points inside a live migration, in a real cluster: those who drive it can be made to stand still.

Memory is sent no faster than the target's QEMU takes it in. virsh drives the rest: the source performs, the target
finishes, the source confirms. While virsh stands still the copy ends and nobody is told; while the source's libvirtd
stands still the target finishes and nothing is confirmed. libvirt's status files, read from outside the nodes, say how
far each side is.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hacluster.lab.chaos.scene import Scene

BEGINS, COPIES, SWITCHES, FINISHES, GOES_ON, OVER = (
    "migration begins", "migration copies", "migration switches over", "migration finishes", "source goes on",
    "migration is over",
)  # fmt: skip
HELD = (COPIES, SWITCHES, FINISHES, GOES_ON)
"""Points that are watched for here; the others have a hook of libvirt's that waits."""
PERFORMS, PERFORMED, ARRIVING = "phase='perform3'", "phase='perform3_done'", "async='migration in'"
WITHIN = 20.0
STATUS = 30000
"""Characters of a status file that hold what libvirt knows beside the domain's XML."""
LOOK = 0.01
VIRSH = "-f '^virsh.* migrate '"


class Copying:
    """What is known of the migrations on a scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._copied: set[str] = set()

    def reached(self, at: str, vm: str, only: str) -> str | None:
        """The source of the VM's migration when it is at this point, which then waits for `let_go`; else None.

        `only` is the node that must be where the point is: the target for the finish, else the source; empty for any.
        """
        if at == GOES_ON:
            return self._goes_on(vm, only)
        source = self._performing(vm)
        if source is None or (only and only != (self._target(vm, source) if at == FINISHES else source)):
            return None
        if at == COPIES:
            self._arriving(vm, signal.SIGSTOP)
            if PERFORMS not in self._status(source, vm):  # too late: it has arrived
                self._arriving(vm, signal.SIGCONT)
                return None
        else:
            self._scene.sh(source, f"pkill -STOP {VIRSH}")
            if not self._until(lambda: PERFORMED in self._status(source, vm)):
                self._scene.sh(source, f"pkill -CONT {VIRSH}")
                return None
        if at == FINISHES:
            target = self._target(vm, source)
            self._scene.sh(source, "pkill -STOP -x libvirtd")
            self._scene.sh(source, f"pkill -CONT {VIRSH}")
            self._until(lambda: target is not None and ARRIVING not in self._status(target, vm))
        return source

    def let_go(self, at: str, vm: str, source: str) -> None:
        """Let them go on who wait at a point."""
        if at == COPIES:
            self._arriving(vm, signal.SIGCONT)
        if at == SWITCHES:
            self._scene.sh(source, f"pkill -CONT {VIRSH}")
        if at == FINISHES:
            self._scene.sh(source, "pkill -CONT -x libvirtd")

    def over(self, vm: str) -> bool:
        """Whether no migration of the VM is under way any more."""
        return self._performing(vm) is None

    def _arriving(self, vm: str, order: signal.Signals) -> None:
        """Stop the QEMU that takes in a guest's memory, and with it the sending, or have it go on."""
        for copy in self._scene.observer.copies(vm):
            if order == signal.SIGCONT or not self._sends(copy.node, vm):
                with suppress(ProcessLookupError):
                    os.kill(copy.pid, order)

    def _sends(self, node: str, vm: str) -> bool:
        return PERFORMS in (status := self._status(node, vm)) or PERFORMED in status

    def _performing(self, vm: str) -> str | None:
        for node in self._scene.nodes:
            if self._sends(node, vm):
                return node
        return None

    def _target(self, vm: str, source: str) -> str | None:
        others = (node for node in self._scene.nodes if node != source)
        return next((node for node in others if self._status(node, vm)), None)

    def _goes_on(self, vm: str, only: str) -> str | None:
        """The source of a migration that has been seen to copy, and is over, and whose guest runs there."""
        source = self._performing(vm)
        if source is not None:
            self._copied.add(source)
            return None
        for node in self._copied if not only else self._copied & {only}:
            if re.match(r".*<domstatus state='running'", self._status(node, vm), re.DOTALL):
                return node
        return None

    def _status(self, node: str, vm: str) -> str:
        """libvirt's status file of a domain, as this machine sees it; empty when there is none."""
        path = inside(self._scene, node, f"/run/libvirt/qemu/{vm}.xml")
        if path is None:
            return ""
        try:
            with path.open(errors="replace") as file:
                return file.read(STATUS)
        except OSError:
            return ""

    def _until(self, true: Callable[[], bool]) -> bool:
        end = time.monotonic() + WITHIN
        while time.monotonic() < end:
            if true():
                return True
            time.sleep(LOOK)
        return False


def inside(scene: Scene, node: str, path: str) -> Path | None:
    """A file of a node as this machine sees it; None while the node is off."""
    leader = scene.bed.leader(node)
    return Path(f"/proc/{leader}/root{path}") if leader is not None else None

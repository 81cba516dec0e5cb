"""QEMUs, the disks they write, and the witness outside of all machines that sees every breach of the promise.

A guest that executes writes its disk all the time. So each stretch of running leaves another content behind, and a
memory belongs to exactly one content: a copy that goes on with the memory of one moment over the disk of a later one
has destroyed the guest as surely as two that run at once. The witness sees both in the instant in which they happen,
and a third thing: a write that was under way when its QEMU was killed, and lands when somebody else uses the disk.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hacluster.sim.machine import Machine


class DiskLocked(Exception):
    """QEMU's lock on an image file is held by another QEMU."""


@dataclass
class Disk:
    """What a VM has written: the number of the content, and which QEMUs write it now. `boots` counts fresh starts;
    `holder` has QEMU's own lock on it, where its file system knows locks."""

    content: int = 0
    writers: list[Qemu] = field(default_factory=list)
    boots: int = 0
    most: int = 0
    holder: Qemu | None = None


class Witness:
    """Sees each start and stop of execution anywhere. `broken` are the breaches, as sentences."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._contents = itertools.count(1)
        self.disks: dict[str, Disk] = {}
        self.broken: list[str] = []

    def disk(self, uuid: str) -> Disk:
        """A VM's disk."""
        return self.disks.setdefault(uuid, Disk())

    def executes(self, qemu: Qemu) -> None:
        """Its vCPUs run from now on."""
        disk = self.disk(qemu.uuid)
        if qemu.memory is None:
            disk.boots += 1
        elif qemu.memory != disk.content:
            self._say(f"{qemu.name} goes on at {qemu.machine.name} with an old memory over a newer disk")
        disk.writers.append(qemu)
        disk.most = max(disk.most, len(disk.writers))
        if len(disk.writers) > 1:
            self._say(f"{qemu.name} runs twice: {' and '.join(one.machine.name for one in disk.writers)}")

    def halts(self, qemu: Qemu) -> None:
        """They run no longer: memory and disk belong together."""
        disk = self.disk(qemu.uuid)
        disk.writers.remove(qemu)
        disk.content = next(self._contents)
        qemu.memory = disk.content

    def lands(self, qemu: Qemu) -> None:
        """A write that a killed QEMU had under way reaches the disk."""
        disk = self.disk(qemu.uuid)
        if disk.writers or disk.content != qemu.memory:
            self._say(f"a write of the dead {qemu.name} of {qemu.machine.name} lands on a disk that others use")

    def _say(self, sentence: str) -> None:
        self.broken.append(f"{self._clock():.2f} s: {sentence}")


class Qemu:
    """A QEMU process. `memory` is the disk content that its guest knows, None before the first instruction.

    `locks` says that its disk is a file whose file system carries QEMU's own lock to all nodes.
    """

    def __init__(
        self, name: str, uuid: str, machine: Machine, witness: Witness, *, incoming: bool, locks: bool = False
    ) -> None:
        self.name = name
        self.uuid = uuid
        self.machine = machine
        self.memory: int | None = None
        self.executing = False
        self.ended = False
        self.dying = False
        self.stopped = False
        self.locks = locks
        self.at_end: list[Callable[[Any], None]] = []
        self.pid = machine.new_pid()
        self.started = machine.timeline.now - machine.boot_at
        self._witness = witness
        arguments = ["qemu-system-x86_64", "-name", f"guest={name}", "-S", "-uuid", uuid]
        arguments += ["-incoming", "defer"] if incoming else []
        self._arguments = b"".join(argument.encode() + b"\0" for argument in arguments)
        if not incoming:
            self.lock_disk()
        machine.running[self.pid] = self

    @property
    def cmdline(self) -> bytes:
        """What the leader shows: a zombie nothing."""
        return b"" if self.dying else self._arguments

    @property
    def letter(self) -> str:
        """Its leader's state."""
        return "Z" if self.dying else "T" if self.stopped else "S"

    @property
    def threads(self) -> dict[int, bytes]:
        """Its leader, and the thread that serves its disk."""
        return {self.pid: self.cmdline, self.pid + 100000: self._arguments}

    def lock_disk(self) -> None:
        """Take QEMU's own lock, where there is one. Raises DiskLocked when another QEMU has it."""
        disk = self._witness.disk(self.uuid)
        if not self.locks:
            return
        if disk.holder is not None and disk.holder is not self:
            raise DiskLocked('Failed to get "write" lock: Is another process using the image?')
        disk.holder = self

    def unlock_disk(self) -> None:
        """Give it back, as the source of a migration does at its end."""
        disk = self._witness.disk(self.uuid)
        if disk.holder is self:
            disk.holder = None

    def cont(self) -> None:
        """Let the vCPUs run. Raises DiskLocked."""
        if not self.executing and not self.ended and not self.dying:
            self.lock_disk()
            self.executing = True
            self._witness.executes(self)

    def halt(self) -> None:
        """Stop the vCPUs."""
        if self.executing:
            self.executing = False
            self._witness.halts(self)

    def end(self) -> None:
        """SIGKILL. While the storage hangs, the thread that writes cannot die: the leader is a zombie till then."""
        if self.machine.storage == "hangs" and self.machine.powered and not self.ended:
            self.halt()
            self.dying = True
        else:
            self.gone()

    def gone(self) -> None:
        """The process is gone, at a power cut without a last write."""
        if not self.ended:
            self.halt()
            self.ended = True
            self.unlock_disk()
            self.machine.running.pop(self.pid, None)
            for tell in self.at_end:
                tell(self)

    def storage_is_back(self) -> None:
        """The write that it died over lands; then it is gone."""
        if self.dying and not self.ended:
            self._witness.lands(self)
            self.gone()

"""QEMUs, the disks they write, and the witness outside of all machines that sees every breach of the promise.

A guest that executes writes its disk all the time. So each stretch of running leaves another content behind, and a
memory belongs to exactly one content: a copy that goes on with the memory of one moment over the disk of a later one
has destroyed the guest as surely as two that run at once. The witness sees both in the instant in which they happen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hacluster.sim.machine import Machine


@dataclass
class Disk:
    """What a VM has written: the number of the content, and which QEMUs write it now. `boots` counts fresh starts."""

    content: int = 0
    writers: list[Qemu] = field(default_factory=list)
    boots: int = 0
    most: int = 0


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

    def _say(self, sentence: str) -> None:
        self.broken.append(f"{self._clock():.2f} s: {sentence}")


class Qemu:
    """A QEMU process. `memory` is the disk content that its guest knows, None before the first instruction."""

    def __init__(self, name: str, uuid: str, machine: Machine, witness: Witness, *, incoming: bool) -> None:
        self.name = name
        self.uuid = uuid
        self.machine = machine
        self.memory: int | None = None
        self.executing = False
        self.ended = False
        self.at_end: list[Callable[[Any], None]] = []
        self.pid = machine.new_pid()
        self.started = machine.timeline.now - machine.boot_at
        self._witness = witness
        arguments = ["qemu-system-x86_64", "-name", f"guest={name}", "-S", "-uuid", uuid]
        arguments += ["-incoming", "defer"] if incoming else []
        self.cmdline = b"".join(argument.encode() + b"\0" for argument in arguments)
        machine.running[self.pid] = self

    def cont(self) -> None:
        """Let the vCPUs run."""
        if not self.executing and not self.ended:
            self.executing = True
            self._witness.executes(self)

    def halt(self) -> None:
        """Stop the vCPUs."""
        if self.executing:
            self.executing = False
            self._witness.halts(self)

    def end(self) -> None:
        """The process is gone."""
        if not self.ended:
            self.halt()
            self.ended = True
            self.machine.running.pop(self.pid, None)
            for tell in self.at_end:
                tell(self)

"""The copies of the VMs as the machine outside the nodes sees them: QEMU processes, and whether their vCPUs run.

Nothing in a node is asked; a node that lies, hangs or has forgotten is seen as what it does. Three facts of the kernel
tell (measured on QEMU 7.2, TCG, sampled every 40 ms):

* which QEMUs there are, by the uuid in their command line and the node in their cgroup. The command line does not say
  whether a guest runs: an incoming QEMU keeps `-incoming` for ever, and a paused one looks like any other.
* `write_bytes` in /proc/PID/io: what the process gave to the block layer. A counting guest writes a sector every
  110 ms; a QEMU whose vCPUs stand still gives none. One sector is proof enough.
* the time slices of its vCPU threads in /proc/PID/task/TID/schedstat. A running guest takes the BIOS tick every 55 ms
  and was on the CPU in three of four samples. Paused ones are woken as well, when a migration begins, at the hand-over
  and when the process ends, but never in more than two samples in a row. So a copy *runs* when its vCPUs had the CPU
  in MOST of the last WINDOW samples; that also sees a guest which does not write.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

WINDOW = 8
MOST = 5
YOUNG = 100
"""Samples for which a new process is looked at again: libvirt forks first and becomes QEMU a while later."""


@dataclass(slots=True, eq=False)
class Copy:
    """One QEMU process of a VM. `wrote` and `ran` are running totals of the kernel's."""

    uuid: str
    node: str
    pid: int
    threads: list[str] = field(default_factory=list)
    wrote: int = -1
    slices: int = -1
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.node}"

    def sign(self) -> str:
        """Look once more: "wrote", "ran" or "" for no sign of a running guest. Raises OSError when it is gone."""
        if not self.threads:
            self.threads = [task for task in _names(f"/proc/{self.pid}/task") if self._is_vcpu(task)]
        wrote, slices = self._written(), sum(self._slices(task) for task in self.threads)
        first = self.wrote < 0
        grew, ran = wrote > self.wrote, slices > self.slices
        self.wrote, self.slices = wrote, slices
        if first:
            return ""
        self.recent.append(ran)
        if grew:
            return "wrote"
        return "ran" if ran and sum(self.recent) >= MOST else ""

    def rebase(self) -> None:
        """Another copy has taken over: what this one did until now does not count against it."""
        self.sign()
        self.recent.clear()

    def _is_vcpu(self, task: str) -> bool:
        return _read(f"/proc/{self.pid}/task/{task}/comm").startswith("CPU ")

    def _written(self) -> int:
        lines = _read(f"/proc/{self.pid}/io").splitlines()
        return int(next(line for line in lines if line.startswith("write_bytes:")).split()[1])

    def _slices(self, task: str) -> int:
        return int(_read(f"/proc/{self.pid}/task/{task}/schedstat").split()[2])


class Processes:
    """Finds the QEMUs of one lab. `cgroup` is the lab's, as its bed knows it."""

    def __init__(self, cgroup: str) -> None:
        self._inside = "/hacluster-lab/" + cgroup.rsplit("/hacluster-lab/", 1)[1] + "/"
        self._young: dict[str, int] = {}
        self._known: set[str] = set()
        self._copies: dict[str, Copy] = {}

    def look(self) -> list[Copy]:
        """All QEMUs there are now; the same object for the same process."""
        there = {name for name in _names("/proc") if name.isdigit()}
        for gone in self._known - there:
            self._young.pop(gone, None)
            self._copies.pop(gone, None)
        for new in there - self._known:
            self._young[new] = YOUNG
        self._known = there
        for pid in list(self._young):
            self._young[pid] -= 1
            copy = self._read(pid)
            if copy is not None:
                self._copies[pid] = copy
            if copy is not None or self._young[pid] <= 0:
                del self._young[pid]
        return list(self._copies.values())

    def _read(self, pid: str) -> Copy | None:
        try:
            if not _read(f"/proc/{pid}/comm").startswith("qemu-system"):
                return None
            words = _read(f"/proc/{pid}/cmdline").split("\0")
            place = next((line for line in self._places(pid)), "")
        except OSError:
            return None
        if not place or "-uuid" not in words:
            return None
        return Copy(words[words.index("-uuid") + 1], place, int(pid))

    def _places(self, pid: str) -> Iterator[str]:
        for line in _read(f"/proc/{pid}/cgroup").splitlines():
            before, found, after = line.partition(self._inside)
            if found and before.startswith("0::"):
                yield after.split("/")[0]


def _names(directory: str) -> list[str]:
    return os.listdir(directory)  # noqa: PTH208 - as below


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - 20 times a second, for each QEMU
        return file.read()

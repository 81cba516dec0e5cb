"""A machine: its power, its boot, its files (those of /proc are made when they are read) and who runs on it.

Reduced: /proc shows command line, state, start time and cgroup of a process with one task; nothing is ever half
written; a disk is never full.
"""

from __future__ import annotations

import uuid
from typing import Protocol

from hacluster.sim.timeline import Process, Timeline

TICKS = 100
"""Clock ticks per second, for the start times of processes."""
HOOK = b"#!/bin/sh\n# the front of libvirt's hook as hactl installs it\n"
INSTALLED_HOOK = "/etc/libvirt/hooks/qemu.d/hacluster"
DELIVERED_HOOK = "/usr/lib/hacluster/resource_agents/hooks/qemu"


class Visible(Protocol):
    """What /proc shows of a process."""

    pid: int
    started: float

    @property
    def cmdline(self) -> bytes:
        """Arguments, each with a NUL behind it."""
        ...


class _Shown:
    """A plain process as /proc shows it."""

    def __init__(self, process: Process, boot_at: float) -> None:
        self.pid = process.pid
        self.started = process.started - boot_at
        self.cmdline = process.name.encode() + b"\0"


class File:
    """Content and time of the last change (ns since the epoch)."""

    __slots__ = ("content", "executable", "mtime_ns")

    def __init__(self, content: bytes, mtime_ns: int, executable: bool = False) -> None:
        self.content = content
        self.mtime_ns = mtime_ns
        self.executable = executable


class Machine:
    """One host. `cluster` tells whether the lock manager's lockspace exists on it (sysfs)."""

    EPOCH = 1_790_000_000

    def __init__(self, name: str, timeline: Timeline) -> None:
        self.name = name
        self.timeline = timeline
        self.powered = False
        self.boots = 0
        self.boot_at = 0.0
        self.files: dict[str, File] = {}
        self.running: dict[int, Visible] = {}
        self.processes: list[Process] = []
        self.flocks: dict[str, Process] = {}
        self.in_lockspace = False
        self._pid = 100

    @property
    def boot_id(self) -> str:
        """This boot's id; another one after each boot."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.{self.boots}"))

    def power_on(self) -> None:
        """Boot: /run is empty, processes begin at the usual numbers."""
        self.powered = True
        self.boots += 1
        self.boot_at = self.timeline.now
        self._pid = 100
        self.in_lockspace = False
        for path in [path for path in self.files if path.startswith("/run/")]:
            del self.files[path]
        self.write(INSTALLED_HOOK, HOOK, executable=True)
        self.write(DELIVERED_HOOK, HOOK, executable=True)

    def power_off(self) -> None:
        """Everything on it ends at this instant."""
        self.powered = False
        self.in_lockspace = False
        self.running.clear()
        self.flocks.clear()
        for process in list(self.processes):
            self.timeline.kill(process)

    # ---- processes

    def new_pid(self) -> int:
        """A process number that this boot has not used."""
        self._pid += 1
        return self._pid

    def enter(self, process: Process) -> None:
        """A process begins here."""
        process.pid = self.new_pid()
        self.processes.append(process)
        self.running[process.pid] = _Shown(process, self.boot_at)

    def leave(self, process: Process) -> None:
        """It has ended: its locks on files go with it."""
        if process in self.processes:
            self.processes.remove(process)
        self.running.pop(process.pid, None)
        for path in [path for path, owner in self.flocks.items() if owner is process]:
            del self.flocks[path]

    # ---- files

    def wall(self) -> float:
        """Seconds since the epoch; every machine's clock is right."""
        return self.EPOCH + self.timeline.now

    def write(self, path: str, content: bytes, *, executable: bool = False) -> None:
        """Replace a file."""
        self.files[path] = File(content, int(self.wall() * 1e9), executable)

    def read(self, path: str) -> bytes:
        """A file's content. Raises FileNotFoundError, as open does."""
        if path.startswith("/proc/"):
            return self._proc(path)
        if path.startswith("/sys/"):
            raise FileNotFoundError(2, "No such file or directory", path)
        file = self.files.get(path)
        if file is None:
            raise FileNotFoundError(2, "No such file or directory", path)
        return file.content

    def listdir(self, path: str) -> list[str]:
        """The names in a folder. Raises FileNotFoundError when nothing was ever there."""
        if path == "/proc":
            return [str(pid) for pid in self.running]
        if path.startswith("/proc/") and path.endswith("/task"):
            self._visible(path)
            return [path.split("/")[2]]
        if path == "/sys/class/net":
            return ["lo", "br0"]
        within = path.rstrip("/") + "/"
        found = {name[len(within) :].split("/")[0] for name in self.files if name.startswith(within)}
        if not found:
            raise FileNotFoundError(2, "No such file or directory", path)
        return sorted(found)

    def isdir(self, path: str) -> bool:
        """Whether a folder is there."""
        if path == "/sys/kernel/dlm/hacluster":
            return self.in_lockspace
        if path.startswith("/sys/class/net/"):
            return path == "/sys/class/net/br0/bridge"
        return any(name.startswith(path.rstrip("/") + "/") for name in self.files)

    def _visible(self, path: str) -> Visible:
        pid = path.split("/")[2]
        if not pid.isdigit() or int(pid) not in self.running:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.running[int(pid)]

    def _proc(self, path: str) -> bytes:
        if path == "/proc/sys/kernel/random/boot_id":
            return f"{self.boot_id}\n".encode()
        if path == "/proc/meminfo":
            return b"MemTotal:        8388608 kB\nMemAvailable:    6291456 kB\n"
        shown, what = self._visible(path), path.split("/")[3]
        if what == "cmdline":
            return shown.cmdline
        if what == "cgroup":
            return b"0::/\n"
        start = int(shown.started * TICKS)
        fields = ["S", "1", "1", "1", "0", "-1", "0", *["0"] * 12, str(start), "0"]
        return f"{shown.pid} (process) {' '.join(fields)}\n".encode()

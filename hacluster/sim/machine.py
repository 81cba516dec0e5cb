"""A machine: its power, its boot, its files (those of /proc are made when they are read) and who runs on it.

Its clock may be wrong, a file system full, its guests' storage away, and programs of it stopped by a signal.
Reduced: /proc shows command line, state, start time, cgroup and tasks of a process.
"""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable
from typing import Any, Literal, Protocol

from hacluster.sim.timeline import Process, Timeline

TICKS = 100
"""Clock ticks per second, for the start times of processes."""
HOOK = b"#!/bin/sh\n# the front of libvirt's hook as hactl installs it\n"
INSTALLED_HOOK = "/etc/libvirt/hooks/qemu.d/hacluster"
Storage = Literal["well", "hangs", "gone"]
"""What the guests' disks do: answer; let a write wait without end; fail it, as vanished and read-only storage does."""
DELIVERED_HOOK = "/usr/lib/hacluster/resource_agents/hooks/qemu"


class Visible(Protocol):
    """What /proc shows of a process."""

    pid: int
    started: float

    @property
    def cmdline(self) -> bytes:
        """Arguments, each with a NUL behind it; none of a zombie."""
        ...

    @property
    def letter(self) -> str:
        """The state in /proc/PID/stat."""
        ...

    @property
    def threads(self) -> dict[int, bytes]:
        """Command lines by task id."""
        ...


class _Shown:
    """A plain process as /proc shows it."""

    def __init__(self, process: Process, boot_at: float) -> None:
        self.pid = process.pid
        self.started = process.started - boot_at
        self.cmdline = process.name.encode() + b"\0"
        self._process = process

    @property
    def letter(self) -> str:
        """T while a signal has stopped it."""
        return "T" if self._process.frozen else "S"

    @property
    def threads(self) -> dict[int, bytes]:
        """It has one."""
        return {self.pid: self.cmdline}


class Stranger:
    """A process that is no part of the simulation, with a command line that somebody made up."""

    letter = "S"

    def __init__(self, machine: Machine, cmdline: bytes) -> None:
        self.pid = machine.new_pid()
        self.started = machine.timeline.now - machine.boot_at
        self.cmdline = cmdline
        self.ended = False
        self.at_end: list[Callable[[Any], None]] = []
        self._machine = machine
        machine.running[self.pid] = self

    @property
    def threads(self) -> dict[int, bytes]:
        """It has one."""
        return {self.pid: self.cmdline}

    def end(self) -> None:
        """Somebody kills it."""
        self.ended = True
        self._machine.running.pop(self.pid, None)
        for tell in self.at_end:
            tell(self)


class File:
    """Content and time of the last change (ns since the epoch)."""

    __slots__ = ("content", "executable", "mtime_ns")

    def __init__(self, content: bytes, mtime_ns: int, executable: bool = False) -> None:
        self.content = content
        self.mtime_ns = mtime_ns
        self.executable = executable


class Machine:
    """One host. `in_lockspace` is what sysfs says of the run-locks' lockspace; `clock` how many seconds its clock is
    ahead; `full` the folders below which nothing can be written; `stopped` the names of programs that a signal has
    stopped (whatever of them begins meanwhile is stopped too)."""

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
        self.clock = 0.0
        self.full: set[str] = set()
        self.storage: Storage = "well"
        self.stopped: set[str] = set()
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
        self.full.discard("/run")
        self.stopped.clear()
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
        process.frozen = self._is_stopped(process)

    def stop(self, name: str) -> None:
        """SIGSTOP to every process of a program, given by the beginning of its name."""
        self.stopped.add(name)
        for process in self.processes:
            if self._is_stopped(process):
                self.timeline.freeze(process)

    def go_on(self, name: str) -> None:
        """SIGCONT."""
        self.stopped.discard(name)
        for process in self.processes:
            if process.frozen and not self._is_stopped(process):
                self.timeline.thaw(process)

    def _is_stopped(self, process: Process) -> bool:
        return any(process.name.startswith(name) for name in self.stopped)

    def leave(self, process: Process) -> None:
        """It has ended: its locks on files go with it."""
        if process in self.processes:
            self.processes.remove(process)
        self.running.pop(process.pid, None)
        for path in [path for path, owner in self.flocks.items() if owner is process]:
            del self.flocks[path]

    # ---- files

    def wall(self) -> float:
        """Seconds since the epoch, as this machine's clock has it."""
        return self.EPOCH + self.timeline.now + self.clock

    def write(self, path: str, content: bytes, *, executable: bool = False) -> None:
        """Replace a file. Raises OSError when there is no room; the file is there then, and empty."""
        if content and any(path.startswith(folder) for folder in self.full):
            self.files[path] = File(b"", int(self.wall() * 1e9), executable)
            raise OSError(errno.ENOSPC, "No space left on device", path)
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
            return [str(task) for task in self._visible(path).threads]
        if path == "/sys/class/net":
            return ["lo", "br0"]
        if path == "/dev":
            return ["null"]
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
        if what == "task":
            return shown.threads[int(path.split("/")[4])]
        if what == "cmdline":
            return shown.cmdline
        if what == "cgroup":
            return b"0::/\n"
        start = int(shown.started * TICKS)
        fields = [shown.letter, "1", "1", "1", "0", "-1", "0", *["0"] * 12, str(start), "0"]
        return f"{shown.pid} (process) {' '.join(fields)}\n".encode()

"""The operating system as the guard and the agents see it: os, time, fcntl, select, signal, sys, syslog and open.

Each call belongs to the process that runs at this moment and touches that process's machine, nothing of this one. A
name that is missing here is missing on purpose: code that begins to use it must be thought about, not guessed.
"""

from __future__ import annotations

import errno
import io
import os
import posixpath
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hacluster.sim.machine import Machine
from hacluster.sim.timeline import Process, Timeline

Log = Callable[[str, str, str], None]


class _Text(io.StringIO):
    """An open text file; what was written is there once it is closed. flock holds until then."""

    def __init__(self, system: System, path: str, mode: str, content: str = "") -> None:
        super().__init__(content)
        self._system, self._path, self._writes = system, path, "w" in mode

    def fileno(self) -> int:
        """A handle that the simulated fcntl understands."""
        return self._system.handle(self._path)

    def close(self) -> None:
        """Write what was written; a dead process writes nothing any more."""
        if not self.closed:
            process, content = self._system.process, self.getvalue().encode()
            super().close()
            if process.machine is not None and process.machine.flocks.get(self._path) is process:
                del process.machine.flocks[self._path]
            if self._writes and not process.dead:
                self._system.machine.write(self._path, content)


class _Path(str):
    """What os.open gives: the file's name, as a descriptor."""

    __slots__ = ()


class System:
    """The modules, as attributes; `modules` maps a module's name to what an import of it gets."""

    def __init__(self, timeline: Timeline, log: Log, seed: int = 0) -> None:
        self._timeline = timeline
        self._log = log
        self._random = random.Random(seed)
        self._handles: list[str] = []
        self._pidfds: dict[int, Any] = {}
        self.modules: dict[str, Any] = {
            "os": self._os(),
            "os.path": self._paths(),
            "time": SimpleNamespace(monotonic=lambda: timeline.now, time=self._wall, sleep=timeline.sleep),
            "fcntl": SimpleNamespace(LOCK_EX=2, LOCK_NB=4, flock=self._flock),
            "select": SimpleNamespace(select=self._select),
            "signal": SimpleNamespace(SIGKILL=9, pidfd_send_signal=self._signal, alarm=lambda _seconds: None),
            "syslog": SimpleNamespace(
                openlog=self._openlog, syslog=self._syslog, LOG_PID=1, LOG_DAEMON=24, LOG_WARNING=4, LOG_INFO=6
            ),
            "sys": self._sys(),
        }

    @property
    def process(self) -> Process:
        """Who calls."""
        process = self._timeline.current
        assert process is not None, "product code runs in a simulated process"
        return process

    @property
    def machine(self) -> Machine:
        """Where; Killed when the caller is dead."""
        self._timeline.check()
        machine = self.process.machine
        assert isinstance(machine, Machine), "product code runs on a simulated machine"
        return machine

    def handle(self, path: str) -> int:
        """A descriptor for a file."""
        self._handles.append(path)
        return len(self._handles) + 1000

    def open(self, path: str, mode: str = "r", **_text: Any) -> Any:
        """The builtin."""
        machine = self.machine
        if "w" in mode:
            return _Text(self, str(path), mode)
        content = machine.read(str(path))
        return io.BytesIO(content) if "b" in mode else _Text(self, str(path), mode, content.decode(errors="replace"))

    # ---- os

    def _paths(self) -> SimpleNamespace:
        return SimpleNamespace(
            dirname=posixpath.dirname,
            abspath=posixpath.abspath,
            join=posixpath.join,
            isdir=self._isdir,
            exists=lambda path: path in self.machine.files or self.machine.isdir(path),
        )

    def _os(self) -> SimpleNamespace:
        return SimpleNamespace(
            path=self._paths(),
            devnull=os.devnull,
            O_RDONLY=os.O_RDONLY, O_WRONLY=os.O_WRONLY, O_CREAT=os.O_CREAT, O_TRUNC=os.O_TRUNC, X_OK=os.X_OK,
            strerror=os.strerror,
            getpid=lambda: self.process.pid,
            getppid=lambda: self.process.parent.pid if self.process.parent else 1,
            listdir=self._listdir,
            makedirs=lambda path, mode=0, exist_ok=False: self._timeline.check(),
            rename=self._rename,
            unlink=self._unlink,
            open=lambda path, _flags, _mode=0: _Path(path),
            close=lambda _handle: self._timeline.check(),
            stat=self._stat,
            access=lambda path, _mode: path in self.machine.files and self.machine.files[path].executable,
            urandom=self._random.randbytes,
            uname=lambda: SimpleNamespace(nodename=self.machine.name),
            cpu_count=lambda: 2,
            pidfd_open=self._pidfd_open,
            environ=_Environment(self),
        )  # fmt: skip

    def _isdir(self, path: str) -> bool:
        return self.machine.isdir(path)

    def _listdir(self, path: str) -> list[str]:
        return self.machine.listdir(path)

    def _rename(self, old: str, new: str) -> None:
        files = self.machine.files
        files[new] = files.pop(old)

    def _unlink(self, path: str) -> None:
        if self.machine.files.pop(path, None) is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

    def _stat(self, path: str) -> SimpleNamespace:
        self.machine.read(path)
        changed = self.machine.files[path].mtime_ns
        return SimpleNamespace(st_mtime_ns=changed, st_mtime=changed / 1e9)

    def _pidfd_open(self, pid: int) -> int:
        shown = self.machine.running.get(pid)
        if shown is None:
            raise ProcessLookupError(errno.ESRCH, "No such process")
        self._pidfds[handle := 5000 + len(self._pidfds)] = shown
        return handle

    def pidfd(self, handle: int) -> Any:
        """What a pidfd stands for: an object with `ended` and `at_end`, such as a QEMU."""
        return self._pidfds[handle]

    def _select(self, readers: list[int], _writers: list[int], _odd: list[int], timeout: float) -> tuple[Any, Any, Any]:
        watched = [(handle, self.pidfd(handle)) for handle in readers]

        def arm(wake: Callable[[Any], None]) -> None:
            for _, shown in watched:
                shown.at_end.append(wake)

        self._timeline.wait_for(arm, lambda: any(shown.ended for _, shown in watched), timeout)
        return [handle for handle, shown in watched if shown.ended], [], []

    def _signal(self, handle: int, _number: int) -> None:
        self._timeline.check()
        self.pidfd(handle).end()

    # ---- the rest

    def _wall(self) -> float:
        return self.machine.wall()

    def _flock(self, handle: int, _how: int) -> None:
        path, owners = self._handles[handle - 1001], self.machine.flocks
        if owners.get(path, self.process) is not self.process:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        owners[path] = self.process

    def _openlog(self, ident: str, *_flags: int) -> None:
        self.process.environ["_ident"] = ident

    def _syslog(self, _level: int, message: str) -> None:
        self._log(self.machine.name, self.process.environ.get("_ident", ""), message)

    def _sys(self) -> Any:
        system = self

        class Sys:
            """sys.stdout and sys.stderr of the process that writes."""

            argv = ("simulated",)

            @property
            def stdout(self) -> Any:
                return SimpleNamespace(write=system.process.out.append)

            @property
            def stderr(self) -> Any:
                return SimpleNamespace(write=system.process.err.append)

        return Sys()


class _Environment(dict[str, str]):
    """os.environ of whoever asks."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self._system = system

    def keys(self) -> Any:
        """The variables' names; `dict(os.environ)` begins here."""
        return self._system.process.environ.keys()

    def __getitem__(self, name: str) -> str:
        return self._system.process.environ[name]

    def __iter__(self) -> Any:
        return iter(self._system.process.environ)

    def get(self, name: str, default: Any = None) -> Any:
        """One variable."""
        return self._system.process.environ.get(name, default)

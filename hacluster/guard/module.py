"""A lock manager that guard.conf names by file and class: how the namespace lab's stand-in comes behind the port.

The class is made as `CLASS(lockspace)` and has `connect(deadline)`, `close()`, `join(deadline)`, `leave(deadline)`,
`list(deadline)`, `lock(resource, mode, flags=, value=, deadline=)`, `convert(lkid, mode, flags=, value=, deadline=)`
and `unlock(lkid, deadline=)`, with deadlines in seconds of time.monotonic(). It raises OSError with the errno that
the kernel's DLM would answer, TimeoutError when nothing was learnt.
"""

from __future__ import annotations

import os
import time

from hacluster.guard.dlm import MODE_NAMES, Grant, Held, Port, Unknown, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Reply = TypeVar("Reply")


def load(path: str, name: str) -> Callable[[str], Any]:
    """A class from a file that only root can have written: the guard's word is worth what that file's is."""
    from importlib.machinery import SourceFileLoader
    from types import ModuleType

    try:
        status = os.stat(path)
    except OSError as problem:
        raise Unknown(f"{path}: {problem.strerror}") from problem
    if status.st_uid != 0 or status.st_mode & 0o022:
        raise Unknown(f"{path} must belong to root and be writable by nobody else")
    module = ModuleType("hacluster_dlm_module")
    SourceFileLoader(module.__name__, path).exec_module(module)
    found: Callable[[str], Any] | None = getattr(module, name, None)
    if found is None:
        raise Unknown(f"{path} has no class {name}")
    return found


class ModulePort(Port):
    """See Port; `made` is the class that `load` found."""

    def __init__(self, made: Callable[[str], Any], lockspace: str, timeout: float) -> None:
        super().__init__(lockspace, timeout)
        self._raw = made(lockspace)
        self._connected = False

    def _ask(self, what: str, call: Callable[[float], Reply]) -> Reply:
        deadline = time.monotonic() + self.timeout
        try:
            if not self._connected:
                self._raw.connect(deadline)
                self._connected = True
            return call(deadline)
        except TimeoutError as problem:
            self._connected = False
            raise Unknown(f"{what}: no answer from the lock manager") from problem
        except OSError as problem:
            raise error(problem.errno or 0, what) from problem

    def join(self) -> None:
        """See Port."""
        self._ask("join", self._raw.join)

    def leave(self) -> None:
        """See Port."""
        self._ask("leave", self._raw.leave)

    def lock(self, resource: str, mode: int, flags: int, value: bytes | None = None) -> Grant:
        """See Port."""
        raw = self._ask(
            f"lock {resource}",
            lambda deadline: self._raw.lock(resource, mode, flags=flags, value=value, deadline=deadline),
        )
        return Grant(raw.lkid, raw.value if raw.value_valid else None)

    def convert(self, lkid: int, mode: int, flags: int, value: bytes | None = None) -> Grant:
        """See Port."""
        raw = self._ask(
            f"conversion of lock {lkid}",
            lambda deadline: self._raw.convert(lkid, mode, flags=flags, value=value, deadline=deadline),
        )
        return Grant(raw.lkid, raw.value if raw.value_valid else None)

    def unlock(self, lkid: int) -> None:
        """See Port."""
        self._ask(f"unlock of {lkid}", lambda deadline: self._raw.unlock(lkid, deadline=deadline))

    def list(self) -> tuple[Held, ...]:
        """See Port."""
        rows = self._ask("list", self._raw.list)
        return tuple(
            Held(row["resource"], row["node"], MODE_NAMES.index(row["mode"]), bool(row["orphan"]), None)
            for row in rows
            if row["mode"] in MODE_NAMES
        )

    def close(self) -> None:
        """See Port."""
        self._raw.close()
        self._connected = False

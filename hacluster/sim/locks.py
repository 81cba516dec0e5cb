"""A node's way to the lock manager: `guard.memory`, with the waiting that a real one does.

While a dead node awaits its fencing every operation of the lockspace blocks; so it does here, up to the caller's
deadline, and goes on when the node has been fenced. The deadlines of the guard's children are kept by this too: a
simulated child is not forked, it runs in its parent.
"""

from __future__ import annotations

from typing import Any

from hacluster.sim.system import System

_PACE = 0.5
"""Seconds between two looks whether the dead node has been fenced."""


class NodePort:
    """One process at the lock manager of `fabric` (a guard.memory.Fabric). An operation takes `trip` seconds, in which
    others act."""

    def __init__(
        self, system: System, fabric: Any, port: Any, unknown: type[Exception], timeout: float, *, trip: float
    ) -> None:
        self._system = system
        self._trip = trip
        self._fabric = fabric
        self._port = port(fabric, system.machine.name)
        self._unknown = unknown
        self._until = self._now() + timeout

    def _now(self) -> float:
        now: float = self._system.modules["time"].monotonic()
        return now

    def _settled(self) -> Any:
        self._system.modules["time"].sleep(self._trip)
        while self._fabric.dead:
            if self._now() >= self._until:
                raise self._unknown("no answer from the lock manager in time: a dead node awaits its fencing")
            self._system.modules["time"].sleep(_PACE)
        self._system.machine  # noqa: B018 - a dead process reaches no lock manager
        return self._port

    def join(self) -> None:
        """See guard.dlm.Port."""
        self._settled().join()
        self._system.machine.in_lockspace = True

    def leave(self) -> None:
        """See guard.dlm.Port."""
        self._settled().leave()
        self._system.machine.in_lockspace = False

    def lock(self, resource: str, mode: int, flags: int, value: bytes | None = None) -> Any:
        """See guard.dlm.Port."""
        return self._settled().lock(resource, mode, flags, value)

    def convert(self, lkid: int, mode: int, flags: int, value: bytes | None = None) -> Any:
        """See guard.dlm.Port."""
        return self._settled().convert(lkid, mode, flags, value)

    def unlock(self, lkid: int) -> None:
        """See guard.dlm.Port."""
        self._settled().unlock(lkid)

    def list(self) -> Any:
        """See guard.dlm.Port."""
        return self._settled().list()

    def __enter__(self) -> NodePort:
        return self

    def __exit__(self, *_error: object) -> None:
        self._port.close()

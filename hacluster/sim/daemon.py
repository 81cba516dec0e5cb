"""libvirtd as a process: it answers, hangs, dies and comes back, while the QEMUs it started live on.

Each call is carried out by a worker of the daemon, which lives on when the client that asked is killed, stands still
while the daemon is stopped by a signal, and ends with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hacluster.sim.machine import Machine
from hacluster.sim.timeline import Process, Timeline

FOR_EVER = 1e6


class LibvirtError(Exception):
    """What virsh shows as `error: …`."""


class Daemon:
    """The process and its workers on one machine."""

    def __init__(self, machine: Machine, timeline: Timeline) -> None:
        self.machine = machine
        self.timeline = timeline
        self.daemon: Process | None = None
        self.frozen_at: float | None = None
        self._workers: list[Process] = []
        self._wakers: list[Callable[[Any], None]] = []

    @property
    def alive(self) -> bool:
        """Whether there is one, also one that hangs."""
        return self.daemon is not None and not self.daemon.ended

    def launch(self, begin: Callable[[], None]) -> None:
        """A new process; `begin` is the first that it does."""

        def serve() -> None:
            begin()
            while True:
                self.timeline.sleep(1e9)

        self.frozen_at = None
        self.daemon = self.timeline.spawn("libvirtd", serve, self.machine)

    def kill(self) -> None:
        """SIGKILL: what its workers had begun is left as it is."""
        if self.daemon is not None:
            self.timeline.kill(self.daemon)
        self._workers.clear()

    def stop(self) -> None:
        """SIGSTOP: nobody gets an answer any more."""
        if self.alive and self.frozen_at is None:
            assert self.daemon is not None
            self.frozen_at = self.timeline.now
            for process in (self.daemon, *self._workers):
                self.timeline.freeze(process)
            self._changed()

    def go_on(self) -> None:
        """SIGCONT: what was asked meanwhile is done now."""
        if self.alive and self.frozen_at is not None:
            assert self.daemon is not None
            self.frozen_at = None
            for process in (self.daemon, *self._workers):
                self.timeline.thaw(process)
            self._changed()

    def work(self, what: str, work: Callable[[], Any]) -> Process:
        """Have the daemon do something that nobody waits for."""
        self._workers = [worker for worker in self._workers if not worker.ended]
        worker = self.timeline.spawn(f"libvirtd: {what}", work, self.machine, parent=self.daemon)
        if self.frozen_at is not None:
            self.timeline.freeze(worker)
        self._workers.append(worker)
        return worker

    def call(self, what: str, work: Callable[[], Any], patience: float = FOR_EVER) -> Any:
        """Have the daemon do something for the current process, which gives up a daemon that hangs for `patience`
        seconds. Raises LibvirtError, also when it cannot answer."""
        if not self.alive:
            raise LibvirtError("failed to connect to the hypervisor")
        worker = self.work(what, work)
        worker.at_end.append(lambda _process: None)
        while not worker.ended:
            since = self.frozen_at
            left = FOR_EVER if since is None else since + patience - self.timeline.now
            if left <= 0:
                raise LibvirtError("Unable to read from socket: keepalive timeout")

            def arm(wake: Callable[[Any], None], worker: Process = worker) -> None:
                worker.at_end.append(wake)
                self._wakers.append(wake)

            def over(worker: Process = worker, since: float | None = since) -> bool:
                return worker.ended or self.frozen_at != since

            self.timeline.wait_for(arm, over, left)
        if not worker.done:
            raise LibvirtError("End of file while reading data: Input/output error")
        if worker.error is not None:
            raise worker.error
        return worker.result

    def _changed(self) -> None:
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake(None)

"""Virtual time and the processes in it. One process runs at a time, so a run is the same each time.

Product code blocks (it sleeps, it waits for children) and must not know that nobody sleeps; so each process is a
thread, and exactly one of them holds the baton. A killed process never does anything again: whatever its code still
tries while it unwinds, such as a `finally`, raises Killed before it has an effect, as after a SIGKILL.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Any

Body = Callable[[], Any]


class Killed(BaseException):
    """Raised inside a process that is dead. Not an Exception: no handler of the product may catch it."""


class _Worker:
    """A thread that runs one process after another; kept for the next simulation, as threads are dear to make."""

    def __init__(self) -> None:
        self.baton = threading.Lock()
        self.baton.acquire()
        self.job: Body | None = None
        threading.Thread(target=self._loop, daemon=True, name="simulated").start()

    def _loop(self) -> None:
        while True:
            self.baton.acquire()
            assert self.job is not None
            self.job()


_idle: list[_Worker] = []


class Process:
    """A process: what it runs, on which machine, and how it ended. `result` is its body's value."""

    def __init__(self, name: str, body: Body, machine: Any, parent: Process | None, environ: dict[str, str]) -> None:
        self.name = name
        self.body = body
        self.machine = machine
        self.parent = parent
        self.environ = environ
        self.pid = 0
        self.started = 0.0
        self.done = False
        self.dead = False
        self.frozen = False
        self.held = False
        self.result: Any = None
        self.error: Exception | None = None
        self.out: list[str] = []
        self.err: list[str] = []
        self.dependants: list[Process] = []
        self.at_end: list[Callable[[Process], None]] = []
        self.worker: _Worker | None = None
        self.ticket = 0

    @property
    def ended(self) -> bool:
        """Whether it will do nothing any more."""
        return self.done or self.dead


class Timeline:
    """The clock (seconds since the simulation began), and who runs when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.current: Process | None = None
        self.processes: list[Process] = []
        self.failure: BaseException | None = None
        self._queue: list[tuple[float, int, Process, int]] = []
        self._order = itertools.count()
        self._main = threading.Lock()
        self._main.acquire()

    # ---- what processes call

    def check(self) -> None:
        """Raise Killed in a process that is dead; every effect on the world begins with this."""
        if self.current is not None and self.current.dead:
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass for the current process."""
        self.check()
        process = self._running()
        self._wake(process, self.now + max(0.0, seconds))
        self._give_way(process)

    def join(self, other: Process, timeout: float) -> bool:
        """Wait for another process to end, at most `timeout` seconds; whether it has."""
        return self.wait_for(other.at_end.append, lambda: other.ended, timeout)

    def wait_for(self, arm: Callable[[Callable[[Any], None]], None], over: Callable[[], bool], timeout: float) -> bool:
        """Wait until `over()`; `arm` gets a function that wakes us when it may have become so."""
        process, until = self._running(), self.now + max(0.0, timeout)
        self.check()
        while not over() and self.now < until:
            arm(self._waker(process, process.ticket))
            self._wake(process, until)
            self._give_way(process)
        return over()

    def _waker(self, process: Process, ticket: int) -> Callable[[Any], None]:
        """Wakes a process, unless it has been awake since."""

        def wake(_cause: Any) -> None:
            if process.ticket == ticket:
                self._wake(process, self.now)

        return wake

    def poll(self, over: Callable[[], bool], timeout: float, pace: float = 0.1) -> bool:
        """Wait until `over()`, looking now and then, at most `timeout` seconds; whether it came."""
        until = self.now + timeout
        while not over() and self.now < until:
            self.sleep(pace)
        return over()

    def _running(self) -> Process:
        assert self.current is not None, "only a process can wait"
        return self.current

    def _give_way(self, process: Process) -> None:
        assert process.worker is not None
        self._main.release()
        process.worker.baton.acquire()
        self.check()

    # ---- what the world calls

    def spawn(
        self,
        name: str,
        body: Body,
        machine: Any = None,
        parent: Process | None = None,
        environ: dict[str, str] | None = None,
    ) -> Process:
        """A new process that begins now. With a `parent` it dies when that does; without power it is dead at once."""
        process = Process(name, body, machine, parent, environ or {})
        process.started = self.now
        if machine is not None and not machine.powered:
            process.dead = True  # nothing begins on a machine without power
            return process
        self.processes.append(process)
        if parent is not None:
            parent.dependants.append(process)
        if machine is not None:
            machine.enter(process)
        self._wake(process, self.now)
        return process

    def spawn_with(self, name: str, body: Callable[[Process], Any], machine: Any) -> Process:
        """The same for a body that is given its own process."""
        process = self.spawn(name, lambda: body(process), machine)
        return process

    def kill(self, process: Process) -> None:
        """End a process at once, with those that die with it. Its thread unwinds without effect."""
        if process.ended:
            return
        process.dead = True
        self._end(process)
        if process is not self.current:
            self._wake(process, self.now)

    def freeze(self, process: Process) -> None:
        """SIGSTOP: it does nothing until `thaw`; time passes it by."""
        process.frozen = True

    def thaw(self, process: Process) -> None:
        """SIGCONT."""
        process.frozen = False
        if process.held and not process.ended:
            process.held = False
            self._wake(process, self.now)

    def run(self, until: float, over: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass up to `until`, or until `over()` holds; whether it does. Only for the main thread."""
        while not over():
            if not self._queue or self._queue[0][0] > until:
                self.now = max(self.now, until)
                return over()
            when, _, process, ticket = heapq.heappop(self._queue)
            if ticket != process.ticket or process.done:
                continue
            if process.frozen and not process.dead:
                process.held = True  # what it waited for came while it was stopped
                continue
            self.now = max(self.now, when)
            self._resume(process)
            if self.failure is not None:
                raise self.failure
        return True

    def close(self) -> None:
        """Unwind every process, so that its thread can serve again."""
        for process in self.processes:
            self.kill(process)
        self.failure = None
        for process in self.processes:
            if process.worker is not None and not process.done:
                self._resume(process)

    def _wake(self, process: Process, when: float) -> None:
        heapq.heappush(self._queue, (when, next(self._order), process, process.ticket))

    def _resume(self, process: Process) -> None:
        process.ticket += 1
        process.held = False
        if process.worker is None:
            if process.dead:
                process.done = True
                return
            process.worker = _idle.pop() if _idle else _Worker()
            process.worker.job = lambda: self._perform(process)
        self.current = process
        process.worker.baton.release()
        self._main.acquire()
        self.current = None

    def _perform(self, process: Process) -> None:
        try:
            process.result = process.body()
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 - whoever waits for it decides; nobody waiting is a fault of the test
            process.error = error
            if not process.at_end:
                self.failure = error
        except BaseException as error:  # noqa: BLE001 - a thread must hand back its baton whatever happened
            self.failure = error
        process.done = True
        if not process.dead:
            self._end(process)
        worker, process.worker = process.worker, None
        assert worker is not None
        worker.job = None
        _idle.append(worker)
        self._main.release()

    def _end(self, process: Process) -> None:
        if process.machine is not None:
            process.machine.leave(process)
        for dependant in process.dependants:
            self.kill(dependant)
        for tell in process.at_end:
            tell(process)

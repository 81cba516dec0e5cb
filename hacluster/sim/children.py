"""Children of the guard's processes: `guard.child` without a kernel.

A lock operation runs in its parent; the lock manager (`locks`) keeps its deadline. A program runs as a process of the
same machine that dies with its parent, as one with a death signal does. A background child lives on alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hacluster.sim.system import System
from hacluster.sim.timeline import Process, Timeline

Programs = Callable[[Sequence[str], Process], int]


def children(timeline: Timeline, system: System, programs: Programs, errors: Callable[[], Any]) -> dict[str, Any]:
    """What replaces the functions of guard.child. `programs` runs one and gives its exit code; `errors` is the
    payload's guard.dlm."""

    def in_child(work: Callable[[], str], _timeout: float) -> str:
        try:
            return work()
        except errors().DlmError:
            raise
        except Exception as problem:
            raise errors().Unknown(f"{type(problem).__name__}: {problem}") from problem

    def in_background(work: Callable[[], None]) -> None:
        def alone() -> None:
            try:
                work()
            except BlockingIOError:
                return  # the sweep that finds another one at work ends so, seen by nobody

        timeline.check()
        timeline.spawn("background", alone, system.machine)

    class Result:
        """As guard.child.Result."""

        def __init__(self, code: int | None, out: str, err: str) -> None:
            self.code = code
            self.out = out
            self.err = err

    class Command:
        """As guard.child.Command."""

        def __init__(self, argv: Sequence[str]) -> None:
            timeline.check()

            def body() -> int:
                process = system.process
                return programs(argv, process)

            self._process = timeline.spawn(" ".join(argv[:4]), body, system.machine, parent=system.process)
            self._process.at_end.append(lambda _process: None)
            self.pid = self._process.pid

        def wait(self, timeout: float, watch: int = -1) -> bool:
            """True once it has ended; False when time passes, or as soon as what `watch` stands for has ended."""
            watched = system.pidfd(watch) if watch >= 0 else None

            def arm(wake: Callable[[Any], None]) -> None:
                self._process.at_end.append(wake)
                if watched is not None:
                    watched.at_end.append(wake)

            def over() -> bool:
                return self._process.ended or (watched is not None and watched.ended)

            timeline.wait_for(arm, over, timeout)
            return self._process.ended

        def kill(self) -> None:
            """SIGKILL."""
            timeline.check()
            timeline.kill(self._process)

        def result(self) -> Result:
            """How it ended."""
            process = self._process
            if process.error is not None:
                raise process.error
            return Result(process.result if process.done else None, "".join(process.out), "".join(process.err))

    def run(argv: Sequence[str], timeout: float) -> Result:
        command = Command(argv)
        if not command.wait(timeout):
            command.kill()
        return command.result()

    return {
        "in_child": in_child,
        "in_background": in_background,
        "Result": Result,
        "Command": Command,
        "run": run,
    }

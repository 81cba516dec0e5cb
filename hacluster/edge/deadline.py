"""Deadlines over calls that cannot be interrupted: a library call into a hung daemon returns when it likes.

Each call runs in a daemon thread of its own. When its deadline passes the caller goes on without an answer and the
thread is abandoned; being a daemon it does not keep the process alive. A thread pool would: its workers are joined at
exit. Use it only for calls that may be left half done (reads).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Expired(Exception):
    """The call did not return within its deadline."""


class _Call(Generic[Answer]):
    """One running call, and where its outcome will be."""

    def __init__(self, name: str, work: Callable[[], Answer]) -> None:
        self.done = threading.Event()
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self._work = work
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self.answer = self._work()
        except BaseException as error:  # noqa: BLE001 - handed over to the waiting thread, which raises it
            self.error = error
        finally:
            self.done.set()


def gather(work: Mapping[str, Callable[[], Answer]], deadline: float) -> dict[str, Answer | Exception]:
    """Run all calls at once. Each one's answer, the exception it raised, or Expired after `deadline` seconds in all."""
    calls = {name: _Call(f"gather-{name}", one) for name, one in work.items()}
    until = time.monotonic() + deadline
    answers: dict[str, Answer | Exception] = {}
    for name, call in calls.items():
        if not call.done.wait(max(0.0, until - time.monotonic())):
            answers[name] = Expired(f"no answer within {deadline:g} s")
        elif call.error is None:
            answers[name] = call.answer  # type: ignore[assignment]  # set whenever there is no error
        elif isinstance(call.error, Exception):
            answers[name] = call.error
        else:
            raise call.error
    return answers


def within(deadline: float, work: Callable[[], Answer]) -> Answer:
    """The call's answer. Raises what it raises, and Expired after `deadline` seconds."""
    outcome = gather({"call": work}, deadline)["call"]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome

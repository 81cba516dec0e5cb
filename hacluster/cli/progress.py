"""One line that changes while something long goes on: a live line on a terminal, a line a phase elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.markup import escape
from rich.status import Status

from hacluster.cli import render


class Line:
    """A context manager; `line("text")` shows what is going on now."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began = time.monotonic()
        self._last = ""
        self._status = Status(title, console=render.err) if render.err.is_terminal else None

    def __enter__(self) -> Line:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, text: str, numbers: str = "") -> None:
        """Show a phase. `numbers` are shown on a terminal only: elsewhere they would make a line each time."""
        seconds = time.monotonic() - self._began
        if self._status is not None:
            self._status.update(
                f"{escape(self._title)}: {escape(' '.join(filter(None, (text, numbers))))} [dim]{seconds:.0f} s[/]"
            )
        elif text != self._last:
            render.err.print(f"{escape(self._title)}: {escape(text)} ({seconds:.1f} s)")
        self._last = text

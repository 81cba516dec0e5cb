"""Real time behind the Clock port. The simulator has its own; nothing else in hacluster reads a clock."""

from __future__ import annotations

import time


class SystemClock:
    """This machine's clocks: monotonic for waiting, wall time for records."""

    def now(self) -> float:
        """Seconds on a clock that never jumps."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

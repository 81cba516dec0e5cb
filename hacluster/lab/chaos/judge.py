"""Tells a second running copy from a copy that was handed over: the rule that the observer goes by, and nothing else.

Two samples cannot say that two processes ran at one instant, for one may have stopped and the other begun between
them. The order says it: a copy that gives a sign of life *after* another copy gave its first one had not been stopped
when the other began, or was let run again on a memory that the disk has outrun. Either is a violation, and no correct
move, failover, save or restore ever shows it: a process that hands over never runs again, and a restart is a new
process. What is left of a copy's recent CPU time does not count against it once another has taken over, as a process
that ends is woken once more for it; a sector that it writes does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hacluster.lab.chaos.copies import Copy

AT_ONCE = 1.0
"""Seconds: copies whose last signs lie closer together than this, in a VM that was seen twice, count as running."""


@dataclass(frozen=True, slots=True)
class Twice:
    """A copy ran after another one had taken over. Times are the observer's, in seconds."""

    vm: str
    at: float
    sign: str
    returned: str
    holder: str
    copies: int


class Judge:
    """One VM's copies, in the order in which they ran."""

    def __init__(self, vm: str) -> None:
        self.vm = vm
        self.holder: Copy | None = None
        self.most = 0
        self.present = 0
        self.twice: list[Twice] = []
        self.seconds_twice = 0.0
        self._ran: dict[Copy, float] = {}

    def sample(self, now: float, signs: Iterable[tuple[Copy, str]]) -> Copy | None:
        """Take one sample of all copies that there are, each with its sign. The copy that newly took over, if any."""
        seen = list(signs)
        self.present = max(self.present, len(seen))
        # Who ran before signs first: one that writes for the last time and the one it hands over to share a sample.
        signed = sorted((pair for pair in seen if pair[1]), key=lambda pair: pair[0] not in self._ran)
        taken_over = None
        for copy, sign in signed:
            if copy not in self._ran:
                taken_over = self.holder = copy
            elif copy is not self.holder:
                self._clash(now, copy, sign)
            self._ran[copy] = now
        self.most = max(self.most, 1 if self.holder else 0)
        return taken_over

    def _clash(self, now: float, copy: Copy, sign: str) -> None:
        self._ran[copy] = now
        running = sum(now - last < AT_ONCE for last in self._ran.values())
        if self.twice:
            self.seconds_twice += min(AT_ONCE, now - self.twice[-1].at)
        self.most = max(self.most, running)
        self.twice.append(Twice(self.vm, now, sign, str(copy), str(self.holder), running))
        self.holder = copy

"""A dead member is asked to be fenced until it is; whoever was fenced in time is left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hacluster.lab import dlm_fencer
from hacluster.lab.dlm_fencer import Fencer


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlm_fencer, "BEGIN_AFTER", 0.01)
    monkeypatch.setattr(dlm_fencer, "AGAIN_AFTER", 0.01)


class Asking(Fencer):
    """A fencer whose `succeeds`th question fences."""

    def __init__(self, dead: set[str], succeeds: int) -> None:
        super().__init__(Path("/nowhere"), ["n1", "n1", "n2", "n3"], lambda: dead)
        self.asked: list[tuple[str, str]] = []
        self.dead, self.succeeds = dead, succeeds

    async def _ask(self, other: str, node: str) -> bool:
        self.asked.append((other, node))
        if len(self.asked) == self.succeeds:
            self.dead.discard(node)
            return True
        return False

    def play(self, *deaths: str) -> list[tuple[str, str]]:
        """These nodes die; what is asked until all is quiet."""

        async def whole() -> None:
            for node in deaths:
                self.died(node)
            await asyncio.wait_for(asyncio.gather(*self._tasks.values()), 5)

        asyncio.run(whole())
        return self.asked


def test_the_living_are_asked_one_after_the_other_until_the_dead_is_fenced() -> None:
    assert Asking({"n3"}, 3).play("n3") == [("n1", "n3"), ("n2", "n3"), ("n1", "n3")]


def test_a_node_that_was_fenced_meanwhile_is_left_alone() -> None:
    assert Asking(set(), 1).play("n3") == []


def test_two_words_of_one_death_are_one_request() -> None:
    assert Asking({"n1"}, 1).play("n1", "n1") == [("n2", "n1")]

"""Hypothesis looks for a way in which moves that are made cold, ended, gone on with and killed break the promise.

Beside what the other search looks for: no move may be left that neither --resume nor --abort brings to an end, and no
VM may be left stopped by one.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.depth import examples
from tests.scenarios.test_search import NODES, Search

MOMENTS = st.sampled_from(
    ["claimed", "migrate_to begins", "migration begins", "migration copies", "migration switches over",
     "migration finishes", "migrate_to ends", "migrate_from begins", "stop begins", "stop ends", "start begins",
     "hook start", "start ends", "claim removed"]
)  # fmt: skip


class Ends(Search):
    """Operators who change their minds, and processes that die."""

    acts = ("power cut n1", "power cut n2", "isolate n1", "lose the reply", "the copy fails", "the copy works", "heal")
    odd_acts = ()

    @rule(node=NODES, through=NODES)
    def move_cold(self, node: str, through: str) -> None:
        self._do(f"hactl vm move web {node} --cold", by=f"mover-{len(self.steps)}", on=through)

    @rule(node=NODES)
    def end_it(self, node: str) -> None:
        self._do("hactl vm move web --abort", by=f"ender-{len(self.steps)}", on=node, meanwhile=False)

    @rule(moment=MOMENTS, node=NODES)
    def end_it_at(self, moment: str, node: str) -> None:
        self._do(f"at {moment}: hactl vm move web --abort", by=f"ender-{len(self.steps)}", on=node)

    @rule(node=NODES)
    def go_on(self, node: str) -> None:
        self._do("hactl vm move web --resume", by=f"resumer-{len(self.steps)}", on=node)

    @rule()
    def kill_somebody(self) -> None:
        people = [who for who, process in self.player.people.items() if not process.ended]
        if people:
            self._do(f"kill {people[0]}")

    def teardown(self) -> None:
        """When all is whole again, what hactl itself advises must end a move that was left."""
        if hasattr(self, "player"):
            for step in self.player.mending():
                self._do(step.do)
            self._do("wait 200")
            for number, way in enumerate(("--resume", "--abort")):
                if self.player.claims():
                    self._do(f"hactl vm move web {way}", by=f"last-{number}", meanwhile=False)
                    self._do("wait 30")
            left = self.player.claims()
            self._must(not left, f"{left} is left: {[self.player.words(who) for who in self.player.people]}")
        super().teardown()


TestEnds = Ends.TestCase
TestEnds.settings = settings(
    max_examples=examples(25), stateful_step_count=10, deadline=None,
    suppress_health_check=list(HealthCheck), print_blob=False,
)  # fmt: skip

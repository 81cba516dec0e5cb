"""The seed alone says what is done, in which order, to whom."""

from __future__ import annotations

from itertools import islice

import pytest

from hacluster.lab.chaos import menu
from hacluster.lab.chaos.deeds import judged
from hacluster.problems import Refused

NODES, VMS = ("n1", "n2", "n3"), ("web", "db")


def drawn(seed: int, count: int = 200) -> list[menu.Step]:
    rounds = islice(menu.rounds(seed, menu.named([]), NODES, VMS), count)
    return [step for steps in rounds for step in steps]


def test_the_same_seed_draws_the_same_and_another_one_draws_something_else() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_a_step_keeps_to_its_verbs_bounds() -> None:
    for step in drawn(1):
        low, high = step.verb.hold
        assert low <= step.aim.seconds <= high
        assert step.aim.node in (*NODES, "home", "other")
        assert (step.aim.node in NODES) <= ("any" in step.verb.aims)
        assert step.verb.weight > 0


def test_every_verb_is_drawn_but_those_that_break_the_promise_by_design() -> None:
    names = {step.verb.name for step in drawn(3, 2000)}
    assert {verb.name for verb in menu.VERBS} - names == {verb.name for verb in menu.VERBS if not verb.weight}
    assert "board-lying" not in names


def test_verbs_have_names_of_their_own_and_an_unknown_one_is_refused() -> None:
    assert len({verb.name for verb in menu.VERBS}) == len(menu.VERBS)
    assert [verb.name for verb in menu.named(["board-lying"])] == ["board-lying"]
    with pytest.raises(Refused, match="HA722"):
        menu.named(["power-cut", "no-such"])


@pytest.mark.parametrize(
    ("code", "said", "outcome"),
    [
        (0, "web moved live", "done"),
        (1, "error HA412 web: it is being moved", "refused"),
        (1, "error: internal error: hacluster: web may not start on n2", "refused"),
        (1, "error: Domain not found", "failed"),
    ],
)
def test_a_refusal_is_told_from_a_failure(code: int, said: str, outcome: str) -> None:
    assert judged(code, said).outcome == outcome

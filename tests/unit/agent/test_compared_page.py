"""docs/agents-compared.md says what the differential suite's table says; and every difference has its reason."""

from __future__ import annotations

from tests.lab.agents_compared import CASES, PAGE, operations, page
from tests.lab.test_differential import PREPARE


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "python3 -m tests.lab.agents_compared writes it anew"


def test_every_difference_has_a_reason_and_nothing_else_has() -> None:
    for case in CASES:
        for name, answers in operations(case).items():
            assert bool(answers.why) == (answers.ours != answers.theirs), (case.state, name)


def test_every_state_can_be_brought_about() -> None:
    assert [case.state for case in CASES] == list(PREPARE)

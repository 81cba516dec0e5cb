"""The guard's protocol, model-checked: intact it holds in every state, and each barrier taken away breaks it.

The searches that are too long for every test run stand in `make model`.
"""

from __future__ import annotations

import shutil

import pytest

from hacluster.guard import table
from hacluster.guard.dlm import CR, EX, NL
from hacluster.guard.table import Refusal, Step
from tests.model import generate, spin

needs_spin = pytest.mark.skipif(
    shutil.which("spin") is None or shutil.which("gcc") is None, reason="spin or gcc is not installed"
)


def quick(cases: tuple[spin.Case, ...]) -> list[object]:
    return [pytest.param(case, id=case.name) for case in cases if not case.full]


@pytest.mark.model
@needs_spin
@pytest.mark.parametrize("case", quick(spin.INTACT))
def test_intact_the_vm_never_runs_twice_in_any_state(case: spin.Case) -> None:
    outcome = spin.search(case)
    assert outcome.found is None, "\n".join(outcome.steps)
    assert outcome.complete
    assert outcome.states > 1000, "the model has become too small to say anything"


@pytest.mark.model
@needs_spin
@pytest.mark.parametrize("case", quick(spin.BROKEN))
def test_a_barrier_taken_away_lets_it_run_twice(case: spin.Case) -> None:
    outcome = spin.search(case)
    assert outcome.found == case.expect
    assert any("runs" in step or "go on" in step or "goes on" in step or "resumes" in step for step in outcome.steps)


def test_every_barrier_is_taken_away_by_some_case() -> None:
    assert {name for case in spin.BROKEN for name in case.without} == set(spin.BARRIERS)


def test_no_case_without_a_barrier_may_end_well() -> None:
    assert all(case.expect for case in spin.BROKEN)
    assert not any(case.expect or case.without or case.cells for case in spin.INTACT)


def test_the_model_tests_every_barrier_that_a_case_can_name() -> None:
    text = (generate.HERE / "guard.pml").read_text(encoding="utf-8")
    body = text[text.index("*/") :]
    assert [name for name in {**spin.BARRIERS, **spin.WORLD} if name not in body] == []


def test_a_case_cannot_name_a_barrier_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="NO_SUCH"):
        _ = spin.Case("misspelt", without=("NO_SUCH",)).definitions


def test_the_generated_files_say_what_the_table_says() -> None:
    again = "python3 -m tests.model.generate"
    assert generate.PROMELA.read_text(encoding="utf-8") == generate.promela(), again
    assert generate.PAGE.read_text(encoding="utf-8") == generate.page(), again


def test_a_changed_cell_changes_the_model() -> None:
    assert "#define FRESH_START_ALLOWED(m) ((m) == 5)" in generate.promela()
    changed: dict[tuple[int, str], Step | Refusal] = {**table.TABLE, (CR, table.FRESH_START): Step(CR)}
    assert "#define FRESH_START_ALLOWED(m) ((m) == 1 || (m) == 5)" in generate.promela(changed)


def test_a_condition_that_a_cell_loses_is_lost_in_the_model() -> None:
    assert "#define RELEASE_NEEDS_ABSENT(m) ((m) == 1 || (m) == 4 || (m) == 5)" in generate.promela()
    changed: dict[tuple[int, str], Step | Refusal] = {**table.TABLE, (EX, table.RELEASE): Step(NL)}
    assert "#define RELEASE_NEEDS_ABSENT(m) ((m) == 1 || (m) == 4)" in generate.promela(changed)


def test_the_page_shows_every_cell_and_every_law() -> None:
    page = generate.page()
    assert page.count("\n| ") == len(table.TABLE) + len(table.MODES) + 1 + len(table.EVENTS)
    assert len(generate.laws()) >= 4
    assert all(law in page for law in generate.laws())
    assert f"→ {'EX'}" in page
    assert "this node does not hold its run-lock" in page


@pytest.mark.parametrize(
    ("report", "found"),
    [
        ("pan:1: assertion violated (COPIES<=1) (at depth 9)\nerrors: 1", spin.TWICE),
        ("pan:1: assertion violated (0|| !(n[1].outrun)) (at depth 9)\nerrors: 1", spin.OUTRUN),
        ("errors: 0\n 20 states, stored", None),
    ],
)
def test_a_search_is_read_from_spins_report(report: str, found: str | None) -> None:
    outcome = spin.read(report, "  n3: seals\nspin: trail ends\n")
    assert (outcome.found, outcome.complete, outcome.steps) == (found, True, ("n3: seals",))


@pytest.mark.parametrize(
    "remark", ["Warning: Search not completed", "error: max search depth too small", "pan: out of memory"]
)
def test_a_search_that_was_cut_short_is_not_complete(remark: str) -> None:
    outcome = spin.read(f"{remark}\nerrors: 0", "")
    assert not outcome.complete
    assert not spin.right(spin.INTACT[0], outcome)


def test_a_search_that_ends_otherwise_than_expected_is_wrong() -> None:
    nothing = spin.read("errors: 0", "")
    assert spin.right(spin.INTACT[0], nothing)
    assert not spin.right(spin.BROKEN[0], nothing)


def test_a_report_without_a_verdict_is_no_success() -> None:
    with pytest.raises(RuntimeError):
        spin.read("pan: killed", "")


def test_locks_go_together_in_the_model_as_in_the_lock_manager() -> None:
    line = next(line for line in generate.promela().splitlines() if "GOES_WITH" in line)
    assert f"(a) == {CR} && (b) == {EX}" not in line
    assert f"(a) == {NL} && (b) == {EX}" in line

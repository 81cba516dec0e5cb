"""docs/scenarios.md says of each scenario what the file says of itself, and forgets none."""

from tests.lab.scenarios import page
from tests.lab.scenarios.player import elsewhere
from tests.lab.test_scenarios import KNOWN
from tests.scenarios.scenario import read


def test_the_page_has_each_scenario_as_its_file_is() -> None:
    text = page.PAGE.read_text()
    assert text == page.render(page.known(text), page.reasons(text)), "make scenarios writes it anew"
    assert [path.stem for path in page.FILES if f"| `{path.stem}` |" not in text] == []


def test_a_row_remembers_the_last_runs_on_the_lab() -> None:
    runs, wrong = {"node-dies": "x..", "cold-move": ".x"}, {"cold-move": "web is on n1, not n2"}
    text = page.render(runs, wrong)
    assert page.known(text) == runs
    assert page.reasons(text) == wrong
    assert "| held `x..` |" in text
    assert "| did not hold `.x`: web is on n1, not n2 |" in text


def test_those_of_every_test_run_can_be_played_and_have_held() -> None:
    marks, there = page.known(page.PAGE.read_text()), {path.stem: read(path) for path in page.FILES}
    assert [name for name in sorted(KNOWN) if name not in there or elsewhere(there[name])] == []
    assert [name for name in sorted(KNOWN) if not marks.get(name, "").endswith(".")] == []

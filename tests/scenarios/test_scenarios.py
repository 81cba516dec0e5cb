"""Every scenario file, played in the simulator: where the VM runs, what people were told, and never two copies.

And all of them are there: the twelve root causes by which a VM comes to run twice in the field, and the attacks that
broke the guard's first draft, each found by its number in a file's name.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.scenarios.player import Player, found_by_check
from tests.scenarios.scenario import read

FILES = sorted(path for path in Path(__file__).parent.glob("*.toml") if path.name != "cluster.toml")
CAUSES, ATTACKS = range(1, 13), range(1, 37)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    scenario = read(path)
    if scenario.bed:
        pytest.skip(f"needs {scenario.bed}: {scenario.why}")
    if scenario.expect.finds:
        assert scenario.expect.finds in found_by_check(scenario)
        return
    player = Player(scenario)
    wrong = player.play()
    assert not wrong, "\n".join(["", scenario.title, *wrong, "", *player.world.log])


@pytest.mark.parametrize(("kind", "numbers"), [("cause-", CAUSES), ("a", ATTACKS)], ids=["causes", "attacks"])
def test_every_number_has_its_scenario(kind: str, numbers: range) -> None:
    found = {int(match[1]) for path in FILES if (match := re.match(rf"{kind}(\d\d)-", path.name))}
    assert found == set(numbers)


def test_every_scenario_says_what_it_is_and_why_it_must_hold() -> None:
    told = {path.stem: read(path) for path in FILES}
    assert [stem for stem, scenario in told.items() if not scenario.title or not scenario.why] == []
    titles = [scenario.title for scenario in told.values()]
    assert len(titles) == len(set(titles))
    dumb = {stem for stem, it in told.items() if not it.bed and not it.expect.finds and not it.steps}
    assert dumb == set(), "a scenario in which nothing is done tests nothing"

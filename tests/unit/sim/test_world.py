"""The simulated machines: hooks at libvirt's moments, the product's own sources, a run that repeats itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from hacluster.sim import payload
from tests.scenarios import scenario
from tests.scenarios.player import Player
from tests.scenarios.scenario import Scenario, Step

MOVE = Scenario("a move", start={"web": "n1"}, steps=(Step("hactl vm move web n2", by="alice"),))
SCENARIOS = Path(scenario.__file__).parent


def hooks(played: Player, node: str) -> list[str]:
    marks = [line.split(f"{node}: web: hook ")[1] for line in played.world.log if f"{node}: web: hook " in line]
    return marks


def played(what: Scenario) -> Player:
    player = Player(what)
    assert player.play() == []
    return player


def test_hooks_of_a_start_and_a_migration_come_as_libvirt_calls_them() -> None:
    player = played(MOVE)
    assert hooks(player, "n1") == ["prepare", "start", "started", "stopped", "release"]
    assert hooks(player, "n2") == ["migrate", "prepare", "start", "started"]


def test_after_a_vetoed_create_stopped_and_release_follow() -> None:
    player = played(Scenario("by hand", start={"web": "n1"}, steps=(Step("virsh create web", by="carol", on="n2"),)))
    assert hooks(player, "n2") == ["prepare", "stopped", "release"]
    assert "to start it, type: hactl vm start web" in player.words("carol")


def test_the_same_scenario_runs_in_the_same_way_twice() -> None:
    assert played(MOVE).world.log == played(MOVE).world.log


@pytest.mark.parametrize("name", ["hacluster.guard.lock", "resource_agents.moving", "resource_agents.hook"])
def test_agents_and_guard_are_the_product_own_sources(name: str) -> None:
    path = Path(payload.__file__).parents[2] / f"{name.replace('.', '/')}.py"
    assert payload._origin(name) == str(path)
    assert payload._code(str(path)).co_filename == str(path)


def test_a_scenario_survives_being_written_and_read(tmp_path: Path) -> None:
    for path in SCENARIOS.glob("*-*.toml"):
        told = scenario.read(path)
        (tmp_path / "again.toml").write_text(scenario.to_toml(told))
        assert scenario.read(tmp_path / "again.toml") == told


def test_a_fault_whose_point_is_never_passed_is_a_finding() -> None:
    what = Scenario("nothing moves", faults=(scenario.Fault("migration copies", "power cut n1"),))
    assert Player(what).play() == ["a fault's point was never passed: migration copies"]

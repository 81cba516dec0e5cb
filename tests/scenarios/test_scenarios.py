"""Every scenario file, played in the simulator: where the VM runs, what people were told, and never two copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.player import Player
from tests.scenarios.scenario import read

FILES = sorted(path for path in Path(__file__).parent.glob("*.toml") if path.name != "cluster.toml")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    player = Player(read(path))
    wrong = player.play()
    assert not wrong, "\n".join(["", read(path).title, *wrong, "", *player.world.log])

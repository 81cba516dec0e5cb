"""Every scenario that a cluster in namespaces can stage, played on one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.lab.bed import Bed
from hacluster.lab.chaos.guarded import Guarded
from hacluster.lab.chaos.observer import Observer
from hacluster.lab.chaos.scene import Scene
from tests.lab.conftest import cluster, fresh_lab
from tests.lab.scenarios.player import Player, elsewhere, renew
from tests.lab.scenarios.verbs import Elsewhere
from tests.scenarios.scenario import read

pytestmark = [pytest.mark.lab, pytest.mark.root]

FILES = sorted(path for path in (Path(__file__).parents[1] / "scenarios").glob("*.toml") if path.name != "cluster.toml")


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A lab of its own: scenarios cut its power."""
    yield from fresh_lab("s")


@pytest.fixture(scope="module")
def scene(bed: Bed) -> Iterator[Scene]:
    """The shipped spec, applied, with the observer outside."""
    spec = cluster()
    group = str(json.loads((bed.run / "bed.json").read_text())["cgroup"])
    observer = Observer(group, {vm.uuid: vm.name for vm in spec.vms}, {vm: bed.canary(vm) for vm in bed.disks()})
    scene = Guarded(bed, spec, observer, print)
    observer.start()
    scene.set_up()
    yield scene
    observer.stop()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path, request: pytest.FixtureRequest) -> None:
    scenario = read(path)
    if why := elsewhere(scenario):
        pytest.skip(why)
    scene: Scene = request.getfixturevalue("scene")
    try:
        player = Player(scene, scenario)
    except Elsewhere as reason:
        pytest.skip(str(reason))
    assert renew(scene) == {}
    assert player.play() == []

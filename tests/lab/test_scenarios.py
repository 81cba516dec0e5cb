"""Every scenario that a cluster in namespaces can stage, played on one.

Those that are known to hold on any lab are played in each test run; `make scenarios` plays the others, too. They take
an hour, and some that hold in the simulator still meet a Pacemaker that takes another order or a longer time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.lab.bed import Bed
from hacluster.lab.chaos.guarded import Guarded
from hacluster.lab.chaos.observer import Observer
from hacluster.lab.chaos.scene import Scene
from hacluster.spec import load
from tests.lab.conftest import fresh_lab, look
from tests.lab.scenarios.player import Player, elsewhere, renew
from tests.scenarios.scenario import read

pytestmark = [pytest.mark.lab, pytest.mark.root]

CLUSTER = Path(__file__).parents[1] / "scenarios" / "cluster.toml"
KNOWN = {
    "a18-a-cleanup-with-a-lock-left",
    "cause-01-the-configuration-cannot-be-read",
    "cause-06-virsh-create-elsewhere",
}
FILES = sorted(path for path in (Path(__file__).parents[1] / "scenarios").glob("*.toml") if path.name != "cluster.toml")


class Theatre:
    """A lab with the shipped spec, applied, and the observer outside. Built anew after a scenario that did not hold."""

    def __init__(self) -> None:
        self._labs: Iterator[Bed] | None = None
        self.scene: Scene | None = None

    def open(self) -> Scene:
        """A scene where every VM runs. Raises Refused, AssertionError."""
        if self.scene is None:
            self._labs, spec = fresh_lab("s", CLUSTER), load(CLUSTER)
            bed = next(self._labs)
            group = str(json.loads((bed.run / "bed.json").read_text())["cgroup"])
            canaries = {vm: bed.canary(vm) for vm in bed.disks()}
            observer = Observer(group, {vm.uuid: vm.name for vm in spec.vms}, canaries)
            self.scene = Guarded(bed, spec, observer, print)
            observer.start()
            self.scene.set_up()
        assert renew(self.scene) == {}
        return self.scene

    def close(self) -> None:
        """Take the lab down."""
        if self.scene is not None:
            self.scene.observer.stop()
            self.scene = None
        for _ in self._labs or ():
            raise AssertionError("a lab is one")


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    """One for all scenarios; they undo what they did."""
    made = Theatre()
    yield made
    made.close()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path, theatre: Theatre) -> None:
    if path.stem not in KNOWN and "HACLUSTER_DEEP" not in os.environ:
        pytest.skip("not known to hold on any lab: make scenarios plays it, too")
    scenario = read(path)
    if why := elsewhere(scenario):
        pytest.skip(why)
    scene = theatre.open()
    wrong = ["it was not played to its end"]
    try:
        wrong = Player(scene, scenario).play()
    finally:
        shown = look(scene) if wrong else ""
        if wrong:
            theatre.close()
    assert not wrong, "\n".join([*wrong, shown])

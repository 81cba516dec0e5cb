"""Every scenario that a cluster in namespaces can stage, played on one.

Those of KNOWN are played in each test run: each held whenever it was played as it stands, also on a machine that others
kept busy, and ends within half a minute on a quiet one. `make scenarios` plays all, and writes what became of them into
docs/scenarios.md.
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
from hacluster.lab.chaos.run import disk
from hacluster.lab.chaos.scene import Scene
from hacluster.spec import load
from tests.lab.conftest import fresh_lab, look
from tests.lab.scenarios import page
from tests.lab.scenarios.player import Player, elsewhere, renew
from tests.scenarios.player import CLUSTER
from tests.scenarios.scenario import read

pytestmark = [pytest.mark.lab, pytest.mark.root]

DEEP = "HACLUSTER_DEEP" in os.environ
KNOWN = {
    "a01-a-seat-admits-no-fresh-start",
    "a05-admitted-and-not-yet-there",
    "a18-a-cleanup-with-a-lock-left",
    "a21-two-at-the-same-orphan",
    "a22-the-agent-lets-go-before-libvirt",
    "a23-the-interpreter-is-gone",
    "a24-a-hook-of-the-admins-own",
    "a31-a-process-with-the-vms-uuid",
    "a35-migrate-from-runs-again",
    "an-arrived-copy-is-stopped-by-a-signal",
    "cause-01-the-configuration-cannot-be-read",
    "cause-03-the-verdict-is-lost",
    "cause-04-the-target-changes-in-mid-move",
    "cause-05-autostart",
    "cause-06-virsh-create-elsewhere",
    "cause-06-virsh-migrate-by-hand",
    "node-dies",
    "ordinary-move",
    "pcs-resource-cleanup-at-the-copy",
    "qemu-is-killed",
    "two-operators",
    "virsh-destroy-by-hand",
}


class Theatre:
    """A lab with its spec applied, and the observer outside. It is mended between two scenarios, and built anew where
    that does not succeed."""

    def __init__(self) -> None:
        self._labs: Iterator[Bed] | None = None
        self.scene: Scene | None = None

    def open(self) -> Scene:
        """A scene where every VM runs. Raises Refused, AssertionError."""
        if self.scene is not None and (spoilt(self.scene) or renew(self.scene)):
            self.close()
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


def spoilt(scene: Scene) -> bool:
    """Whether a disk shows two writers: it would for ever, and the next scenario is not to blame."""
    return any(disk(scene.bed, vm)[1] for vm in scene.vms)


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    """One for all scenarios; they undo what they did."""
    made = Theatre()
    yield made
    made.close()


@pytest.mark.parametrize("path", page.FILES, ids=lambda path: path.stem)
def test_scenario(path: Path, theatre: Theatre) -> None:
    if path.stem not in KNOWN and not DEEP:
        pytest.skip("make scenarios plays it, too")
    scenario = read(path)
    if why := elsewhere(scenario):
        pytest.skip(why)
    scene = theatre.open()
    wrong = Player(scene, scenario).play()
    if DEEP:
        page.note(path.stem, wrong)
    assert not wrong, "\n".join([*wrong, look(scene)])

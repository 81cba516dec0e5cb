"""Chaos in the lab: a short run must hold the promise, and its observer must see where the promise is broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hacluster.lab.bed import Bed
from hacluster.lab.chaos import menu, theatre
from hacluster.lab.chaos.deeds import Aim
from hacluster.lab.chaos.scene import Scene

from .admin import Admin
from .conftest import fresh_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

SEED, SECONDS = 20, 30.0
HOOK = "/etc/libvirt/hooks/qemu.d/hacluster"


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A lab of its own: one of these tests makes a VM run twice."""
    yield from fresh_lab("x")


@pytest.fixture
def scene(bed: Bed) -> Iterator[Scene]:
    """The cluster at rest, observed."""
    scene = theatre.raise_curtain(bed, stock=False, tell=print)
    yield scene
    scene.observer.stop()


def test_a_short_run_of_a_fixed_seed_holds_the_promise(bed: Bed) -> None:
    report = theatre.play(bed, SEED, SECONDS, menu.named([]), stock=False, tell=print)
    assert theatre.findings(report, bed.name) == []
    assert report.steps
    assert [vm.most for vm in report.vms] == [1, 1, 1]
    assert report.slowest < 1, "the observer blinked"


def test_a_live_move_is_no_second_copy(scene: Scene) -> None:
    other = scene.other(Aim("web", "other", 0, 0))
    done = scene.run(scene.prompt(), scene.move("web", other), 120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Admin.until(lambda: scene.observer.services["web"].live_moves == 1, 5)
    assert (scene.observer.judges["web"].present, scene.observer.judges["web"].most) == (2, 1)
    assert scene.observer.twice() == []


def test_the_observer_sees_what_a_missing_hook_lets_in(scene: Scene) -> None:
    other = scene.other(Aim("db", "other", 0, 0))
    scene.sh(other, f"mv {HOOK} /run/hook && systemctl reload libvirtd; virsh create {scene.config('db')}")
    seen = Admin.until(lambda: bool(scene.observer.twice()), 10)
    scene.sh(other, f"virsh destroy db; mv /run/hook {HOOK} && systemctl reload libvirtd")
    assert seen
    assert scene.observer.judges["db"].most == 2


def test_the_observer_sees_what_a_lying_board_does(scene: Scene) -> None:
    here = scene.home(Aim("web", "home", 0, 0))
    aim = Aim("web", here, 60, 0)
    lying, freeze = menu.named(["board-lying", "freeze"])
    _, tell_the_truth = lying.do(scene, aim)
    _, thaw = freeze.do(scene, aim)
    assert tell_the_truth is not None
    assert thaw is not None
    moved = Admin.until(lambda: scene.observer.home("web") not in (None, here), 60)
    thaw()
    seen = Admin.until(lambda: any(each.vm == "web" for each in scene.observer.twice()), 15)
    tell_the_truth()
    assert (moved, seen) == (True, True)
    assert scene.observer.judges["web"].most == 2

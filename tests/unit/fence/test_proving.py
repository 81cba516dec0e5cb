"""The test that switches a node off: what it does in which order, what proves it, and what every bad end leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from lxml import etree

from hacluster import fencing_proof
from hacluster.cib import fence_devices
from hacluster.fences import proving
from hacluster.fences.proving import Proven, Trial
from hacluster.ports import HostFacts, Unknown, World
from hacluster.problems import Refused
from tests.unit.fence.clusters import NODES, Devices, cib

QUIET = HostFacts("n", "b", "1", True, True, 1, 1, (), (), (), (), (), {})


class Stage(Devices):
    """Three machines, n3 in standby and the cluster seen from n1; `does` is what its board does when told to fence."""

    def __init__(self, does: str = "works", *, standby: bool = True, through: str = "n1", back: float = 60.0) -> None:
        super().__init__()
        self.does = does
        self.standby = standby
        self.through = through
        self.back = back
        self.boot = "before"
        self.fenced: float | None = None
        self.stopped = False
        self.now = 1000.0
        self.calls: list[str] = []
        self.kept: dict[str, str] = {}
        self.stop_fails = ""

    def boot_id(self, node: str, *, deadline: float = 4.0) -> str | Unknown:
        if self.boot == "before" or self.fenced is None:
            return self.boot
        return self.boot if self.now >= self.fenced + self.back else Unknown(f"{node} cannot be reached by ssh")

    def leave(self, node: str, *, deadline: float = 120.0) -> str:
        self.calls.append(f"leave {node}")
        self.stopped = not self.stop_fails
        return self.stop_fails

    def enter(self, node: str) -> str:
        self.calls.append(f"enter {node}")
        self.stopped = False
        return ""

    def fence(self, through: str, target: str, *, deadline: float) -> str:
        self.calls.append(f"fence {target} through {through}")
        assert self.stopped, "a node whose Pacemaker runs goes down by itself when it learns of its fencing"
        if self.does == "fails":
            return "No such device"
        self.fenced = self.now
        if self.does == "works":
            self.boot, self.stopped = "after", False
        return ""

    def remember(self, through: str, group: str, name: str, value: str) -> None:
        self.calls.append("remember")
        self.kept[f"{group} {name}"] = value

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monitor(self) -> bytes:
        nodes = "".join(
            f'<node name="{n}" online="{str(n != "n3" or not self.stopped).lower()}" pending="false" unclean="false" '
            f'standby="{str(n == "n3" and self.standby).lower()}" standby_onfail="false" maintenance="false"/>'
            for n in NODES
        )
        return f"<r><summary/><nodes>{nodes}</nodes><resources/><failures/></r>".encode()

    def facts(self, nodes: Sequence[str], deadline: float = 8.0) -> dict[str, HostFacts | Unknown]:
        return dict.fromkeys(nodes, QUIET)

    def cib(self) -> bytes:
        root = cib()
        root.set("have-quorum", "1")
        for number, name in enumerate(NODES, 1):
            etree.SubElement(root.find("./configuration/nodes"), "node", id=str(number), uname=name)
        return bytes(etree.tostring(root))

    def trial(self, target: str = "n3", tell: Callable[..., None] = lambda *_: None) -> Trial:
        clock = SimpleNamespace(now=lambda: self.now, wall=lambda: self.now, sleep=self.sleep)
        pacemaker = SimpleNamespace(cib=self.cib, monitor=self.monitor, local_node=lambda: self.through)
        world = SimpleNamespace(pacemaker=pacemaker, hosts=self, clock=clock)
        return Trial(cast(World, world), self, target, {}, tell)


def codes(stage: Stage, **options: float) -> list[str]:
    with pytest.raises(Refused) as no:
        stage.trial().prove(**options)
    return [problem.code for problem in no.value.problems]


def test_the_machine_is_proven_by_its_boot_id_and_the_proof_is_kept() -> None:
    stage = Stage()
    done = stage.trial().prove()
    assert isinstance(done, Proven)
    assert stage.calls == ["leave n3", "fence n3 through n1", "remember"]
    assert (done.before, done.after, done.online, done.back_after) == ("before", "after", True, 60.0)
    assert proving.to_json(done)["devices"] == ["ipmi-n3"]
    digest = fencing_proof.digest(cib(), "n3", fence_devices.devices(cib()))
    assert stage.kept == {"hacluster-fencing hacluster-fenced-n3": f"proven 1000 {digest} ipmi-n3"}


def test_a_machine_that_still_runs_after_it_was_fenced_shows_a_lie() -> None:
    stage = Stage("lies")
    assert codes(stage) == ["HA542"]
    assert stage.kept["hacluster-fencing hacluster-fenced-n3"].startswith("lied 1000 ")
    assert stage.calls[-1] == "enter n3", "Pacemaker is back on the node that is still there"


def test_a_node_that_pacemaker_cannot_fence_gets_its_pacemaker_back() -> None:
    stage = Stage("fails")
    assert codes(stage) == ["HA547"]
    assert stage.calls == ["leave n3", "fence n3 through n1", "enter n3"]
    assert not stage.kept


def test_nothing_is_fenced_while_pacemaker_stays() -> None:
    stage = Stage()
    stage.stop_fails = "Job for pacemaker.service canceled."
    assert codes(stage) == ["HA553"]
    assert stage.calls == ["leave n3", "enter n3"]


def test_an_interrupted_stop_is_undone() -> None:
    stage = Stage()

    def interrupt(node: str, *, deadline: float = 120.0) -> str:
        raise KeyboardInterrupt

    stage.leave = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stage.trial().prove()
    assert stage.calls == ["enter n3"]


def test_a_machine_that_stays_away_proves_nothing() -> None:
    stage = Stage(back=100.0)
    assert codes(stage, wait=50.0) == ["HA548"]
    assert not stage.kept


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Stage(standby=False), ["HA545"]),
        (Stage(through="n3"), ["HA546"]),
        (Stage(standby=False, through="n3"), ["HA545", "HA546"]),
    ],
)
def test_nothing_is_done_before_all_that_speaks_against_it_is_said(stage: Stage, expected: list[str]) -> None:
    assert codes(stage) == expected
    assert stage.calls == []


def test_a_silent_device_is_not_tried() -> None:
    stage = Stage()
    stage.answers = {("ipmi-n3", "n3", "n2"): Unknown("timed out")}
    assert codes(stage) == ["HA543"]
    assert stage.calls == []


def test_a_machine_that_goes_down_by_itself_proves_no_device() -> None:
    stage = Stage()
    leave = stage.leave

    def reset(node: str, *, deadline: float = 120.0) -> str:
        said = leave(node, deadline=deadline)
        stage.boot = "by itself"
        return said

    stage.leave = reset  # type: ignore[method-assign]
    assert codes(stage) == ["HA553"]
    assert stage.calls == ["leave n3", "enter n3"]

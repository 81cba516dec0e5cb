"""May a node be fenced for a test? What must not be on it, and what the others must be."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from lxml import etree

from hacluster.claim import Claim
from hacluster.fences import readiness
from hacluster.observe import CloneView, NodeView, Observation
from hacluster.ports import Qemu, Unknown
from hacluster.rehearsal import Looked
from tests.unit.fence.clusters import cib, seen
from tests.unit.fence.test_proving import QUIET

N3 = NodeView("n3", online=True, standby=True, facts=QUIET)


def vm(name: str, on: str, word: str = "PRESENT") -> object:
    return SimpleNamespace(name=name, uuid=name, presence={on: word})


def drained(node: NodeView = N3, view: Observation | None = None) -> list[str]:
    return [problem.message for problem in readiness.drained(view or seen(), node)]


def moment(view: Observation, node: NodeView = N3) -> list[str]:
    return [problem.message for problem in readiness.moment(view, node)]


def with_vms(*vms: object) -> Observation:
    return replace(seen(), vms=vms)  # type: ignore[arg-type]


def runs(*uuids: str) -> NodeView:
    return replace(N3, facts=replace(QUIET, qemus=tuple(Qemu(uuid, 7, 1, "S") for uuid in uuids)))


def test_an_empty_node_in_standby_is_drained() -> None:
    assert drained() == []


@pytest.mark.parametrize(
    ("node", "view", "said"),
    [
        (replace(N3, standby=False), None, "n3 is not in standby"),
        (N3, with_vms(vm("web", "n3"), vm("db", "n1")), "still there: web"),
        (N3, with_vms(vm("web", "n3", "UNKNOWN")), "it is not known whether web run there"),
        (runs("strange"), None, "VMs that the cluster does not manage run there: strange"),
        (replace(N3, facts=replace(QUIET, qemus=None)), None, "it cannot list its QEMUs"),
        (replace(N3, facts=Unknown("late")), None, "it does not say what it runs: late"),
        (
            N3,
            replace(seen(), clones=(CloneView("fs-clone", "Filesystem", {"n3": "stopping"}),)),
            "still there: fs-clone",
        ),
    ],
)
def test_what_is_still_there_is_said(node: NodeView, view: Observation | None, said: str) -> None:
    assert drained(node, view) == [said]


def test_a_managed_vm_is_not_called_foreign() -> None:
    assert drained(runs("web"), with_vms(vm("web", "n3"))) == ["still there: web"]


def test_three_nodes_can_spare_one() -> None:
    assert moment(seen()) == []


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (seen(n2="offline"), "without n3 the cluster would have no quorum"),
        (replace(seen(), cluster=replace(seen().cluster, quorum=False)), "without n3 the cluster would have no quorum"),
        (replace(seen(), cluster=replace(seen().cluster, stonith=False)), "fencing is switched off"),
        (replace(seen(), cluster=replace(seen().cluster, maintenance=True)), "maintenance-mode is set"),
        (replace(seen(), claims=(Claim("web", "n1", "n2", "me", 1, 1),)), "web is being moved"),
    ],
)
def test_a_bad_moment_is_said(view: Observation, said: str) -> None:
    assert moment(view) == [said]


def test_of_two_nodes_the_other_one_must_be_up() -> None:
    both = replace(seen(), nodes=(NodeView("n1", online=True), N3))
    assert moment(both) == []
    alone = replace(seen(), nodes=(NodeView("n1", online=False), N3))
    assert moment(alone) == ["without n3 the cluster would have no quorum"]


def test_an_unclean_node_comes_first() -> None:
    view = replace(seen(), nodes=(NodeView("n1", True), NodeView("n2", True), NodeView("n4", True, unclean=True), N3))
    assert moment(view) == ["without n3 the cluster would have no quorum", "n4 wait to be fenced"]


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("fence_ipmilan", []),
        ("fence_scsi", ["ipmi-n3 only cuts n3 off its storage"]),
        ("fence_watchdog", ["n3 is to reset itself when it loses the cluster, and a test begins with its leaving it"]),
        (None, ["no fence device can fence n3"]),
    ],
)
def test_only_a_device_that_cuts_power_proves_something(agent: str | None, said: list[str]) -> None:
    root: etree._Element = cib()
    board = root.find(".//primitive[@id='ipmi-n3']")
    if agent is None:
        board.getparent().remove(board)
    else:
        board.set("type", agent)
    looked = cast(Looked, SimpleNamespace(cib=root, seen=seen()))
    assert [problem.message for problem in readiness.provable(looked, "n3")] == said


def test_a_remote_node_is_not_proven() -> None:
    looked = cast(Looked, SimpleNamespace(cib=cib(), seen=replace(seen(), proven=())))
    assert [problem.code for problem in readiness.provable(looked, "n3")] == ["HA549"]

"""What the sweep tells Pacemaker to look at again, and how often. The XML is as crm_mon 2.1.5 prints it."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hacluster.guard import proof, state
from hacluster.guard.child import Result
from hacluster.guard.proof import Scan
from resource_agents import reconcile

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"


def cluster(resource: str, failed: str = "n1") -> ElementTree.Element:
    nodes = "".join(f'<node name="{name}" online="{online}"/>' for name, online in
                    (("n1", "true"), ("n2", "true"), ("n3", "false")))  # fmt: skip
    return ElementTree.fromstring(
        f"<pacemaker-result><nodes>{nodes}</nodes><resources>{resource}</resources><failures>"
        f'<failure op_key="web_migrate_to_0" node="{failed}"/></failures></pacemaker-result>'
    )


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ('<resource id="web" managed="true" blocked="false"><node name="n1"/></resource>', ""),
        ('<resource id="web" managed="false" blocked="true"><node name="n1"/></resource>', reconcile.BLOCKED),
        ('<resource id="web" managed="true" blocked="false"><node name="n2"/></resource>', reconcile.UNKNOWN),
        ('<resource id="web" managed="true" blocked="false"/>', reconcile.UNKNOWN),
        ('<resource id="web" managed="false" blocked="false"/>', ""),
        ('<resource id="db" managed="true" blocked="true"/>', ""),
    ],
    ids=["as it is", "blocked", "elsewhere", "stopped", "unmanaged", "another VM"],
)
def test_what_pacemaker_has_wrong(resource: str, expected: str) -> None:
    assert reconcile.oddity(cluster(resource), "web", "n1") == expected


def test_a_block_is_mended_by_the_node_whose_move_failed_and_by_no_other() -> None:
    """Two at a time make a new home forget while another node remembers the move to it: the guest is restarted."""
    blocked = '<resource id="web" managed="false" blocked="true"/>'
    assert reconcile.oddity(cluster(blocked, "n1"), "web", "n1") == reconcile.BLOCKED
    assert reconcile.oddity(cluster(blocked, "n2"), "web", "n1") == ""


def test_nothing_is_forgotten_while_an_operation_is_under_way() -> None:
    moving = '<resource id="web" managed="true" blocked="false" pending="Migrating"><node name="n2"/></resource>'
    assert reconcile.oddity(cluster(moving), "web", "n1") == ""


def test_it_stops_when_pacemakers_picture_changes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = '<resource id="web" managed="false" blocked="true"/>'
    mended = '<resource id="web" managed="true" blocked="false"><node name="n2"/></resource>'
    pictures = iter([blocked, blocked, mended, mended])
    asked: list[list[str]] = []

    def run(argv: list[str], _timeout: float) -> Result:
        asked.append(argv)
        mon = argv[0] == "crm_mon"
        return Result(0, ElementTree.tostring(cluster(next(pictures)), encoding="unicode") if mon else "", "")

    monkeypatch.setattr(reconcile, "run", run)
    reconcile._forget("web", "n1", reconcile.BLOCKED)
    assert [argv[-1] for argv in asked if "--refresh" in argv] == ["n2"]


def test_the_home_of_a_blocked_vm_forgets_last_and_nodes_that_are_away_not_at_all() -> None:
    assert reconcile.order(cluster(""), "n1", reconcile.BLOCKED) == ["n2", "n1"]
    assert reconcile.order(cluster(""), "n1", reconcile.UNKNOWN) == ["n1"]


def test_only_what_lasts_is_acted_on_and_ever_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(state, "RUN", str(tmp_path))
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    acted = []
    for _ in range(1000):
        if reconcile.due(UUID, reconcile.BLOCKED):
            acted.append(now[0] - 1000)
        now[0] += 20
    assert acted[:4] == [60, 180, 420, 900]
    assert max(later - earlier for earlier, later in itertools.pairwise(acted)) <= 3600
    assert not reconcile.due(UUID, "")
    assert not reconcile.due(UUID, reconcile.BLOCKED), "the account has begun anew"


def test_a_vm_that_is_down_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "RUN", str(tmp_path))
    assert reconcile.due(UUID, reconcile.BLOCKED, 0.0)
    assert not reconcile.due(UUID, reconcile.BLOCKED, 0.0), "the second time it is"


@pytest.mark.parametrize(
    ("action", "moving", "expected"),
    [("migrate_to", 0, True), ("start", 0, False), ("", 0, False), ("", 4194305, True), ("", os.getpid(), False)],
    ids=["a failed move", "a failed start", "nothing", "a killed agent's move", "a move under way"],
)
def test_what_counts_as_a_move_that_was_broken_off_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, moving: int, expected: bool
) -> None:
    monkeypatch.setattr(state, "RUN", str(tmp_path))
    if action:
        state.write_pairs(state.path(UUID, ".failed"), {"action": action})
    if moving:
        state.mark(UUID, ".moving", moving)
    assert reconcile.broken_off(UUID) is expected


@pytest.mark.parametrize(
    ("verdict", "blocked", "forgotten"),
    [(proof.ABSENT, True, ["n2", "n1"]), (proof.ABSENT, False, []), (proof.UNKNOWN, True, [])],
)
def test_a_guest_that_ended_in_its_move_does_not_stay_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: str, blocked: bool, forgotten: list[str]
) -> None:
    monkeypatch.setattr(state, "RUN", str(tmp_path))
    monkeypatch.setattr(state, "node_name", lambda: "n1")
    monkeypatch.setattr(reconcile, "domain_names", lambda: {UUID: "web"})
    monkeypatch.setattr(proof, "scan", Scan)
    monkeypatch.setattr(proof, "active_uuids", lambda _uri, _timeout: frozenset() if verdict == proof.ABSENT else None)
    state.write_pairs(state.path(UUID, ".failed"), {"action": "migrate_to"})
    told = cluster(f'<resource id="web" managed="false" blocked="{str(blocked).lower()}"/>')
    asked: list[list[str]] = []

    def run(argv: list[str], _timeout: float) -> Result:
        asked.append(argv)
        return Result(0, ElementTree.tostring(told, encoding="unicode") if argv[0] == "crm_mon" else "", "")

    monkeypatch.setattr(reconcile, "run", run)
    reconcile.reconcile()
    assert [argv[-1] for argv in asked if "--refresh" in argv] == forgotten

"""The program of the drain unit: what it asks of whom, when it gives up on moving, and what it does then."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from hacluster.guard import proof, state
from hacluster.guard.child import Result
from hacluster.host.payload import files
from hacluster.observe.draining import AFTER
from resource_agents import draining

WEB, DB = "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a001", "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a002"


class Node:
    """A node with web and db, time that passes when somebody waits, and tools that answer as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.now = 0.0
        self.here = {WEB, DB}
        self.asked: list[str] = []
        self.quorum, self.wide, self.own, self.standby = 0, "false", "off", 0
        self.moves_at: float | None = None
        self.obeys = {"shutdown", "destroy"}
        self.votes = "1"
        domains = tmp_path / "domains"
        domains.mkdir()
        (domains / "web.0123.xml").write_text(f"<domain><uuid>{WEB.upper()}</uuid></domain>")
        (tmp_path / "cib.xml").write_text(f'<cib><nvpair name="uuid" value="{DB}"/></cib>')
        monkeypatch.setattr(draining, "DOMAINS", str(domains))
        monkeypatch.setattr(draining, "CIB", str(tmp_path / "cib.xml"))
        monkeypatch.setattr(draining, "CONFIG", str(tmp_path / "drain.conf"))
        monkeypatch.setattr(draining, "run", self._run)
        monkeypatch.setattr(draining, "time", self)
        monkeypatch.setattr(proof, "scan", self._scan)
        monkeypatch.setattr(state, "node_name", lambda: "n1")
        self.config = tmp_path / "drain.conf"

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def _scan(self) -> proof.Scan:
        if self.moves_at is not None and self.standby_asked and self.now >= self.moves_at:
            self.here.clear()
        found = proof.Scan()
        found.by_uuid = {uuid: [proof.Process(7, 1, "S")] for uuid in (*self.here, "stranger")}
        return found

    @property
    def standby_asked(self) -> bool:
        return any("standby" in asked for asked in self.asked)

    def _run(self, argv: Sequence[str], _timeout: float) -> Result:
        words = " ".join(argv)
        self.asked.append(words)
        if argv[0] == "virsh":
            if argv[-2] in self.obeys:
                self.here.discard(argv[-1])
            return Result(0, "", "")
        if "--quorum" in words:
            return Result(self.quorum, self.votes, "")
        if "maintenance-mode" in words:
            return Result(0, self.wide, "")
        if "--name maintenance" in words:
            return Result(0 if self.own else 105, self.own, "")
        if "standby" in words:
            return Result(self.standby, "", "no such device" if self.standby else "")
        raise AssertionError(words)

    def virsh(self) -> list[str]:
        return [asked.split()[-2] for asked in self.asked if asked.startswith("virsh")]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Node:
    return Node(monkeypatch, tmp_path)


def test_pacemaker_moves_and_nothing_else_is_done(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.moves_at = 70.0
    assert draining.drain() == 0
    assert "crm_attribute --node n1 --name standby --update on --lifetime reboot" in node.asked
    assert node.virsh() == []
    said = capsys.readouterr().out
    # The stranger is nobody's: neither the CIB nor a domain file knows it.
    assert f"moving {DB}, web away from n1, for at most 600 s" in said
    assert "waiting for" in said and "n1 is empty" in said


def test_what_is_left_after_the_budget_gets_its_power_button(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.config.write_text("budget=30\ngrace=20\n")
    assert draining.drain() == 0
    assert 30 <= node.now < 35
    assert node.virsh() == ["shutdown", "shutdown"]
    assert "could not be moved away from n1 within 30 s" in capsys.readouterr().out


def test_who_does_not_obey_is_asked_again_and_then_destroyed(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.config.write_text("budget=30\ngrace=20\n")
    node.here, node.obeys = {WEB}, {"destroy"}
    assert draining.drain() == 0
    assert node.virsh() == ["shutdown", "shutdown", "destroy"]
    assert 50 <= node.now < 55
    node.here, node.obeys = {WEB}, set()
    assert draining.drain() == 1
    assert "web cannot be ended here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "value", "reason"),
    [
        ("quorum", 1, "the cluster is stopped here"),
        ("votes", "0", "no quorum"),
        ("wide", "true", "the cluster is in maintenance mode"),
        ("own", "on", "this node is in maintenance mode"),
        ("standby", 6, "no such device"),
    ],
)
def test_where_pacemaker_does_not_act_nothing_waits_for_it(
    node: Node, what: str, value: object, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    setattr(node, what, value)
    assert draining.drain() == 0
    said = capsys.readouterr().out
    assert reason in said and "cannot be moved away" in said
    assert node.virsh() == ["shutdown", "shutdown"] and node.now < 5
    assert node.standby_asked is (what == "standby")


def test_an_empty_node_goes_at_once_and_takes_nothing_in_any_more(node: Node) -> None:
    node.here.clear()
    assert draining.drain() == 0
    assert node.standby_asked and node.now == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (600.0, 120.0)),
        ("budget=5\ngrace=7\n", (5.0, 7.0)),
        ("budget=9999\ngrace=9999\n", (1200.0, 240.0)),
        ("budget=soon\n", (600.0, 120.0)),
    ],
)
def test_settings(node: Node, text: str, expected: tuple[float, float]) -> None:
    node.config.write_text(text)
    assert draining.settings() == expected


def test_the_unit_is_ordered_as_verify_wants_it_and_given_more_time_than_the_program_takes() -> None:
    unit = next(f for f in files() if f.destination.endswith("/hacluster-drain.service")).content.decode()
    after = {name for line in re.findall(r"^After=(.*)$", unit, re.MULTILINE) for name in line.split()}
    assert set(AFTER) <= after
    minutes = int(re.findall(r"^TimeoutStopSec=(\d+)min$", unit, re.MULTILINE)[0])
    assert minutes * 60 > draining.MOST + draining.MOST_GRACE + 2 * draining.ASK

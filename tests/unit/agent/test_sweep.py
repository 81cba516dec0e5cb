"""The sweep: what it gives back, what it puts right, and what it leaves to those who are at it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hacluster.guard import dlm, proof, state
from hacluster.guard.dlm import CR, EX, NL, PW
from hacluster.guard.proof import Process, Scan
from hacluster.guard.state import State
from resource_agents import lockspace, sweep
from resource_agents.codes import Failed
from resource_agents.vm import Deadline

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
NONCE = "0123456789abcdef"


class Locks:
    """Stands for RunLock: what was asked of it, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.held = NL

    def __call__(self, _uuid: str) -> Locks:
        return self

    def recorded(self) -> State:
        return state.read(UUID)

    def adopt(self, _timeout: float) -> int:
        self.asked.append("adopt")
        return self.held

    def seal(self, _timeout: float) -> None:
        self.asked.append("seal")

    def reseal(self, _timeout: float) -> None:
        self.asked.append("reseal")

    def release(self, prove: object, _timeout: float) -> None:
        self.asked.append("release")


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Locks:
    """A node whose libvirt runs nothing and whose /proc shows nothing."""
    made = Locks()
    monkeypatch.setattr(state, "RUN", str(tmp_path))
    monkeypatch.setattr(sweep, "RunLock", made)
    monkeypatch.setattr(sweep, "domain_names", lambda: {UUID: "web"})
    monkeypatch.setattr(proof, "active_uuids", lambda _uri, _timeout: frozenset())
    monkeypatch.setattr(proof, "scan", Scan)
    return made


@pytest.fixture
def runs(locks: Locks, monkeypatch: pytest.MonkeyPatch) -> Locks:
    """The same with a QEMU of the VM."""
    found = Scan()
    found.by_uuid[UUID] = [Process(7, 1007, "S")]
    monkeypatch.setattr(proof, "scan", lambda: found)
    return locks


def test_a_proved_absence_gives_the_lock_back(locks: Locks) -> None:
    state.write(UUID, State(EX))
    assert sweep.sweep() == ()
    assert locks.asked == ["release"]


def test_the_end_of_a_move_is_left_to_its_agent_which_alone_knows_whether_it_is_a_hand_over(locks: Locks) -> None:
    state.write(UUID, State(PW, NONCE, "n2"))
    state.mark(UUID, ".moving", os.getpid())
    assert sweep.sweep() == (UUID,)
    assert locks.asked == []


@pytest.mark.parametrize(
    ("mode", "held", "asked"),
    [
        (EX, EX, []),
        (PW, PW, ["reseal"]),
        (NL, EX, ["adopt"]),
        (NL, NL, ["adopt", "seal"]),
    ],
    ids=["sealed", "gate left open", "record lost", "came past the hook"],
)
def test_the_claim_of_a_vm_that_runs_is_put_right(runs: Locks, mode: int, held: int, asked: list[str]) -> None:
    state.write(UUID, State(mode, NONCE, "n2"))
    runs.held = held
    assert sweep.sweep() == (UUID,)
    assert runs.asked == asked


def test_a_gate_is_not_closed_under_the_agent_that_opened_it(runs: Locks) -> None:
    state.write(UUID, State(PW, NONCE, "n2"))
    state.mark(UUID, ".moving", os.getpid())
    sweep.sweep()
    assert runs.asked == []


@pytest.mark.parametrize("moving", [False, True])
def test_a_guest_that_could_not_be_let_go_on_when_it_was_sealed_again_is_tried_again(
    runs: Locks, monkeypatch: pytest.MonkeyPatch, moving: bool
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(sweep, "go_on", lambda _uri, uuid, _sight, _timeout: tried.append(uuid))
    state.write(UUID, State(EX))
    if moving:
        state.mark(UUID, ".moving", os.getpid())
    sweep.sweep()
    assert tried == ([] if moving else [UUID])


@pytest.mark.parametrize("attended", [False, True])
def test_an_arrival_that_nobody_waits_for_gets_somebody(
    runs: Locks, monkeypatch: pytest.MonkeyPatch, attended: bool
) -> None:
    begun: list[object] = []
    monkeypatch.setattr(sweep, "in_background", begun.append)
    status = type("Status", (), {"complete": True})
    monkeypatch.setattr(sweep, "look", lambda _name, _uuid: status)
    state.write(UUID, State(CR, NONCE, "n2"))
    if attended:
        state.mark(UUID, ".attended", os.getpid())
    sweep.sweep()
    assert len(begun) == (0 if attended else 1)


@pytest.mark.parametrize("evidence", ["QEMU", "start in flight", "recorded QEMU"])
def test_the_lockspace_is_not_left_under_a_vm_whatever_shows_it(
    locks: Locks, monkeypatch: pytest.MonkeyPatch, evidence: str
) -> None:
    state.write(UUID, State(EX))
    start = state.process_start(os.getpid())
    assert start is not None
    if evidence == "QEMU":
        found = Scan()
        found.by_uuid[UUID] = [Process(7, 1007, "S")]
        monkeypatch.setattr(proof, "scan", lambda: found)
    elif evidence == "start in flight":
        state.mark(UUID, ".starting", os.getpid())
    else:
        state.write_pairs(state.path(UUID, ".qemu"), {"pid": str(os.getpid()), "start": str(start[1])})
    monkeypatch.setattr(dlm, "joined", lambda: True)
    monkeypatch.setattr(lockspace, "in_child", lambda *_: pytest.fail("it was left"))
    with pytest.raises(Failed, match="the guard stays: web runs here"):
        lockspace.stop(Deadline(10))


@pytest.mark.parametrize("left", [(), ("web",)], ids=["nothing runs", "a VM runs"])
def test_the_node_is_closed_before_it_is_looked_what_runs_there(
    locks: Locks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: tuple[str, ...]
) -> None:
    """The hook marks and then asks whether the node is closed; the stop closes it and then looks for the mark."""
    monkeypatch.setattr(state, "LOCKSPACE", str(tmp_path / "lockspace"))
    monkeypatch.setattr(dlm, "joined", lambda: True)
    monkeypatch.setattr(lockspace, "_announce", lambda _admits: None)
    state.write_pairs(state.LOCKSPACE, {"node": "n1", "boot": state.boot_id(), "admits": "1"})
    order: list[tuple[str, bool]] = []

    def present() -> tuple[str, ...]:
        order.append(("looked", state.leaving()))
        return left

    def leave(_work: object, _timeout: float) -> None:
        order.append(("left", state.leaving()))

    monkeypatch.setattr(sweep, "present", present)
    monkeypatch.setattr(lockspace, "in_child", leave)
    if left:
        with pytest.raises(Failed, match="the guard stays: web runs here"):
            lockspace.stop(Deadline(10))
        assert order == [("looked", True)]
        assert not state.leaving(), "a refused stop opens it again"
    else:
        assert lockspace.stop(Deadline(10)) == 0
        assert order == [("looked", True), ("left", True)]
        assert state.leaving()


def test_a_node_that_a_killed_stop_left_closed_is_opened_by_the_next_monitor(
    locks: Locks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "LOCKSPACE", str(tmp_path / "lockspace"))
    monkeypatch.setattr(dlm, "joined", lambda: True)
    monkeypatch.setattr(lockspace, "_keep_guard", lambda: None)
    monkeypatch.setattr(lockspace, "in_background", lambda _work: None)
    state.write_pairs(state.LOCKSPACE, {"node": "n1", "boot": state.boot_id(), "leaving": "1"})
    assert lockspace.monitor(Deadline(10)) == 0
    assert not state.leaving()

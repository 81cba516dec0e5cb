"""The node's answer to `hactl lock clear`: a lock goes only by the guard's own release."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hacluster.edge.audits import released
from hacluster.guard import proof, state
from hacluster.guard.dlm import EX, NL, DlmError, Unknown
from hacluster.guard.proof import Presence, Scan
from hacluster.guard.state import State
from hacluster.ports import Released
from resource_agents import releasing

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"


class Locks:
    """Stands for RunLock: it releases if the proof says absent, or fails as it was told to."""

    def __init__(self) -> None:
        self.proofs: list[Presence] = []
        self.trouble: DlmError | None = None

    def __call__(self, uuid: str) -> Locks:
        assert uuid == UUID
        return self

    def recorded(self) -> State:
        return state.read(UUID)

    def release(self, prove: object, _timeout: float) -> None:
        if self.trouble:
            raise self.trouble
        self.proofs.append(prove())  # type: ignore[operator]  # the guard calls it without arguments
        if self.proofs[-1].verdict != proof.ABSENT:
            raise Unknown(f"its absence is not proved: {self.proofs[-1].evidence}")
        state.forget(UUID)


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Locks:
    """A node that holds the lock, whose libvirt runs nothing and whose /proc shows nothing."""
    made = Locks()
    monkeypatch.setattr(state, "RUN", str(tmp_path))
    monkeypatch.setattr(releasing, "RunLock", made)
    monkeypatch.setattr(releasing, "joined", lambda: True)
    monkeypatch.setattr(proof, "active_uuids", lambda _uri, _timeout: frozenset())
    monkeypatch.setattr(proof, "scan", Scan)
    state.write(UUID, State(EX))
    return made


def test_it_is_given_back_with_proof(locks: Locks) -> None:
    assert releasing.release(UUID) == {"format": 1, "released": True, "mode": "EX", "reason": ""}
    assert [found.verdict for found in locks.proofs] == [proof.ABSENT]
    assert state.read(UUID).mode == NL


@pytest.mark.parametrize("active", [None, frozenset({UUID})], ids=["libvirt is silent", "libvirt runs it"])
def test_without_proof_it_stays_and_says_why(
    locks: Locks, monkeypatch: pytest.MonkeyPatch, active: frozenset[str] | None
) -> None:
    monkeypatch.setattr(proof, "active_uuids", lambda _uri, _timeout: active)
    told = releasing.release(UUID)
    assert (told["released"], told["mode"]) == (False, "EX")
    assert "its absence is not proved" in str(told["reason"])
    assert state.read(UUID).mode == EX


def test_a_lock_manager_that_does_not_answer_is_told(locks: Locks) -> None:
    locks.trouble = Unknown("no answer from the lock manager within 5 s")
    assert releasing.release(UUID)["reason"] == "no answer from the lock manager within 5 s"


def test_a_move_that_is_under_way_gives_it_back_by_itself(locks: Locks) -> None:
    state.mark(UUID, ".moving", os.getpid())
    told = releasing.release(UUID)
    assert not told["released"]
    assert "by itself" in str(told["reason"])
    assert locks.proofs == []


def test_a_node_that_has_left_the_lockspace_holds_nothing_there(locks: Locks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releasing, "joined", lambda: False)
    assert "not in the lockspace" in str(releasing.release(UUID)["reason"])
    assert locks.proofs == []


@pytest.mark.parametrize("typed", [[], ["web"], ["../../../etc/passwd/////////////////-"], [UUID, "more"]])
def test_it_takes_one_uuid_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["release", *typed])
    with pytest.raises(SystemExit) as end:
        releasing.main()
    assert (end.value.code, capsys.readouterr().out) == (2, "")


def test_what_it_prints_is_what_hactl_reads(
    locks: Locks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["release", UUID.upper()])
    releasing.main()
    text = capsys.readouterr().out
    assert released("n1", text.encode()) == Released(True, "EX")
    assert json.loads(text)["format"] == 1

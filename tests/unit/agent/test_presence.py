"""Letting a paused guest run: only under the seal, only the one that was meant, and never an outrun one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hacluster.guard import child, proof, state
from hacluster.guard.child import Result
from hacluster.guard.dlm import CR, EX, NL, PW
from hacluster.guard.lock import RunLock
from hacluster.guard.state import State
from resource_agents import presence
from resource_agents.vm import Sight, Vm

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
NONCE, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The calls of virsh; each says whether a resume was marked at that moment."""
    calls: list[bool] = []

    def run(_argv: object, _timeout: float) -> Result:
        calls.append(state.resuming(UUID))
        return Result(0, "", "")

    monkeypatch.setattr(state, "RUN", str(tmp_path))
    monkeypatch.setattr(child, "run", run)
    return calls


def test_a_resume_is_marked_while_it_goes_on(asked: list[bool]) -> None:
    state.write(UUID, State(EX, NONCE, handed=True))
    assert presence.resume("qemu:///system", UUID, 1, NONCE) is not None
    assert asked == [True]
    assert not state.resuming(UUID)


@pytest.mark.parametrize(
    "claim", [State(CR, OTHER), State(NL), State(PW, NONCE), State(EX, OTHER)], ids=["seat", "none", "gate", "another"]
)
def test_a_resume_that_comes_late_does_nothing(asked: list[bool], claim: State) -> None:
    state.write(UUID, claim)
    assert presence.resume("qemu:///system", UUID, 1, NONCE) is None
    assert asked == []
    assert not state.resuming(UUID)


def test_a_resume_without_an_answer_may_still_be_carried_out(
    asked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "run", lambda _argv, _timeout: Result(None, "", ""))
    state.write(UUID, State(EX, NONCE, handed=True))
    presence.resume("qemu:///system", UUID, 1, NONCE)
    assert state.resuming(UUID)


@pytest.mark.parametrize(
    ("handover", "reason", "goes_on"),
    [("paused", "migration", True), ("running", "migration", False), ("paused", "user", False)],
    ids=["its copy waited", "its copy may have run and ended", "an operator paused it"],
)
def test_a_source_goes_on_only_if_its_copy_cannot_have_run(
    asked: list[bool], handover: str, reason: str, goes_on: bool
) -> None:
    state.write(UUID, State(PW, NONCE, "n2"))
    if handover == "paused":
        state.write_pairs(state.path(UUID, ".waits"), {"nonce": NONCE})
    state.write(UUID, State(EX))  # resealed
    sight = Sight()
    sight.letter, sight.state, sight.reason = "S", "paused", reason
    presence.go_on("qemu:///system", UUID, sight, 1)
    assert bool(asked) is goes_on


def test_the_word_of_an_earlier_move_says_nothing_of_this_one(asked: list[bool]) -> None:
    state.write_pairs(state.path(UUID, ".waits"), {"nonce": OTHER})
    state.write(UUID, State(PW, NONCE, "n2"))
    assert not presence.waits(UUID)
    state.write(UUID, State(EX, NONCE))  # an arrival, which is let run by other rules
    assert not presence.waits(UUID)


@pytest.mark.parametrize("moving", [True, False])
def test_what_ends_in_a_move_is_given_back_by_its_agent_alone(
    asked: list[bool], monkeypatch: pytest.MonkeyPatch, moving: bool
) -> None:
    """A probe at the source that released the gate would void the hand-over, and cost the guest its memory."""
    released: list[str] = []
    monkeypatch.setattr(presence, "joined", lambda: True)
    monkeypatch.setattr(proof, "active_uuids", lambda *_: frozenset())
    monkeypatch.setattr(RunLock, "release", lambda lock, *_: released.append(lock.uuid))
    if moving:
        state.mark(UUID, ".moving", os.getpid())
    vm = Vm({"OCF_RESOURCE_INSTANCE": "web", "OCF_RESKEY_uuid": UUID})
    assert presence.give_back(vm, 5) is not moving
    assert released == ([] if moving else [UUID])

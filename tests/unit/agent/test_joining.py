"""The lockspace's agent: what a node's records say while it joins, stays and leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from hacluster.guard import dlm, state
from hacluster.guard.dlm import EX, NL, Unknown
from hacluster.guard.state import State
from resource_agents import lockspace
from resource_agents.codes import NOT_RUNNING, SUCCESS, Failed
from resource_agents.vm import Deadline

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"


class Node:
    """A node that is in the lockspace or not; what its records said when it joined or left."""

    def __init__(self) -> None:
        self.member = False
        self.stuck = False
        self.said: list[int] = []

    def child(self, _work: object, _timeout: float) -> str:
        self.said.append(state.read(UUID).mode)
        if self.stuck:
            raise Unknown("no answer")
        self.member = not self.member
        return ""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node()
    monkeypatch.setattr(state, "RUN", str(tmp_path / "vm"))
    monkeypatch.setattr(state, "LOCKSPACE", str(tmp_path / "lockspace"))
    monkeypatch.setattr(dlm, "joined", lambda: made.member)
    monkeypatch.setattr(lockspace, "in_child", made.child)
    for name, answer in (("hook_problem", ""), ("_announce", None), ("_close", None), ("_keep_guard", None)):
        monkeypatch.setattr(lockspace, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(lockspace, "in_background", lambda _work: None)
    monkeypatch.setattr("resource_agents.sweep.sweep", lambda: ())
    return made


def test_a_record_of_an_earlier_stay_claims_nothing_when_the_node_joins_again(node: Node) -> None:
    """Its stop was killed after the locks had gone, and another node may have sealed the VM since."""
    state.write(UUID, State(EX))
    assert lockspace.start(Deadline(5)) == SUCCESS
    assert node.said == [NL]
    assert state.read(UUID).mode == NL


def test_a_node_that_is_joined_already_keeps_its_records(node: Node) -> None:
    node.member = True
    state.write(UUID, State(EX))
    lockspace.start(Deadline(5))
    assert node.said == [EX]


@pytest.mark.parametrize("stuck", [False, True])
def test_nothing_is_claimed_any_more_before_the_locks_go(node: Node, stuck: bool) -> None:
    """A leave that outlives its deadline is carried out by the kernel some time later."""
    node.member, node.stuck = True, stuck
    state.write(UUID, State(EX))
    if stuck:
        with pytest.raises(Failed):
            lockspace.stop(Deadline(5))
    else:
        assert lockspace.stop(Deadline(5)) == SUCCESS
    assert node.said == [NL]
    assert state.read(UUID).mode == NL


@pytest.mark.parametrize("damage", ["gone", "empty", "of another boot", "without what it admits"])
def test_a_damaged_witness_of_a_joined_node_is_written_again(node: Node, damage: str) -> None:
    """The hook would refuse every VM on its word, and nobody would say why."""
    lockspace.start(Deadline(5))
    whole = state.read_pairs(state.LOCKSPACE)
    assert whole is not None
    if damage == "gone":
        state.remove(state.LOCKSPACE)
    else:
        kept = {"empty": {}, "of another boot": {**whole, "boot": "x"}}.get(
            damage, {name: value for name, value in whole.items() if name != "admits"}
        )
        state.write_pairs(state.LOCKSPACE, kept)
    assert lockspace.monitor(Deadline(5)) == SUCCESS
    mended = state.read_pairs(state.LOCKSPACE) or {}
    assert {name: mended[name] for name in ("node", "boot", "guard", "admits")} == {
        name: whole[name] for name in ("node", "boot", "guard", "admits")
    }
    assert not state.leaving()


def test_a_node_that_is_not_in_the_lockspace_is_not_running_whatever_its_record_says(node: Node) -> None:
    lockspace.start(Deadline(5))
    node.member = False
    assert lockspace.monitor(Deadline(5)) == NOT_RUNNING

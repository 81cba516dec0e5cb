"""A copy that is waited for: cancelled once a member has left the cluster, and not because a tool does not answer."""

from __future__ import annotations

import os
from typing import cast

import pytest

from hacluster.guard import state
from hacluster.guard.child import Command, Result
from hacluster.guard.dlm import Unknown
from hacluster.guard.lock import RunLock
from resource_agents import moving
from resource_agents.vm import Deadline, Sight, Vm

MOVED = {"OCF_RESOURCE_INSTANCE": "web", "OCF_RESKEY_uuid": "d3b07384-d9a0-4c9b-8f1e-000000000001"}


class Client:
    """A virsh that never ends by itself; each wait for it passes at once."""

    waits = 0

    def wait(self, _timeout: float, _watch: int = -1) -> bool:
        self.waits += 1
        return self.waits > 3


class Asked:
    """A program that has answered."""

    def __init__(self, answer: Result) -> None:
        self.answer = answer

    def wait(self, _timeout: float, _watch: int = -1) -> bool:
        return self.answer.code is not None

    def kill(self) -> None:
        """It had not answered."""

    def result(self) -> Result:
        return self.answer


@pytest.mark.parametrize(
    ("reason", "then", "why"),
    [
        ("", Result(0, "n1 n3 \n", ""), "n2 has left the cluster"),
        ("", Result(0, "n1 n2 \n", ""), "n3 has left the cluster, whose recovery would wait for this copy"),
        ("post-copy", Result(0, "n1 n2 \n", ""), ""),
        ("", Result(0, "n1 n2 n3 n4 \n", ""), ""),
        ("", Result(0, "\n", ""), ""),
        ("", Result(1, "n1 n3 \n", "not connected"), ""),
        ("", Result(None, "", ""), ""),
    ],
    ids=["target left", "another left", "in post-copy", "one came", "nothing said", "an error", "no answer"],
)
def test_a_copy_is_cancelled_when_a_member_leaves(
    monkeypatch: pytest.MonkeyPatch, reason: str, then: Result, why: str
) -> None:
    told = [Result(0, "n1 n2 n3 \n", ""), then, then]
    monkeypatch.setattr(moving, "Command", lambda argv: Asked(told.pop(0)) if argv == ["crm_node", "-p"] else None)
    monkeypatch.setattr(moving, "MEMBERSHIP", 0.0)
    sight, vm = Sight(), Vm({**MOVED, "OCF_RESKEY_CRM_meta_migrate_target": "n2"})
    sight.reason = reason
    monkeypatch.setattr(moving, "look", lambda *_: sight)
    found = state.process_start(os.getpid())
    assert found
    sight.pid, sight.start = os.getpid(), found[1]
    assert moving._attend(vm, cast(Command, Client()), sight, Deadline(60.0)) == why


@pytest.mark.parametrize(
    ("at_first", "end", "told"),
    [
        ("running", ("paused", "migration"), "handed over"),
        ("paused", ("paused", "user"), "handed over"),
        ("running", ("paused", "user"), "outrun"),
        ("running", ("running", "migration canceled"), "outrun"),
        ("running", ("", ""), "nothing yet"),
    ],
    ids=["the move's last step", "paused all the time", "let run and paused by hand", "ran", "its file has gone"],
)
def test_only_a_guest_that_was_paused_by_the_move_itself_is_handed_over(
    monkeypatch: pytest.MonkeyPatch, at_first: str, end: tuple[str, str], told: str
) -> None:
    """One that was let run again after a broken hand-over wrote to its disk: the copy is an old memory."""
    said: list[str] = []
    before, after = Sight(), Sight()
    before.state, (after.state, after.reason) = at_first, end
    monkeypatch.setattr(moving, "look", lambda *_: after)
    monkeypatch.setattr(RunLock, "ended", lambda _lock: said.append("ended"))
    monkeypatch.setattr(RunLock, "release", lambda *_: said.append("released"))
    monkeypatch.setattr(moving, "Command", lambda _argv: Asked(Result(0, "paused (user)\n\n", "")))
    assert moving._close_behind(Vm(MOVED), before) == (told == "handed over")
    assert said == {"handed over": ["ended", "released"], "outrun": ["released"], "nothing yet": []}[told]


@pytest.mark.parametrize(
    ("answer", "over"),
    [
        (Result(0, "paused (user)\n\n", ""), True),
        (Result(0, "running (unpaused)\n\n", ""), True),
        (Result(0, "paused (migration)\n\n", ""), False),
        (Result(0, "paused (starting up)\n\n", ""), False),
        (Result(1, "", "error: Domain not found"), False),
        (Result(None, "", ""), False),
    ],
    ids=["waits for us", "goes on", "not finished", "not there yet", "not there", "no answer"],
)
@pytest.mark.parametrize("closes", [True, False], ids=["the gate closes", "it does not"])
def test_virsh_is_left_behind_only_when_the_target_calls_the_copy_complete(
    monkeypatch: pytest.MonkeyPatch, answer: Result, over: bool, closes: bool
) -> None:
    """A source's QEMU that was killed before virsh had the target finish would lose the copy with virsh."""
    end = Sight()
    end.state, end.reason = "paused", "migration"

    def release(*_: object) -> None:
        if not closes:
            raise Unknown("no answer")

    monkeypatch.setattr(moving, "look", lambda *_: end)
    monkeypatch.setattr(moving, "Command", lambda _argv: Asked(answer))
    monkeypatch.setattr(RunLock, "ended", lambda _lock: None)
    monkeypatch.setattr(RunLock, "release", release)
    assert moving._close_behind(Vm(MOVED), Sight()) == (over and closes)

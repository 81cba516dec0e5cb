"""Post-copy: no cancelling once the guest runs on the target, and nothing is kept of one that broke off."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import cast

import pytest

from hacluster.guard import proof
from hacluster.guard.child import Command, Result
from hacluster.guard.dlm import Unknown
from hacluster.guard.lock import RunLock
from resource_agents import moving
from resource_agents.codes import Failed
from resource_agents.vm import Deadline, Sight, Vm

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"


def vm(**given: str) -> Vm:
    values = {"uuid": UUID, "handover": "running", "CRM_meta_migrate_target": "n2", **given}
    return Vm({"OCF_RESOURCE_INSTANCE": "web", **{f"OCF_RESKEY_{name}": value for name, value in values.items()}})


def sight(reason: str, state: str = "paused") -> Sight:
    made = Sight()
    made.pid, made.start, made.letter, made.state, made.reason = os.getpid(), 1, "S", state, reason
    return made


LATE = "it did not end within 0 s"


class Client:
    """A virsh that ends once it has been waited for as often as this."""

    def __init__(self, waits: int) -> None:
        self.waits = waits

    def wait(self, timeout: float, _watch: int = -1) -> bool:
        self.waits -= 1
        if self.waits > 0:
            time.sleep(max(0.0, timeout))
        return self.waits <= 0


@pytest.mark.parametrize(("reason", "ends"), [("post-copy", True), ("", False)], ids=["post-copy", "pre-copy"])
def test_the_time_for_a_move_does_not_end_a_post_copy(monkeypatch: pytest.MonkeyPatch, reason: str, ends: bool) -> None:
    monkeypatch.setattr(moving, "look", lambda *_: sight(reason))
    monkeypatch.setattr(moving, "AFTERWARDS", 0.0)
    client = cast(Command, Client(2))
    assert moving._attend(vm(migration_timeout="0"), client, sight(""), Deadline(0.5)) == ("" if ends else LATE)


class Lock:
    """A run-lock that says whether it was given back."""

    def __init__(self, fails: bool = False) -> None:
        self.given_back = 0
        self.fails = fails

    def release(self, *_: object) -> None:
        self.given_back += 1
        if self.fails:
            raise Unknown("no answer")


@pytest.mark.parametrize("there", [True, False], ids=["both halves", "the target's has gone"])
@pytest.mark.parametrize("fails", [False, True], ids=["lock given back", "lock not given back"])
def test_one_that_broke_off_leaves_neither_half(monkeypatch: pytest.MonkeyPatch, fails: bool, there: bool) -> None:
    calls: list[str] = []
    here = proof.Presence(proof.PRESENT, "a QEMU of it lives")

    def run(argv: list[str], _timeout: float) -> Result:
        calls.append(" ".join(argv))
        return Result(0, "", "")

    monkeypatch.setattr(moving, "_ask_both", lambda *_: (here, frozenset(), there))
    monkeypatch.setattr(moving, "look", lambda *_: sight("post-copy failed"))
    monkeypatch.setattr(moving, "run", run)
    monkeypatch.setattr(moving, "virsh", lambda _vm, _timeout, *words: calls.append(" ".join(words)))
    monkeypatch.setattr(moving, "codes", SimpleNamespace(log=lambda *_, **__: None, SUCCESS=0))
    monkeypatch.setattr(proof, "active_uuids", lambda *_: frozenset())
    lock = Lock(fails)
    with pytest.raises(Failed, match=r"lost its memory .* hactl vm cleanup web"):
        moving._conclude(vm(), cast(RunLock, lock), Result(1, "", "error: broken"), Deadline(30))
    assert calls == [f"virsh -q -c qemu+ssh://root@n2/system?no_tty=1 destroy {UUID}", f"destroy {UUID}"]
    assert lock.given_back == 1


def test_one_that_ended_nowhere_names_a_command_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = proof.Presence(proof.ABSENT, "no process of it lives")
    monkeypatch.setattr(moving, "_ask_both", lambda *_: (gone, frozenset(), False))
    monkeypatch.setattr(moving, "look", lambda *_: Sight())
    monkeypatch.setattr(moving, "codes", SimpleNamespace(log=lambda *_, **__: None, SUCCESS=0))
    with pytest.raises(Failed, match="hactl vm cleanup web"):
        moving._conclude(vm(), cast(RunLock, Lock()), Result(1, "", "error: broken"), Deadline(30))

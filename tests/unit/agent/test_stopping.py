"""Stop: whatever of the VM is found is ended, also what comes up behind its back; success is a proof of absence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hacluster.guard import proof, state
from hacluster.guard.child import Result
from hacluster.guard.proof import Process, Scan
from resource_agents import presence, stopping
from resource_agents.codes import SUCCESS, Failed
from resource_agents.vm import Deadline, Sight, Vm

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
ENVIRONMENT = {"OCF_RESOURCE_INSTANCE": "web", "OCF_RESKEY_uuid": UUID, "OCF_RESKEY_stop_budget": "30"}


class Node:
    """A node on which the VM's QEMUs are what a test puts there. Each end of one makes the next of `then` happen.
    A libvirt that hangs neither destroys nor answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *pids: int) -> None:
        self.pids = list(pids)
        self.hangs = False
        self.did: list[str] = []
        self.then: list[Callable[[], None]] = []
        self.give_backs: list[Callable[[], bool]] = [lambda: True]
        monkeypatch.setattr(stopping, "virsh", self._virsh)
        monkeypatch.setattr(stopping, "look", self._look)
        monkeypatch.setattr(stopping, "give_back", lambda *_: self.give_backs.pop(0)())
        monkeypatch.setattr(stopping, "RESEND", 0.0)
        monkeypatch.setattr(proof, "scan", self._scan)
        monkeypatch.setattr(proof, "kill", self._kill)
        monkeypatch.setattr(proof, "active_uuids", self._active)
        monkeypatch.setattr(presence, "ASK", 0.1)

    def stop(self, timeout: float = 20.0, *, ask: bool = True) -> int:
        force = "false" if ask else "true"
        return stopping.stop(Vm({**ENVIRONMENT, "OCF_RESKEY_force_stop": force}), Deadline(timeout))

    def _ends(self, how: str) -> None:
        self.did.append(f"{how} {self.pids.pop(0)}")
        if self.then:
            self.then.pop(0)()

    def _virsh(self, _vm: Vm, _timeout: float, command: str, *_rest: str) -> Result:
        if self.hangs:
            return Result(None, "", "")
        if self.pids:
            self._ends(command)
        return Result(0, "", "")

    def _kill(self, process: Process, _uuid: str, _wait: float) -> bool:
        assert process.pid == self.pids[0]
        self._ends("kill")
        return True

    def _scan(self) -> Scan:
        seen = Scan()
        if self.pids:
            seen.by_uuid[UUID] = [Process(pid, pid, "S") for pid in self.pids]
        return seen

    def _active(self, _uri: str, _timeout: float) -> frozenset[str] | None:
        return None if self.hangs else frozenset()

    def _look(self, _name: str, _uuid: str) -> Sight:
        sight = Sight()
        if self.pids:
            sight.pid = sight.start = self.pids[0]
            sight.letter, sight.state = "S", "running"
        return sight


@pytest.fixture(autouse=True)
def _sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "RUN", str(tmp_path))


def test_a_guest_is_asked_and_one_that_comes_up_after_it_is_destroyed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch, 11)
    node.then = [lambda: node.pids.append(12), lambda: node.pids.append(13)]
    assert node.stop() == SUCCESS
    assert node.did == ["shutdown 11", "destroy 12", "destroy 13"]


def test_one_that_comes_up_between_the_verdict_and_the_release_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch)

    def refused() -> bool:
        node.pids.append(12)
        return False

    node.give_backs = [refused, lambda: True]
    assert node.stop() == SUCCESS
    assert node.did == ["destroy 12"]


def test_a_lock_that_cannot_be_given_back_alone_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch)
    node.give_backs = [lambda: False]
    assert node.stop() == SUCCESS


def test_while_libvirt_hangs_our_own_kill_is_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch, 11)
    node.hangs = True
    node.then = [lambda: node.pids.append(12)]
    assert node.stop(ask=False) == SUCCESS
    assert node.did == ["kill 11", "kill 12"]


def test_an_earlier_kill_proves_nothing_of_a_qemu_that_came_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch, 11)
    node.hangs = True

    def comes_up() -> None:
        node.pids.append(12)
        node.hangs = False

    def hangs_again() -> None:
        node.hangs = True

    node.then = [comes_up, hangs_again]
    with pytest.raises(Failed, match="libvirt does not answer"):
        node.stop(4.0, ask=False)
    assert node.did == ["kill 11", "destroy 12"]


def test_what_comes_up_again_and_again_fails_the_stop_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch, 1)
    node.then = [lambda n=n: node.pids.append(n) for n in range(2, 1000)]  # type: ignore[misc]
    with pytest.raises(Failed, match=r"a QEMU of it lives"):
        node.stop(2.5)

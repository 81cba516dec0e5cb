"""Start: an image that somebody else has locked is waited for, under the run-lock and within the operation's time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hacluster.guard import state
from hacluster.guard.child import Result
from resource_agents import starting
from resource_agents.codes import Failed
from resource_agents.vm import Deadline, Sight, Vm

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
VM = Vm(
    {"OCF_RESOURCE_INSTANCE": "web", "OCF_RESKEY_uuid": UUID, "OCF_RESKEY_config": "/etc/hacluster/domains/web.xml"}
)
LOCKED = Result(
    1,
    "",
    "error: Failed to create domain from /etc/hacluster/domains/web.xml\nerror: internal error: process exited while "
    'connecting to monitor: qemu-system-x86_64: -blockdev {"node-name":"libvirt-1"}: Failed to get "write" lock\n'
    "Is another process using the image [/vms/web.img]?\n",
)
BROKEN = Result(1, "", "error: Cannot access storage file '/vms/web.img': No such file or directory\n")
DONE = Result(0, "", "")


class Libvirt:
    """One that answers each create in turn, and a clock on which only waiting takes time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Result) -> None:
        self.answers = list(answers)
        self.marked: list[bool] = []
        self.given_back: list[bool] = []
        self.now = 0.0
        monkeypatch.setattr(starting, "virsh", self._virsh)
        monkeypatch.setattr(starting, "look", self._look)
        monkeypatch.setattr(starting, "give_back", lambda *_: self.given_back.append(self._mark()))
        monkeypatch.setattr("time.sleep", self._sleep)
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        self.alive = False

    def _mark(self) -> bool:
        return Path(state.path(UUID, ".agent")).exists()

    def _virsh(self, _vm: Vm, _timeout: float, command: str, *_rest: str) -> Result:
        assert command == "create"
        self.marked.append(self._mark())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.alive = answer.code == 0
        return answer

    def _look(self, _name: str, _uuid: str) -> Sight:
        sight = Sight()
        if self.alive:
            sight.pid = sight.start = 1
            sight.letter, sight.state = "S", "running"
        return sight

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def create(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Libvirt]:
    monkeypatch.setattr(state, "RUN", str(tmp_path))

    def with_answers(*answers: Result) -> Libvirt:
        libvirt = Libvirt(monkeypatch, *answers)
        state.mark(UUID, ".agent", 1)
        return libvirt

    return with_answers


def test_it_starts_once_the_dead_clients_lock_is_gone(create: Callable[..., Libvirt]) -> None:
    libvirt = create(*[LOCKED] * 30, DONE)
    starting._create(VM, Deadline(300), 15.0)
    assert 80 < libvirt.now < 100
    assert all(libvirt.marked), "a sweep would take the run-lock for one that was left"
    assert libvirt.given_back == []


def test_it_gives_up_within_its_time_and_gives_the_run_lock_back(create: Callable[..., Libvirt]) -> None:
    libvirt = create(LOCKED)
    with pytest.raises(Failed, match='Failed to get "write" lock'):
        starting._create(VM, Deadline(60), 15.0)
    assert 30 < libvirt.now <= 60 - 5 - 15
    assert libvirt.given_back == [False], "the mark of a start in flight goes first, or the proof would find it"


def test_any_other_refusal_is_the_end_of_it(create: Callable[..., Libvirt]) -> None:
    libvirt = create(BROKEN)
    with pytest.raises(Failed, match="No such file"):
        starting._create(VM, Deadline(300), 15.0)
    assert (libvirt.now, len(libvirt.marked)) == (0.0, 1)

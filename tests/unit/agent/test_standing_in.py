"""A stop of the guard's clone that is refused leaves somebody behind who sweeps in the cancelled monitor's place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hacluster.guard import dlm, state
from hacluster.guard.dlm import Unknown
from resource_agents import lockspace, standing_in, sweep
from resource_agents.codes import Failed
from resource_agents.vm import Deadline


class Node:
    """A node that is told to leave; `here` are the VMs that it has, look by look."""

    def __init__(self) -> None:
        self.here: list[tuple[str, ...]] = [("web",)]
        self.behind: list[Callable[[], None]] = []
        self.sweeps = 0
        self.asked: list[list[str]] = []
        self.slept = 0
        self.stuck = False

    def present(self) -> tuple[str, ...]:
        return self.here.pop(0) if len(self.here) > 1 else self.here[0]

    def child(self, _work: object, _timeout: float) -> str:
        if self.stuck:
            raise Unknown("no answer")
        return ""

    def sleep(self, _seconds: float) -> None:
        self.slept += 1
        if self.slept > 5:
            state.remove(standing_in.path())  # as the next monitor does


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node()

    def swept() -> None:
        made.sweeps += 1

    monkeypatch.setattr(state, "RUN", str(tmp_path / "vm"))
    monkeypatch.setattr(state, "LOCKSPACE", str(tmp_path / "lockspace"))
    monkeypatch.setattr(dlm, "joined", lambda: True)
    monkeypatch.setattr(standing_in, "joined", lambda: True)
    monkeypatch.setattr(standing_in, "in_background", made.behind.append)
    monkeypatch.setattr(standing_in, "run", lambda argv, _timeout: made.asked.append(argv))
    monkeypatch.setattr("resource_agents.standing_in.time.sleep", made.sleep)
    monkeypatch.setattr(standing_in, "sweep_alone", swept)
    monkeypatch.setattr(lockspace, "in_child", made.child)
    monkeypatch.setattr(lockspace, "_announce", lambda _admits: None)
    monkeypatch.setattr(sweep, "sweep", lambda: ())
    monkeypatch.setattr(sweep, "present", made.present)
    monkeypatch.setenv("OCF_RESOURCE_INSTANCE", "hacluster-lockspace")
    return made


def test_a_refused_stop_sweeps_on_and_is_tried_again_once_nothing_is_here(node: Node) -> None:
    node.here = [("web",), ("web",), ("web",), ()]
    with pytest.raises(Failed, match="web runs here"):
        lockspace.stop(Deadline(5))
    (stand_in,) = node.behind
    stand_in()
    assert node.sweeps == 5
    again = ["crm_resource", "--refresh", "--resource", "hacluster-lockspace", "--node", state.node_name()]
    assert node.asked == [again] * 3, "as long as Pacemaker does not look"


def test_a_lockspace_that_cannot_be_left_is_swept_and_left_alone(node: Node) -> None:
    node.here, node.stuck = [()], True
    with pytest.raises(Failed, match="cannot be left"):
        lockspace.stop(Deadline(5))
    (stand_in,) = node.behind
    stand_in()
    assert (node.sweeps, node.asked) == (5, [])


def test_only_the_last_refusal_has_one_who_stands_in(node: Node) -> None:
    for _ in range(2):
        with pytest.raises(Failed):
            lockspace.stop(Deadline(5))
    first, last = node.behind
    first()
    assert node.sweeps == 0
    last()
    assert node.sweeps > 0


def test_nobody_stands_in_for_a_monitor_that_runs(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_stay", "_keep_guard", "in_background"):
        monkeypatch.setattr(lockspace, name, lambda *_: None)
    with pytest.raises(Failed):
        lockspace.stop(Deadline(5))
    lockspace.monitor(Deadline(5))
    (stand_in,) = node.behind
    stand_in()
    assert node.sweeps == 0


def test_a_sweep_that_somebody_else_is_at_is_left_to_him(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy() -> None:
        raise BlockingIOError

    monkeypatch.setattr(standing_in, "sweep_alone", busy)
    with pytest.raises(Failed):
        lockspace.stop(Deadline(5))
    node.here = [()]
    node.behind[0]()
    assert node.asked == []

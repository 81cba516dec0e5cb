"""How long the run-lock's operations wait: for another process of the node, and for another node. The clock is ours."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hacluster.guard import lock as lock_module
from hacluster.guard import state
from hacluster.guard.dlm import CR, EX, NL, Busy, Unknown
from hacluster.guard.lock import POLL, RunLock
from hacluster.guard.proof import ABSENT
from tests.unit.guard.cluster import NONCE, UUID, Cluster, says


class Clock:
    """Time that passes only when somebody sleeps; `at` is what happens meanwhile, by the moment it happens."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked = 0
        self.sleeps: list[float] = []
        self.at: dict[float, Callable[[], object]] = {}

    def monotonic(self) -> float:
        self.asked += 1
        assert self.asked < 10_000, "it asks for the time without ever sleeping"
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 2000.0, "it never gives up"
        self.sleeps.append(seconds)
        for moment in [moment for moment in self.at if moment <= self.now]:
            self.at.pop(moment)()


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(lock_module, "time", clock)
    return clock


@pytest.fixture
def beside(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Another process of n1 is at the VM's lock; calling it lets that go."""
    path = Path(state.path(UUID, ".lock", cluster.directory("n1")))
    path.parent.mkdir()
    with path.open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lambda: fcntl.flock(file, fcntl.LOCK_UN)


def test_a_child_is_told_to_end_before_its_parent_gives_it_up(cluster: Cluster, clock: Clock) -> None:
    """So that one hears who stands against it rather than nothing."""
    lock = cluster.lock("n1")
    for timeout, expected in ((1.0, 0.75), (2.0, 1.5), (20.0, 19.5)):
        assert float(lock._operate(lambda _port, deadline: str(deadline), timeout)) == 1000.0 + expected


@pytest.mark.usefixtures("beside")
def test_two_processes_of_a_node_are_never_at_a_lock_at_once(cluster: Cluster, clock: Clock) -> None:
    """The second would take the lock of the first for another node's."""
    with pytest.raises(Unknown, match="another process of this node"):
        cluster.lock("n1").seal(2.0)
    assert cluster.mode("n1") == NL
    assert 1001.4 < clock.now <= 1001.5, "it waits for as long as it was given, and no longer"


def test_who_waits_for_another_process_goes_on_as_soon_as_that_is_done(
    cluster: Cluster, clock: Clock, beside: Callable[[], None]
) -> None:
    clock.at[1000.3] = beside
    cluster.lock("n1").seal(2.0)
    assert cluster.mode("n1") == EX
    assert clock.now < 1000.4


def test_settling_waits_for_another_process(cluster: Cluster, clock: Clock, beside: Callable[[], None]) -> None:
    clock.at[1000.3] = beside
    cluster.lock("n1").settle("")
    assert 1000.3 <= clock.now < 1000.4


@pytest.mark.usefixtures("beside", "clock")
def test_who_gave_up_keeps_no_file_open(cluster: Cluster) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(Unknown) as caught:
        cluster.lock("n1").settle("")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert caught.value.__traceback__ is not None, "its frames are still alive, and what they hold"


def waiting(cluster: Cluster) -> tuple[RunLock, RunLock]:
    source, target = cluster.gate()
    target.take_seat("n2", NONCE, 1)
    return source, target


def test_a_seat_is_sealed_as_soon_as_the_gate_has_gone(cluster: Cluster, clock: Clock) -> None:
    """The guest is paused meanwhile."""
    source, target = waiting(cluster)
    source.ended()
    clock.at[1003.0] = lambda: source.release(says(ABSENT), 1)
    target.seal_seat(20.0)
    assert cluster.mode("n2") == EX
    assert clock.now < 1003.0 + 2 * POLL


def test_a_seat_is_tried_until_there_is_no_time_for_another_try(cluster: Cluster, clock: Clock) -> None:
    _, target = waiting(cluster)
    with pytest.raises(Busy):
        target.seal_seat(2.0)
    assert cluster.mode("n2") == CR
    assert 1001.5 - 2 * POLL < clock.now <= 1001.5 - POLL

"""What the run-lock's operations refuse, and that a refusal changes nothing: neither lock nor record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hacluster.guard import state, table
from hacluster.guard.child import NotAllowed
from hacluster.guard.dlm import CR, EX, MODE_NAMES, NL, PR, Busy, Held, Unknown
from hacluster.guard.lock import RunLock
from hacluster.guard.proof import ABSENT
from hacluster.guard.state import State
from tests.unit.guard.cluster import BOOT, NONCE, OTHER, UUID, Cluster, answer, says

OPERATIONS: dict[str, Callable[[RunLock], object]] = {
    table.SEAL: lambda lock: lock.seal(1),
    table.OPEN_GATE: lambda lock: lock.open_gate("n2", NONCE, BOOT, 1),
    table.RESEAL: lambda lock: lock.reseal(0.05),
    table.TAKE_SEAT: lambda lock: lock.take_seat("n1", NONCE, 1),
    table.SEAL_SEAT: lambda lock: lock.seal_seat(0.05),
    table.DROP_SEAT: lambda lock: lock.drop_seat(says(ABSENT), 1),
    table.RELEASE: lambda lock: lock.release(says(ABSENT), 1),
}
REFUSED = [
    (mode, event)
    for (mode, event), step in table.TABLE.items()
    if event in OPERATIONS and isinstance(step, table.Refusal)
]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.mark.parametrize(("mode", "event"), REFUSED, ids=lambda what: MODE_NAMES[what] if what in range(6) else what)
def test_what_the_table_refuses_is_not_done(cluster: Cluster, mode: int, event: str) -> None:
    lock = cluster.lock("n1")
    if mode != NL:
        cluster.holds("n1", mode)
        state.write(UUID, State(mode, NONCE, "n2"), cluster.directory("n1"))
    before = cluster.text("n1")
    refusal = table.step(mode, event)
    assert isinstance(refusal, table.Refusal)
    with pytest.raises(NotAllowed, match=f"this node {refusal.reason}"):
        OPERATIONS[event](lock)
    assert (cluster.mode("n1"), cluster.text("n1")) == (mode, before)


@pytest.mark.parametrize("operation", [OPERATIONS[table.SEAL], lambda lock: lock.adopt_arrival(1)])
def test_a_free_lock_is_taken_only_if_the_table_says_so(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, operation: Callable[[RunLock], object]
) -> None:
    monkeypatch.setitem(table.TABLE, (NL, table.SEAL), table.Refusal("is no node of this cluster any more"))
    with pytest.raises(NotAllowed, match="no node of this cluster"):
        operation(cluster.lock("n1"))
    assert cluster.mode("n1") == NL


def test_a_refused_move_leaves_the_seat_of_the_move_before_it(cluster: Cluster) -> None:
    """Its QEMU may be arriving at this moment: with the lock the proof that it is allowed here would go."""
    _, target = cluster.gate()
    target.take_seat("n2", NONCE, 1)
    before = cluster.text("n2")
    with pytest.raises(NotAllowed, match="no gate is open"):
        target.take_seat("n2", OTHER, 1)
    assert (cluster.mode("n2"), cluster.text("n2")) == (CR, before)


def test_a_refused_seat_leaves_nothing_for_the_sweep(cluster: Cluster) -> None:
    _, target = cluster.gate()
    with pytest.raises(NotAllowed):
        target.take_seat("n2", OTHER, 1)
    assert not cluster.known("n2")


def test_a_refused_seal_leaves_nothing_for_the_sweep(cluster: Cluster) -> None:
    cluster.lock("n1").seal(1)
    with pytest.raises(Busy):
        cluster.lock("n2").seal(1)
    assert not cluster.known("n2")


def test_a_lock_in_a_mode_that_is_none_of_ours_is_not_taken_for_no_lock(cluster: Cluster) -> None:
    """Whoever took it for none would start the VM, or forget that something is held."""
    cluster.holds("n1", PR)
    with pytest.raises(Unknown, match="another of its processes"):
        cluster.lock("n1").adopt(1)


# ---- who stands against it, in words


def test_the_holders_of_another_vm_are_not_named(cluster: Cluster) -> None:
    lock = cluster.lock("n2")
    cluster.holds("n1", EX)
    cluster.holds("n3", EX, "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a002")
    with pytest.raises(Busy, match=r"^held by n1 \(EX\)$"):
        lock.seal(1)


@pytest.mark.parametrize("how", ["cannot tell", "does not answer"])
def test_a_holder_who_cannot_be_seen_is_another_node(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def shown(_port: object) -> tuple[Held, ...] | None:
        if how == "does not answer":
            raise Unknown("no answer")
        return None

    monkeypatch.setattr("hacluster.guard.memory.MemoryPort.list", shown)
    cluster.lock("n1").seal(1)
    with pytest.raises(Busy, match=r"^held by another node$"):
        cluster.lock("n2").seal(1)


def test_a_seat_that_cannot_be_sealed_yet_names_who_has_the_gate(cluster: Cluster) -> None:
    _, target = cluster.gate()
    target.take_seat("n2", NONCE, 1)
    with pytest.raises(Busy, match=r"held by n1 \(PW\), n2 \(CR\)"):
        target.seal_seat(0.05)


# ---- where the lock manager comes from


def test_without_another_word_the_lock_manager_is_the_one_that_guard_conf_names(tmp_path: Path) -> None:
    config = tmp_path / "guard.conf"
    config.write_text("dlm=corosync\n")
    with pytest.raises(Unknown, match="dlm=corosync is neither"):
        RunLock(UUID, directory=str(tmp_path), runner=answer, config=str(config)).adopt(1)


def test_records_are_for_root_only(cluster: Cluster) -> None:
    """A user who can write them says which VM may start here."""
    cluster.lock("n1").adopt(1)
    assert Path(cluster.directory("n1")).stat().st_mode & 0o777 == 0o700

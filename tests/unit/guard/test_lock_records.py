"""Lock and record side by side: the record never claims more, and what it says of a move outlives every repetition."""

from __future__ import annotations

from pathlib import Path

import pytest

from hacluster.guard import state
from hacluster.guard.child import NotAllowed
from hacluster.guard.dlm import CR, EX, NL, PW, Unknown
from hacluster.guard.lock import RunLock
from hacluster.guard.memory import MemoryPort
from hacluster.guard.proof import ABSENT, PRESENT, Presence
from hacluster.guard.state import State
from tests.unit.guard.cluster import BOOT, NONCE, OTHER, UUID, Cluster, says


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def arrived(cluster: Cluster) -> RunLock:
    """n2's lock after a whole move: sealed, handed over, and still to be let run."""
    source, target = cluster.gate()
    target.take_seat("n2", NONCE, 1)
    source.ended()
    source.release(says(ABSENT), 1)
    target.seal_seat(1)
    return target


def lowered(cluster: Cluster, node: str) -> None:
    """Somebody began to release, lowered the record first, and was killed."""
    state.write(UUID, State(NL), cluster.directory(node))


# ---- what is held and what is written down


def test_adoption_asks_for_the_recorded_mode_first_and_for_none_twice(cluster: Cluster) -> None:
    """While a node is dead each question may take the whole of a monitor's time."""
    lock = cluster.lock("n1")
    cluster.holds("n1", CR)
    state.write(UUID, State(PW), cluster.directory("n1"))
    assert lock.adopt(1) == CR
    assert cluster.asked == ["adopt PW", "adopt EX", "adopt CR"]


def test_without_a_record_adoption_asks_for_each_mode_once(cluster: Cluster) -> None:
    lock = cluster.lock("n1")
    cluster.holds("n1", CR)
    assert lock.adopt(1) == CR
    assert cluster.asked == ["adopt EX", "adopt PW", "adopt CR"]


def test_no_lock_has_no_id(cluster: Cluster) -> None:
    lock = cluster.lock("n1")
    with cluster.port("n1") as port:
        assert lock._adopt(port) == (NL, 0)


def test_what_is_not_held_is_forgotten(cluster: Cluster) -> None:
    lock = cluster.lock("n1")
    state.write(UUID, State(EX), cluster.directory("n1"))
    assert lock.adopt(1) == NL
    assert not cluster.known("n1")


@pytest.mark.parametrize("operation", ["adopt", "adopt_arrival"])
def test_looking_at_a_seat_changes_nothing_about_it(cluster: Cluster, operation: str) -> None:
    _, target = cluster.gate()
    target.take_seat("n2", NONCE, 1)
    before = cluster.text("n2")
    assert getattr(target, operation)(1) == CR
    assert cluster.text("n2") == before
    assert (cluster.recorded("n2").mode, cluster.recorded("n2").nonce) == (CR, NONCE)


@pytest.mark.parametrize(
    "again",
    [
        lambda lock: lock.adopt(1),
        lambda lock: lock.adopt_arrival(1),
        lambda lock: lock.seal(1),
        lambda lock: lock.seal_seat(1),
        lambda lock: lock.reseal(1),
    ],
    ids=["adopt", "adopt arrival", "seal", "seal seat", "reseal"],
)
def test_an_arrival_that_may_run_is_not_forgotten_by_looking_again(cluster: Cluster, again: object) -> None:
    """Without its source's word it would be destroyed, though nothing is wrong with it."""
    target = arrived(cluster)
    before = cluster.text("n2")
    assert callable(again)
    again(target)
    assert cluster.text("n2") == before
    assert cluster.recorded("n2").handed


def test_who_asks_for_a_seat_leaves_a_record_first_and_claims_nothing_in_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grant may come after whoever asked was given up: the sweep must look."""
    _, target = cluster.gate()
    seen = []

    def asks(lock: RunLock, port: object, mode: int) -> object:
        seen.append((cluster.known("n2"), cluster.recorded("n2").mode))
        raise Unknown("no answer")

    monkeypatch.setattr(RunLock, "_new", asks)
    with pytest.raises(Unknown):
        target.take_seat("n2", NONCE, 1)
    assert seen == [(True, NL)]


def test_an_arrival_whose_lock_cannot_be_asked_for_is_known_and_claims_nothing(cluster: Cluster) -> None:
    lock = cluster.lock("n2")
    MemoryPort(cluster.fabric, "n3").join()
    cluster.fabric.die("n3")
    with pytest.raises(Unknown):
        lock.adopt_arrival(1)
    assert cluster.known("n2")
    assert (cluster.recorded("n2").mode, cluster.recorded("n2").nonce) == (NL, "unknown")


def test_a_seat_is_recorded_as_a_seat(cluster: Cluster) -> None:
    _, target = cluster.gate()
    target.take_seat("n2", NONCE, 1)
    claim = cluster.recorded("n2")
    assert (claim.mode, claim.nonce, claim.target) == (CR, NONCE, "n2")


def test_what_was_released_leaves_nothing_for_the_sweep(cluster: Cluster) -> None:
    lock = cluster.lock("n1")
    lock.seal(1)
    lock.release(says(ABSENT), 1)
    assert not cluster.known("n1")


# ---- sealed again, settled


def test_a_guest_that_stays_is_no_arrival(cluster: Cluster) -> None:
    """With a nonce it would be taken for one that nobody vouches for, and be destroyed."""
    source, _ = cluster.gate()
    source.reseal(1)
    claim = cluster.recorded("n1")
    assert (claim.mode, claim.nonce, claim.target) == (EX, "", "")


def test_a_settled_arrival_is_as_sealed_as_before(cluster: Cluster) -> None:
    target = arrived(cluster)
    target.settle(NONCE)
    claim = cluster.recorded("n2")
    assert (claim.mode, claim.nonce) == (EX, "")


def test_who_settles_an_earlier_arrival_leaves_this_one_alone(cluster: Cluster) -> None:
    """It has yet to be let run, or destroyed: without its nonce it would pass for one that an operator paused."""
    target = arrived(cluster)
    target.settle(OTHER)
    claim = cluster.recorded("n2")
    assert (claim.mode, claim.nonce, claim.handed) == (EX, NONCE, True)


def test_a_release_that_finds_the_arrival_there_leaves_its_record_whole(cluster: Cluster) -> None:
    target = arrived(cluster)
    with pytest.raises(NotAllowed):
        target.release(says(PRESENT), 1)
    claim = cluster.recorded("n2")
    assert (claim.mode, claim.nonce, claim.handed) == (EX, NONCE, True)


@pytest.mark.parametrize("handed", [True, False])
def test_a_release_that_dies_before_its_proof_leaves_what_is_known_of_the_arrival(
    cluster: Cluster, handed: bool
) -> None:
    def dies() -> Presence:
        raise KeyboardInterrupt

    target = arrived(cluster)
    state.write(UUID, State(EX, NONCE, handed=handed), cluster.directory("n2"))
    with pytest.raises(KeyboardInterrupt):
        target.release(dies, 1)
    assert cluster.recorded("n2").mode == NL
    assert target.adopt(1) == EX
    claim = cluster.recorded("n2")
    assert (claim.mode, claim.nonce, claim.handed) == (EX, NONCE, handed)


def test_what_is_recorded_of_an_arrival_does_not_hold_for_another_lock(cluster: Cluster) -> None:
    lock = cluster.lock("n2")
    cluster.holds("n2", CR)
    state.write(UUID, State(EX, NONCE, handed=True), cluster.directory("n2"))
    assert lock.adopt(1) == CR
    claim = cluster.recorded("n2")
    assert (claim.mode, claim.handed) == (CR, False)


def test_only_what_is_sealed_is_settled(cluster: Cluster) -> None:
    source, _ = cluster.gate()
    source.settle(NONCE)
    claim = cluster.recorded("n1")
    assert (claim.mode, claim.nonce) == (PW, NONCE)


def test_a_seal_without_its_record_is_not_taken_for_handed_over(cluster: Cluster) -> None:
    """The child died between lock and record: whether the value block was read for this seal nobody knows."""
    lock = cluster.lock("n2")
    cluster.holds("n2", EX)
    state.write(UUID, State(CR, NONCE, "n2"), cluster.directory("n2"))
    lock.seal_seat(1)
    claim = cluster.recorded("n2")
    assert (claim.mode, claim.nonce, claim.handed) == (EX, NONCE, False)


def test_a_seat_whose_record_was_lost_is_let_run_on_its_sources_word(cluster: Cluster) -> None:
    source, target = cluster.gate()
    target.take_seat("n2", NONCE, 1)
    lowered(cluster, "n2")
    target.adopt_arrival(1)
    assert cluster.recorded("n2").nonce == "unknown"
    source.ended()
    source.release(says(ABSENT), 1)
    target.seal_seat(1)
    assert (cluster.recorded("n2").handed, cluster.recorded("n2").nonce) == (True, "unknown")


# ---- the source's word


def test_the_word_names_the_move_and_its_target(cluster: Cluster) -> None:
    source, target = cluster.gate()
    target.take_seat("n2", NONCE, 1)
    source.ended()
    source.release(says(ABSENT), 1)
    assert cluster.fabric.values[UUID] == state.encode_handed_over("n2", NONCE, state.boot_id())


def test_who_is_not_moving_it_has_no_word_to_give(cluster: Cluster) -> None:
    target = arrived(cluster)  # sealed, and the record still has the move's nonce
    target.ended()
    assert cluster.text("n2", ".ended") == ""


def test_a_gate_whose_record_was_lost_gives_no_word(cluster: Cluster) -> None:
    source, _ = cluster.gate()
    state.write(UUID, State(PW), cluster.directory("n1"))
    source.ended()
    assert cluster.text("n1", ".ended") == ""


def test_a_word_of_an_earlier_move_ends_with_the_next_gate(cluster: Cluster) -> None:
    """Both records were lost, so that neither side could tell any more of which move it is."""
    source, target = cluster.gate()
    source.ended()
    source.reseal(1)
    source.open_gate("n2", OTHER, BOOT, 1)
    target.take_seat("n2", OTHER, 1)
    lowered(cluster, "n1")
    lowered(cluster, "n2")
    source.release(says(ABSENT), 1)
    target.seal_seat(1)
    assert not cluster.recorded("n2").handed


def test_a_word_of_another_move_is_not_given_for_this_one(cluster: Cluster) -> None:
    source, target = cluster.gate()
    target.take_seat("n2", NONCE, 1)
    lowered(cluster, "n2")
    state.write_pairs(state.path(UUID, ".ended", cluster.directory("n1")), {"nonce": OTHER, "target": "n2"})
    source.release(says(ABSENT), 1)
    target.seal_seat(1)
    assert not cluster.recorded("n2").handed


def test_a_sealed_node_gives_its_lock_back_without_a_word(cluster: Cluster) -> None:
    source, _ = cluster.gate()
    source.ended()
    source.reseal(1)
    del cluster.asked[:]
    source.release(says(ABSENT), 1)
    assert cluster.asked == ["adopt EX", "unlock"]


def test_a_release_that_was_not_proved_leaves_the_whole_claim(cluster: Cluster) -> None:
    source, _ = cluster.gate()
    with pytest.raises(NotAllowed):
        source.release(says(PRESENT), 1)
    claim = cluster.recorded("n1")
    assert (claim.mode, claim.nonce, claim.target) == (PW, NONCE, "n2")

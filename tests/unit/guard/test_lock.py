"""The run-lock's operations over a lock manager in memory: what they do to the lock, and what the state file says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hacluster.guard import state
from hacluster.guard.child import NotAllowed
from hacluster.guard.dlm import CR, EX, NL, PW, Busy, Unknown
from hacluster.guard.lock import KEPT
from hacluster.guard.memory import MemoryPort
from hacluster.guard.proof import ABSENT, PRESENT, UNKNOWN, Presence
from hacluster.guard.state import State
from tests.unit.guard.cluster import BOOT, NONCE, OTHER, UUID, Cluster, says


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_a_sealed_vm_is_sealed_for_one_node_only_and_the_holder_is_named(cluster: Cluster) -> None:
    cluster.lock("n1").seal(1)
    with pytest.raises(Busy, match=r"held by n1 \(EX\)"):
        cluster.lock("n2").seal(1)
    assert (cluster.mode("n1"), cluster.recorded("n1").mode) == (EX, EX)
    assert (cluster.mode("n2"), cluster.recorded("n2").mode) == (NL, NL)


def test_sealing_again_finds_the_own_lock_of_a_process_that_ended(cluster: Cluster) -> None:
    cluster.lock("n1").seal(1)
    cluster.lock("n1").seal(1)
    assert len(cluster.fabric.locks) == 1


def test_a_move_hands_the_seal_over(cluster: Cluster) -> None:
    source, target = cluster.lock("n1"), cluster.lock("n2")
    source.seal(1)
    source.open_gate("n2", NONCE, BOOT, 1)
    target.take_seat("n2", NONCE, 1)
    assert (cluster.mode("n1"), cluster.mode("n2")) == (PW, CR)
    with pytest.raises(Busy):
        target.seal_seat(0.05)
    source.ended()
    source.release(says(ABSENT), 1)
    target.seal_seat(1)
    assert (cluster.mode("n1"), cluster.mode("n2")) == (NL, EX)
    assert cluster.recorded("n2").nonce == NONCE, "the resume is still to come"
    assert cluster.recorded("n2").handed, "and it may come"
    target.settle(NONCE)
    assert cluster.recorded("n2").nonce == ""


@pytest.mark.parametrize("how", ["released without a word", "fenced", "word of an earlier move"])
def test_a_seat_that_was_not_handed_over_is_sealed_but_its_copy_may_not_run(cluster: Cluster, how: str) -> None:
    """The source may have run on after the copy was taken: it is an old memory over a newer disk."""
    source, target = cluster.lock("n1"), cluster.lock("n2")
    source.seal(1)
    if how == "word of an earlier move":
        source.open_gate("n2", OTHER, BOOT, 1)
        source.ended()
        source.reseal(1)
    source.open_gate("n2", NONCE, BOOT, 1)
    target.take_seat("n2", NONCE, 1)
    if how == "fenced":
        cluster.fabric.die("n1")
        cluster.fabric.fence("n1")
    else:
        source.release(says(ABSENT), 1)
    target.seal_seat(1)
    assert cluster.mode("n2") == EX
    assert not cluster.recorded("n2").handed


def test_whoever_releases_in_the_agents_place_hands_over_what_the_agent_noted(cluster: Cluster) -> None:
    source, target = cluster.lock("n1"), cluster.lock("n2")
    source.seal(1)
    source.open_gate("n2", NONCE, BOOT, 1)
    target.take_seat("n2", NONCE, 1)
    source.ended()
    with pytest.raises(NotAllowed):
        source.release(says(UNKNOWN), 1)
    state.write(UUID, State(NL), f"{cluster.root}/n1")  # killed after it lowered its record
    cluster.lock("n1").release(says(ABSENT), 1)
    target.seal_seat(1)
    assert cluster.recorded("n2").handed


def test_a_seat_whose_record_was_lost_still_hears_its_sources_word(cluster: Cluster) -> None:
    source, target = cluster.lock("n1"), cluster.lock("n2")
    source.seal(1)
    source.open_gate("n2", NONCE, BOOT, 1)
    target.take_seat("n2", NONCE, 1)
    state.forget(UUID, f"{cluster.root}/n2")
    source.ended()
    source.release(says(ABSENT), 1)
    target.seal_seat(1)
    assert cluster.recorded("n2").handed
    assert cluster.recorded("n2").nonce, "that it is still to be let run is not lost"


@pytest.mark.parametrize(
    ("node", "nonce"), [("n3", NONCE), ("n2", OTHER)], ids=["a node the gate does not name", "another move"]
)
def test_a_seat_that_the_gate_does_not_offer_is_refused_and_let_go(cluster: Cluster, node: str, nonce: str) -> None:
    source = cluster.lock("n1")
    source.seal(1)
    source.open_gate("n2", NONCE, BOOT, 1)
    with pytest.raises(NotAllowed, match="no gate is open"):
        cluster.lock(node).take_seat(node, nonce, 1)
    assert cluster.mode(node) == NL
    assert cluster.recorded(node).mode == NL


def test_no_seat_without_a_gate(cluster: Cluster) -> None:
    with pytest.raises(NotAllowed, match="no gate is open"):
        cluster.lock("n2").take_seat("n2", NONCE, 1)
    cluster.lock("n1").seal(1)
    with pytest.raises(Busy):
        cluster.lock("n2").take_seat("n2", NONCE, 1)


def test_taking_the_same_seat_twice_takes_one_lock(cluster: Cluster) -> None:
    source, target = cluster.lock("n1"), cluster.lock("n2")
    source.seal(1)
    source.open_gate("n2", NONCE, BOOT, 1)
    target.take_seat("n2", NONCE, 1)
    target.take_seat("n2", NONCE, 1)
    assert len(cluster.fabric.locks) == 2


def test_a_gate_goes_to_another_target_only_after_a_reseal_which_needs_the_seat_gone(cluster: Cluster) -> None:
    source, target = cluster.lock("n1"), cluster.lock("n2")
    source.seal(1)
    source.open_gate("n2", NONCE, BOOT, 1)
    source.open_gate("n2", NONCE, BOOT, 1)
    target.take_seat("n2", NONCE, 1)
    with pytest.raises(NotAllowed, match="gate is open to n2"):
        source.open_gate("n3", OTHER, BOOT, 1)
    with pytest.raises(Busy):
        source.reseal(0.05)
    target.drop_seat(says(ABSENT), 1)
    source.reseal(1)
    source.open_gate("n3", OTHER, BOOT, 1)
    assert cluster.recorded("n1").target == "n3"


@pytest.mark.parametrize("verdict", [PRESENT, UNKNOWN])
def test_nothing_is_given_back_without_proof_of_absence(cluster: Cluster, verdict: str) -> None:
    lock = cluster.lock("n1")
    lock.seal(1)
    with pytest.raises(NotAllowed, match="not proved"):
        lock.release(says(verdict), 1)
    assert (cluster.mode("n1"), cluster.recorded("n1").mode) == (EX, EX)


def test_the_mode_is_lowered_in_the_file_before_the_proof_and_the_lock_is_held_until_after_it(cluster: Cluster) -> None:
    lock, seen = cluster.lock("n1"), []
    lock.seal(1)

    def prove() -> Presence:
        seen.append((cluster.recorded("n1").mode, cluster.mode("n1")))
        return Presence(ABSENT, "")

    lock.release(prove, 1)
    assert seen == [(NL, EX)]
    assert cluster.mode("n1") == NL


@pytest.mark.parametrize("lost", ["file", "mode"])
def test_a_crash_between_lock_and_file_is_healed_by_adoption(cluster: Cluster, lost: str) -> None:
    lock = cluster.lock("n1")
    lock.seal(1)
    directory = f"{cluster.root}/n1"
    if lost == "file":
        state.forget(UUID, directory)
    else:
        state.write(UUID, State(PW, NONCE, "n2"), directory)
    assert lock.adopt(1) == EX
    assert cluster.recorded("n1").mode == EX


def test_a_record_of_another_boot_claims_nothing(cluster: Cluster) -> None:
    lock = cluster.lock("n1")
    lock.seal(1)
    path = Path(state.path(UUID, "", f"{cluster.root}/n1"))
    path.write_text(path.read_text().replace(state.boot_id(), BOOT))
    assert lock.recorded().mode == NL


def test_a_dead_unfenced_node_makes_everything_unknown_and_its_fencing_frees_its_locks(cluster: Cluster) -> None:
    cluster.lock("n1").seal(1)
    other = cluster.lock("n2")
    cluster.fabric.die("n1")
    with pytest.raises(Unknown):
        other.seal(1)
    cluster.fabric.fence("n1")
    other.seal(1)
    assert cluster.mode("n2") == EX


def test_a_seat_outlives_its_source_and_is_sealed_after_the_fence_without_the_value_block(cluster: Cluster) -> None:
    source, target = cluster.lock("n1"), cluster.lock("n2")
    source.seal(1)
    source.open_gate("n2", NONCE, BOOT, 1)
    target.take_seat("n2", NONCE, 1)
    cluster.fabric.die("n1")
    with pytest.raises(Unknown):
        target.seal_seat(1)
    cluster.fabric.fence("n1")
    target.seal_seat(1)
    assert cluster.mode("n2") == EX
    with pytest.raises(Busy):
        cluster.lock("n3").take_seat("n3", NONCE, 1)


def test_a_request_that_was_given_up_leaves_a_record_for_the_sweep(cluster: Cluster) -> None:
    lock = cluster.lock("n2")
    MemoryPort(cluster.fabric, "n3").join()
    real = lock._new

    def hang(port: object, mode: int) -> object:
        raise Unknown("no answer")

    lock._new = hang  # type: ignore[method-assign,assignment]  # the child is killed here
    with pytest.raises(Unknown):
        lock.seal(1)
    assert state.known(f"{cluster.root}/n2") == (UUID,)
    lock._new = real  # type: ignore[method-assign]  # and here a later one succeeds
    lock.release(says(ABSENT), 1)
    assert state.known(f"{cluster.root}/n2") == ()


@pytest.mark.parametrize("resumer", ["alive", "just killed", "long gone"])
def test_no_seat_while_somebody_here_may_still_resume_an_earlier_arrival(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, resumer: str
) -> None:
    """His virsh resume would let the new copy run under its seat, beside its source."""
    source, target = cluster.lock("n1"), cluster.lock("n2")
    source.seal(1)
    source.open_gate("n2", NONCE, BOOT, 1)
    pid = os.getpid() if resumer == "alive" else 4194305
    state.mark(UUID, f".resuming.{pid}", pid, f"{cluster.root}/n2")
    if resumer == "long gone":
        monkeypatch.setattr(state, "ABANDONED", -1.0)
        target.take_seat("n2", NONCE, 1)
        assert cluster.mode("n2") == CR
    else:
        with pytest.raises(NotAllowed, match="about to resume"):
            target.take_seat("n2", NONCE, 1)
        assert cluster.mode("n2") == NL


def test_a_copy_without_a_seat_is_sealed_if_nobody_holds_it_and_is_never_taken_for_handed_over(
    cluster: Cluster,
) -> None:
    lock = cluster.lock("n2")
    assert lock.adopt_arrival(1) == EX
    claim = cluster.recorded("n2")
    assert (cluster.mode("n2"), claim.mode, bool(claim.nonce), claim.handed) == (EX, EX, True, False)
    with pytest.raises(Busy):
        cluster.lock("n1").adopt_arrival(1)


@pytest.mark.parametrize("held", [EX, CR])
def test_what_is_found_of_an_arrival_whose_record_was_lost_is_not_taken_for_handed_over(
    cluster: Cluster, held: int
) -> None:
    lock = cluster.lock("n2")
    with MemoryPort(cluster.fabric, "n2") as port:
        port.lock(UUID, held, KEPT)
    assert lock.adopt_arrival(1) == held
    claim = cluster.recorded("n2")
    assert (claim.mode, bool(claim.nonce), claim.handed) == (held, True, False)


def test_a_crash_in_sealing_an_arrival_leaves_it_unproven(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, real = cluster.lock("n2"), state.write

    def dies_once(uuid: str, claim: State, directory: str = "") -> None:
        if claim.mode == EX:
            raise KeyboardInterrupt
        real(uuid, claim, directory)

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(state, "write", dies_once)
        lock.adopt_arrival(1)
    assert cluster.mode("n2") == EX
    assert lock.adopt(1) == EX  # as a monitor or the sweep does
    claim = cluster.recorded("n2")
    assert (claim.mode, bool(claim.nonce), claim.handed) == (EX, True, False)

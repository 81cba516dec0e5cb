"""The lock manager in memory where the simulator leans on it and the contract's suite does not look."""

from __future__ import annotations

import pytest

from hacluster.guard.dlm import CR, EX, NL, NOQUEUE, ORPHAN, PERSISTENT, PW, VALBLK, Busy, NoLock, Unknown
from hacluster.guard.memory import Fabric, MemoryPort

KEPT = NOQUEUE | PERSISTENT | VALBLK
BLOCK = bytes(range(32))


@pytest.fixture
def fabric() -> Fabric:
    return Fabric()


def on(fabric: Fabric, node: str) -> MemoryPort:
    port = MemoryPort(fabric, node)
    port.join()
    return port


def test_a_request_that_would_wait_learns_nothing(fabric: Fabric) -> None:
    """With NOQUEUE it is refused; without, the kernel's would sleep: whoever has a deadline then knows nothing."""
    n1, n2 = on(fabric, "n1"), on(fabric, "n2")
    gate = n1.lock("r", PW, KEPT)
    seat = n2.lock("r", CR, KEPT)
    for flags, kind in ((KEPT, Busy), (KEPT & ~NOQUEUE, Unknown), (NOQUEUE, Busy), (VALBLK, Unknown), (0, Unknown)):
        with pytest.raises(kind):
            n2.lock("r", EX, flags)
        with pytest.raises(kind):
            n1.convert(gate.lkid, EX, flags)
        with pytest.raises(kind):
            n2.convert(seat.lkid, EX, flags)


def test_other_resources_do_not_matter(fabric: Fabric) -> None:
    n1 = on(fabric, "n1")
    n1.lock("r", EX, KEPT)
    lock = n1.lock("s", CR, KEPT)
    n1.convert(lock.lkid, EX, KEPT)


def test_every_lock_has_an_id_of_its_own_that_is_not_none(fabric: Fabric) -> None:
    n1 = on(fabric, "n1")
    first, second = n1.lock("r", CR, KEPT).lkid, n1.lock("r", CR, KEPT).lkid
    assert first == 1, "0 stands for no lock"
    assert second != first


def test_a_port_says_of_which_lockspace_it_is(fabric: Fabric) -> None:
    assert on(fabric, "n1").lockspace == "memory"


def test_a_lock_is_its_process_s(fabric: Fabric) -> None:
    mine, others = on(fabric, "n1"), on(fabric, "n1")
    lkid = mine.lock("r", EX, KEPT).lkid
    for number in (lkid, 99):
        with pytest.raises(NoLock):
            others.convert(number, PW, KEPT)
        with pytest.raises(NoLock):
            others.unlock(number)
    with pytest.raises(NoLock):
        others.lock("r", EX, KEPT | ORPHAN)


def test_an_orphan_is_its_nodes_and_its_resources(fabric: Fabric) -> None:
    with on(fabric, "n1") as gone:
        gone.lock("r", CR, KEPT)
        gone.lock("s", EX, KEPT)
    n1, n2 = on(fabric, "n1"), on(fabric, "n2")
    for port, resource in ((n2, "r"), (n2, "s"), (n1, "t")):
        with pytest.raises(NoLock):
            port.lock(resource, EX, KEPT | ORPHAN)
    with pytest.raises(Busy):
        n1.lock("r", EX, KEPT | ORPHAN)
    grant = n1.lock("s", EX, KEPT | ORPHAN)
    assert grant.value is None, "an adoption brings no value block"
    n1.unlock(grant.lkid)
    with pytest.raises(NoLock):
        n1.lock("s", EX, KEPT | ORPHAN)


def test_what_was_adopted_is_an_orphan_again_when_its_process_ends(fabric: Fabric) -> None:
    with on(fabric, "n1") as first:
        first.lock("r", EX, KEPT)
    second = on(fabric, "n1")
    second.lock("r", EX, KEPT | ORPHAN)
    assert [held.orphan for held in second.list()] == [False]
    second.close()
    assert [held.orphan for held in on(fabric, "n2").list()] == [True]


@pytest.mark.parametrize("flags", [0, NOQUEUE, NOQUEUE | VALBLK])
def test_what_is_not_persistent_goes_with_its_process_and_nobody_elses(fabric: Fabric, flags: int) -> None:
    other, process = on(fabric, "n1"), on(fabric, "n1")
    other.lock("s", EX, flags)
    process.lock("r", EX, flags)
    process.close()
    assert [held.resource for held in other.list()] == ["s"]


# ---- value blocks


@pytest.mark.parametrize(
    ("held", "wanted", "written"),
    [
        (EX, EX, True),
        (EX, PW, True),
        (EX, NL, True),
        (PW, PW, True),
        (PW, CR, True),
        (PW, EX, False),
        (CR, CR, False),
        (CR, NL, False),
        (CR, EX, False),
    ],
)
def test_who_writes_and_who_reads(fabric: Fabric, held: int, wanted: int, written: bool) -> None:
    """As the kernel's: the writer on the way down writes, everybody else reads."""
    port = on(fabric, "n1")
    lock = port.lock("r", EX, KEPT)
    port.convert(lock.lkid, EX, KEPT, b"first".ljust(32, b"\0"))
    port.convert(lock.lkid, held, KEPT)
    answered = port.convert(lock.lkid, wanted, KEPT, BLOCK)
    now = fabric.values["r"]
    assert now == (BLOCK if written else b"first".ljust(32, b"\0"))
    assert answered.value == (None if written else now)


@pytest.mark.parametrize("flags", [NOQUEUE, NOQUEUE | PERSISTENT])
def test_without_the_flag_a_value_is_neither_written_nor_read(fabric: Fabric, flags: int) -> None:
    port = on(fabric, "n1")
    lock = port.lock("r", EX, KEPT)
    port.convert(lock.lkid, PW, flags, BLOCK)
    assert fabric.values == {}
    port.convert(lock.lkid, PW, KEPT, BLOCK)
    seat = on(fabric, "n2").lock("r", CR, flags)
    assert seat.value is None
    port.convert(lock.lkid, CR, KEPT)
    assert port.convert(lock.lkid, CR, flags).value is None
    assert port.convert(lock.lkid, CR, VALBLK).value == BLOCK


def test_a_conversion_down_without_a_value_leaves_the_block(fabric: Fabric) -> None:
    port = on(fabric, "n1")
    lock = port.lock("r", EX, KEPT)
    port.convert(lock.lkid, EX, KEPT, BLOCK)
    port.convert(lock.lkid, PW, KEPT)
    assert fabric.values["r"] == BLOCK


def test_a_value_lives_as_long_as_some_lock_on_its_resource(fabric: Fabric) -> None:
    n1, n2 = on(fabric, "n1"), on(fabric, "n2")
    gate = n1.lock("r", EX, KEPT)
    n1.convert(gate.lkid, PW, KEPT, BLOCK)
    other = n1.lock("s", EX, KEPT)
    seat = n2.lock("r", CR, KEPT)
    n1.unlock(gate.lkid)
    assert n2.convert(seat.lkid, CR, KEPT).value == BLOCK
    n2.unlock(seat.lkid)
    assert fabric.values == {}
    n1.unlock(other.lkid)
    assert fabric.values == {}, "one that never had a value is given back as well"


# ---- death and fencing


def test_a_death_stops_everything_and_its_fencing_lets_it_go_on(fabric: Fabric) -> None:
    n1, n2 = on(fabric, "n1"), on(fabric, "n2")
    mine = n1.lock("r", CR, KEPT)
    n2.lock("s", EX, KEPT)
    fabric.die("n2")
    for call in (
        lambda: n1.lock("t", CR, KEPT),
        lambda: n1.convert(mine.lkid, CR, KEPT),
        lambda: n1.unlock(mine.lkid),
        n1.leave,
        MemoryPort(fabric, "n3").join,
    ):
        with pytest.raises(Unknown, match="blocked until n2 has been fenced"):
            call()
    fabric.fence("n2")
    n1.lock("s", EX, KEPT)
    assert fabric.joined == {"n1"}
    with pytest.raises(Unknown, match="n2 has not joined"):
        n2.lock("t", CR, KEPT)


def test_a_node_that_never_joined_dies_unnoticed(fabric: Fabric) -> None:
    fabric.die("n9")
    on(fabric, "n1").lock("r", EX, KEPT)


def test_a_death_orphans_the_locks_of_its_node_only(fabric: Fabric) -> None:
    n1, n2 = on(fabric, "n1"), on(fabric, "n2")
    n1.lock("r", CR, KEPT)
    n2.lock("r", CR, KEPT)
    fabric.die("n2")
    assert {held.node: held.orphan for held in n1.list()} == {"n1": False, "n2": True}


def test_a_dead_nodes_locks_stay_until_it_is_fenced_whatever_its_processes_do(fabric: Fabric) -> None:
    """Its process closes nothing any more; the simulator ends it all the same."""
    n1 = on(fabric, "n1")
    with on(fabric, "n2") as victim:
        lock = victim.lock("r", EX, NOQUEUE)
        fabric.dead.add("n2")
    assert [held.node for held in n1.list()] == ["n2"]
    assert lock.lkid in fabric.locks
    fabric.fence("n2")
    assert n1.list() == ()


@pytest.mark.parametrize(("mode", "lost"), [(EX, True), (PW, True), (CR, False), (NL, False)])
def test_a_block_that_a_dead_writer_may_have_torn_is_not_valid(fabric: Fabric, mode: int, lost: bool) -> None:
    n1, n2 = on(fabric, "n1"), on(fabric, "n2")
    witness = n1.lock("r", NL, KEPT)
    writer = n2.lock("r", EX, KEPT)
    n2.convert(writer.lkid, mode, KEPT, BLOCK)
    fabric.die("n2")
    fabric.fence("n2")
    assert n1.convert(witness.lkid, NL, KEPT).value == (None if lost else BLOCK)


def test_who_leaves_takes_its_own_locks_only_and_is_out(fabric: Fabric) -> None:
    n1, n2 = on(fabric, "n1"), on(fabric, "n2")
    n1.lock("r", CR, KEPT)
    n2.lock("r", CR, KEPT)
    n1.leave()
    n1.leave()
    assert [held.node for held in n2.list()] == ["n2"]
    with pytest.raises(Unknown, match="has not joined"):
        n1.lock("r", CR, KEPT)


def test_who_is_out_leaves_in_peace_though_somebody_is_dead(fabric: Fabric) -> None:
    on(fabric, "n2")
    fabric.die("n2")
    MemoryPort(fabric, "n1").leave()


def test_the_list_says_what_is_held(fabric: Fabric) -> None:
    n1 = on(fabric, "n1")
    lock = n1.lock("r", EX, KEPT)
    n1.convert(lock.lkid, PW, KEPT, BLOCK)
    [held] = n1.list()
    assert (held.resource, held.node, held.mode, held.orphan, held.value) == ("r", "n1", PW, False, BLOCK)

"""The lock server's table answers as the kernel's DLM does: fs/dlm/lock.c, libdlm's manual, and what was measured."""

import errno
from itertools import product

import pytest

from hacluster.lab.dlm_table import COMPATIBLE, MODES, Replies, Table

A, B, C, D = 1, 2, 3, 4
NODE = {A: "n1", B: "n2", C: "n3", D: "n1"}
VALUE = bytes(range(32)).hex()


class Bench:
    """A table and what came out of it: the last reply of each connection."""

    def __init__(self, *joined: str) -> None:
        self.table = Table()
        self.replies: dict[int, dict[str, object]] = {}
        for node in joined or ("n1", "n2", "n3"):
            self.take(self.table.submit(99, node, {"op": "join"}))

    def take(self, replies: Replies) -> None:
        self.replies.update(dict(replies))

    def ask(self, who: int, op: str, **rest: object) -> dict[str, object] | None:
        """The reply, or None when the request waits."""
        self.replies.pop(who, None)
        self.take(self.table.submit(who, NODE[who], {"op": op, "lockspace": "hacluster", **rest}))
        return self.replies.get(who)

    def lock(self, who: int, mode: str, *flags: str) -> dict[str, object] | None:
        return self.ask(who, "lock", resource="u", mode=mode, flags=list(flags))

    def got(self, who: int, mode: str, *flags: str) -> int:
        reply = self.lock(who, mode, *flags)
        assert reply is not None
        assert reply["rc"] == 0
        return int(str(reply["lkid"]))

    def held(self) -> list[tuple[object, object, object]]:
        reply = self.ask(C, "list")
        assert reply is not None
        locks = reply["locks"]
        assert isinstance(locks, list)
        return [(lock["node"], lock["mode"], lock["orphan"]) for lock in locks]


def rc(reply: dict[str, object] | None) -> object:
    return None if reply is None else reply["rc"]


@pytest.mark.parametrize(("held", "wanted"), list(product(MODES, MODES)))
def test_two_locks_go_together_as_the_matrix_says(held: str, wanted: str) -> None:
    bench = Bench()
    bench.got(A, held)
    fits = bool(COMPATIBLE[MODES.index(held)][MODES.index(wanted)])
    assert rc(bench.lock(B, wanted, "NOQUEUE")) == (0 if fits else errno.EAGAIN)


def test_the_matrix_is_the_dlms() -> None:
    together = {(MODES[a], MODES[b]) for a, b in product(range(6), range(6)) if COMPATIBLE[a][b] and a <= b}
    assert together == {
        *(("NL", mode) for mode in MODES),
        ("CR", "CR"), ("CR", "CW"), ("CR", "PR"), ("CR", "PW"), ("CW", "CW"), ("PR", "PR"),
    }  # fmt: skip


def test_the_same_node_gets_no_second_exclusive_lock_either() -> None:
    bench = Bench()
    bench.got(A, "EX", "PERSISTENT")
    assert rc(bench.lock(D, "EX", "NOQUEUE")) == errno.EAGAIN


def test_a_request_without_noqueue_waits_until_the_other_lets_go() -> None:
    bench = Bench()
    lkid = bench.got(A, "EX")
    assert bench.lock(B, "EX") is None
    bench.ask(A, "unlock", lkid=lkid)
    assert rc(bench.replies.get(B)) == 0


def test_waiting_requests_are_granted_in_order() -> None:
    bench = Bench()
    lkid = bench.got(A, "EX")
    assert bench.lock(B, "EX") is None
    assert bench.lock(C, "EX") is None
    bench.ask(A, "unlock", lkid=lkid)
    assert (rc(bench.replies.get(B)), rc(bench.replies.get(C))) == (0, None)


def test_a_new_lock_does_not_overtake_one_that_waits() -> None:
    bench = Bench()
    bench.got(A, "PR")
    assert bench.lock(B, "EX") is None
    assert rc(bench.lock(C, "PR", "NOQUEUE")) == errno.EAGAIN


def test_a_conversion_waits_for_the_others_and_is_granted_before_new_requests() -> None:
    bench = Bench()
    mine, other = bench.got(A, "CR"), bench.got(B, "PW")
    assert bench.lock(C, "EX") is None
    assert bench.ask(A, "convert", lkid=mine, mode="EX", flags=[]) is None
    bench.ask(B, "unlock", lkid=other)
    assert (rc(bench.replies.get(A)), rc(bench.replies.get(C))) == (0, None)


def test_a_conversion_that_may_not_wait_leaves_the_lock_as_it_was() -> None:
    bench = Bench()
    mine = bench.got(A, "CR")
    bench.got(B, "PW")
    assert rc(bench.ask(A, "convert", lkid=mine, mode="EX", flags=["NOQUEUE"])) == errno.EAGAIN
    assert ("n1", "CR", False) in bench.held()


@pytest.mark.parametrize(
    ("granted", "wanted", "written"),
    [
        ("EX", "EX", True),
        ("EX", "PW", True),
        ("PW", "CR", True),
        ("PW", "PW", True),
        ("PW", "EX", False),
        ("CR", "CR", False),
    ],
)
def test_going_down_from_ex_or_pw_writes_the_value_block(granted: str, wanted: str, written: bool) -> None:
    bench = Bench()
    lkid = bench.got(A, granted)
    bench.ask(A, "convert", lkid=lkid, mode=wanted, flags=["VALBLK"], value=VALUE)
    seen = bench.lock(B, "NL", "VALBLK")
    assert seen is not None
    assert (seen["value"] == VALUE) is written


def test_without_valblk_a_conversion_writes_nothing() -> None:
    bench = Bench()
    lkid = bench.got(A, "EX")
    bench.ask(A, "convert", lkid=lkid, mode="PW", flags=[], value=VALUE)
    seen = bench.lock(B, "NL", "VALBLK")
    assert seen is not None
    assert seen["value"] == bytes(32).hex()


def test_the_value_block_goes_with_the_last_lock() -> None:
    bench = Bench()
    lkid = bench.got(A, "EX")
    bench.ask(A, "convert", lkid=lkid, mode="EX", flags=["VALBLK"], value=VALUE)
    bench.ask(A, "unlock", lkid=lkid)
    seen = bench.lock(B, "NL", "VALBLK")
    assert seen is not None
    assert (seen["value"], seen["valnotvalid"]) == (bytes(32).hex(), False)


def test_a_persistent_lock_outlives_its_process_and_an_ordinary_one_does_not() -> None:
    bench = Bench()
    bench.got(A, "PR", "PERSISTENT")
    bench.got(B, "PR")
    bench.take(bench.table.close(A))
    bench.take(bench.table.close(B))
    assert bench.held() == [("n1", "PR", True)]


def test_an_orphan_is_adopted_by_its_node_by_its_mode_and_only_once() -> None:
    bench = Bench()
    lkid = bench.got(A, "EX", "PERSISTENT")
    assert rc(bench.lock(D, "EX", "ORPHAN", "PERSISTENT")) == errno.ENOENT  # its process lives
    bench.take(bench.table.close(A))
    assert rc(bench.lock(B, "EX", "ORPHAN", "PERSISTENT")) == errno.ENOENT  # another node's
    assert rc(bench.lock(D, "PW", "ORPHAN", "PERSISTENT")) == errno.EAGAIN  # another mode
    assert bench.got(D, "EX", "ORPHAN", "PERSISTENT") == lkid
    assert rc(bench.lock(A, "EX", "ORPHAN", "PERSISTENT")) == errno.ENOENT


def test_an_adoption_without_persistent_ends_with_the_process() -> None:
    bench = Bench()
    bench.got(A, "EX", "PERSISTENT")
    bench.take(bench.table.close(A))
    bench.got(D, "EX", "ORPHAN")
    bench.take(bench.table.close(D))
    assert bench.held() == []


def test_a_lock_of_a_living_process_is_of_no_use_to_another() -> None:
    bench = Bench()
    lkid = bench.got(A, "EX", "PERSISTENT")
    assert rc(bench.ask(D, "unlock", lkid=lkid)) == errno.EINVAL
    assert rc(bench.ask(D, "convert", lkid=lkid, mode="NL", flags=[])) == errno.EINVAL
    assert rc(bench.ask(D, "unlock", lkid=lkid + 1)) == errno.ENOENT


def test_a_process_that_ends_takes_its_waiting_request_with_it() -> None:
    bench = Bench()
    lkid = bench.got(A, "EX")
    assert bench.lock(B, "EX") is None
    bench.take(bench.table.close(B))
    bench.ask(A, "unlock", lkid=lkid)
    assert bench.held() == []


def test_a_process_that_ends_in_a_conversion_keeps_its_old_mode_as_orphan() -> None:
    bench = Bench()
    lkid = bench.got(A, "CR", "PERSISTENT")
    bench.got(B, "PW", "PERSISTENT")
    assert bench.ask(A, "convert", lkid=lkid, mode="EX", flags=[]) is None
    bench.take(bench.table.close(A))
    assert ("n1", "CR", True) in bench.held()


def test_between_loss_of_power_and_fencing_nothing_is_answered() -> None:
    bench = Bench()
    bench.got(A, "EX", "PERSISTENT")
    mine = bench.got(B, "NL")
    bench.take(bench.table.off("n1"))
    assert bench.lock(B, "EX", "NOQUEUE") is None
    bench.take(bench.table.close(B))
    assert bench.ask(C, "unlock", lkid=mine) is None
    assert bench.table.dump()["hacluster"]["unfenced"] == ["n1"]  # type: ignore[index]  # JSON


def test_fencing_frees_the_dead_nodes_locks_and_answers_what_waited() -> None:
    bench = Bench()
    bench.got(A, "EX", "PERSISTENT")
    bench.take(bench.table.off("n1"))
    assert bench.lock(B, "EX", "NOQUEUE", "PERSISTENT") is None
    bench.take(bench.table.fenced("n1"))
    assert rc(bench.replies.get(B)) == 0
    assert bench.held() == [("n2", "EX", False)]


def test_two_dead_nodes_are_two_fencings() -> None:
    bench = Bench()
    bench.take(bench.table.off("n1"))
    bench.take(bench.table.off("n2"))
    assert bench.lock(C, "EX", "NOQUEUE") is None
    bench.take(bench.table.fenced("n1"))
    assert bench.replies.get(C) is None
    bench.take(bench.table.fenced("n2"))
    assert rc(bench.replies.get(C)) == 0


def test_a_dead_nodes_connections_close_without_freeing_anything() -> None:
    bench = Bench()
    bench.got(A, "EX")
    bench.take(bench.table.off("n1"))
    bench.take(bench.table.close(A))
    assert bench.held() == [("n1", "EX", True)]


def test_after_fencing_the_value_block_is_doubtful_if_the_dead_node_could_have_written_it() -> None:
    bench = Bench()
    bench.got(B, "NL")
    lkid = bench.got(A, "EX", "PERSISTENT")
    bench.ask(A, "convert", lkid=lkid, mode="EX", flags=["VALBLK"], value=VALUE)
    bench.take(bench.table.off("n1"))
    bench.take(bench.table.fenced("n1"))
    seen = bench.lock(C, "NL", "VALBLK")
    assert seen is not None
    assert (seen["value"], seen["valnotvalid"]) == (VALUE, True)


def test_power_off_of_a_node_outside_the_lockspace_disturbs_nobody() -> None:
    bench = Bench("n1", "n2")
    bench.take(bench.table.off("n3"))
    assert rc(bench.lock(A, "EX", "NOQUEUE")) == 0


def test_a_node_must_join_and_join_again_after_fencing() -> None:
    bench = Bench("n2", "n3")
    assert rc(bench.lock(A, "EX", "NOQUEUE")) == errno.ENOTCONN
    assert rc(bench.ask(A, "join")) == 0
    bench.take(bench.table.off("n1"))
    bench.take(bench.table.fenced("n1"))
    assert rc(bench.lock(A, "EX", "NOQUEUE")) == errno.ENOTCONN


def test_joining_waits_while_a_member_is_dead_and_unfenced() -> None:
    bench = Bench("n2", "n3")
    bench.take(bench.table.off("n2"))
    assert bench.ask(A, "join") is None
    bench.take(bench.table.fenced("n2"))
    assert rc(bench.replies.get(A)) == 0


def test_leaving_drops_the_nodes_locks() -> None:
    bench = Bench()
    bench.got(A, "EX", "PERSISTENT")
    assert bench.lock(B, "EX") is None
    bench.ask(D, "leave")
    assert rc(bench.replies.get(B)) == 0


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"op": "steal"},
        {"op": "lock", "resource": "u", "mode": "XX"},
        {"op": "unlock", "lkid": "x"},
        {"op": "lock", "flags": 3},
    ],
)
def test_nonsense_is_refused(request_: dict[str, object]) -> None:
    table = Table()
    table.submit(A, "n1", {"op": "join"})
    assert table.submit(A, "n1", request_) == [
        (A, {"rc": errno.EINVAL, "lkid": 0, "value": None, "valnotvalid": False})
    ]

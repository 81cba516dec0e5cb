"""Ending a move: until when that is possible, whose consent it takes, and when it counts as ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from hacluster import aborting, claiming, rehearsal
from hacluster.claim import Claim
from hacluster.history import Operation
from hacluster.move import Intent, Wait
from hacluster.ports import Completed, Unknown, Unreachable, World
from hacluster.problems import errors
from hacluster.rehearsal import Looked
from hacluster.watching import Picture
from tests.unit.move.worlds import UUID, Facts, at_source, at_target, host

CLAIM = Claim("web", "n1", "n2", "alice@n2", 4711, 1_790_000_000)
ALL = frozenset({"n1", "n2", "n3"})


def op(node: str, name: str, code: int = 0) -> Operation:
    return Operation(node, name, code, 0, 20)


@pytest.mark.parametrize(
    ("online", "new", "late"),
    [
        (ALL, (), False),
        (ALL, (Operation("n1", "migrate_to", 193, -1, -1),), False),
        (ALL, (op("n1", "migrate_to", 1),), False),
        (ALL, (op("n1", "monitor"),), False),
        (ALL, (op("n1", "migrate_to"),), True),
        (ALL, (op("n1", "migrate_to"), op("n2", "migrate_from", 1)), True),
        (ALL, (op("n2", "migrate_from"),), True),
        (ALL, (op("n1", "stop"),), True),
        (ALL, (op("n3", "start"),), True),
        (ALL - {"n1"}, (), True),
    ],
)
def test_after_the_hand_over_a_move_can_only_go_on(
    online: frozenset[str], new: tuple[Operation, ...], late: bool
) -> None:
    problem = aborting._no_way_back(CLAIM, online, new)
    assert (problem is not None) is late
    assert problem is None or ("--resume" in problem.remedy and problem.code == "HA446")


@pytest.mark.parametrize(
    ("copies", "unknown", "how", "new", "late"),
    [
        (("n1",), (), "cold", (), False),
        ((), (), "cold", (op("n1", "stop"),), False),
        ((), (), "cold", (op("n1", "stop"), op("n2", "start", 1)), False),
        (("n2",), (), "cold", (op("n1", "stop"),), True),
        ((), (), "cold", (op("n1", "stop"), Operation("n2", "start", 193, -1, -1)), True),
        (("n1",), ("n3",), "cold", (), True),
        (("n1",), (), "back", (), True),
    ],
)
def test_a_cold_move_goes_back_until_something_of_the_vm_is_elsewhere(
    copies: tuple[str, ...], unknown: tuple[str, ...], how: str, new: tuple[Operation, ...], late: bool
) -> None:
    view = SimpleNamespace(copies=copies, unknown=unknown)
    looked = cast(Looked, SimpleNamespace(seen=SimpleNamespace(vm=lambda _: view)))
    claim = Claim("web", "n1", "n2", "alice@n2", 4711, 1_790_000_000, "back" if how == "back" else "cold")
    assert (aborting._no_way_back_cold(looked, claim, ALL, new) is not None) is late


def world(answer: Completed | Unreachable) -> World:
    def run(node: str, argv: list[str], **_: float) -> Completed:
        assert (node, argv) == ("n2", ["cat", "/proc/4711/cmdline"])
        if isinstance(answer, Unreachable):
            raise answer
        return answer

    hosts = SimpleNamespace(job=lambda *_: None)
    return cast(World, SimpleNamespace(runner=SimpleNamespace(run=run), hosts=hosts))


def looked(*, gone: bool = False) -> Looked:
    nodes = tuple(SimpleNamespace(name=node, gone=gone and node == "n2") for node in ("n1", "n2", "n3"))
    view = SimpleNamespace(copies=("n1",), state="moving")
    return cast(Looked, SimpleNamespace(seen=SimpleNamespace(nodes=nodes, vm=lambda _: view)))


@pytest.mark.parametrize(
    ("answer", "gone", "mover"),
    [
        (Completed(0, b"/usr/bin/python3\0/usr/bin/hactl\0vm\0move", b""), False, "alive"),
        (Completed(0, b"/usr/sbin/sshd", b""), False, "gone"),
        (Completed(1, b"", b"No such file"), False, "gone"),
        (Unreachable("no route"), False, "not known"),
        (Unreachable("no route"), True, "gone"),
    ],
)
def test_only_a_living_operators_move_needs_consent(
    monkeypatch: pytest.MonkeyPatch, answer: Completed | Unreachable, gone: bool, mover: str
) -> None:
    monkeypatch.setattr(claiming, "owner", lambda: "bob@n3")
    assert rehearsal.mover(world(answer), looked(gone=gone), CLAIM) == mover
    problem = aborting._whose(world(answer), looked(gone=gone), CLAIM)
    if mover == "gone":
        assert problem is None
        return
    assert problem is not None
    assert "alice@n2" in problem.message
    assert errors([problem]) == (problem,)
    assert errors([problem], frozenset({"HA445"})) == ()


def test_ones_own_move_needs_nobodys_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "owner", lambda: "alice@n2")
    assert aborting._whose(world(Unreachable("not asked")), looked(), CLAIM) is None


@pytest.mark.parametrize(
    ("facts", "node"),
    [
        (at_source(), "n1"),
        (at_target(), "n2"),
        (at_source("PW"), None),
        (at_source() | {"n1": host("n1", "PRESENT", "EX", "paused")}, None),
        (at_source() | {"n2": host("n2", "PRESENT", "CR", "paused")}, None),
        (at_source() | {"n3": Unknown("no answer")}, None),
    ],
)
def test_it_has_ended_when_one_copy_runs_sealed_and_no_other_is_left(facts: Facts, node: str | None) -> None:
    hosts = SimpleNamespace(facts=lambda *_, **__: facts)
    seen = cast(Picture, SimpleNamespace(nodes=("n1", "n2", "n3"), gone=frozenset()))
    found = aborting._ended(cast(World, SimpleNamespace(hosts=hosts)), Intent("web", UUID, "n1", "n2", before={}), seen)
    assert found == node if node is not None else isinstance(found, Wait)

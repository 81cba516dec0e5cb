"""Run-locks as they are listed, and what stands against clearing one; the clearing itself on simulated machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hacluster import locks
from hacluster.guard.dlm import EX
from hacluster.locks import Request
from hacluster.observe import observe
from hacluster.ports import Domain, HeldLock, HostFacts, Released, Unknown, World
from hacluster.problems import Refused
from tests.scenarios.player import Player
from tests.scenarios.scenario import Scenario, Step
from tests.unit.observe import test_read as small

UUID = small.UUID
STRANGE = "11111111-2222-4333-8444-555555555555"
NONCE = "0123456789abcdef"
Facts = Mapping[str, HostFacts | Unknown]


def facts(node: str, *held: HeldLock, **changed: Any) -> HostFacts:
    return replace(small.facts(node), locks=held, **changed)


N2_FENCED = (
    small.cib().replace(b"</node_state>", b'</node_state><node_state id="2" uname="n2" expected="down"/>'),
    small.monitor(nodes=small.node("n1") + small.node("n2", online=False)),
)
"""The cluster after n2 was fenced: its CIB, and what Pacemaker makes of it."""


def world(
    told: Facts,
    answer: Released | Unknown | None = None,
    cluster: tuple[bytes, bytes] = (small.cib(), small.monitor()),
) -> World:
    """The small cluster of the observation's tests; `answer` is what a node says when it is asked to release."""

    def release(node: str, uuid: str) -> object:
        assert answer is not None, f"{node} must not be asked about {uuid}"
        return answer

    pacemaker = SimpleNamespace(cib=lambda: cluster[0], monitor=lambda: cluster[1])
    hosts = SimpleNamespace(facts=lambda _nodes, deadline: told, release=release)
    clock = SimpleNamespace(wall=lambda: 1000.0, sleep=lambda _seconds: None)
    return cast(World, SimpleNamespace(pacemaker=pacemaker, hosts=hosts, clock=clock))


def refused(work: Callable[[], object]) -> list[str]:
    with pytest.raises(Refused) as no:
        work()
    assert all(problem.remedy for problem in no.value.problems)
    return [problem.code for problem in no.value.problems]


# ---- what is listed


def listed(*held: HeldLock, **changed: Any) -> locks.Row:
    (row,) = locks.rows(observe(small.cib(), small.monitor(), {**small.WELL, "n1": facts("n1", *held, **changed)}))
    return row


@pytest.mark.parametrize(
    ("held", "meaning", "block"),
    [
        (HeldLock(UUID, "EX"), "sealed", "admits nobody"),
        (HeldLock(UUID, "PW", NONCE, "n2"), "gate open", f"admits n2 for the move {NONCE}, opened by boot b of n1"),
        (HeldLock(UUID, "CR", NONCE, "n1"), "seat", f"n1 may receive the move {NONCE}, and start nothing"),
        (
            HeldLock(UUID, "EX", NONCE, handed=True),
            "sealed",
            f"arrived by the move {NONCE}, handed over by its source; not yet let run",
        ),
        (
            HeldLock(UUID, "EX", NONCE),
            "sealed",
            f"arrived by the move {NONCE}, not handed over: it must not run; not yet let run",
        ),
    ],
)
def test_each_lock_is_told_in_words(held: HeldLock, meaning: str, block: str) -> None:
    row = listed(held)
    assert (row.vm, row.node, row.meaning, row.block, row.copy) == ("web", "n1", meaning, block, "no copy")


@pytest.mark.parametrize(
    ("presence", "domains", "word"),
    [
        ("PRESENT", (Domain("web", UUID, "running", "booted"),), "running (booted)"),
        ("PRESENT", (), "a QEMU"),
        ("ABSENT", (), "no copy"),
        ("UNKNOWN", None, "not known"),
    ],
)
def test_what_stands_against_a_lock_is_told(presence: str, domains: tuple[Domain, ...] | None, word: str) -> None:
    assert listed(HeldLock(UUID, "EX"), presence={UUID: presence}, domains=domains).copy == word


def test_a_lock_of_an_unmanaged_vm_has_no_name_and_comes_last() -> None:
    told: Facts = {**small.WELL, "n2": facts("n2", HeldLock(STRANGE, "EX"))}
    seen = observe(small.cib(), small.monitor(), told)
    assert [(row.vm, row.uuid) for row in locks.rows(seen)] == [("web", UUID), ("", STRANGE)]
    assert [row["vm"] for row in locks.listing(seen)["locks"]] == ["web", None]


def test_a_node_whose_locks_are_not_known_is_told_and_one_that_was_fenced_is_not() -> None:
    told: Facts = {"n1": replace(small.facts("n1"), locks=None), "n2": Unknown("no answer")}
    assert locks.silent(observe(small.cib(), small.monitor(), told)) == {
        "n1": "it could not read its lock state",
        "n2": "no answer",
    }
    assert locks.silent(observe(*N2_FENCED, {**small.WELL, "n2": Unknown("no answer")})) == {}


# ---- what stands against clearing one

LEFT: Facts = {"n1": small.facts("n1"), "n2": facts("n2", HeldLock(UUID, "EX"))}


def test_the_holder_is_asked_and_its_word_is_passed_on() -> None:
    asked = locks.request(world(LEFT), "web", None)
    assert asked == Request("web", UUID, "n2", "EX")
    assert locks.clear(world(LEFT, Released(True, "EX")), asked) == "EX"
    assert refused(lambda: locks.clear(world(LEFT, Released(False, "EX", "a QEMU of it lives")), asked)) == ["HA534"]
    assert refused(lambda: locks.clear(world(LEFT, Unknown("no answer")), asked)) == ["HA535"]


def test_a_lock_that_nobody_holds_needs_no_clearing() -> None:
    assert locks.request(world({"n1": small.facts("n1"), "n2": small.facts("n2")}), "web", None) is None


@pytest.mark.parametrize(
    ("told", "name", "node", "codes"),
    [
        (small.WELL, "web", None, ["HA532"]),
        (LEFT, "wbe", None, ["HA401"]),
        (LEFT, "web", "n9", ["HA402"]),
        ({"n1": Unknown("no answer"), "n2": small.facts("n2")}, "web", None, ["HA531"]),
        ({"n1": Unknown("no answer"), "n2": small.facts("n2")}, "web", "n1", ["HA531"]),
        ({**LEFT, "n2": facts("n2", HeldLock(UUID, "EX"), presence={UUID: "UNKNOWN"})}, "web", None, ["HA533"]),
        (
            {"n1": facts("n1", HeldLock(UUID, "PW", NONCE, "n2")), "n2": facts("n2", HeldLock(UUID, "CR", NONCE))},
            "web",
            None,
            ["HA530"],
        ),
    ],
)
def test_what_stands_against_it(told: Facts, name: str, node: str | None, codes: list[str]) -> None:
    assert refused(lambda: locks.request(world(told), name, node)) == codes


def test_a_vm_of_heartbeats_agent_has_no_run_lock() -> None:
    theirs = small.cib().replace(
        b'<primitive id="web" template="t">',
        b'<primitive id="web" class="ocf" provider="heartbeat" type="VirtualDomain">',
    )
    with pytest.raises(Refused, match="has no run-lock"):
        locks.request(world(LEFT, cluster=(theirs, small.monitor())), "web", "n2")


def test_a_fenced_nodes_locks_are_gone_already() -> None:
    told: Facts = {**small.WELL, "n2": Unknown("no answer")}
    with pytest.raises(Refused, match="went when it left or was fenced"):
        locks.request(world(told, cluster=N2_FENCED), "web", "n2")


def test_with_the_node_named_one_of_two_is_asked_and_a_lock_without_a_record_too() -> None:
    both: Facts = {
        "n1": facts("n1", HeldLock(UUID, "PW", NONCE, "n2")),
        "n2": facts("n2", HeldLock(UUID, "CR", NONCE)),
    }
    assert locks.request(world(both), "web", "n2") == Request("web", UUID, "n2", "CR")
    assert locks.request(world(LEFT), "web", "n1") == Request("web", UUID, "n1", None)


def test_a_uuid_names_a_lock_whose_vm_is_not_managed() -> None:
    told: Facts = {**small.WELL, "n2": facts("n2", HeldLock(STRANGE, "EX"))}
    assert locks.request(world(told), STRANGE.upper(), None) == Request(STRANGE.upper(), STRANGE, "n2", "EX")


# ---- the clearing itself, by the product's own program on simulated machines


@pytest.fixture
def player() -> Iterator[Player]:
    """web runs on n1, sealed."""
    one = Player(Scenario("locks", start={"web": "n1"}, steps=()))
    one.prepare()
    try:
        yield one
    finally:
        one.world.close()


def seal(player: Player, node: str) -> None:
    """A node seals the VM and starts nothing: what a crash between the two leaves."""
    lock = player.world.payload.module("hacluster.guard.lock")
    uuid = player.world.uuid("web")
    process = player.world.timeline.spawn("seal", lambda: lock.RunLock(uuid).seal(5.0), player.world.machines[node])
    player.world.run(5.0, lambda: process.ended)


def held(player: Player) -> dict[str, int]:
    uuid = player.world.uuid("web")
    return {lock.node: lock.mode for lock in player.world.payload.fabric.locks.values() if lock.resource == uuid}


def typed(player: Player, node: str) -> object:
    """`hactl lock clear web --node NODE`: the mode that was cleared, or the refusal."""
    ports = player.world.ports("n3")

    def work() -> object:
        asked = locks.request(ports, "web", node)
        return None if asked is None else locks.clear(ports, asked)

    process = player.world.operator("hactl lock clear", work)
    player.world.run(60.0, lambda: process.ended)
    return process.result


def test_a_lock_without_a_copy_goes_and_the_vm_can_start_elsewhere(player: Player) -> None:
    player.do(Step("hactl vm stop web"))
    seal(player, "n2")
    assert held(player) == {"n2": EX}
    assert typed(player, "n2") == "EX"
    assert held(player) == {}
    player.do(Step("hactl vm start web"))
    assert list(player.world.where("web").values()) == ["running"]


def test_a_lock_whose_vm_runs_stays_even_if_the_node_is_asked(player: Player) -> None:
    assert isinstance(typed(player, "n1"), Refused)
    ports = player.world.ports("n3")
    process = player.world.operator("hactl", lambda: ports.hosts.release("n1", player.world.uuid("web")))
    player.world.run(60.0, lambda: process.ended)
    assert isinstance(process.result, Released)
    assert (process.result.released, process.result.mode) == (False, "EX")
    assert held(player) == {"n1": EX}
    assert player.world.where("web") == {"n1": "running"}


def test_a_dead_nodes_lock_is_not_cleared_before_it_is_fenced(player: Player) -> None:
    player.world.cluster.boards["n1"] = "dead"
    player.world.cluster.power_cut("n1")
    player.world.run(5.0)
    told = typed(player, "n1")
    assert isinstance(told, Refused)
    assert [problem.code for problem in told.problems] == ["HA531"]
    assert held(player) == {"n1": EX}

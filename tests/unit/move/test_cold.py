"""cold.decide: when a VM that is moved cold may be started again, and when it has arrived."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hacluster.claim import Claim
from hacluster.cold import Scene, Start, decide
from hacluster.history import Operation
from hacluster.move import Arrived, Failed, Intent, Wait
from hacluster.ports import Unknown
from tests.unit.move.worlds import UUID, Facts, at_source, at_target, host

INTENT = Intent(vm="web", uuid=UUID, source="n1", target="n2", before={"n1": (Operation("n1", "start", 0, 0, 10),)})
CLAIM = Claim("web", "n1", "n2", "root@n1", 4711, 1_790_000_000, "cold", "n1:10start")
NOWHERE: Facts = {node: host(node) for node in ("n1", "n2", "n3")}
STOPPED = Operation("n1", "stop", 0, 0, 11)
STARTED = Operation("n2", "start", 0, 0, 5)


def scene(facts: Facts, *ops: Operation, wanted: bool = False, claim: Claim | None = CLAIM) -> Scene:
    history: dict[str, tuple[Operation, ...]] = dict(INTENT.before)
    for op in ops:
        history[op.node] = (*history.get(op.node, ()), op)
    return Scene(claim, None, wanted, history, facts)


def pending(node: str, name: str) -> Operation:
    return Operation(node, name, 193, -1, -1)


def test_nothing_left_anywhere_is_the_only_way_to_a_start() -> None:
    assert decide(INTENT, scene(NOWHERE, STOPPED)) == Start()


@pytest.mark.parametrize(
    ("now", "phase"),
    [
        pytest.param(scene(at_source()), "shutting down on n1", id="it still runs"),
        pytest.param(scene(NOWHERE | {"n3": Unknown("no answer")}, STOPPED), "n3", id="a node is silent"),
        pytest.param(
            scene(NOWHERE | {"n3": replace(host("n3"), presence={UUID: "UNKNOWN"})}, STOPPED), "n3", id="cannot tell"
        ),
        pytest.param(scene(NOWHERE, pending("n1", "stop")), "takes note", id="the stop has not returned"),
        pytest.param(scene(NOWHERE | {"n1": host("n1", "ABSENT", "EX")}, STOPPED), "not free yet on n1", id="locked"),
        pytest.param(
            scene(NOWHERE | {"n3": replace(host("n3"), locks=None)}, STOPPED), "not free yet on n3", id="locks unread"
        ),
        pytest.param(
            scene(at_source(), Operation("n1", "stop", 1, 0, 11, reason="it does not die")),
            "the stop failed on n1 (it does not die)",
            id="the stop failed",
        ),
    ],
)
def test_otherwise_it_stays_stopped_and_the_phase_says_why(now: Scene, phase: str) -> None:
    step = decide(INTENT, now)
    assert isinstance(step, Wait)
    assert phase in step.phase


def test_a_node_that_was_fenced_has_neither_copy_nor_lock() -> None:
    dead: Facts = {**NOWHERE, "n1": Unknown("no answer")}
    assert decide(INTENT, replace(scene(dead), gone=frozenset({"n1"}))) == Start()


@pytest.mark.parametrize(
    ("now", "arrived"),
    [
        (scene(at_target(), STOPPED, STARTED, wanted=True), True),
        (scene(at_target("EX", "paused"), STOPPED, STARTED, wanted=True), False),
        (scene(at_target("PW"), STOPPED, STARTED, wanted=True), False),
        (scene(at_target() | {"n1": host("n1", "PRESENT")}, STOPPED, STARTED, wanted=True), False),
        (scene(at_target() | {"n3": Unknown("no answer")}, STOPPED, STARTED, wanted=True), False),
        (scene(at_target(), STOPPED, pending("n2", "start"), wanted=True), False),
        (scene(at_target(), STOPPED, STARTED, wanted=False), False),
    ],
)
def test_it_has_arrived_when_one_copy_runs_sealed_on_the_target(now: Scene, arrived: bool) -> None:
    assert (decide(INTENT, now) == Arrived()) is arrived


def test_a_start_that_fails_is_told_while_pacemaker_tries_on() -> None:
    failed = Operation("n2", "start", 1, 0, 5, changed=7, reason="no such disk")
    step = decide(INTENT, scene(NOWHERE, STOPPED, failed, wanted=True))
    assert step == Wait("the start failed on n2 (no such disk); Pacemaker tries again")


def test_a_vm_that_pacemaker_started_elsewhere_ends_the_move() -> None:
    failed = Operation("n2", "start", 1, 0, 5, reason="no such disk")
    third: Facts = {**NOWHERE, "n3": host("n3", "PRESENT", "EX")}
    step = decide(INTENT, scene(third, STOPPED, failed, Operation("n3", "start", 0, 0, 2), wanted=True))
    assert isinstance(step, Failed)
    assert (step.problem.code, step.drop_claim) == ("HA432", True)
    assert "no such disk" in step.problem.message


def test_a_claim_that_was_turned_round_names_who_did_it() -> None:
    back = replace(CLAIM, target="n1", how="back", owner="bob@n3")
    step = decide(INTENT, replace(scene(at_source(), claim=None), other=back))
    assert isinstance(step, Failed)
    assert (step.problem.code, step.drop_claim) == ("HA447", False)
    assert dict(step.problem.facts)["by"] == "bob@n3"


def test_a_vm_whose_claim_was_deleted_is_not_left_stopped_without_a_word() -> None:
    step = decide(INTENT, scene(NOWHERE, STOPPED, claim=None))
    assert isinstance(step, Failed)
    assert step.problem.code == "HA434"
    assert "hactl vm start web" in step.problem.remedy


def test_the_way_back_is_a_move_to_its_source() -> None:
    back = replace(INTENT, target="n1")
    assert decide(back, scene(at_source(), wanted=True)) == Arrived()

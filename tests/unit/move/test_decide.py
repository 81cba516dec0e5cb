"""move.decide: the same world gives the same answer, whoever asks and however often."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hacluster.claim import Claim
from hacluster.history import Operation
from hacluster.move import Arrived, Failed, Intent, Step, View, Wait, decide
from hacluster.ports import AgentFailure, Unknown
from tests.unit.move.worlds import UUID, Facts, at_source, at_target, host

INTENT = Intent(vm="web", uuid=UUID, source="n1", target="n2", before={"n1": (Operation("n1", "start", 0, 0, 10),)})
CLAIM = Claim("web", "n1", "n2", "root@n1", 4711, 1_790_000_000)


def view(facts: Facts, *ops: Operation, claim: Claim | None = CLAIM) -> View:
    history: dict[str, tuple[Operation, ...]] = dict(INTENT.before)
    for op in ops:
        history[op.node] = (*history.get(op.node, ()), op)
    return View(claim=claim, history=history, facts=facts, online=frozenset({"n1", "n2", "n3"}))


def ok(node: str, name: str, call: int) -> Operation:
    return Operation(node, name, 0, 0, call)


def bad(node: str, name: str, call: int, reason: str = "") -> Operation:
    return Operation(node, name, 1, 0, call, reason=reason)


MIGRATED = (ok("n1", "migrate_to", 11), ok("n2", "migrate_from", 3))
STOPPED = ok("n1", "stop", 12)


@pytest.mark.parametrize(
    ("now", "step"),
    [
        pytest.param(view(at_source()), Wait("waiting for Pacemaker"), id="just claimed"),
        pytest.param(view(at_source("PW")), Wait("migrating"), id="gate open"),
        pytest.param(
            view(at_target("CR", "paused"), ok("n1", "migrate_to", 11)), Wait("handing over"), id="arrived paused"
        ),
        pytest.param(view(at_target("CR"), *MIGRATED, STOPPED), Wait("handing over"), id="a seat is not yet a seal"),
        pytest.param(
            view(at_target("EX", "paused"), *MIGRATED, STOPPED), Wait("handing over"), id="sealed, not resumed"
        ),
        pytest.param(
            view(at_target(), *MIGRATED), Wait("arrived; Pacemaker clears the source"), id="source not stopped"
        ),
        pytest.param(view(at_target(), *MIGRATED, STOPPED), Arrived(), id="one copy, sealed, source stopped"),
    ],
)
def test_the_ordinary_way(now: View, step: Step) -> None:
    assert decide(INTENT, now) == step


def test_two_copies_are_never_an_arrival() -> None:
    both: Facts = {**at_target(), "n1": host("n1", "PRESENT", "PW")}
    assert isinstance(decide(INTENT, view(both, *MIGRATED, STOPPED)), Wait)


def test_a_node_that_does_not_answer_is_not_a_node_without_a_copy() -> None:
    dark: Facts = {**at_target(), "n3": Unknown("no answer within 10 s")}
    assert isinstance(decide(INTENT, view(dark, *MIGRATED, STOPPED)), Wait)


def test_a_presence_that_a_node_cannot_tell_is_unknown() -> None:
    vague: Facts = {**at_target(), "n3": replace(host("n3"), presence={UUID: "UNKNOWN"})}
    assert isinstance(decide(INTENT, view(vague, *MIGRATED, STOPPED)), Wait)


def test_a_failed_migration_at_home_frees_claim_and_failure() -> None:
    step = decide(INTENT, view(at_source(), bad("n1", "migrate_to", 11, "the bridge is missing")))
    assert isinstance(step, Failed)
    assert (step.problem.code, step.drop_claim, step.clean_up) == ("HA430", True, True)
    assert "the bridge is missing" in step.problem.message


def test_a_reason_that_pacemaker_dropped_is_the_one_the_node_kept() -> None:
    kept = {UUID: AgentFailure("migrate_to", "web stays on n1: no such bridge", 1_790_000_005)}
    facts: Facts = {**at_source(), "n1": replace(host("n1", "PRESENT", "EX"), failures=kept)}
    step = decide(INTENT, view(facts, bad("n1", "migrate_to", 11)))
    assert isinstance(step, Failed)
    assert "no such bridge" in step.problem.message


def test_a_failed_migration_waits_until_the_source_is_sealed_again() -> None:
    assert isinstance(decide(INTENT, view(at_source("PW"), bad("n1", "migrate_to", 11))), Wait)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(at_source() | {"n2": Unknown("no route")}, id="target silent"),
        pytest.param(at_source() | {"n2": host("n2", "PRESENT", "CR", "paused")}, id="both have a copy"),
    ],
)
def test_an_unproven_failure_is_never_cleaned_up(facts: Facts) -> None:
    step = decide(INTENT, view(facts, bad("n1", "migrate_to", 11)))
    assert isinstance(step, Failed)
    assert (step.problem.code, step.clean_up) == ("HA433", False)


def test_a_failed_migration_to_a_node_that_awaits_its_fencing_waits_for_it() -> None:
    """Once it is fenced it has no copy, and the source takes its lock back: until then nothing is known, or lost."""
    silent = view(at_source("PW") | {"n2": Unknown("no route")}, bad("n1", "migrate_to", 11))
    left = replace(silent, online=frozenset({"n1", "n3"}))
    assert decide(INTENT, left) == Wait("the migration failed; waiting for the fencing of n2")
    assert isinstance(decide(INTENT, replace(left, facts={**left.facts, "n3": Unknown("no route")})), Failed)
    fenced = replace(left, gone=frozenset({"n2"}), facts=at_source() | {"n2": Unknown("no route")})
    step = decide(INTENT, fenced)
    assert isinstance(step, Failed)
    assert (step.problem.code, step.clean_up) == ("HA430", True)


def test_a_stop_and_start_is_a_failure_even_on_the_target() -> None:
    ops = (ok("n1", "migrate_to", 11), bad("n2", "migrate_from", 3, "no lock"), STOPPED, ok("n2", "start", 5))
    step = decide(INTENT, view(at_target(), *ops))
    assert isinstance(step, Failed)
    assert step.problem.code == "HA431"
    assert "no lock" in step.problem.message


def test_a_recovery_on_a_third_node_is_named() -> None:
    third: Facts = {"n1": Unknown("off"), "n2": host("n2"), "n3": host("n3", "PRESENT", "EX")}
    step = decide(INTENT, view(third, ok("n3", "start", 2)))
    assert isinstance(step, Failed)
    assert (step.problem.code, dict(step.problem.facts)["runs_on"]) == ("HA432", "n3")


def test_a_removed_claim_is_told_and_nothing_is_cleared() -> None:
    step = decide(INTENT, view(at_source(), claim=None))
    assert isinstance(step, Failed)
    assert (step.problem.code, step.drop_claim, step.clean_up) == ("HA434", False, False)


def test_an_operation_from_before_the_claim_counts_for_nothing() -> None:
    old = replace(INTENT, before={"n1": (bad("n1", "migrate_to", 9, "yesterday"),)})
    now = View(CLAIM, {"n1": (bad("n1", "migrate_to", 9, "yesterday"),)}, at_source(), frozenset({"n1", "n2"}))
    assert decide(old, now) == Wait("waiting for Pacemaker")


GONE = Operation("n1", "monitor", 7, 0, 14)
FOUND = ok("n2", "monitor", 5)


def calm(seconds: float, now: View, **changes: Any) -> View:
    return replace(now, calm=seconds, **changes)


def test_a_move_whose_records_are_gone_has_arrived_when_everything_rests_and_the_target_alone_has_it() -> None:
    """What pcs resource refresh leaves of a move: what the probes found."""
    assert decide(INTENT, calm(2.0, view(at_target(), GONE, FOUND))) == Arrived()


def test_also_when_only_the_stop_on_the_source_was_forgotten() -> None:
    assert decide(INTENT, calm(2.0, view(at_target(), *MIGRATED, replace(GONE, call=13)))) == Arrived()


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(calm(1.0, view(at_target(), GONE, FOUND)), id="Pacemaker may not have noticed yet"),
        pytest.param(
            calm(9.0, view(at_target(), GONE, FOUND, Operation("n3", "monitor", 193, -1, -1))),
            id="a probe is under way",
        ),
        pytest.param(calm(9.0, view(at_target(), GONE)), id="Pacemaker has not found it there"),
        pytest.param(calm(9.0, view(at_target(), GONE, bad("n2", "monitor", 5))), id="it found it failed there"),
        pytest.param(calm(9.0, view(at_target(), ok("n1", "monitor", 14), FOUND)), id="it has it on both"),
        pytest.param(calm(9.0, view(at_target(), ok("n1", "migrate_to", 14), FOUND)), id="it is half way"),
        pytest.param(calm(9.0, view(at_target("CR"), GONE, FOUND)), id="not sealed"),
        pytest.param(calm(9.0, view(at_target("EX", "paused"), GONE, FOUND)), id="not running"),
        pytest.param(calm(9.0, view(at_target() | {"n3": Unknown("silent")}, GONE, FOUND)), id="a node is silent"),
        pytest.param(calm(9.0, view(at_target() | {"n3": host("n3", "PRESENT", "EX")}, GONE, FOUND)), id="two copies"),
        pytest.param(calm(29.0, view(at_source())), id="at home, and Pacemaker may still begin"),
        pytest.param(calm(99.0, view(at_source("PW"))), id="at home with its gate open"),
        pytest.param(calm(99.0, view(at_source(), ok("n1", "migrate_to", 14))), id="at home and half way"),
        pytest.param(calm(99.0, view(at_source(), FOUND)), id="at home, and Pacemaker has it on both"),
    ],
)
def test_nothing_is_settled_before_everything_rests(now: View) -> None:
    assert isinstance(decide(INTENT, now), Wait)


def test_a_vm_that_was_started_again_has_not_arrived_whatever_rests() -> None:
    step = decide(INTENT, calm(99.0, view(at_target(), STOPPED, ok("n2", "start", 5))))
    assert isinstance(step, Failed)
    assert step.problem.code == "HA431"


def test_a_move_that_pacemaker_lets_be_is_over_and_its_claim_goes() -> None:
    step = decide(INTENT, calm(30.0, view(at_source())))
    assert isinstance(step, Failed)
    assert (step.problem.code, step.drop_claim, step.clean_up) == ("HA436", True, False)


def test_without_its_claim_a_move_is_not_settled_by_rest() -> None:
    step = decide(INTENT, calm(99.0, view(at_target(), GONE, FOUND, claim=None)))
    assert isinstance(step, Failed)
    assert step.problem.code == "HA434"

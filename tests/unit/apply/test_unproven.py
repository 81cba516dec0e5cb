"""VMs are not added to a cluster whose fencing nobody has proven, unless somebody takes that risk by its name."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Literal, cast

import pytest

from hacluster.apply.prepare import unproven
from hacluster.cib.compile import compile_element
from hacluster.fencing_proof import Proof, Standing, Word
from hacluster.plan import Change, Plan
from hacluster.problems import Problem, errors
from tests.unit.cib import clusters
from tests.unit.fence.clusters import seen

ADDS = Change("add", "VM", "web")


def refused(
    changes: tuple[Change, ...], standings: tuple[Standing, ...], proof: Literal["required", "waived"]
) -> tuple[Problem, ...]:
    wanted = compile_element(clusters.cluster(fencing_proof=proof))
    return unproven(cast(Plan, SimpleNamespace(changes=changes)), replace(seen(), proven=standings), wanted)


def found(
    *words: Word, change: Change = ADDS, proof: Literal["required", "waived"] = "required"
) -> list[tuple[str, str]]:
    standings = tuple(Standing(f"n{i}", word, Proof(f"n{i}", 1, ("d",), "x")) for i, word in enumerate(words, 1))
    problems = refused((change,), standings, proof)
    return [(problem.code, problem.severity) for problem in problems]


def test_a_new_vm_wants_proven_fencing() -> None:
    assert found("proven", "never", "proven") == [("HA540", "error")]
    assert found("proven", "changed", "proven") == [("HA540", "error")]
    assert found("proven", "old", "proven") == []


@pytest.mark.parametrize(
    "change", [Change("change", "VM", "web"), Change("remove", "VM", "web"), Change("add", "tag", "t")]
)
def test_what_adds_no_vm_is_not_held_up(change: Change) -> None:
    assert found("never", "never", "never", change=change) == []


def test_a_spec_may_waive_the_proof_but_not_forgive_a_lie() -> None:
    assert found("never", "proven", proof="waived") == [("HA540", "warning")]
    assert found("lied", "proven", proof="waived") == [("HA542", "error")]


def test_the_risk_can_be_taken_by_its_name() -> None:
    problems = refused((ADDS,), (Standing("n1", "never"),), "required")
    assert errors(problems) and not errors(problems, frozenset({"HA540"}))

"""Every rule: what it finds, in a cluster that has nothing else wrong; and that a code without a case is a gap."""

from __future__ import annotations

import re

import pytest

from hacluster.cli import catalogue
from tests.unit.lint.cases import CASES, Case
from tests.unit.lint.clean import findings

LINT = {code for code in catalogue.load() if re.fullmatch("HA8[0-5][0-9]", code)}


STOCK = "HA829"
"""What ocf:heartbeat:VirtualDomain lacks is lacking in every case."""


def test_nothing_but_its_agent_stands_against_the_clean_cluster() -> None:
    assert [problem.code for problem in findings()] == [STOCK]


def test_every_page_of_explain_has_its_case() -> None:
    assert {case.code for case in CASES} == LINT


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.what.replace(' ', '-')}")
def test_a_rule_finds_its_fault_and_nothing_else(case: Case) -> None:
    found = findings(*case.changes, **case.beside)
    assert {problem.code for problem in found} - {STOCK} == {case.code, *case.also} - {STOCK}
    mine = [problem for problem in found if problem.code == case.code]
    assert [problem.where for problem in mine] == list(case.where)
    assert all(problem.remedy for problem in mine)
    for word in case.says:
        assert any(word in f"{problem.message} {problem.facts} {problem.remedy}" for problem in mine), f"{word}: {mine}"

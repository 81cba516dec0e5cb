"""Lint: what is wrong with a cluster's configuration, whoever made it. Pure: a CIB in, Problems out.

A false alarm costs more than a miss: it teaches the reader to pass over the next one. So a rule speaks where the CIB
(and, where it is known, a VM's domain XML or an agent's own metadata) proves the fault, and is silent where it might be
otherwise. What many resources have in common is one finding. Codes HA800 to HA859 are lint's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from hacluster.lint import (
    rules_agents,
    rules_cluster,
    rules_constraints,
    rules_fencing,
    rules_operations,
    rules_status,
    rules_storage,
    rules_vms,
)
from hacluster.lint.facts import Facts
from hacluster.lint.subject import Subject
from hacluster.problems import Problem

Rule = Callable[[Subject], Iterator[Problem]]

RULES: tuple[Rule, ...] = tuple(
    rule
    for module in (
        rules_fencing,
        rules_cluster,
        rules_storage,
        rules_constraints,
        rules_operations,
        rules_agents,
        rules_vms,
        rules_status,
    )
    for rule in module.RULES
)

__all__ = ["RULES", "Facts", "Rule", "Subject", "lint", "with_lines"]


def lint(subject: Subject) -> tuple[Problem, ...]:
    """Every finding, errors first, otherwise in the order of the rules."""
    found = [problem for rule in RULES for problem in rule(subject)]
    return tuple(sorted(found, key=lambda problem: problem.severity != "error"))


def with_lines(found: tuple[Problem, ...], facts: Facts) -> tuple[Problem, ...]:
    """The findings with the line of the element that they name, for a CIB that is a file."""

    def placed(problem: Problem) -> Problem:
        element = facts.by_id.get(problem.where)
        if element is None or not element.sourceline:
            return problem
        return replace(problem, facts=(*problem.facts, ("line", str(element.sourceline))))

    return tuple(placed(problem) for problem in found)

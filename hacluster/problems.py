"""Findings and refusals: every "no" that hacluster says is a Problem.

A Problem has a stable code, the place it was found at, the facts, and the next command to type. The kinds of
problems are declared beside the code that finds them, with `kind()`; the catalogue below collects them, and
`hactl explain CODE` prints from it. This module is a leaf: it imports nothing of the project.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    `where` names the place in the user's own terms: a TOML path (`vms.web.storage`), a node, a CIB id.
    `facts` are name/value pairs a reader needs to judge the finding; `remedy` is the next command or edit.
    """

    code: str
    message: str
    where: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    remedy: str = ""
    severity: Severity = "error"

    def as_json(self) -> dict[str, object]:
        """The finding as `--json` prints it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "where": self.where,
            "message": self.message,
            "facts": dict(self.facts),
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Kind:
    """What all Problems of one code have in common; `hactl explain CODE` prints it.

    `acceptable` says whether an admin may take the risk by name (`--accept CODE`); guard findings never are.
    """

    code: str
    title: str
    why: str
    severity: Severity = "error"
    acceptable: bool = False

    def __call__(self, message: str, *, where: str = "", remedy: str = "", **facts: object) -> Problem:
        """A Problem of this kind. Keyword arguments become its facts, in the order given."""
        return Problem(
            code=self.code,
            message=message,
            where=where,
            facts=tuple((name, str(value)) for name, value in facts.items()),
            remedy=remedy,
            severity=self.severity,
        )


CATALOGUE: dict[str, Kind] = {}


def kind(code: str, title: str, why: str, *, severity: Severity = "error", acceptable: bool = False) -> Kind:
    """Declare a kind of Problem. Raises ValueError when the code is already taken."""
    if code in CATALOGUE:
        raise ValueError(f"Problem code {code} is declared twice")
    CATALOGUE[code] = declared = Kind(code, title, why, severity, acceptable)
    return declared


class Refused(Exception):
    """A use case ends here, with every finding it made. The command line prints them and exits with 1."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("; ".join(f"{p.code} {p.where}: {p.message}" for p in self.problems))


def errors(problems: Iterable[Problem], accepted: frozenset[str] = frozenset()) -> tuple[Problem, ...]:
    """The findings that stop an action: errors whose kind cannot be, or was not, accepted by its code."""
    return tuple(
        p
        for p in problems
        if p.severity == "error"
        and not (p.code in accepted and (k := CATALOGUE.get(p.code)) is not None and k.acceptable)
    )

"""The types of single values in the spec: text, words, numbers, quantities.

A type does two things from the same data: it reads a TOML value, adding a Problem for whatever is wrong with it, and
it describes itself as JSON Schema. So reader, hints and schema cannot drift apart. `read` returns None for a value
it has reported. Nothing here knows what a node or a VM is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from hacluster.problems import Problem
from hacluster.spec import kinds
from hacluster.spec.wording import nearest, quoted, shown

Found = list[Problem]
Bounds = tuple[int, int, Callable[[int], str]]


class Type(Protocol):
    """What a key's value may be."""

    def read(self, value: object, where: str, found: Found) -> object:
        """The value as the model wants it, or None after adding what is wrong with it to `found`."""

    def schema(self) -> dict[str, object]:
        """The type as JSON Schema (draft 2020-12)."""


def wrong_type(value: object, wanted: str, where: str, found: Found) -> None:
    """Report a value that has another TOML type than the key wants."""
    found.append(kinds.WRONG_TYPE(f"expected {wanted}, found {shown(value)}", where=where, remedy=f"write {wanted}"))


@dataclass(frozen=True, slots=True)
class Text:
    """A string. `pattern` must match all of it; `check` returns what is wrong with it, or None; `normal` spells it
    in the one way in which it is compared."""

    wanted: str = "a string"
    pattern: str | None = None
    check: Callable[[str], str | None] | None = None
    example: str = ""
    limit: int = 4096
    normal: Callable[[str], str] = str

    def read(self, value: object, where: str, found: Found) -> str | None:
        """The string in its normal spelling."""
        if not isinstance(value, str):
            wrong_type(value, self.wanted, where, found)
            return None
        wrong = None
        if len(value) > self.limit or not value:
            wrong = f"expected 1 to {self.limit} characters, found {len(value)}"
        elif self.pattern is not None and not re.fullmatch(self.pattern, value):
            wrong = f"expected {self.wanted}, found {quoted(value)}"
        elif self.check is not None:
            wrong = self.check(value)
        if wrong is None:
            return self.normal(value)
        example = f", for instance {json.dumps(self.example)}" if self.example else ""
        found.append(kinds.BAD_VALUE(wrong, where=where, remedy=f"write {self.wanted}{example}"))
        return None

    def schema(self) -> dict[str, object]:
        """A string with its pattern."""
        made: dict[str, object] = {"type": "string", "minLength": 1, "maxLength": self.limit}
        if self.pattern is not None:
            made["pattern"] = f"^(?:{self.pattern})$"
        return made


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, value: object, where: str, found: Found) -> str | None:
        """The word."""
        wanted = " or ".join(f'"{w}"' for w in self.words)
        if not isinstance(value, str):
            wrong_type(value, wanted, where, found)
            return None
        if value in self.words:
            return value
        meant = nearest(value, self.words)
        remedy = f'did you mean "{meant}"?' if meant else f"write {wanted}"
        found.append(kinds.BAD_VALUE(f"expected {wanted}, found {quoted(value)}", where=where, remedy=remedy))
        return None

    def schema(self) -> dict[str, object]:
        """An enumeration."""
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer between two bounds, both allowed."""

    low: int
    high: int

    def read(self, value: object, where: str, found: Found) -> int | None:
        """The integer."""
        if not isinstance(value, int) or isinstance(value, bool):
            wrong_type(value, "an integer", where, found)
            return None
        return _bounded(value, (self.low, self.high, str), where, found)

    def schema(self) -> dict[str, object]:
        """An integer with its bounds."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Ratio:
    """A number between two bounds, both allowed; it may have a fraction."""

    low: float
    high: float

    def read(self, value: object, where: str, found: Found) -> float | None:
        """The number."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            wrong_type(value, "a number", where, found)
            return None
        if self.low <= value <= self.high:  # also false for nan
            return float(value)
        allowed = f"{self.low:g} to {self.high:g}"
        found.append(
            kinds.BAD_VALUE(f"{shown(value)} is out of range", where=where, remedy=f"write {allowed}", allowed=allowed)
        )
        return None

    def schema(self) -> dict[str, object]:
        """A number with its bounds."""
        return {"type": "number", "minimum": self.low, "maximum": self.high}


INFINITY = "INFINITY"


@dataclass(frozen=True, slots=True)
class Score:
    """A Pacemaker score: an integer from `low` to below `infinity`, or the word INFINITY, which `infinity` is too."""

    low: int
    infinity: int

    def read(self, value: object, where: str, found: Found) -> int | str | None:
        """The integer, or INFINITY."""
        if value == INFINITY:
            return INFINITY
        if isinstance(value, str):
            remedy = f'write "{INFINITY}", or an integer from {self.low}'
            found.append(
                kinds.BAD_VALUE(f'expected a score or "{INFINITY}", found {quoted(value)}', where=where, remedy=remedy)
            )
            return None
        score = Whole(self.low, self.infinity).read(value, where, found)
        return INFINITY if score == self.infinity else score

    def schema(self) -> dict[str, object]:
        """An integer with its bounds, or the word."""
        return {"anyOf": [{"const": INFINITY}, {"type": "integer", "minimum": self.low, "maximum": self.infinity}]}


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, value: object, where: str, found: Found) -> bool | None:
        """The boolean."""
        if isinstance(value, bool):
            return value
        wrong_type(value, "true or false", where, found)
        return None

    def schema(self) -> dict[str, object]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit: an integer counts the base unit, a string such as "90s" or "2GiB" names one."""

    wanted: str
    units: Mapping[str, int]
    low: int
    high: int
    spell: Callable[[int], str]
    example: str

    def read(self, value: object, where: str, found: Found) -> int | None:
        """The number in the base unit."""
        if isinstance(value, int) and not isinstance(value, bool):
            return _bounded(value, (self.low, self.high, self.spell), where, found)
        if not isinstance(value, str):
            wrong_type(value, self.wanted, where, found)
            return None
        match = re.fullmatch(self._pattern(), value)
        if match is None:
            remedy = f'write {self.wanted}, for instance "{self.example}"'
            found.append(kinds.BAD_VALUE(f"expected {self.wanted}, found {quoted(value)}", where=where, remedy=remedy))
            return None
        return _bounded(int(match[1]) * self.units[match[2]], (self.low, self.high, self.spell), where, found)

    def _pattern(self) -> str:
        return f"([0-9]{{1,18}})({'|'.join(self.units)})"

    def schema(self) -> dict[str, object]:
        """An integer or a string with a unit."""
        return {
            "anyOf": [
                {"type": "integer", "minimum": self.low, "maximum": self.high},
                {"type": "string", "pattern": f"^{self._pattern()}$"},
            ]
        }


def _bounded(value: int, bounds: Bounds, where: str, found: Found) -> int | None:
    low, high, spell = bounds
    if low <= value <= high:
        return value
    said = spell(value) if value.bit_length() < 256 else "a huge number"
    allowed = f"{spell(low)} to {spell(high)}"
    found.append(kinds.BAD_VALUE(f"{said} is out of range", where=where, remedy=f"write {allowed}", allowed=allowed))
    return None


@dataclass(frozen=True, slots=True)
class Plain:
    """A string, an integer or a boolean, as an agent's parameter or a cluster property wants it: always text."""

    true: str
    false: str

    def read(self, value: object, where: str, found: Found) -> str | None:
        """The value as text."""
        if isinstance(value, bool):
            return self.true if value else self.false
        if isinstance(value, int):
            return None if Whole(-(2**63), 2**63 - 1).read(value, where, found) is None else str(value)
        if not isinstance(value, str):
            wrong_type(value, "a string, an integer or a boolean", where, found)
            return None
        return Text("a line of text", check=one_line).read(value, where, found)

    def schema(self) -> dict[str, object]:
        """One of three simple types."""
        return {"type": ["string", "integer", "boolean"]}


def one_line(text: str) -> str | None:
    """What keeps the text from being a line in XML: control characters and what is no character."""
    bad = [c for c in text if not c.isprintable()]
    return f"the character {bad[0]!a} is not allowed in {shown(text)}" if bad else None

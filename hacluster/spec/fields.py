"""The vocabulary of types from which the table of the spec's keys (table.py) is written.

A type does two things from the same data: it reads a TOML value, adding a Problem for whatever is wrong with it, and
it describes itself as JSON Schema. So reader, hints and schema cannot drift apart. `read` returns None for a value
it has reported. Nothing here knows what a node or a VM is.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hacluster.problems import Kind, Problem
from hacluster.spec import kinds

Found = list[Problem]
Table = dict[str, Any]

# A message may not grow with the file: what it quotes is cut, and a table reports so many unknown keys at most.
QUOTED_CHARACTERS = 60
UNKNOWN_KEYS_SHOWN = 20

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def shown(value: object) -> str:
    """A value for a message: containers by their type only (they may be nested deeper than Python recurses)."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if isinstance(value, int | float):
        # An integer in hexadecimal may have more digits than Python is willing to print.
        return f"the number {value}" if isinstance(value, float) or value.bit_length() < 256 else "a huge number"
    return f"the date or time {value}"


def clipped(text: str) -> str:
    """The text, cut to a length that fits into a message."""
    return text if len(text) <= QUOTED_CHARACTERS else text[:QUOTED_CHARACTERS] + "…"


def quoted(text: str) -> str:
    """The text in quotation marks, cut, without a character that could disturb a terminal."""
    return json.dumps(clipped(text), ensure_ascii=not text.isprintable())


def join(where: str, key: str) -> str:
    """The TOML path of a key below `where`."""
    key = clipped(key)
    written = key if _BARE_KEY.fullmatch(key) else quoted(key)
    return f"{where}.{written}" if where else written


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None."""
    if len(word) > QUOTED_CHARACTERS:
        return None
    folded = {k.casefold(): k for k in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


class Type(Protocol):
    """What a key's value may be."""

    def read(self, value: object, where: str, found: Found) -> Any:
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
            return wrong_type(value, self.wanted, where, found)
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
            return wrong_type(value, wanted, where, found)
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
            return wrong_type(value, "an integer", where, found)
        return _bounded(value, self.low, self.high, str, where, found)

    def schema(self) -> dict[str, object]:
        """An integer with its bounds."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, value: object, where: str, found: Found) -> bool | None:
        """The boolean."""
        return value if isinstance(value, bool) else wrong_type(value, "true or false", where, found)

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
            return _bounded(value, self.low, self.high, self.spell, where, found)
        if not isinstance(value, str):
            return wrong_type(value, self.wanted, where, found)
        match = re.fullmatch(self._pattern(), value)
        if match is None:
            remedy = f'write {self.wanted}, for instance "{self.example}"'
            found.append(kinds.BAD_VALUE(f"expected {self.wanted}, found {quoted(value)}", where=where, remedy=remedy))
            return None
        return _bounded(int(match[1]) * self.units[match[2]], self.low, self.high, self.spell, where, found)

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


def _bounded(value: int, low: int, high: int, spell: Callable[[int], str], where: str, found: Found) -> int | None:
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
            return wrong_type(value, "a string, an integer or a boolean", where, found)
        return Text("a line of text", check=one_line).read(value, where, found)

    def schema(self) -> dict[str, object]:
        """One of three simple types."""
        return {"type": ["string", "integer", "boolean"]}


def one_line(text: str) -> str | None:
    """What keeps the text from being a line in XML: control characters and what is no character."""
    bad = [c for c in text if not c.isprintable()]
    return f"the character {bad[0]!a} is not allowed in {shown(text)}" if bad else None


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one type, with a smallest and a largest length."""

    item: Type
    low: int = 0
    high: int = 10_000

    def read(self, value: object, where: str, found: Found) -> tuple[Any, ...] | None:
        """The items that could be read, in order; None when it is no list or has a wrong length."""
        if not isinstance(value, list):
            return wrong_type(value, "a list", where, found)
        if not self.low <= len(value) <= self.high:
            allowed = f"{self.low} to {self.high} entries"
            found.append(
                kinds.BAD_VALUE(f"{len(value)} entries", where=where, remedy=f"give {allowed}", allowed=allowed)
            )
            return None
        items = (self.item.read(each, f"{where}[{i}]", found) for i, each in enumerate(value))
        return tuple(each for each in items if each is not None)

    def schema(self) -> dict[str, object]:
        """An array."""
        return {"type": "array", "items": self.item.schema(), "minItems": self.low, "maxItems": self.high}


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """A lone string, or a list of strings."""

    item: Type
    what: str

    def read(self, value: object, where: str, found: Found) -> tuple[str, ...] | None:
        """The strings, always as a tuple."""
        if isinstance(value, list):
            return ListOf(self.item, 1, 32).read(value, where, found)
        if not isinstance(value, str):
            return wrong_type(value, f"{self.what} or a list of them", where, found)
        one = self.item.read(value, where, found)
        return None if one is None else (one,)

    def schema(self) -> dict[str, object]:
        """A string or an array of them."""
        return {"anyOf": [self.item.schema(), ListOf(self.item, 1, 32).schema()]}


REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a table. `default` is what the reader fills in; REQUIRED has none, None means "not given"."""

    name: str
    type: Type
    doc: str
    default: object = None


@dataclass(frozen=True, slots=True)
class Instead:
    """`key` stands for others: beside it the keys of `excludes` are wrong, without it those of `needs` are required."""

    key: str
    needs: tuple[str, ...]
    excludes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A table with known keys. `rest`, where given, reads every other key.

    What is read also says where it stood (`where`) and which keys the file gave (`given`).
    """

    fields: tuple[Field, ...]
    rest: Type | None = None
    rest_doc: str = ""
    instead: Instead | None = None

    def read(self, value: object, where: str, found: Found) -> Table | None:
        """Each known key with its value, its default, or None when it was given wrongly."""
        if not isinstance(value, dict):
            return wrong_type(value, "a table", where, found)
        made: Table = {"where": where, "given": frozenset(value)}
        for each in self.fields:
            if each.name in value:
                made[each.name] = each.type.read(value[each.name], join(where, each.name), found)
            else:
                made[each.name] = None if each.default is REQUIRED else each.default
                if each.default is REQUIRED:
                    found.append(
                        kinds.MISSING_KEY(
                            f"the key {each.name} is missing: {each.doc}",
                            where=join(where, each.name),
                            remedy=f"add {each.name} = … below {where or 'the top of the file'}",
                        )
                    )
        if self.instead is not None:
            self._either(self.instead, value, where, found)
        known = {each.name for each in self.fields}
        others = [key for key in value if key not in known]
        if self.rest is not None:
            read = {key: self.rest.read(value[key], join(where, key), found) for key in others}
            made["rest"] = {key: text for key, text in read.items() if text is not None}
        else:
            self._unknown(others, where, found)
        return made

    def _either(self, rule: Instead, value: Table, where: str, found: Found) -> None:
        both = [key for key in rule.excludes if key in value]
        missing = [key for key in rule.needs if key not in value]
        if rule.key in value and both:
            message = f"{rule.key} and {', '.join(both)} describe the same thing twice"
            remedy = f"remove {rule.key}, or remove {', '.join(both)}"
        elif rule.key not in value and missing:
            message = f"neither {rule.key} nor {', '.join(missing)} is given"
            remedy = f"add {' and '.join(f'{key} = …' for key in missing)}, or add {rule.key} = …"
        else:
            return
        found.append(kinds.ONE_WAY(message, where=where, remedy=remedy))

    def _unknown(self, keys: list[str], where: str, found: Found) -> None:
        known = [each.name for each in self.fields]
        for key in keys[:UNKNOWN_KEYS_SHOWN]:
            meant = nearest(key, known)
            found.append(
                kinds.UNKNOWN_KEY(
                    f"unknown key {join('', key)}" + (f"; did you mean {meant}?" if meant else ""),
                    where=join(where, key),
                    remedy=f"rename it to {meant}" if meant else "remove it",
                    known=", ".join(known),
                )
            )
        if len(keys) > UNKNOWN_KEYS_SHOWN:
            more = f"and {len(keys) - UNKNOWN_KEYS_SHOWN} more unknown keys"
            found.append(kinds.UNKNOWN_KEY(more, where=where, remedy="remove them"))

    def schema(self) -> dict[str, object]:
        """An object that has these properties and, without `rest`, no others."""
        properties: dict[str, object] = {}
        for each in self.fields:
            described = {**each.type.schema(), "description": each.doc}
            if each.default is not None and each.default is not REQUIRED:
                described["default"] = each.default
            properties[each.name] = described
        made: dict[str, object] = {"type": "object", "properties": properties}
        required = [each.name for each in self.fields if each.default is REQUIRED]
        if required:
            made["required"] = required
        made["additionalProperties"] = (
            False if self.rest is None else {**self.rest.schema(), "description": self.rest_doc}
        )
        if self.instead is not None:
            made["if"] = {"required": [self.instead.key]}
            made["then"] = {"properties": dict.fromkeys(self.instead.excludes, False)}
            made["else"] = {"required": list(self.instead.needs)}
        return made


@dataclass(frozen=True, slots=True)
class Named:
    """A table of tables, one for each thing, keyed by its name. `name` says what is wrong with a name, or None."""

    what: str
    item: Type
    name: Callable[[str], tuple[Kind, str, str] | None]
    pattern: str

    def read(self, value: object, where: str, found: Found) -> dict[str, Any] | None:
        """What could be read, by name, in the order of the file."""
        if not isinstance(value, dict):
            return wrong_type(value, f"a table with one entry for each {self.what}", where, found)
        made: dict[str, Any] = {}
        for key, each in value.items():
            here = join(where, key)
            wrong = self.name(key)
            if wrong is not None:
                problem, message, remedy = wrong
                found.append(problem(message, where=here, remedy=remedy))
            item = self.item.read(each, here, found)
            if item is not None:
                made[key] = item
        return made

    def schema(self) -> dict[str, object]:
        """An object whose property names have the pattern."""
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{self.pattern})$"},
            "additionalProperties": self.item.schema(),
        }


@dataclass(frozen=True, slots=True)
class Variant:
    """A table whose key `type` says which keys it has besides."""

    sections: Mapping[str, Section] = field(default_factory=dict)

    def read(self, value: object, where: str, found: Found) -> Table | None:
        """The section's values, with its `type`."""
        if not isinstance(value, dict):
            return wrong_type(value, "a table", where, found)
        choice = Choice(tuple(self.sections))
        kind = Section((Field("type", choice, "which kind it is", REQUIRED),), Anything()).read(
            {"type": value["type"]} if "type" in value else {}, where, found
        )
        if kind is None or kind["type"] is None:
            return None
        rest = {key: each for key, each in value.items() if key != "type"}
        made = self.sections[kind["type"]].read(rest, where, found)
        return None if made is None else {"type": kind["type"], **made}

    def schema(self) -> dict[str, object]:
        """One of the sections, chosen by `type`."""
        choices = []
        for name, section in self.sections.items():
            made: dict[str, Any] = section.schema()
            made["properties"] = {"type": {"const": name}, **made["properties"]}
            made["required"] = ["type", *made.get("required", [])]
            choices.append(made)
        return {"type": "object", "required": ["type"], "oneOf": choices}


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value, kept as it is."""

    def read(self, value: object, where: str, found: Found) -> object:
        """The value itself."""
        return value

    def schema(self) -> dict[str, object]:
        """No restriction."""
        return {}

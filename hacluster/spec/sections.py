"""The types of values that hold others: lists, tables with known keys, tables of named things.

They read and describe themselves as the single values do (scalars.py). What is in a table and could not be read is
None there, so that the checks after it can go on with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from hacluster.problems import Kind
from hacluster.spec import kinds
from hacluster.spec.scalars import Choice, Found, Type, wrong_type
from hacluster.spec.wording import join, nearest

Table = dict[str, Any]

UNKNOWN_KEYS_SHOWN = 20  # in one table; a file of a million wrong keys is not worth a million lines


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one type, with a smallest and a largest length."""

    item: Type
    low: int = 0
    high: int = 10_000

    def read(self, value: object, where: str, found: Found) -> tuple[Any, ...] | None:
        """The items that could be read, in order; None when it is no list or has a wrong length."""
        if not isinstance(value, list):
            wrong_type(value, "a list", where, found)
            return None
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
            return cast("tuple[str, ...] | None", ListOf(self.item, 1, 32).read(value, where, found))
        if not isinstance(value, str):
            wrong_type(value, f"{self.what} or a list of them", where, found)
            return None
        one = self.item.read(value, where, found)
        return None if one is None else (cast(str, one),)

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
    mistaken: tuple[tuple[str, str], ...] = ()
    """Keys that belong elsewhere, each with what to write instead."""

    def read(self, value: object, where: str, found: Found) -> Table | None:
        """Each known key with its value, its default, or None when it was given wrongly."""
        if not isinstance(value, dict):
            wrong_type(value, "a table", where, found)
            return None
        made: Table = {"where": where, "given": frozenset(value)}
        for each in self.fields:
            if each.name in value:
                made[each.name] = each.type.read(value[each.name], join(where, each.name), found)
            else:
                made[each.name] = None if each.default is REQUIRED else each.default
                if each.default is REQUIRED:
                    found.append(
                        kinds.MISSING_KEY(
                            f"the {'table' if isinstance(each.type, Section | Named) else 'key'} {each.name} is "
                            f"missing: {each.doc}",
                            where=join(where, each.name),
                            remedy=_addition(each, where),
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
                    remedy=dict(self.mistaken).get(key) or (f"rename it to {meant}" if meant else "remove it"),
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
                described["default"] = list(each.default) if isinstance(each.default, tuple) else each.default
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


def _addition(field: Field, where: str) -> str:
    """What to write where a required key or table is missing."""
    path = join(where, field.name)
    if isinstance(field.type, Named):
        return f"add a table for each {field.type.what}: [{path}.NAME]"
    if isinstance(field.type, Section):
        return f"add the table [{path}]"
    return f"add {field.name} = … below {where or 'the top of the file'}"


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
            wrong_type(value, f"a table with one entry for each {self.what}", where, found)
            return None
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

    sections: Mapping[str, Section]

    def read(self, value: object, where: str, found: Found) -> Table | None:
        """The section's values, with its `type`."""
        if not isinstance(value, dict):
            wrong_type(value, "a table", where, found)
            return None
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

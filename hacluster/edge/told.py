"""Reading what a node tells in JSON, with suspicion: what is missing or malformed was not learnt, never "none"."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hacluster.ports import Unknown

Part = TypeVar("Part")


def answer(node: str, text: bytes, number: int) -> Mapping[str, Any] | Unknown:
    """A whole answer of format `number`."""
    try:
        told = json.loads(text)
    except ValueError as error:
        return Unknown(f"the probe's answer is no JSON ({error})")
    if not isinstance(told, dict) or told.get("format") != number:
        return Unknown(f"the probe speaks another format than {number}; hactl node bootstrap {node} renews it")
    return told


def part(value: object) -> Mapping[str, Any]:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def number(value: object) -> int | None:
    """A whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(value: object) -> str | None:
    """A text."""
    return value if isinstance(value, str) else None


def truth(value: object) -> bool | None:
    """True or false."""
    return value if isinstance(value, bool) else None


def parts(value: object, one: Callable[[Any], Part]) -> tuple[Part, ...] | None:
    """All of them or None: a list with an entry that cannot be read is not known."""
    if not isinstance(value, list):
        return None
    try:
        return tuple(one(item) for item in value)
    except (KeyError, TypeError, ValueError):
        return None

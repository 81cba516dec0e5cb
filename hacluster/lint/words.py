"""How lint words what holds for many: a few names and a number, and the name that was probably meant. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

SHOWN = 4
"""How many names a message lists; a hundred VMs with one fault are one finding."""

_SLOW = re.compile(r"\)[*+{?]|\\[0-9]")
"""A repeated group, or a reference back: what may take for ever to match."""
_LONGEST_PATTERN = 200

Thing = TypeVar("Thing")
Key = TypeVar("Key", bound=Hashable)


def listed(names: Sequence[str]) -> str:
    """`a, b and c`; of many the first and how many more."""
    if len(names) > SHOWN:
        return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def alike(things: Iterable[Thing], key: Callable[[Thing], Key]) -> list[tuple[Key, list[Thing]]]:
    """The things with one key together, in the order in which they come up."""
    found: dict[Key, list[Thing]] = {}
    for thing in things:
        found.setdefault(key(thing), []).append(thing)
    return list(found.items())


def verb(names: Sequence[object], one: str, many: str) -> str:
    """The verb's form for one or for many."""
    return one if len(names) == 1 else many


def meant(word: str, known: Iterable[str], cutoff: float = 0.8) -> str | None:
    """The known name of which this one is a slip of the pen, or None."""
    plain = {name.replace("_", "-").casefold(): name for name in known}
    close = difflib.get_close_matches(word.replace("_", "-").casefold()[:80], plain, n=1, cutoff=cutoff)
    return plain[close[0]] if close else None


def pattern_of(text: str) -> re.Pattern[str] | None:
    """A pattern that a CIB brings along; None for what is none, or may take for ever to match."""
    if _SLOW.search(text) or len(text) > _LONGEST_PATTERN:
        return None
    try:
        return re.compile(text)
    except re.error:
        return None

"""How findings word what they found: values cut and escaped, TOML paths, and the name that was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# A message may not grow with the file: what it quotes is cut.
QUOTED_CHARACTERS = 60

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
    """The text, cut to a length that fits into a message, without a character that could disturb a terminal."""
    cut = text if len(text) <= QUOTED_CHARACTERS else text[:QUOTED_CHARACTERS] + "…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def quoted(text: str) -> str:
    """The text in quotation marks, cut and escaped."""
    escaped = text[: QUOTED_CHARACTERS + 1].replace("\\", "\\\\").replace('"', '\\"')
    return f'"{clipped(escaped)}"'


def join(where: str, key: str) -> str:
    """The TOML path of a key below `where`."""
    written = key if len(key) <= QUOTED_CHARACTERS and _BARE_KEY.fullmatch(key) else quoted(key)
    return f"{where}.{written}" if where else written


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None."""
    if len(word) > QUOTED_CHARACTERS:
        return None
    folded = {k.casefold(): k for k in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None

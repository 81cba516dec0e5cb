"""From bytes to TOML tables, whatever the bytes are: every way a file can be wrong becomes a Problem.

A table or key that stands twice is the commonest slip in a file that is edited by copying. TOML's parser gives up
there; here the second one is left out and reading goes on, so that all other findings come in the same run.
"""

from __future__ import annotations

import codecs
import re
import stat
import tomllib
from pathlib import Path

from hacluster.spec import kinds
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.wording import clipped, join

LIMIT = 8 << 20  # bytes; a spec of a thousand VMs has less than one mebibyte
_REPEATS_FORGIVEN = 50

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TWICE = re.compile(
    r"Cannot declare \((.*)\) twice|Cannot overwrite a value|Duplicate inline table key '(.*)'", re.DOTALL
)
# A table's header; a line inside a list of lists begins with a quote or a digit after its bracket.
_HEADER = re.compile(r"\s*\[\[?\s*[A-Za-z_]")


def read(path: Path, found: Found, limit: int = LIMIT) -> bytes | None:
    """The file's bytes, or None after adding why not. Never reads a device or a pipe, which might not end."""
    trouble, remedy = None, "give the spec's path; `hactl init cluster.toml` writes one to begin with"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            trouble = "it is a directory" if path.is_dir() else "it is not a regular file"
        else:
            with path.open("rb") as file:
                content = file.read(limit + 1)
            if len(content) <= limit:
                return content
            trouble = f"it is larger than {limit >> 20} MiB"
    except PermissionError as error:
        trouble, remedy = error.strerror, "read it as root (sudo), or give yourself the right to: chmod +r FILE"
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        trouble = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    found.append(
        kinds.UNREADABLE(
            f"cannot read the file: {trouble}",
            where=clipped(ascii(str(path))[1:-1]),
            remedy=remedy,
        )
    )
    return None


def tables(content: bytes, found: Found) -> Table | None:
    """The file's tables, or None when no sense could be made of it. What was wrong is added to `found`."""
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found.append(
            kinds.NOT_UTF8(
                f"the byte 0x{error.object[error.start]:02x} is not UTF-8",
                where=f"line {line}",
                remedy="save the file as UTF-8",
                offset=error.start,
            )
        )
        return None
    for _ in range(_REPEATS_FORGIVEN):
        try:
            return tomllib.loads(text)
        except RecursionError:
            found.append(
                kinds.SYNTAX(
                    "lists or tables are nested too deeply", where="the file", remedy="a spec needs four levels"
                )
            )
            return None
        except ValueError as error:  # TOMLDecodeError, or an integer with more digits than Python converts
            shorter = _explain(error, text, found)
        if shorter is None:
            return None
        text = shorter
    return None


def _explain(error: ValueError, text: str, found: Found) -> str | None:
    """Add the Problem; return the text without what stood twice, or None when reading cannot go on."""
    said = str(error)
    place = _PLACE.search(said)
    reason = said[: place.start()] if place else said.partition(";")[0]
    line, column = (int(place[1]), int(place[2])) if place and place[1] else (None, None)
    twice = _TWICE.match(reason)
    if twice is None or line is None:
        if found:
            return None  # leaving the second one out has cut through something; its own Problem comes first
        at = f"line {line}, column {column}" if line else "the end of the file" if place else "the file"
        remedy = f"correct line {line}" if line else "correct the file"
        found.append(kinds.SYNTAX(clipped(reason), where=at, remedy=remedy))
        return None
    lines = text.split("\n")
    if twice[1] is not None:
        keys = re.findall(r"'([^']*)'|\"([^\"]*)\"", twice[1])
        where = ""
        for single, double in keys:
            where = join(where, single or double)
        what = f"the table [{where}] stands twice"
        remedy = f"remove the table in line {line}, or give it its own name"
        end = next((i for i in range(line, len(lines)) if _HEADER.match(lines[i])), len(lines))
    else:
        key = (twice[2] or lines[line - 1].partition("=")[0]).strip()
        where = _table_of(lines, line)
        where = f"{where}.{clipped(key)}" if where else clipped(key)
        what = f"the key {clipped(key)} has a value twice"
        remedy = f"remove one of the two; line {line} has the second"
        end = line
    found.append(kinds.TWICE_IN_FILE(what, where=where, remedy=remedy, line=line, column=column))
    # Blank lines keep the line numbers of whatever is found later.
    return "\n".join([*lines[: line - 1], *[""] * (end - line + 1), *lines[end:]])


def _table_of(lines: list[str], line: int) -> str:
    headers = (lines[i].strip() for i in range(line - 1, -1, -1) if _HEADER.match(lines[i]))
    return clipped(next(headers, "").partition("#")[0].strip().strip("[]"))

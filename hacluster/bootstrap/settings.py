"""Editing configuration files as little as possible: one block between two marks, or single settings. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

BEGIN = "# --- hacluster: written by hactl node bootstrap from here"
END = "# --- hacluster: to here"


def with_block(text: str, lines: Sequence[str]) -> str:
    """The text with our block holding these lines: in the place where it stood, else at the end. No lines, no block."""
    block = "\n".join([BEGIN, *lines, END]) + "\n" if lines else ""
    old = re.compile(rf"^{re.escape(BEGIN)}\n.*?^{re.escape(END)}\n", re.DOTALL | re.MULTILINE)
    if old.search(text):
        return old.sub(lambda _: block, text, count=1)
    if text and not text.endswith("\n"):
        text += "\n"
    return text + block


def assigned(text: str, wanted: Mapping[str, str | int | None], *, indent: str = "") -> str:
    """The text with `name = value` for each, in libvirt's and LVM's way: None takes a setting out.

    A line that sets the name, or that a distribution has commented out as an example, is changed in its place;
    one that is nowhere is added at the end.
    """
    for name, value in wanted.items():
        line = None if value is None else f"{indent}{name} = {_quoted(value)}"
        text = _one(text, name, line)
    return text


def value_of(text: str, name: str) -> str | None:
    """What a setting is, without quotes; None when it is not set."""
    found = re.findall(rf"^[ \t]*{re.escape(name)}[ \t]*=[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)
    return str(found[-1]).strip('"') if found else None


def _one(text: str, name: str, line: str | None) -> str:
    is_set = re.compile(rf"^[ \t]*{re.escape(name)}[ \t]*=.*\n?", re.MULTILINE)
    example = re.compile(rf"^[ \t]*#[ \t]*{re.escape(name)}[ \t]*=.*\n?", re.MULTILINE)
    found = is_set.findall(text)
    if line is None:
        return is_set.sub("", text)
    if len(found) == 1 and found[0].strip() == line.strip():
        return text
    if found:
        first = True

        def once(_: re.Match[str]) -> str:
            nonlocal first
            told, first = (f"{line}\n" if first else ""), False
            return told

        return is_set.sub(once, text)
    if match := example.search(text):
        return f"{text[: match.start()]}{line}\n{text[match.end() :]}"
    if text and not text.endswith("\n"):
        text += "\n"
    return f"{text}{line}\n"


def _quoted(value: str | int) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'

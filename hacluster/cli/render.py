"""How hactl shows Problems: for people on stderr, for machines as JSON on stdout. Nothing else formats them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from hacluster.problems import Problem, errors

# A file or a pipe has no width of its own, and tables that are broken at 80 columns are hard to search.
_WIDE = 200

out = Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout and sys.stdout.isatty() else _WIDE)
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)

_COLOUR = {"error": "bold red", "warning": "yellow", "accepted": "yellow"}


def problems(
    found: Sequence[Problem], as_json: bool = False, accepted: frozenset[str] = frozenset(), **beside: object
) -> None:
    """Show findings: code, what, where, the facts, the next command to type. `beside` is more for the JSON.

    One whose code is `accepted` is shown as that, without a remedy: nothing stands in the way any more.
    """
    if as_json:
        json_out({"format": 1, "problems": [p.as_json() for p in found], **beside})
        return
    for p in found:
        place = f" [bold]{escape(p.where)}[/]:" if p.where else ""
        taken = bool(errors([p])) and not errors([p], accepted)
        word = "accepted" if taken else p.severity
        err.print(f"[{_COLOUR[word]}]{word} {p.code}[/]{place} {escape(p.message)}")
        if p.facts:
            err.print("    " + escape(", ".join(f"{name} {_one_line(value)}" for name, value in p.facts)))
        if p.remedy and not taken:
            err.print(f"    → {escape(p.remedy)}")


def _one_line(text: str) -> str:
    """A fact for people: what a tool said in several lines, in one."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def json_out(document: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")

"""How hactl shows Problems: for people on stderr, for machines as JSON on stdout. Nothing else formats them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from hacluster.problems import Problem

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_COLOUR = {"error": "bold red", "warning": "yellow"}


def problems(found: Sequence[Problem], as_json: bool = False) -> None:
    """Show findings: code, what, where, the facts, the next command to type."""
    if as_json:
        json_out({"format": 1, "problems": [p.as_json() for p in found]})
        return
    for p in found:
        place = f" [bold]{escape(p.where)}[/]:" if p.where else ""
        err.print(f"[{_COLOUR[p.severity]}]{p.severity} {p.code}[/]{place} {escape(p.message)}")
        if p.facts:
            err.print("    " + escape(", ".join(f"{name} {value}" for name, value in p.facts)))
        if p.remedy:
            err.print(f"    → {escape(p.remedy)}")


def json_out(document: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")

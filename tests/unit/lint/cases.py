"""The faults: each a change to the clean cluster, and the finding that it must bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """A fault. `also` are codes that come with it by its nature; `beside` are findings()'s other arguments."""

    code: str
    what: str
    changes: tuple[tuple[str, str], ...]
    where: tuple[str, ...]
    says: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)


CASES = (
    Case(
        "HA801", "switched off", (('name="stonith-enabled" value="true"', 'name="stonith-enabled" value="false"'),),
        ("stonith-enabled",),
    ),
    Case("HA801", "no device", (('class="stonith" type="fence_', 'class="ocf" provider="x" type="'),), ("resources",)),
)  # fmt: skip

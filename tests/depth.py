"""How far tests look that draw their cases: the same few in each run, or many others in `make search`.

A case that a seed brings up once in ten runs fails the change that happens to be tested then, not the one to blame.
"""

from __future__ import annotations

import os

DEEP = int(os.environ.get("HACLUSTER_DEEP", "0"))
"""Examples for each drawing test, with another seed each time; 0 for the usual few."""


def examples(few: int) -> int:
    """How many examples a test draws: `few` in each run, more when somebody looks deep."""
    return max(few, DEEP)

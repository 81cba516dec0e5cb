"""What a fault or an order was aimed at, and what became of it: the words that verbs, run and report share."""

from __future__ import annotations

import re
from dataclasses import dataclass

CODE = re.compile(r"\bHA\d{3}\b")
DONE, REFUSED, FAILED, SKIPPED = "done", "refused", "failed", "skipped"
SAID = 600
"""Characters of a command's output that a deed keeps."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What the seed drew for one use of a verb: a VM, a node, a length of time, and a number from 0 to 1 to pick by.

    `node` is a node's name, or `home` or `other`: where the VM runs when the verb comes to be used, or where it does
    not. So the same seed is the same sequence, however long the steps before it have taken.
    """

    vm: str
    node: str
    seconds: float
    pick: float


@dataclass(frozen=True, slots=True)
class Deed:
    """What became of one use of a verb. `outcome` is done, refused, failed or skipped; `said` what it printed."""

    outcome: str
    said: str = ""


class Missed(Exception):
    """The verb has nothing to act on now; the text says why. It is skipped."""


def judged(code: int, output: str) -> Deed:
    """A command's exit code and output as a deed: a refusal is an exit code with a sentence of ours."""
    said = " ".join(output.split())
    if code == 0:
        return Deed(DONE, said[-SAID:])
    refused = CODE.search(said) or "hacluster:" in said
    return Deed(REFUSED if refused else FAILED, f"exit {code}: {said[-SAID:]}")

"""The seam to fencing: devices asked, machines switched through Pacemaker, and the boot that each machine is in.

`edge` implements it over the nodes' own tools. As in `ports`, what could not be learnt is Unknown and never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from hacluster.ports import Unknown

FenceAnswer = Literal["on", "off"]


class Fencing(Protocol):
    """Fence devices and the machines behind them, asked from the cluster's nodes."""

    def ask(
        self, node: str, device: str, agent: str, question: Sequence[tuple[str, str]], *, deadline: float = 40.0
    ) -> FenceAnswer | Unknown:
        """Whether the target of the question has power, by the device's agent run on a node. Never raises.

        `question` is what the agent reads, the value `lrm://` standing for a secret in that node's own store.
        """
        ...

"""The seam to fencing: devices asked, machines switched through Pacemaker, and the boot that each machine is in.

`edge` implements it over the nodes' own tools. As in `ports`, what could not be learnt is Unknown and never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from hacluster.ports import Unknown

FenceAnswer = Literal["on", "off", "answers"]
"""Whether a device's target has power; `answers` of a device that cannot say that, but can be asked."""


class Fencing(Protocol):
    """Fence devices and the machines behind them, asked from the cluster's nodes."""

    def ask(
        self, node: str, device: str, agent: str, question: Sequence[tuple[str, str]], *, deadline: float = 40.0
    ) -> FenceAnswer | Unknown:
        """Whether the target of the question has power, by the device's agent run on a node. Never raises.

        `question` is what the agent reads, the value `lrm://` standing for a secret in that node's own store.
        """
        ...

    def boot_id(self, node: str, *, deadline: float = 4.0) -> str | Unknown:
        """The boot that a machine is in, by its kernel (random(4)). Never raises."""
        ...

    def leave(self, node: str, *, deadline: float = 120.0) -> str:
        """Stop Pacemaker on a node, in order; why it did not stop, or nothing. Idempotent; never raises."""
        ...

    def enter(self, node: str) -> str:
        """Start Pacemaker on a node again; why it did not start, or nothing. Idempotent; never raises."""
        ...

    def fence(self, through: str, target: str, *, deadline: float) -> str:
        """Have Pacemaker switch a node off and on by its own devices and levels, asked on another node.

        Returns what Pacemaker says when it did not succeed, or nothing. Not idempotent; never raises.
        """
        ...

    def remember(self, through: str, group: str, name: str, value: str) -> None:
        """Set a property in a property set of the cluster's configuration. Atomic on the whole cluster, idempotent.

        Raises Unreachable, and Refused when the cluster does not take it.
        """
        ...

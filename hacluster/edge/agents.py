"""The agents installed on a machine, asked for their metadata. It runs their `meta-data` action and nothing else."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hacluster.edge import local
from hacluster.ports import Completed, Unknown, Unreachable

OCF_ROOT = Path("/usr/lib/ocf")
FENCE_AGENTS = Path("/usr/sbin")

_OCF = re.compile(r"ocf:([A-Za-z0-9][\w.-]*):([A-Za-z0-9][\w.+-]*)")
_STONITH = re.compile(r"stonith:(fence_[\w-]+)")


Run = Callable[[Sequence[str], float], Completed]
"""Runs a command within so many seconds, on the machine whose agents are asked. Raises Unreachable."""

# Only what is there is run; a program that is not is exit code 127, as a shell has it.
_IF_THERE = '[ -f "$1" ] || exit 127; exec "$@"'


def _here(argv: Sequence[str], deadline: float) -> Completed:
    return local.run(argv, stdin=b"", deadline=deadline)


class InstalledAgents:
    """Port Agents over one machine's, this one by default. An answer is kept: agents do not change within a command."""

    def __init__(self, ocf_root: Path = OCF_ROOT, fence_agents: Path = FENCE_AGENTS, run: Run = _here) -> None:
        self._ocf_root = ocf_root
        self._fence_agents = fence_agents
        self._run = run
        self._known: dict[str, bytes | Unknown | None] = {}

    def metadata(self, agent: str, *, deadline: float = 15.0) -> bytes | Unknown | None:
        """As Agents.metadata."""
        if agent not in self._known:
            self._known[agent] = self._ask(agent, deadline)
        return self._known[agent]

    def fence_agents(self) -> tuple[str, ...]:
        """As Agents.fence_agents; of this machine."""
        return tuple(sorted(f"stonith:{path.name}" for path in self._fence_agents.glob("fence_*") if path.is_file()))

    def _ask(self, agent: str, deadline: float) -> bytes | Unknown | None:
        command = self._command(agent)
        if command is None:
            return None
        shell = ["env", f"OCF_ROOT={self._ocf_root}", "sh", "-c", _IF_THERE, "hactl-metadata", *command]
        try:
            done = self._run(shell, deadline)
        except Unreachable as error:
            return Unknown(str(error))
        if done.code == 127:
            own = _own().get(agent)
            return own.read_bytes() if own is not None else None
        if not done.ok:
            said = (done.err or done.out).decode(errors="replace").strip().rpartition("\n")[2]
            return Unknown(f"{agent} does not say its metadata: {said or f'exit code {done.code}'}")
        return done.out

    def _command(self, agent: str) -> list[str] | None:
        """What prints an agent's metadata; None for a name that no agent has."""
        if (ocf := _OCF.fullmatch(agent)) is not None:
            return [str(self._ocf_root / "resource.d" / ocf[1] / ocf[2]), "meta-data"]
        if (stonith := _STONITH.fullmatch(agent)) is not None:
            return [str(self._fence_agents / stonith[1]), "-o", "metadata"]
        return None


def _own() -> Mapping[str, Path]:
    """hacluster's own agents: they describe themselves also on a machine where they are not installed."""
    package = importlib.util.find_spec("resource_agents")
    if package is None or package.origin is None:
        return {}
    directory = Path(package.origin).parent / "metadata"
    return {f"ocf:hacluster:{path.stem}": path for path in directory.glob("*.xml")}

"""The agents installed on this machine, asked for their metadata. It runs their `meta-data` action and nothing else."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from hacluster.edge import local
from hacluster.ports import Unknown, Unreachable

OCF_ROOT = Path("/usr/lib/ocf")
FENCE_AGENTS = Path("/usr/sbin")

_OCF = re.compile(r"ocf:([A-Za-z0-9][\w.-]*):([A-Za-z0-9][\w.+-]*)")
_STONITH = re.compile(r"stonith:(fence_[\w-]+)")


class InstalledAgents:
    """Port Agents over this machine's own. An answer is kept: an agent does not change while a command runs."""

    def __init__(self, ocf_root: Path = OCF_ROOT, fence_agents: Path = FENCE_AGENTS) -> None:
        self._ocf_root = ocf_root
        self._fence_agents = fence_agents
        self._known: dict[str, bytes | Unknown | None] = {}

    def metadata(self, agent: str, *, deadline: float = 15.0) -> bytes | Unknown | None:
        """As Agents.metadata."""
        if agent not in self._known:
            self._known[agent] = self._ask(agent, deadline)
        return self._known[agent]

    def fence_agents(self) -> tuple[str, ...]:
        """As Agents.fence_agents."""
        return tuple(sorted(f"stonith:{path.name}" for path in self._fence_agents.glob("fence_*") if path.is_file()))

    def _ask(self, agent: str, deadline: float) -> bytes | Unknown | None:
        command = self._command(agent)
        if command is None:
            own = _own().get(agent)
            return own.read_bytes() if own is not None else None
        try:
            done = local.run(command, stdin=b"", deadline=deadline)
        except Unreachable as error:
            return Unknown(str(error))
        if not done.ok:
            said = (done.err or done.out).decode(errors="replace").strip().rpartition("\n")[2]
            return Unknown(f"{agent} does not say its metadata: {said or f'exit code {done.code}'}")
        return done.out

    def _command(self, agent: str) -> list[str] | None:
        """What prints an agent's metadata; None when no such agent is installed."""
        if (ocf := _OCF.fullmatch(agent)) is not None:
            path = self._ocf_root / "resource.d" / ocf[1] / ocf[2]
            return ["env", f"OCF_ROOT={self._ocf_root}", str(path), "meta-data"] if path.is_file() else None
        if (stonith := _STONITH.fullmatch(agent)) is not None:
            path = self._fence_agents / stonith[1]
            return [str(path), "-o", "metadata"] if path.is_file() else None
        return None


def _own() -> Mapping[str, Path]:
    """hacluster's own agents: they describe themselves also on a machine where they are not installed."""
    package = importlib.util.find_spec("resource_agents")
    if package is None or package.origin is None:
        return {}
    directory = Path(package.origin).parent / "metadata"
    return {f"ocf:hacluster:{path.stem}": path for path in directory.glob("*.xml")}

"""Every fence device of the cluster with all that concerns it: targets, levels, who may use it, where it runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hacluster.cib import fence_devices
from hacluster.cib.fence_devices import FenceDevice
from hacluster.rehearsal import Looked


@dataclass(frozen=True, slots=True)
class Target:
    """A node that a device fences. `level` is its place in the node's topology; None where the node has no levels."""

    node: str
    level: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One device. `users` are the nodes that may use it; `runs` says where Pacemaker monitors it."""

    device: FenceDevice
    targets: tuple[Target, ...]
    users: tuple[str, ...]
    runs: str


def rows(looked: Looked) -> tuple[Row, ...]:
    """All devices in the CIB's order."""
    nodes = [node.name for node in looked.seen.nodes]
    found = []
    for device in fence_devices.devices(looked.cib):
        targets = []
        for node in nodes:
            topology = fence_devices.topology(looked.cib, node)
            level = next((number for number, names in enumerate(topology, 1) if device.name in names), None)
            if device.can_fence(node) and (level is not None or not topology):
                targets.append(Target(node, level))
        users = tuple(node for node in nodes if device.may_use(node))
        found.append(Row(device, tuple(targets), users, _runs(looked, device)))
    return tuple(found)


def _runs(looked: Looked, device: FenceDevice) -> str:
    if not device.wanted:
        return "disabled"
    view = next((each for each in looked.seen.fencing if each.name == device.name), None)
    where = ", ".join(view.running_on) if view is not None else ""
    return f"failed on {where or 'all nodes'}" if view is not None and view.failed else where or "nowhere"


def to_json(looked: Looked) -> dict[str, object]:
    """The document of `hactl fence list --json`. Format 1; a field is added, never renamed."""
    return {
        "format": 1,
        "devices": [
            {
                "name": row.device.name,
                "agent": row.device.agent,
                "wanted": row.device.wanted,
                "targets": [
                    {"node": each.node, "level": each.level, **_proven(looked, row.device.name, each.node)}
                    for each in row.targets
                ],
                "may_be_used_by": list(row.users),
                "runs": row.runs,
            }
            for row in rows(looked)
        ],
    }


def _proven(looked: Looked, device: str, node: str) -> dict[str, object]:
    """A proof counts for the devices that were used first; of the others nothing is known."""
    standing = next((each for each in looked.seen.proven if each.node == node), None)
    if standing is None or standing.proof is None or device not in standing.proof.devices:
        return {"proven": "never", "at": None}
    return {"proven": standing.word, "at": standing.proof.at}

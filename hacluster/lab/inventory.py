"""What there is of a lab, as a value: nodes, power, links, BMCs, disks; or what is left of one that is down.

It only looks. Everything comes from the kernel and from the lab's run directory, nothing from memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from hacluster.lab import disks, fabric, teardown
from hacluster.lab.bed import Bed


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node: `power` is on, off or frozen; `links` says of each link whether it is plugged in."""

    name: str
    power: str
    links: dict[str, bool]


@dataclass(frozen=True, slots=True)
class BmcState:
    """A BMC: which device answers at which address for which node, and whether its process runs."""

    device: str
    node: str
    address: str
    answers: bool


@dataclass(frozen=True, slots=True)
class DiskState:
    """A VM's disk: its path in the nodes, the image behind it, and the loop device if it is a block disk."""

    vm: str
    path: str
    image: str
    loop: str | None


@dataclass(frozen=True, slots=True)
class Inventory:
    """A lab as it is. `left` lists what remains of a lab that is not up; it is empty for one that is."""

    name: str
    up: bool
    nodes: tuple[NodeState, ...] = ()
    bmcs: tuple[BmcState, ...] = ()
    disks: tuple[DiskState, ...] = ()
    left: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The document of `hactl lab status --json`."""
        return {"format": 1, **asdict(self)}

    def lines(self) -> Iterator[str]:
        """The same for people."""
        if not self.up:
            yield f"lab {self.name} is down"
            yield from self.left or ("nothing left",)
            return
        yield f"lab {self.name} is up"
        for node in self.nodes:
            links = "  ".join(f"{link} {'up' if up else 'down'}" for link, up in node.links.items())
            yield f"  node {node.name:<10} {node.power:<7} {links}"
        for bmc in self.bmcs:
            yield f"  bmc  {bmc.device:<10} {'answers' if bmc.answers else 'DEAD':<7} {bmc.address} for {bmc.node}"
        for disk in self.disks:
            yield f"  disk {disk.vm:<10} {disk.path} on {disk.loop or 'the shared directory'}"


def look(bed: Bed) -> Inventory:
    """The lab's inventory."""
    if not bed.is_up():
        return Inventory(bed.name, False, left=tuple(teardown.leftovers(bed.name)))
    state = json.loads((bed.run / "bed.json").read_text())
    loops = {backing: device for device, backing in disks.loops(bed.run)}
    return Inventory(
        bed.name,
        True,
        nodes=tuple(NodeState(name, bed.power(name, "status"), bed.links(name)) for name in bed.nodes()),
        bmcs=tuple(
            BmcState(device, bmc["node"], bmc["address"], fabric.bmc_answers(state["cgroup"], bed.run / "bmc" / device))
            for device, bmc in state["bmcs"].items()
        ),
        disks=tuple(
            DiskState(vm, path, image, loops.get(image)) for vm, path, image in (*state["block"], *state["file"])
        ),
    )

"""What there is of the bed of virtual machines, as a value; or what is left of one that is down. It only looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from hacluster.lab import teardown
from hacluster.lab.machines import network
from hacluster.lab.machines.bed import Machines
from hacluster.lab.machines.description import NAME


@dataclass(frozen=True, slots=True)
class MachineState:
    """A machine: `power` is on, off or frozen; `bmc_answers` is False for a BMC that was frozen."""

    name: str
    power: str
    addresses: tuple[str, ...]
    bmc: str
    bmc_answers: bool


@dataclass(frozen=True, slots=True)
class Inventory:
    """The bed as it is. `state` is what the machines were set up as, "" when the bed is down."""

    up: bool
    state: str = ""
    namespace: Path | None = None
    ssh_config: Path | None = None
    machines: tuple[MachineState, ...] = ()
    shared_disks: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The document of `hactl lab status --vm --json`."""
        places = {"namespace": str(self.namespace or ""), "ssh_config": str(self.ssh_config or "")}
        return {"format": 1, **asdict(self), **places}

    def lines(self) -> Iterator[str]:
        """The same for people."""
        if not self.up:
            yield "the virtual machines are down"
            yield from self.left or ("nothing left",)
            return
        yield f"the virtual machines are up: {self.state}"
        for machine in self.machines:
            bmc = f"bmc {machine.bmc} {'answers' if machine.bmc_answers else 'DEAD'}"
            yield f"  node {machine.name:<10} {machine.power:<7} {' '.join(machine.addresses)}  {bmc}"
        for disk in self.shared_disks:
            yield f"  disk {disk}"
        yield f"  ssh  nsenter --net={self.namespace} ssh -F {self.ssh_config} NODE"


def look(bed: Machines) -> Inventory:
    """The bed's inventory."""
    if not bed.is_up():
        return Inventory(False, left=tuple(teardown.leftovers(NAME)))
    return Inventory(
        True,
        state=bed.state(),
        namespace=network.namespace(bed.run),
        ssh_config=bed.run / "ssh_config",
        machines=tuple(
            MachineState(
                machine.name,
                bed.power(machine.name, "status"),
                machine.addresses,
                machine.bmc,
                bed.bmc_answers(machine.name),
            )
            for machine in bed.description.machines
        ),
        shared_disks=tuple(disk.path for disk in bed.description.shared_disks),
    )

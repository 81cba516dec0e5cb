"""What the machines are, before there is any: names, addresses, disks. One file says it, for Vagrant and for this lab.

The file is JSON because Ruby reads that without a library. Pure, but for reading that one file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

NAME = "machines"
"""The bed of virtual machines has one name: two of them would not fit on one machine."""

NETWORKS = 2
"""Each machine has a network card per Corosync link; the first one's network has the BMCs, too."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One virtual machine. `number` counts from 1; `addresses` are one for each network; `bmc` is its board's."""

    number: int
    name: str
    addresses: tuple[str, ...]
    bmc: str

    def mac(self, network: int) -> str:
        """The address of its network card in that network, 0 or 1."""
        return f"52:54:00:98:{network:02x}:{self.number:02x}"

    def tap(self, network: int) -> str:
        """What this machine's end of that card's wire is called."""
        return f"{self.name}-{network}"

    @property
    def uuid(self) -> str:
        """The machine's SMBIOS UUID."""
        return f"00000000-0000-4000-8000-0000000098{self.number:02x}"


@dataclass(frozen=True, slots=True)
class SharedDisk:
    """A disk that every machine has. Its name there ends in its serial number: see `path`."""

    serial: str
    mib: int

    @property
    def path(self) -> str:
        """The one name that is the same in every machine and at every boot: sda and sdb change places."""
        return f"/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_{self.serial}"


@dataclass(frozen=True, slots=True)
class Description:
    """All machines, what they share, and how their boards are logged in to."""

    memory_mib: int
    machines: tuple[Machine, ...]
    bmc_username: str
    bmc_password: str
    shared_disks: tuple[SharedDisk, ...]

    def gateway(self, network: int) -> str:
        """The address of the machine that runs the lab, in that network: the first of the machines' /24."""
        return self.machines[0].addresses[network].rpartition(".")[0] + ".1"


def place() -> Path:
    """The file that describes the machines, beside the Vagrantfile or where it was installed."""
    package = Path(__file__).parents[2]
    beside = package.parent / "vagrant" / "machines.json"
    return beside if beside.is_file() else package / "data" / "vagrant" / "machines.json"


def load(path: Path | None = None) -> Description:
    """The machines of that file, or of the project's own."""
    told = json.loads((path or place()).read_text(encoding="utf-8"))
    return Description(
        memory_mib=told["memory_mib"],
        machines=tuple(
            Machine(number, node["name"], tuple(node["addresses"]), node["bmc"])
            for number, node in enumerate(told["nodes"], start=1)
        ),
        bmc_username=told["bmc_username"],
        bmc_password=told["bmc_password"],
        shared_disks=tuple(SharedDisk(disk["serial"], disk["mib"]) for disk in told["shared_disks"]),
    )

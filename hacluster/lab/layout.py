"""What a lab looks like, before any of it exists: names, paths, addresses and wires, derived from a Cluster and a name.

Everything the kernel can see of a lab carries the lab's name or lies below its run directory, so that several labs
can be up at once and each can be found and removed knowing nothing but its name. Pure: it asks and changes nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hacluster.model import Block, Cluster, Directory, Disk, FenceDevice, Node, Vm
from hacluster.problems import Problem, Refused, kind

RUNS = Path("/run/hacluster-lab")
CGROUP = "hacluster-lab"
SWITCH = "switch"
DLM_PORT = 7111
HACLUSTER_PASSWORD = "hacluster"
"""The password of the user hacluster in each node: a lab's nodes can be reached from nowhere but the lab."""

BAD_NAME = kind(
    "HA701", "A lab cannot have this name", "The name becomes part of paths and cgroups, which must stay findable."
)
NOT_FOR_THE_LAB = kind(
    "HA702",
    "The lab cannot build this cluster",
    "The lab gives each link a /24 of its own, each BMC an address on one of them, and shares block devices and "
    "directories; it has no kernel DLM, LVM or GFS2. Those belong to full virtual machines.",
)


@dataclass(frozen=True, slots=True)
class Bmc:
    """The BMC behind one fence_ipmilan device. `address` lies on one of the links' networks."""

    device: str
    node: str
    address: str
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class BlockDisk:
    """A disk that each node sees as a block device of its own at `path`, all of them the same storage."""

    vm: str
    path: str
    image: Path


@dataclass(frozen=True, slots=True)
class FileDisk:
    """A disk that is a file of a shared directory; `image` is where the machine that runs the lab finds it."""

    vm: str
    path: str
    image: Path
    format: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The names and places of one lab. `cgroups` is the mount point of cgroup v2."""

    name: str
    cluster: Cluster
    cgroups: Path

    @property
    def run(self) -> Path:
        """The lab's run directory: a tmpfs that holds all of its state, node roots and disks."""
        return RUNS / self.name

    @property
    def cgroup(self) -> Path:
        """The cgroup below which every process of the lab lives."""
        return self.cgroups / CGROUP / self.name

    @property
    def links(self) -> int:
        """How many corosync links there are."""
        return max((len(node.addresses) for node in self.cluster.nodes), default=0)

    def switch_addresses(self) -> list[str]:
        """The switch's own address on each link: the first of the link's /24. The DLM stand-in listens there."""
        first = self.cluster.nodes[0]
        return [str(_network(address).network_address + 1) for address in first.addresses]

    def directory(self, node: str) -> Path:
        """Where a node's root, keys and power state lie."""
        return self.run / "nodes" / node

    def ports(self, node: Node) -> list[list[str]]:
        """A node's wires, as power.Supply takes them: port and bridge in the switch, name, MAC and address inside."""
        wires = [
            [
                f"n{node.id}-{link}",
                f"link{link}",
                f"eth{link}",
                f"02:99:{link:02x}:00:00:{node.id:02x}",
                f"{address}/24",
            ]
            for link, address in enumerate(node.addresses)
        ]
        for number, network in enumerate(self.cluster.networks):
            wires.append(
                [f"n{node.id}-v{number}", network.bridge, f"up{number}", f"02:98:{number:02x}:00:00:{node.id:02x}", ""]
            )
        return wires

    def block_disks(self) -> Iterator[BlockDisk]:
        """The VMs' disks on block storages."""
        for vm, disk in self._disks():
            if isinstance(self._storage(disk), Block):
                yield BlockDisk(vm.name, disk.path, self.run / "disks" / f"{vm.name}.{Path(disk.path).name}.img")

    def file_disks(self) -> Iterator[FileDisk]:
        """The VMs' disks in shared directories."""
        for vm, disk in self._disks():
            storage = self._storage(disk)
            if isinstance(storage, Directory):
                inside = Path(disk.path).relative_to(storage.mount)
                yield FileDisk(vm.name, disk.path, self.shared(storage) / inside, disk.format)

    def shared(self, storage: Directory) -> Path:
        """Where the machine that runs the lab finds what the nodes see at the storage's source."""
        return self.run / "shared" / storage.name

    def directories(self) -> list[Directory]:
        """The storages that are directories."""
        return [storage for storage in self.cluster.storages if isinstance(storage, Directory)]

    def _disks(self) -> Iterator[tuple[Vm, Disk]]:
        for vm in self.cluster.vms:
            for disk in vm.disks:
                yield vm, disk

    def _storage(self, disk: Disk) -> object:
        return next((storage for storage in self.cluster.storages if storage.name == disk.storage), None)


def _network(address: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(f"{address}/24", strict=False)


def bmcs(cluster: Cluster, password: str) -> list[Bmc]:
    """The BMCs the lab must run. `password` is given to each device whose password the spec keeps elsewhere."""
    return [
        Bmc(
            device=device.name,
            node=device.targets[0],
            address=device.parameters["ip"],
            username=device.parameters.get("username", ""),
            password=device.parameters.get("password", password),
        )
        for device in cluster.fence_devices
        if device.agent == "fence_ipmilan"
    ]


def check(name: str, cluster: Cluster) -> None:
    """Raise Refused with everything about this cluster that a lab of namespaces cannot give it."""
    check_name(name)
    problems = list(_findings(cluster))
    if problems:
        raise Refused(problems)


def check_name(name: str) -> None:
    """Raise Refused for a name that no lab has: it becomes part of paths that are removed with all that is in them."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
        raise Refused(
            BAD_NAME(
                f"“{name}” cannot be a lab's name: lower-case letters, digits and dashes, at most 31.",
                where="--name",
                remedy="hactl lab status --name lab",
            )
        )


def _findings(cluster: Cluster) -> Iterator[Problem]:
    if not cluster.nodes:
        yield NOT_FOR_THE_LAB("The cluster has no nodes.", where="nodes")
        return
    networks = [_network(address) for address in cluster.nodes[0].addresses]
    for node in cluster.nodes:
        if [_network(address) for address in node.addresses] != networks:
            yield NOT_FOR_THE_LAB(
                f"{node.name}'s addresses are not on the same /24 networks as {cluster.nodes[0].name}'s.",
                where=f"nodes.{node.name}.addresses",
                remedy="give each link one /24 and each node one address in it",
            )
    for node in cluster.nodes:
        if node.remote:
            yield NOT_FOR_THE_LAB(
                f"The lab gives each node Corosync, and {node.name} is a remote one.",
                where=f"nodes.{node.name}.remote",
                remedy="remove it: each node of a lab is a member",
            )
    for storage in cluster.storages:
        if not isinstance(storage, Block | Directory):
            yield NOT_FOR_THE_LAB(
                f"The lab has no {storage.stack} for the storage {storage.name}.",
                where=f"storage.{storage.name}.type",
                remedy='type = "block" or type = "directory"',
            )
    for device in cluster.fence_devices:
        yield from _device_findings(device, networks)
    for network in cluster.networks:
        if len(network.bridge) > 15 or re.fullmatch(r"(link|up|eth)\d+|lo", network.bridge):
            yield NOT_FOR_THE_LAB(
                f"A bridge cannot be called {network.bridge} in the lab.", where=f"networks.{network.name}.bridge"
            )


def _device_findings(device: FenceDevice, networks: list[ipaddress.IPv4Network]) -> Iterator[Problem]:
    where = f"fence_devices.{device.name}"
    if device.agent != "fence_ipmilan":
        yield NOT_FOR_THE_LAB(
            f"The lab has nothing that answers {device.agent}.", where=where, remedy='agent = "fence_ipmilan"'
        )
        return
    if len(device.targets) != 1:
        yield NOT_FOR_THE_LAB(
            f"{device.name} must fence exactly one node: a BMC has one.", where=where, targets=", ".join(device.targets)
        )
    address = device.parameters.get("ip", "")
    try:
        known = any(ipaddress.IPv4Address(address) in network for network in networks)
    except ValueError:
        known = False
    if not known:
        yield NOT_FOR_THE_LAB(
            f"{device.name}'s address is on none of the links.",
            where=f"{where}.ip",
            remedy="an address of one of the links' /24 networks",
            ip=address,
        )

"""The model: what an admin wants, as frozen values.

`spec` makes it from cluster.toml and has checked it; `cib` compiles it; nothing here reads or writes anything.
Sizes are bytes, times are seconds, scores are Pacemaker scores (int, or the strings INFINITY and -INFINITY).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Literal

VolumeManager = Literal["lvmlockd", "clvmd"]
"""What locks a shared volume group: LVM's own daemon, or clvmd where LVM still has it (before 2.03)."""


def _nothing() -> Mapping[str, str]:
    """A mapping without entries that nobody can write to (a plain default would have to be hashable)."""
    return MappingProxyType({})


FENCING_PROOF_AGE = 90 * 86_400
"""Seconds for which the proof that a node's fencing works counts, unless the spec says otherwise."""


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret lies; never the secret itself. `scheme` is file, env or cmd."""

    scheme: Literal["file", "env", "cmd"]
    argument: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a node has for VMs: bytes of memory, and virtual CPUs (its own reserve and overcommitment counted in)."""

    memory: int
    vcpus: int


@dataclass(frozen=True, slots=True)
class Node:
    """A host. `addresses` has one entry for each corosync link, in link order.

    `migration_host` is what the source's libvirt dials for a live migration (a name or address on the migration
    network); None means the node's name. `fencing` lists levels, each a tuple of fence device names tried together.
    `capacity` is None where the spec does not limit what runs there.

    A `remote` node runs pacemaker_remoted and no Corosync: its id is 0, its one address is what the cluster dials, and
    after a lost connection the cluster waits `reconnect` seconds before it dials again (0: at once, after fencing).
    `host_key` is the node's ssh host key, or its fingerprint, where the spec pins it.
    """

    name: str
    id: int
    addresses: tuple[str, ...]
    migration_host: str | None = None
    ssh_host: str | None = None
    fencing: tuple[tuple[str, ...], ...] = ()
    capacity: Capacity | None = None
    remote: bool = False
    reconnect: int = 60
    host_key: str | None = None


@dataclass(frozen=True, slots=True)
class FenceDevice:
    """A STONITH device. `targets` are the nodes it can fence; secrets replace parameters of the same name.

    `ports` maps targets to what the device calls them (an outlet, a virtual machine) where that is not the node's name.
    `delay` and `delay_max` are seconds: the fixed part of the wait before it fences, and the most with a random part.
    """

    name: str
    agent: str
    targets: tuple[str, ...]
    parameters: Mapping[str, str] = field(default_factory=_nothing)
    secrets: Mapping[str, SecretRef] = field(default_factory=lambda: MappingProxyType({}))
    delay: int | None = None
    delay_max: int | None = None
    ports: Mapping[str, str] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Gfs2:
    """A GFS2 file system on a clustered logical volume: dlm, lvmlockd or clvmd, volume group, file system.

    `device` is the shared block device under the volume group, None where the spec does not say; `size` is that of the
    volume when bootstrap makes it, None is all that the group has.
    """

    stack: ClassVar[str] = "gfs2"

    name: str
    device: str | None
    volume_group: str
    logical_volume: str
    mount: str
    lock_table: str
    volume_manager: VolumeManager = "lvmlockd"
    journals: int = 2
    journal_size: int = 128 << 20
    options: tuple[str, ...] = ("noatime", "nodiratime")
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Ocfs2:
    """An OCFS2 file system under Pacemaker's cluster stack: dlm, then the file system.

    It lies on the shared block device `device`, or, where that is None, on a volume of a shared volume group.
    `o2cb` also runs ocfs2_controld, which kernels before 3.14 need.
    """

    stack: ClassVar[str] = "ocfs2"

    name: str
    mount: str
    device: str | None = None
    volume_group: str | None = None
    logical_volume: str | None = None
    volume_manager: VolumeManager = "lvmlockd"
    o2cb: bool = False
    options: tuple[str, ...] = ("noatime",)


@dataclass(frozen=True, slots=True)
class Nfs:
    """An NFS export, version 4.1 or newer. `outside`: each node mounts it before the cluster starts (fstab)."""

    stack: ClassVar[str] = "nfs"

    name: str
    server: str
    export: str
    mount: str
    version: Literal["4.1", "4.2"] = "4.2"
    outside: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that the same storage stands behind on every node, bound to `mount` by a cloned Filesystem."""

    stack: ClassVar[str] = "directory"

    name: str
    source: str
    mount: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """Shared block devices below `directory` that every node sees and nothing has to activate (a LUN per disk).

    No lock of QEMU or the file system protects such a disk: fencing, the run-lock and the paused hand-over do.
    """

    stack: ClassVar[str] = "block"

    name: str
    directory: str


@dataclass(frozen=True, slots=True)
class SharedLvm:
    """A shared volume group with a logical volume for each disk of a VM (docs/decisions/0012)."""

    stack: ClassVar[str] = "shared-lvm"

    name: str
    volume_group: str
    volume_manager: VolumeManager = "lvmlockd"


@dataclass(frozen=True, slots=True)
class CephRbd:
    """Images of a Ceph pool. With `mapped` the nodes see them as /dev/rbd/POOL/IMAGE; else QEMU opens them itself.

    No `monitors`: the nodes' /etc/ceph/ceph.conf has them. `user` is the Ceph user without "client.", `secret` the
    uuid of libvirt's secret with its key; None for a cluster without authentication.
    """

    stack: ClassVar[str] = "ceph-rbd"

    name: str
    pool: str
    mapped: bool = False
    monitors: tuple[str, ...] = ()
    user: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """The own disk of one node: files, or block devices, below `directory`."""

    stack: ClassVar[str] = "local"

    name: str
    node: str
    directory: str


Storage = Gfs2 | Ocfs2 | Nfs | Directory | Block | SharedLvm | CephRbd | Local


@dataclass(frozen=True, slots=True)
class Network:
    """A network a VM may be attached to: a bridge that must exist on every node.

    `interface` is what bootstrap puts into a bridge that it makes: the name of one, or "none"; None: it makes none.
    """

    name: str
    bridge: str
    interface: str | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk of a VM. `storage` names the storage whose path holds `path`; `format` is raw or qcow2.

    A `network` disk is an RBD image that QEMU opens itself; its path reads rbd:POOL/IMAGE.
    """

    path: str
    format: Literal["raw", "qcow2"]
    storage: str
    bus: Literal["virtio", "scsi", "sata", "ide"] = "virtio"
    device: Literal["file", "block", "network"] = "file"


@dataclass(frozen=True, slots=True)
class Nic:
    """One network card."""

    network: str
    mac: str
    model: str = "virtio"


@dataclass(frozen=True, slots=True)
class Migration:
    """How a live move is done. `mode` live moves it, cold shuts it down and starts it, none forbids a move.

    `bandwidth` is MiB/s, `downtime` ms, `timeout` seconds for the whole migration; None leaves libvirt's default.
    `parallel` is the number of connections, None is one. `post_copy` lets the guest run on the target before all of
    its memory is there; only where QEMU's image lock (files on GFS2) or a lease covers the switch-over.
    """

    mode: Literal["live", "cold", "none"] = "live"
    auto_converge: bool = False
    bandwidth: int | None = None
    downtime: int | None = None
    timeout: int = 600
    post_copy: bool = False
    parallel: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a VM likes to run: node name to score. `avoid` are nodes it must never run on."""

    prefer: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    avoid: tuple[str, ...] = ()


def host_memory(guest: int, vcpus: int, qcow2_disks: int) -> int:
    """Bytes that a VM takes from its host: the guest's memory and what QEMU and the kernel need beside it.

    The extra is an upper estimate (docs/placement.md has the reasons): 128 MiB for QEMU itself, 8 MiB for each virtual
    CPU, 32 MiB for each qcow2 disk's table cache, and 1/256 of the guest's memory for page tables, the host's and the
    guest's.
    """
    return guest + (128 << 20) + vcpus * (8 << 20) + qcow2_disks * (32 << 20) + guest // 256


@dataclass(frozen=True, slots=True)
class Vm:
    """A virtual machine. `domain_xml` is the canonical libvirt domain XML that nodes get (see spec.domain).

    `memory` is bytes. `storages` are all storages it stands on, sorted. `stop_budget` is how long a guest may take
    to shut down before it is destroyed, in seconds. `agent` chooses the guarded agent or heartbeat's.
    """

    name: str
    uuid: str
    domain_xml: bytes
    memory: int
    vcpus: int
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    storages: tuple[str, ...]
    placement: Placement = field(default_factory=Placement)
    priority: int = 0
    stop_budget: int = 120
    migration: Migration = field(default_factory=Migration)
    agent: Literal["hacluster", "heartbeat"] = "hacluster"

    @property
    def host_memory(self) -> int:
        """Bytes that it takes from its host."""
        return host_memory(self.memory, self.vcpus, sum(disk.format == "qcow2" for disk in self.disks))


Score = int | Literal["INFINITY"]
Strategy = Literal["default", "utilization", "minimal", "balanced"]


@dataclass(frozen=True, slots=True)
class Affinity:
    """VMs that run on one node; the others follow the first. INFINITY is hard: with the first or not at all."""

    name: str
    vms: tuple[str, ...]
    score: Score = "INFINITY"


@dataclass(frozen=True, slots=True)
class AntiAffinity:
    """VMs that run on different nodes: all from each other, or, where `apart_from` names any, all from those.

    INFINITY is hard: a VM for which no node is left stays down.
    """

    name: str
    vms: tuple[str, ...]
    apart_from: tuple[str, ...] = ()
    score: Score = "INFINITY"


@dataclass(frozen=True, slots=True)
class StartOrder:
    """VMs that start step by step, and stop the other way. `delay` is seconds between one step and the next.

    Where it is `mandatory`, later steps are restarted when an earlier one is started anew, and stay down without it;
    otherwise it orders only what starts or stops at the same time.
    """

    name: str
    steps: tuple[tuple[str, ...], ...]
    mandatory: bool = False
    delay: int = 0


@dataclass(frozen=True, slots=True)
class LockDriver:
    """libvirt's own locks under disks: a lease for each disk of a running guest, kept in `directory`.

    The directory lies on the shared file system that is mounted at `mount`. `handover` is how a live move switches over
    where a lease covers every disk; `watchdog` is each node's watchdog device, without which sanlock proves nothing.
    """

    name: Literal["none", "lockd", "sanlock"] = "none"
    directory: str = ""
    mount: str = ""
    handover: Literal["paused", "running"] = "paused"
    watchdog: str | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """The whole wish. `properties` are cluster properties the admin set himself.

    `lock_manager` says what keeps the run-locks: `dlm`, the kernel's (a cloned ocf:pacemaker:controld is compiled),
    or `external`, something that is already running on the nodes (the lab's stand-in). `lock_driver` is libvirt's own
    lock manager, which locks disks, not VMs.
    `libvirt_uri` is how hactl and the nodes reach a node's libvirt; `{node}` is the node's migration host.
    `migration_transport` is ssh, tcp or tls. `strategy` is Pacemaker's placement-strategy; all but `default` keep each
    node within its capacity, which every node has then. `migration_limit` is live migrations at once and node, None is
    Pacemaker's own.
    `residue` is the file that import wrote for what the spec does not own
    (cib.residue), empty where there is none.
    `qdevice` is the host of the quorum device. `wait_for_all`: after a start
    of the whole cluster nobody has quorum before all members have been seen; None is Corosync's own default, which is
    so for two nodes without a quorum device only.
    `fencing_proof` says whether VMs are added only once the fencing of every
    node has been proven, and `fencing_proof_age` how many seconds such a proof counts.
    """

    name: str
    nodes: tuple[Node, ...]
    fence_devices: tuple[FenceDevice, ...] = ()
    storages: tuple[Storage, ...] = ()
    networks: tuple[Network, ...] = ()
    vms: tuple[Vm, ...] = ()
    properties: Mapping[str, str] = field(default_factory=_nothing)
    stickiness: int = 1000
    lock_manager: Literal["dlm", "external"] = "dlm"
    lock_driver: LockDriver = field(default_factory=LockDriver)
    migration_transport: Literal["ssh", "tcp", "tls"] = "ssh"
    qdevice: str | None = None
    fencing_proof: Literal["required", "waived"] = "required"
    fencing_proof_age: int = FENCING_PROOF_AGE
    strategy: Strategy = "default"
    migration_limit: int | None = None
    affinities: tuple[Affinity, ...] = ()
    anti_affinities: tuple[AntiAffinity, ...] = ()
    start_orders: tuple[StartOrder, ...] = ()
    residue: bytes = b""
    wait_for_all: bool | None = None

    @property
    def members(self) -> tuple[Node, ...]:
        """The nodes that Corosync joins, that vote, and on which a DLM can run: all but the remote ones."""
        return tuple(node for node in self.nodes if not node.remote)

"""The seams between the pure core and the world.

`edge` implements these Protocols over real tools, `sim` in memory; `observe`, `plan` and `move` know nothing else of
the world. Every call has a deadline; where it passes, or a node cannot be reached, the answer is an `Unknown` value
(or the exception named), never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be learnt, and why. It is never the same as "no"."""

    reason: str


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished command: exit code, and what it wrote."""

    code: int
    out: bytes
    err: bytes

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.code == 0


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A file as it is to be on a node; `path` is absolute."""

    path: str
    content: bytes
    mode: int = 0o600


class Unreachable(Exception):
    """A node did not answer within the deadline, or refused the connection."""


class Runner(Protocol):
    """Runs commands on nodes (here when the node is this machine, over ssh otherwise)."""

    def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        """Run one command. `deadline` is seconds. Not idempotent: it never retries.

        Raises Unreachable, and Refused when the node must not be talked to (its host key, our login).
        """
        ...

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        """Write files, in one go: all are there durably before the first takes its place, and each takes it whole, in
        this order. Makes their folders, 0700. Idempotent. Raises Unreachable, OSError."""
        ...


class Secrets(Protocol):
    """Where an admin keeps secrets: on the machine where hactl runs."""

    def read(self, scheme: str, argument: str, *, deadline: float = 20.0) -> str:
        """A secret's value, without its final line end; scheme is file, env or cmd. Raises Refused."""
        ...


class Conflict(Exception):
    """The compare-and-set was refused: the CIB on the cluster is newer than the one that was read."""


SHUT_OFF = "shut off"
"""libvirt's word for a definition without a QEMU, as a persistent domain that does not run is."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain as a node's libvirt reports it. `job` holds a running job's numbers (bytes, milliseconds)."""

    name: str
    uuid: str
    state: str
    reason: str = ""
    persistent: bool = False
    autostart: bool = False
    job: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Qemu:
    """A QEMU process of a node, by uuid."""

    uuid: str
    pid: int
    start: int
    state: str


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A run-lock as the holding node's own state file has it: mode EX (sealed), PW (gate open) or CR (seat).

    `since` is epoch seconds; `handed` says of an arrival that its source handed it over.
    """

    uuid: str
    mode: str
    nonce: str | None = None
    target: str | None = None
    since: int | None = None
    handed: bool = False


@dataclass(frozen=True, slots=True)
class AgentFailure:
    """Why the last operation of a VM's agent failed on a node, in the agent's own sentence; `at` is epoch seconds.

    The nodes keep it themselves: Pacemaker (2.1.5) records no exit reason for migrate_to and migrate_from.
    """

    action: str
    sentence: str
    at: int


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """libvirt's lock driver on a node. `settings` are those of its files, by path; `in_use` says whether libvirt's
    daemon has loaded the driver that they name, which it does when it starts.

    `problem` is the agents' sentence on why they start and receive no VM there; `identity` is that of the lease
    directory (empty: it has none yet). `bare` are disks of running guests without a lease, by VM uuid; `left` are disks
    that have one though no VM with them runs there.
    """

    settings: Mapping[str, Mapping[str, str]]
    in_use: bool | None
    problem: str
    directory: str
    filesystem: str
    identity: str | None
    bare: Mapping[str, tuple[str, ...]]
    left: tuple[str, ...]
    watchdog: bool | None


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a node's probe says of itself. None stands for "could not be learnt" throughout.

    `presence` and `failures` are by VM uuid.
    """

    node: str
    boot_id: str
    guard_version: str
    hook_ok: bool | None
    libvirt_answers: bool
    mem_total: int | None
    mem_available: int | None
    bridges: tuple[str, ...] | None
    domains: tuple[Domain, ...] | None
    qemus: tuple[Qemu, ...] | None
    locks: tuple[HeldLock, ...] | None
    domain_files: tuple[str, ...] | None
    presence: Mapping[str, str]
    failures: Mapping[str, AgentFailure] = field(default_factory=lambda: MappingProxyType({}))
    leases: LeaseFacts | None = None

    def presence_of(self, uuid: str, name: str = "") -> Literal["PRESENT", "ABSENT", "UNKNOWN"]:
        """Whether the node has a QEMU of a VM, running or not. `name` must do for a VM that has no uuid."""
        told = self.presence.get(uuid)
        if told in ("PRESENT", "ABSENT"):
            return "PRESENT" if told == "PRESENT" else "ABSENT"
        seen = (d for d in self.domains or () if d.uuid == uuid or (not uuid and d.name == name))
        if any(d.state != SHUT_OFF for d in seen) or any(qemu.uuid == uuid for qemu in self.qemus or ()):
            return "PRESENT"
        # The probe vouches for the VMs that its node has records of; for others its two lists decide, if it has both.
        if told is None and self.domains is not None and self.qemus is not None:
            return "ABSENT"
        return "UNKNOWN"


@dataclass(frozen=True, slots=True)
class DiskUser:
    """A QEMU program that has a disk open. `uuid` is empty when it names none; `locked` says it holds locks on it."""

    pid: int
    uuid: str
    program: str
    locked: bool


@dataclass(frozen=True, slots=True)
class HostDisk:
    """A disk of a VM (by uuid) as one node sees it: kind block, file or missing, and who has it open there."""

    uuid: str
    path: str
    kind: str
    filesystem: str
    shareable: bool
    users: tuple[DiskUser, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A persistent domain in a node's libvirt, from libvirt's own files."""

    name: str
    uuid: str
    autostart: bool


@dataclass(frozen=True, slots=True)
class DrainUnit:
    """The unit hacluster-drain as systemd has it; `after` are the units that it is ordered after."""

    loaded: bool
    enabled: bool
    active: bool
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostAudit:
    """What a node says when it is audited; None stands for "could not be learnt" throughout.

    `pacemaker` is the installed version; `code` a checksum of the installed guard and agents; `guests_service` says
    whether libvirt-guests is enabled or active; `domain_sums` are sha256 of the domain files by name.
    """

    node: str
    pacemaker: str | None = None
    code: str | None = None
    guests_service: bool | None = None
    definitions: tuple[Definition, ...] | None = None
    domain_sums: Mapping[str, str] | None = None
    disks: tuple[HostDisk, ...] | None = None
    drain: DrainUnit | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """A node's answer to the request to give a run-lock back: `mode` is what it held, `reason` why it still does."""

    released: bool
    mode: str
    reason: str = ""


class Hosts(Protocol):
    """The nodes themselves: their probe, their libvirt, their files."""

    def facts(self, nodes: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, HostFacts | Unknown]:
        """Each node's facts, asked in parallel. Never raises; a node that does not answer is Unknown."""
        ...

    def audit(self, nodes: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, HostAudit | Unknown]:
        """What each node says beyond its facts, asked in parallel. Never raises. Dearer than `facts`."""
        ...

    def release(self, node: str, uuid: str, *, deadline: float = 15.0) -> Released | Unknown:
        """Ask a node to give a VM's run-lock back: adopt, prove absence, unlock, there. Idempotent."""
        ...

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        """As Runner.put."""
        ...

    def read(self, node: str, paths: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, bytes] | Unknown:
        """The content of those of the files that are there, by path."""
        ...

    def remove(self, node: str, paths: Sequence[str]) -> None:
        """Delete files; those that are gone already are no error. Raises Unreachable."""
        ...

    def job(self, node: str, domain: str, *, deadline: float = 3.0) -> Mapping[str, int] | Unknown | None:
        """The running migration of a domain on its source: data_total, data_processed, data_remaining (bytes),
        memory_bps (bytes/s), downtime, time_elapsed (ms), memory_iteration, memory_dirty_rate (pages/s),
        memory_page_size, auto_converge_throttle (%), as far as libvirt knows them; None when there is no job.
        """
        ...

    def compare_cpu(self, node: str, domain_xml: bytes, *, deadline: float = 5.0) -> str | Unknown:
        """Whether the node's hypervisor can give a domain its CPU: identical, superset or incompatible.

        An emulated CPU (domain type qemu) does not depend on the host's own, so the hypervisor is asked, not the host
        (virConnectCompareHypervisorCPU). A domain that names no CPU is "identical": it has QEMU's default everywhere.
        """
        ...


@dataclass(frozen=True, slots=True)
class Foretold:
    """What one run of the scheduler tells: crm_simulate's XML (empty when it does not take the CIB), the transition
    graph (empty where there is none), and what is wrong with the CIB, a sentence each."""

    actions: bytes
    graph: bytes = b""
    errors: tuple[str, ...] = ()


class Pacemaker(Protocol):
    """The cluster's CIB and its scheduler, asked through any node that answers."""

    def cib(self) -> bytes:
        """The whole live CIB, status included. Raises Unreachable, Refused when no cluster runs."""
        ...

    def monitor(self) -> bytes:
        """Pacemaker's own reading of its status, stopped resources included: crm_mon's XML. Raises as `cib` does."""
        ...

    def verify(self, cib: bytes) -> tuple[str, ...]:
        """What crm_verify finds wrong with a CIB, a sentence each; nothing when Pacemaker would take it."""
        ...

    def replace(self, cib: bytes) -> None:
        """Push a whole CIB, version attributes as they were read, through pcs. Raises Conflict when somebody was
        faster, Refused when the cluster rejects it. Not idempotent.
        """
        ...

    def create_constraint(self, xml: bytes) -> bool:
        """Add one constraint; False when its id exists already. Atomic on the whole cluster."""
        ...

    def delete_constraint(self, ident: str, *, value: str = "") -> None:
        """Delete one constraint by id; with `value` only if a rule's expression in it has that value, so that another
        of the same id, made meanwhile, stays. Atomic on the whole cluster, idempotent."""
        ...

    def set_target_role(self, resource: str, role: str | None) -> None:
        """Set (Started, Stopped) or clear a resource's target-role meta attribute, as pcs enable and disable do."""
        ...

    def set_utilization(self, node: str, name: str, value: str) -> None:
        """Set what a node has for resources, by the name of what is counted. Idempotent."""
        ...

    def set_standby(self, node: str, on: bool) -> None:
        """Put a node into standby, which outlasts its reboots, or take it out, as pcs node standby does. Idempotent."""
        ...

    def refresh(self, resource: str, node: str) -> None:
        """Forget all that is recorded of a resource on a node; Pacemaker then probes it there. Idempotent."""
        ...

    def simulate(self, cib: bytes, *, graph: bool = False) -> bytes:
        """What the scheduler would do with this CIB: crm_simulate's XML (or the transition graph)."""
        ...

    def foresee(self, cib: bytes) -> Foretold:
        """All that the scheduler tells of a CIB, from one run of it: what `simulate` tells, and what `verify` does."""
        ...

    def idle(self) -> bool | Unknown:
        """Whether no transition is running or pending on the DC."""
        ...

    def local_node(self) -> str:
        """The node these calls go through."""
        ...


class Agents(Protocol):
    """The resource and fence agents that are installed where hactl runs."""

    def metadata(self, agent: str, *, deadline: float = 15.0) -> bytes | Unknown | None:
        """An agent's metadata as XML, None when it is not installed here. Idempotent; never raises.

        `agent` is `ocf:PROVIDER:TYPE` or `stonith:TYPE`.
        """
        ...

    def fence_agents(self) -> tuple[str, ...]:
        """Every fence agent installed here, as `stonith:TYPE`, sorted."""
        ...


class Clock(Protocol):
    """Time, so that a simulator can own it."""

    def now(self) -> float:
        """Seconds on a clock that never jumps."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, for people and records."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class World(Protocol):
    """The ports together, as a use case gets them."""

    @property
    def pacemaker(self) -> Pacemaker:
        """The cluster."""
        ...

    @property
    def hosts(self) -> Hosts:
        """The nodes."""
        ...

    @property
    def runner(self) -> Runner:
        """Commands on nodes."""
        ...

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

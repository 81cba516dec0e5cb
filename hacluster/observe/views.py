"""The values of an Observation, and the words for the states in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from hacluster.claim import Claim
from hacluster.fencing_proof import Standing
from hacluster.model import LockDriver
from hacluster.ports import Domain, HeldLock, HostFacts, Unknown
from hacluster.problems import Problem

Presence = Literal["PRESENT", "ABSENT", "UNKNOWN"]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The cluster as a whole. `dc` is None while none is elected. `version` is (admin_epoch, epoch, num_updates)."""

    name: str
    version: tuple[int, int, int]
    quorum: bool
    dc: str | None
    maintenance: bool
    stonith: bool
    changed_by: str = ""
    changed_at: str = ""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as Pacemaker sees it, with what its own probe said. `guard` is the guard's version attribute, if set.

    `down` says that Pacemaker expects nothing of it, because it fenced it or saw it leave in order. A node that only
    fell silent is never `down`; without fencing it is not `unclean` either.
    """

    name: str
    online: bool
    pending: bool = False
    unclean: bool = False
    standby: bool = False
    maintenance: bool = False
    down: bool = False
    guard: str | None = None
    facts: HostFacts | Unknown = field(default_factory=lambda: Unknown("not asked"))

    @property
    def state(self) -> str:
        """One word, the most serious one first."""
        words = {"UNCLEAN": self.unclean, "pending": self.pending, "OFFLINE": not self.online}
        quiet = {"maintenance": self.maintenance, "standby": self.standby}
        return next((word for word, holds in {**words, **quiet}.items() if holds), "online")

    @property
    def gone(self) -> bool:
        """Whether it can be counted out: it left in order or was fenced, and nothing there answers."""
        away = self.down and not self.online and not self.unclean and not self.pending
        return away and isinstance(self.facts, Unknown)


@dataclass(frozen=True, slots=True)
class FenceView:
    """A fence device: where its monitor runs, and what it is meant to fence (empty: it decides itself)."""

    name: str
    agent: str
    targets: tuple[str, ...]
    running_on: tuple[str, ...]
    failed: bool
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class CloneView:
    """Something that runs on several nodes (storage, dlm, the lockspace): a word for each node."""

    name: str
    agent: str
    on: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed operation that Pacemaker has on record. `code` and `reason` are the agent's."""

    resource: str
    operation: str
    node: str
    code: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class VmView:
    """One VM from every side.

    `role`, `nodes`, `pending`, `failed` and `blocked` are Pacemaker's view; `domains`, `locks` and `presence` are each
    node's own, where None stands for "has none" and Unknown for "could not be learnt".
    `state` is the word for people; `node` is where its one copy is, when there is exactly one.
    `managed` is Pacemaker's word too: whether it acts on the VM.
    `consoles` maps a kind (vnc, spice, pty, serial, tcp) to its address on that node.
    """

    name: str
    uuid: str
    agent: str
    config: str
    wanted: bool
    role: str
    nodes: tuple[str, ...]
    pending: str
    failed: bool
    blocked: bool
    domains: Mapping[str, Domain | Unknown | None]
    locks: Mapping[str, HeldLock | Unknown | None]
    presence: Mapping[str, Presence]
    state: str
    node: str | None
    claim: Claim | None = None
    consoles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[Problem, ...] = ()
    managed: bool = True

    @property
    def console(self) -> str:
        """The console addresses for people; empty when there is none, or it was not asked for."""
        return ", ".join(f"{kind} {address}" for kind, address in self.consoles.items())

    @property
    def copies(self) -> tuple[str, ...]:
        """Nodes where a QEMU of this VM is, running or not."""
        return tuple(node for node, word in self.presence.items() if word == "PRESENT")

    @property
    def unknown(self) -> tuple[str, ...]:
        """Nodes of which it is not known, and that cannot be counted out."""
        return tuple(node for node, word in self.presence.items() if word == "UNKNOWN")

    @property
    def lock(self) -> str:
        """The run-locks for people: `EX n1`, `PW n1, CR n2`, `none`, with `?` for each node that did not say."""
        held = [f"{lock.mode} {node}" for node, lock in self.locks.items() if isinstance(lock, HeldLock)]
        silent = [f"? {node}" for node, lock in self.locks.items() if isinstance(lock, Unknown)]
        return ", ".join(held or silent) or "none"


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that was seen, and what is wrong with it.

    `others` are top-level resources that are none of the above, with their state; `foreign_moves` are the ids of
    constraints that `pcs resource move` and ban left. `lock_driver` is what the CIB asks of libvirt's; `proven` is how
    the proof of each node's fencing stands.
    """

    cluster: ClusterView
    nodes: tuple[NodeView, ...]
    fencing: tuple[FenceView, ...]
    clones: tuple[CloneView, ...]
    vms: tuple[VmView, ...]
    others: Mapping[str, str]
    failures: tuple[Failure, ...]
    claims: tuple[Claim, ...] = ()
    foreign_moves: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    lock_driver: LockDriver = field(default_factory=LockDriver)
    proven: tuple[Standing, ...] = ()

    def vm(self, name: str) -> VmView | None:
        """One VM by its name."""
        return next((vm for vm in self.vms if vm.name == name), None)

    def node(self, name: str) -> NodeView | None:
        """One node by its name."""
        return next((node for node in self.nodes if node.name == name), None)

"""Where a VM is and the one word for it, from everybody's testimony about it. Pure.

The word errs to the dangerous side: two QEMUs that are not known to be halted are RUNNING TWICE whatever else is
going on, and a VM of which some node says nothing is UNKNOWN rather than stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hacluster.claim import Claim
from hacluster.observe.views import NodeView, Presence
from hacluster.ports import Domain, HeldLock, HostFacts, Unknown

TWICE = "RUNNING TWICE"
TWO_COPIES = "TWO COPIES"
UNKNOWN = "UNKNOWN"

# libvirt's states in which no vCPU executes.
_HALTED = frozenset({"paused", "shut off", "shutoff", "crashed", "pmsuspended"})


@dataclass(frozen=True, slots=True)
class Testimony:
    """What all sides say of one VM. `role`, `on`, `pending`, `failed` and `blocked` are Pacemaker's words."""

    role: str
    on: tuple[str, ...]
    pending: str
    failed: bool
    blocked: bool
    wanted: bool
    domains: Mapping[str, Domain | Unknown | None]
    locks: Mapping[str, HeldLock | Unknown | None]
    presence: Mapping[str, Presence]
    claim: Claim | None


def presence(node: NodeView, uuid: str, name: str) -> Presence:
    """Whether a node has a QEMU of the VM. A node that left in order or was fenced, and is silent, has none."""
    facts = node.facts
    if not isinstance(facts, HostFacts):
        return "ABSENT" if node.gone else "UNKNOWN"
    return facts.presence_of(uuid, name)


def domain(node: NodeView, uuid: str, name: str) -> Domain | Unknown | None:
    """libvirt's word on a node. VMs of heartbeat's agent have no uuid in the CIB; their name must do."""
    if isinstance(node.facts, Unknown):
        return None if node.gone else node.facts
    if node.facts.domains is None:
        return Unknown(f"{node.name}: libvirt did not answer")
    return next((d for d in node.facts.domains if (d.uuid == uuid if uuid else d.name == name)), None)


def lock(node: NodeView, uuid: str) -> HeldLock | Unknown | None:
    """The run-lock a node says it holds."""
    if isinstance(node.facts, Unknown):
        return None if node.gone else node.facts
    if node.facts.locks is None:
        return Unknown(f"{node.name}: it could not read its lock state")
    return next((held for held in node.facts.locks if held.uuid == uuid), None)


def word(told: Testimony) -> tuple[str, str | None]:
    """The state for people, and the node of the only copy (None when there is not exactly one)."""
    copies = [node for node, is_there in told.presence.items() if is_there == "PRESENT"]
    silent = [node for node, is_there in told.presence.items() if is_there == "UNKNOWN"]
    if len([node for node in copies if not _halted(told, node)]) > 1:
        return f"{TWICE}: {' and '.join(copies)}", None
    if len(copies) > 1:
        return _two(told, copies), None
    if copies:
        return _one(told, copies[0], silent), copies[0]
    return _none(told, silent), None


def _two(told: Testimony, copies: list[str]) -> str:
    """Two QEMUs of which at most one executes: a move, when somebody can vouch for it."""
    incoming = [node for node in copies if _mode(told, node) == "CR"]
    incoming = incoming or [node for node in copies if told.claim is not None and node == told.claim.target]
    incoming = incoming or [node for node in copies if node not in told.on and "igrat" in told.pending]
    if len(copies) != 2 or len(incoming) != 1:
        return f"{TWO_COPIES}: {' and '.join(copies)}"
    (source,) = (node for node in copies if node != incoming[0])
    return f"moving {source}→{incoming[0]}{_percent(told.domains.get(source))}"


def _one(told: Testimony, node: str, silent: list[str]) -> str:
    known = told.domains.get(node)
    running = f"{known.state} on {node}" if isinstance(known, Domain) else f"present on {node}"
    if told.pending == "Migrating" or _mode(told, node) == "PW":
        where = told.claim.target if told.claim is not None else "…"
        return f"moving {node}→{where}{_percent(known)}"
    if told.pending in ("Starting", "Stopping"):
        return f"{told.pending.lower()} on {node}"
    if told.blocked:
        return f"blocked, {running}"
    if told.failed:
        return f"failed, {running}"
    if isinstance(known, Unknown):
        return f"{UNKNOWN}: {known.reason}"
    return f"{running}; unknown on {', '.join(silent)}" if silent else running


def _none(told: Testimony, silent: list[str]) -> str:
    if silent:
        last = f", last on {', '.join(told.on)}" if told.on else ""
        return f"{UNKNOWN}: {', '.join(silent)} did not answer{last}"
    if told.blocked:
        return "blocked"
    if told.pending == "Starting" or told.role == "Starting":
        return f"starting{' on ' + told.on[0] if told.on else ''}"
    if told.failed:
        return "failed"
    if told.on:
        return f"gone from {', '.join(told.on)}"
    return "stopped"


def _halted(told: Testimony, node: str) -> bool:
    known = told.domains.get(node)
    if known is None:
        # libvirt has not listed it yet. A seat admits only an incoming QEMU, which waits for the migration's end.
        return _mode(told, node) == "CR"
    return isinstance(known, Domain) and known.state in _HALTED


def _mode(told: Testimony, node: str) -> str | None:
    held = told.locks.get(node)
    return held.mode if isinstance(held, HeldLock) else None


def _percent(known: Domain | Unknown | None) -> str:
    job = known.job if isinstance(known, Domain) else None
    total = job.get("data_total", 0) if job else 0
    if not job or total <= 0:
        return ""
    return f" ({min(100, 100 * job.get('data_processed', 0) // total)} %)"

"""The run-locks as their nodes tell them, and the one way to clear one by hand: with proof, by the node that holds it.

A lock is never taken away from a node. The node is asked to adopt it, to prove that the VM is absent, and to unlock; a
node that cannot be asked keeps its locks until it has been fenced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hacluster import preflight, rehearsal
from hacluster.observe import NodeView, Observation, VmView
from hacluster.ports import Domain, HeldLock, HostFacts, Unknown, World
from hacluster.problems import Problem, Refused, kind

SEVERAL_HOLDERS = kind(
    "HA530",
    "More than one node holds a lock of the VM",
    "A gate on one node and a seat on another belong to one move; which of them is to go must be said.",
)
HOLDER_SILENT = kind(
    "HA531",
    "The node that may hold the lock does not answer",
    "Its VM may still run there, and nobody else can prove that it does not. Only fencing ends that.",
)
COPY_THERE = kind(
    "HA532", "The VM has a copy on the node that holds the lock", "The lock is what keeps a second copy from starting."
)
NOT_PROVEN = kind(
    "HA533",
    "The node cannot prove that it has no copy of the VM",
    "libvirt does not answer there, or a QEMU is dying. Unknown is not absent.",
)
NOT_RELEASED = kind(
    "HA534",
    "The node did not give the lock back",
    "It adopted the lock, and the proof of absence did not come, or the lock manager did not answer. The lock is as it "
    "was.",
)
NOT_ANSWERED = kind(
    "HA535",
    "It is not known whether the node gave the lock back",
    "It was asked and did not answer in time. What it did, it did with proof, or not at all.",
)

FORMAT = 1
MEANING = {"EX": "sealed", "PW": "gate open", "CR": "seat"}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Row:
    """One run-lock. `vm` is empty when the cluster does not manage the uuid; `presence` is the node's own word."""

    vm: str
    uuid: str
    node: str
    lock: HeldLock
    presence: str
    state: str
    boot_id: str

    @property
    def meaning(self) -> str:
        """The mode's name."""
        return MEANING.get(self.lock.mode, self.lock.mode)

    @property
    def copy(self) -> str:
        """What of the VM is on that node."""
        if self.presence == "PRESENT":
            return self.state or "a QEMU"
        return "no copy" if self.presence == "ABSENT" else "not known"

    @property
    def block(self) -> str:
        """What the lock's value block says to others, in words, as its node recorded it."""
        nonce, target = self.lock.nonce or "unknown", self.lock.target or "another node"
        if self.lock.mode == "PW":
            return f"admits {target} for the move {nonce}, opened by boot {self.boot_id[:8] or '?'} of {self.node}"
        if self.lock.mode == "CR":
            return f"{self.node} may receive the move {nonce}, and start nothing"
        if self.lock.nonce:
            handed = "handed over by its source" if self.lock.handed else "not handed over: it must not run"
            return f"arrived by the move {nonce}, {handed}; not yet let run"
        return "admits nobody"


def rows(seen: Observation) -> tuple[Row, ...]:
    """Every run-lock that a node says it holds, by VM and node."""
    found = []
    for node in seen.nodes:
        if isinstance(node.facts, HostFacts):
            found += [_row(held, node.facts, node.name, seen) for held in node.facts.locks or ()]
    return tuple(sorted(found, key=lambda row: (row.vm or "~", row.uuid, row.node)))


def silent(seen: Observation) -> dict[str, str]:
    """The nodes whose locks are not known, and why; without those that left in order or were fenced."""
    found = {}
    for node in seen.nodes:
        if isinstance(node.facts, Unknown) and not node.gone:
            found[node.name] = node.facts.reason
        elif isinstance(node.facts, HostFacts) and node.facts.locks is None:
            found[node.name] = "it could not read its lock state"
    return found


def _row(held: HeldLock, facts: HostFacts, node: str, seen: Observation) -> Row:
    vm = next((vm for vm in seen.vms if vm.uuid == held.uuid), None)
    domain = next((d for d in facts.domains or () if d.uuid == held.uuid), None)
    return Row(
        vm=vm.name if vm is not None else "",
        uuid=held.uuid,
        node=node,
        lock=held,
        presence=facts.presence_of(held.uuid),
        state=f"{domain.state} ({domain.reason})" if isinstance(domain, Domain) else "",
        boot_id=facts.boot_id,
    )


@dataclass(frozen=True, slots=True)
class Request:
    """A lock that is to go: whose, and which node is asked; `mode` is what that node says it holds, None for none."""

    name: str
    uuid: str
    node: str
    mode: str | None


def request(world: World, name: str, node: str | None) -> Request | None:
    """The request that would be made; None when no node holds a lock of the VM. Raises Refused with every finding.

    `name` is a VM's name or a uuid. Without `node` the one that holds the lock is asked.
    """
    seen = rehearsal.look(world).seen
    view = seen.vm(name)
    if view is not None and view.agent != "hacluster":
        message = f"{name} is run by {view.agent}'s agent and has no run-lock"
        raise Refused(preflight.UNKNOWN_VM(message, where=f"vm {name}", remedy="hactl lock list"))
    uuid = view.uuid if view is not None else name.lower()
    if view is None and not _UUID.fullmatch(uuid):
        known = [vm.name for vm in seen.vms]
        remedy = preflight.nearest(name, known, "hactl lock list")
        raise Refused(preflight.UNKNOWN_VM(f"the cluster manages no VM {name}", where=f"vm {name}", remedy=remedy))
    held = [row for row in rows(seen) if row.uuid == uuid]
    holder = seen.node(node) if node is not None else None
    if node is not None and holder is None:
        remedy = preflight.nearest(node, [each.name for each in seen.nodes], "hactl status")
        raise Refused(preflight.UNKNOWN_NODE(f"there is no node {node}", where=f"node {node}", remedy=remedy))
    if holder is None:
        holder = _only_holder(seen, name, held, uuid)
    if holder is None:
        return None
    mode = next((row.lock.mode for row in held if row.node == holder.name), None)
    if against := tuple(_against(holder, name, uuid)):
        raise Refused(against)
    return Request(name, uuid, holder.name, mode)


def clear(world: World, asked: Request) -> str:
    """Have the node give the lock back, with proof; the mode that it held (NL for none). Raises Refused."""
    answer = world.hosts.release(asked.node, asked.uuid)
    where = f"node {asked.node}"
    if isinstance(answer, Unknown):
        raise Refused(
            NOT_ANSWERED(
                f"{asked.node} did not say whether it gave the lock of {asked.name} back",
                where=where,
                remedy=f"hactl lock show {asked.name}",
                reason=answer.reason,
            )
        )
    if not answer.released:
        raise Refused(
            NOT_RELEASED(
                f"{asked.node} keeps the run-lock of {asked.name}: {answer.reason}",
                where=where,
                remedy=f"hactl lock show {asked.name}; see docs/runbooks/a-lock-stays.md",
                mode=answer.mode,
            )
        )
    return answer.mode


def _only_holder(seen: Observation, name: str, held: list[Row], uuid: str) -> NodeView | None:
    """The one node that holds a lock; None when none does. A silent node may be it."""
    if len(held) > 1:
        raise Refused(
            SEVERAL_HOLDERS(
                f"{' and '.join(row.node for row in held)} hold locks of {name}",
                where=f"vm {name}",
                remedy=f"hactl lock show {name}; then hactl lock clear {name} --node NODE",
                **{row.node: f"{row.lock.mode} ({row.copy})" for row in held},
            )
        )
    if held:
        return seen.node(held[0].node)
    if unknown := silent(seen):
        raise Refused([_silent(node, name, reason) for node, reason in unknown.items()])
    return None


def _against(holder: NodeView, name: str, uuid: str) -> Iterator[Problem]:
    """What forbids to ask a node: it would refuse too, and this says more."""
    where, facts = f"node {holder.name}", holder.facts
    if isinstance(facts, Unknown):
        if holder.gone:
            yield HOLDER_SILENT(
                f"{holder.name} is out of the cluster; its run-locks went when it left or was fenced",
                where=where,
                remedy=f"hactl lock show {name}",
            )
        else:
            yield _silent(holder.name, name, facts.reason)
        return
    presence = facts.presence_of(uuid)
    if presence == "PRESENT":
        yield COPY_THERE(
            f"{holder.name} has a copy of {name}",
            where=where,
            remedy=f"hactl vm stop {name}, or hactl vm move {name}",
            libvirt=next(
                (f"{d.state} ({d.reason})" for d in facts.domains or () if d.uuid == uuid), "does not list it"
            ),
        )
    elif presence == "UNKNOWN":
        yield NOT_PROVEN(
            f"{holder.name} does not know whether it has a copy of {name}",
            where=where,
            remedy=f"ssh root@{holder.name} systemctl status libvirtd; if it cannot be mended: "
            f"pcs stonith fence {holder.name}",
            libvirt="answers" if facts.libvirt_answers else "does not answer",
        )


def _silent(node: str, name: str, reason: str) -> Problem:
    return HOLDER_SILENT(
        f"{node} does not answer, so it is not known whether it holds the lock of {name}",
        where=f"node {node}",
        remedy=f"pcs stonith fence {node}; see docs/runbooks/a-node-is-dead.md",
        reason=reason,
    )


def listing(seen: Observation) -> dict[str, Any]:
    """The document of `hactl lock list --json`. Format 1; a field is added, never renamed."""
    return {"format": FORMAT, "locks": [_told(row) for row in rows(seen)], "unknown": silent(seen)}


def about(seen: Observation, view: VmView) -> dict[str, Any]:
    """The document of `hactl lock show --json`: the VM's locks, and what each node says of it."""
    unknown = {node: lock.reason for node, lock in view.locks.items() if isinstance(lock, Unknown)}
    return {
        "format": FORMAT,
        "vm": view.name,
        "uuid": view.uuid,
        "state": view.state,
        "locks": [_told(row) for row in rows(seen) if row.uuid == view.uuid],
        "presence": dict(view.presence),
        "unknown": unknown,
    }


def _told(row: Row) -> dict[str, object]:
    return {
        "vm": row.vm or None,
        "uuid": row.uuid,
        "node": row.node,
        "mode": row.lock.mode,
        "meaning": row.meaning,
        "move": row.lock.nonce,
        "target": row.lock.target,
        "since": row.lock.since,
        "presence": row.presence,
        "copy": row.copy,
        "value_block": row.block,
    }

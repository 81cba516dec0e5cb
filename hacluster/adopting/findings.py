"""What stands against bringing a running VM under another agent: every finding at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hacluster.cib import names
from hacluster.cib.simulate import Action
from hacluster.model import Vm
from hacluster.observe import Observation, VmView
from hacluster.ports import Domain, HeldLock, HostFacts
from hacluster.problems import Problem, kind

NOT_THERE = kind(
    "HA290",
    "There is no such running VM to adopt",
    "Adopting changes the agent of a VM that the spec has and the cluster runs. What is stopped needs no care: "
    "`hactl apply` changes its agent.",
)
NOT_ALONE = kind(
    "HA291",
    "It is not proven that the VM runs exactly once",
    "The new agent seals the guest that it finds. Unless every node has said that it has no other copy, the seal could "
    "go to the wrong one.",
)
ANOTHER_IDENTITY = kind(
    "HA292",
    "The running guest is not the one that the spec describes",
    "The guard knows a VM by its uuid and libvirt by its name; both agents must mean the same domain.",
)
NO_GUARD_YET = kind(
    "HA293",
    "The guard does not stand on every node",
    "The lockspace has to run, and the hook to be in its place, before a VM comes under the guard: else its lock could "
    "not be taken, or a second copy not be refused.",
)
NOT_QUIET = kind(
    "HA294",
    "The cluster is not at rest",
    "Adopting needs Pacemaker's undivided attention: a change, a move or a failure at the same time would be mistaken "
    "for its own.",
)
WOULD_ACT = kind(
    "HA295",
    "Pacemaker would do more than leave the VM alone",
    "The scheduler's simulation of the step starts, stops or moves something. The change is made only if it is free.",
)


@dataclass(frozen=True, slots=True)
class Question:
    """One VM to adopt. `view` is None where the cluster does not have it; `under` is the agent that it has now."""

    vm: Vm
    view: VmView | None
    under: str
    marked: bool
    unmanaged: bool


def check(questions: tuple[Question, ...], seen: Observation, wanted: str, idle: bool) -> tuple[Problem, ...]:
    """All findings about these VMs, which are to come under the agent `wanted` (hacluster or heartbeat)."""
    found = [*_cluster(seen, idle)]
    if wanted == "hacluster":
        found += _guard(seen)
    for question in questions:
        found += _vm(question, seen, wanted)
    return tuple(found)


def acts(caused: tuple[Action, ...], when: str) -> tuple[Problem, ...]:
    """That the scheduler would act; nothing if it would not."""
    if not caused:
        return ()
    return (
        WOULD_ACT(
            f"{when}, Pacemaker would: {'; '.join(str(action) for action in caused[:5])}",
            where="cluster",
            remedy="hactl plan shows the whole change; hactl apply takes it as far as it is not the VM's",
        ),
    )


def _cluster(seen: Observation, idle: bool) -> Iterator[Problem]:
    cluster = seen.cluster
    if not cluster.quorum:
        yield NOT_QUIET("this partition has no quorum", where="cluster", remedy="hactl status")
    if cluster.maintenance:
        remedy = "pcs property set maintenance-mode=false"
        yield NOT_QUIET("the cluster is in maintenance mode", where="cluster", remedy=remedy)
    if not idle:
        yield NOT_QUIET("Pacemaker is at work", where="cluster", remedy="hactl status, and wait")
    for claim in seen.claims:
        yield NOT_QUIET(f"{claim.vm} is being moved to {claim.target}", where=f"vm {claim.vm}", remedy="wait for it")
    for node in seen.nodes:
        if node.unclean or node.pending:
            yield NOT_QUIET(f"{node.name} is {node.state}", where=f"node {node.name}", remedy="hactl status")


def _guard(seen: Observation) -> Iterator[Problem]:
    lockspace = next((c for c in seen.clones if c.name == names.clone(names.LOCKSPACE)), None)
    remedy = f"take {names.clone(names.LOCKSPACE)} and what it stands on out of the residue, then: hactl apply"
    if lockspace is None:
        yield NO_GUARD_YET("the cluster has no lockspace of the run-locks", where="cluster", remedy=remedy)
        return
    for node in seen.nodes:
        if not node.online:
            continue
        if lockspace.on.get(node.name) != "started":
            word = lockspace.on.get(node.name, "not there")
            yield NO_GUARD_YET(
                f"the lockspace is {word} on {node.name}", where=f"node {node.name}", remedy="hactl status"
            )
        if isinstance(node.facts, HostFacts) and node.facts.hook_ok is not True:
            yield NO_GUARD_YET(
                f"libvirt's hook is not in its place on {node.name}",
                where=f"node {node.name}",
                remedy=f"hactl node bootstrap {node.name}",
            )


def _vm(question: Question, seen: Observation, wanted: str) -> Iterator[Problem]:
    vm, view = question.vm, question.view
    where = f"vm {vm.name}"
    if vm.agent != wanted:
        remedy = 'remove agent = "heartbeat" from it' if wanted == "hacluster" else 'write agent = "heartbeat" there'
        yield NOT_THERE(f"the spec has {vm.name} under {vm.agent}", where=f"vms.{vm.name}.agent", remedy=remedy)
    if view is None:
        yield NOT_THERE(f"the cluster has no VM {vm.name}", where=where, remedy="hactl apply")
        return
    if question.unmanaged:
        yield NOT_QUIET(f"{vm.name} is unmanaged", where=where, remedy=f"pcs resource manage {vm.name}")
    if view.failed or view.blocked:
        yield NOT_QUIET(f"{vm.name} has failed", where=where, remedy=f"pcs resource cleanup {vm.name}")
    copies = [n.name for n in seen.nodes if isinstance(n.facts, HostFacts) and _has(n.facts, vm) == "PRESENT"]
    silent = [n.name for n in seen.nodes if not n.gone and not _answers(n.facts, vm)]
    if silent:
        yield NOT_ALONE(
            f"{', '.join(silent)} did not say whether {vm.name} runs there", where=where, remedy="hactl status"
        )
    if len(copies) > 1:
        yield NOT_ALONE(f"{vm.name} has copies on {', '.join(copies)}", where=where, remedy="hactl verify")
    if not copies:
        yield NOT_THERE(f"{vm.name} does not run", where=where, remedy="hactl apply changes its agent")
        return
    node = copies[0]
    if view.nodes and node not in view.nodes:
        said = f"{vm.name} is on {node}, and Pacemaker has it on {', '.join(view.nodes)}"
        yield NOT_ALONE(said, where=where, remedy=f"pcs resource refresh {vm.name}")
    yield from _identity(vm, seen, node)


def home(vm: Vm, seen: Observation) -> str | None:
    """The one node that has a copy."""
    copies = [n.name for n in seen.nodes if isinstance(n.facts, HostFacts) and _has(n.facts, vm) == "PRESENT"]
    return copies[0] if len(copies) == 1 else None


def process(vm: Vm, seen: Observation) -> tuple[int, int] | None:
    """The guest's QEMU: its process id and start time, the same for as long as the guest has run."""
    node = next((n for n in seen.nodes if n.name == home(vm, seen)), None)
    if node is None or not isinstance(node.facts, HostFacts):
        return None
    return next(((q.pid, q.start) for q in node.facts.qemus or () if q.uuid == vm.uuid), None)


def sealed(vm: Vm, seen: Observation) -> bool:
    """Whether the node that runs it, and no other, holds its run-lock exclusively."""
    held = {
        node.name: lock.mode
        for node in seen.nodes
        if isinstance(node.facts, HostFacts)
        for lock in node.facts.locks or ()
        if isinstance(lock, HeldLock) and lock.uuid == vm.uuid
    }
    return held == {home(vm, seen): "EX"}


def _has(facts: HostFacts, vm: Vm) -> str:
    return facts.presence_of(vm.uuid, vm.name)


def _answers(facts: object, vm: Vm) -> bool:
    return isinstance(facts, HostFacts) and _has(facts, vm) != "UNKNOWN"


def _identity(vm: Vm, seen: Observation, node: str) -> Iterator[Problem]:
    facts = next(n.facts for n in seen.nodes if n.name == node)
    domains = (facts.domains or ()) if isinstance(facts, HostFacts) else ()
    domain: Domain | None = next((d for d in domains if d.uuid == vm.uuid), None)
    where = f"vm {vm.name}"
    if domain is None:
        yield ANOTHER_IDENTITY(
            f"libvirt on {node} does not know the guest", where=where, remedy="virsh list --all --uuid"
        )
        return
    if domain.name != vm.name:
        yield ANOTHER_IDENTITY(
            f"the guest is called {domain.name} in libvirt, and the resource {vm.name}",
            where=where,
            remedy="a running guest cannot be renamed: give both one name the next time it is stopped",
        )
    if domain.state not in ("running", "paused", "idle", "in shutdown"):
        yield NOT_THERE(f"the guest is {domain.state}", where=where, remedy=f"hactl vm show {vm.name}")

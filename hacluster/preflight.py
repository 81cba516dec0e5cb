"""What must be true before a VM is moved: every finding at once, before anything is changed. Pure.

Each check is a small function over the same `Question`; it yields Problems and never stops at the first. Unknown facts
are findings too: a move starts from proof, not from hope.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from hacluster.cib.managed import ManagedVm
from hacluster.claim import Claim
from hacluster.move import mode_on, sealed_at, state_on, whereabouts
from hacluster.ports import HostFacts, Unknown
from hacluster.problems import Problem, kind

UNKNOWN_VM = kind("HA401", "No such VM", "The cluster manages no VM of that name with the guarded agent.")
UNKNOWN_NODE = kind("HA402", "No such node", "The cluster has no node of that name.")
NOT_RUNNING = kind(
    "HA403", "The VM does not run", "Only a running VM can be moved live. A stopped one is just started."
)
TWO_COPIES = kind(
    "HA404",
    "More than one node reports a copy of the VM",
    "Either a migration is in flight, or the promise is broken. Nothing may be moved before it is known which.",
)
NOT_SEALED = kind(
    "HA405",
    "The VM runs without its run-lock",
    "The node that runs it does not hold its lock exclusively, so nothing would keep a second copy out during a move.",
)
ALREADY_THERE = kind("HA406", "The VM already runs there", "There is nothing to move.")
NODE_NOT_READY = kind(
    "HA407",
    "The node cannot take VMs",
    "Pacemaker starts nothing on a node that is offline, in standby or in maintenance.",
)
NODE_SILENT = kind(
    "HA408",
    "A node does not say what it runs",
    "Each node must answer before a move: one that does not may run the VM as well, until it is fenced.",
)
NO_QUORUM = kind("HA409", "The cluster has no quorum", "A minority must not move VMs: the other side may do so too.")
NO_FENCING = kind(
    "HA410",
    "A node of the move cannot be fenced",
    "If the source or the target fails during the move, only fencing can tell that its copy is gone.",
)
MOVE_UNDER_WAY = kind(
    "HA411", "The VM is already being moved", "A VM has one claim; the second operator is told whose."
)
FOREIGN_CONSTRAINT = kind(
    "HA412",
    "A leftover constraint decides where the VM runs",
    "`pcs resource move` and `ban` leave cli-prefer and cli-ban constraints. They would fight with the move, or "
    "move the VM again at the next failure.",
)
NOT_LIVE = kind(
    "HA413",
    "The VM is not moved so",
    "Its spec says that it is moved cold only (migration.mode), or not at all, as a VM is that belongs to its host.",
)
STORAGE_DOWN = kind("HA414", "The VM's storage is not up on the target", "The VM's disks are not there.")
NO_BRIDGE = kind("HA415", "The target lacks a bridge of the VM", "QEMU cannot attach the VM's network card there.")
NO_MEMORY = kind(
    "HA416", "The target has too little free memory", "The guest would push the host into swap, or be killed by it."
)
NO_DEFINITION = kind(
    "HA417",
    "The target lacks the VM's domain XML",
    "After the move the VM could not be started again on that node. `hactl apply` distributes the file.",
)
NO_GUARD = kind(
    "HA418",
    "The guard is not in place on a node of the move",
    "The hook is missing or changed, libvirt does not answer, or the two nodes have different guard versions: the "
    "value that opens the gate could be misread.",
)
HOST_DEVICE = kind("HA419", "The VM holds a device of its host", "A passed-through device cannot be migrated.")
CPU = kind("HA420", "The target's CPU cannot run the guest", "libvirt compared the guest's CPU with the target's.")
NOT_MANAGED = kind(
    "HA421",
    "Pacemaker does not act on the VM",
    "It is unmanaged, in maintenance, or blocked after a failed operation. Pacemaker would ignore the move.",
)
NO_TARGET = kind(
    "HA422", "No node can take the VM", "The cluster has no other node than the ones where the VM already has a copy."
)

# Left free on the target, so that the host itself goes on breathing; bytes.
HOST_RESERVE = 64 << 20


@dataclass(frozen=True, slots=True)
class Question:
    """All that the checks look at. `domain` is the domain XML that the VM was started from, None when unread.

    `nodes` gives each node's Pacemaker state in a word (online, standby, maintenance, OFFLINE, UNCLEAN, pending);
    `cpu` is libvirt's answer (identical, superset, incompatible), None when the guest's CPU is not compared;
    `fenceable` are the nodes that a working fence device targets; `up_on_target` the resources active there.
    `mover` says whether the hactl that made the claim still runs (see under_way). `cold` asks for a stop and a start:
    then `domain` is what the target would start, and nothing need be fit for a migration.
    """

    vm: ManagedVm
    source: str | None
    target: str
    nodes: Mapping[str, str]
    quorate: bool | None
    managed: bool
    facts: Mapping[str, HostFacts | Unknown]
    claim: Claim | None
    constraints: tuple[str, ...]
    fenceable: frozenset[str]
    needs: tuple[str, ...]
    up_on_target: frozenset[str]
    domain: etree._Element | None
    cpu: str | Unknown | None = None
    progress: str = ""
    mover: str = ""
    now: float = 0.0
    cold: bool = False
    gone: frozenset[str] = frozenset()


def check(asked: Question) -> tuple[Problem, ...]:
    """Every finding that forbids this move, in the order in which an operator would mend them."""
    return tuple(problem for look in _CHECKS for problem in look(asked))


def nearest(name: str, known: list[str], otherwise: str) -> str:
    """A remedy that names the nearest known name, or says how to list them."""
    folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), folded, 1)
    return f"did you mean {folded[near[0]]}? {otherwise} shows all" if near else otherwise


def _claim(q: Question) -> Iterator[Problem]:
    if q.claim is not None:
        yield under_way(q.claim, q.now, q.progress, q.mover)


def under_way(claim: Claim, now: float, progress: str, mover: str) -> Problem:
    """That a VM is being moved, by whom, since when (`now` is epoch seconds) and how far; and what is open to others.

    `mover` says whether the owner's hactl still runs: alive, gone or not known.
    """
    since = max(0, int(now) - claim.since) if claim.since else None
    back, cold = claim.how == "back", " cold" if claim.how == "cold" else ""
    what = f"being taken back to {claim.target}" if back else f"being moved{cold} to {claim.target}"
    take_over = f"hactl vm move {claim.vm} --resume"
    wait = "take it over" if mover == "gone" else "wait, or if its owner is gone take it over"
    return MOVE_UNDER_WAY(
        f"{claim.vm} is already {what}",
        where=f"vm {claim.vm}",
        remedy=f"{wait}: {take_over}" + ("" if back else f"; to end it: hactl vm move {claim.vm} --abort"),
        by=claim.owner or "unknown",
        pid=f"{claim.pid or 'unknown'} ({mover or 'not known'})",
        began="unknown" if since is None else f"{since} s ago",
        progress=progress or "not known",
    )


def _where(q: Question) -> Iterator[Problem]:
    copies, unknown = whereabouts(q.facts, q.vm.uuid, q.gone)
    for node in unknown:
        told = q.facts[node]
        why = told.reason if isinstance(told, Unknown) else "its probe could not tell"
        yield NODE_SILENT(
            f"{node} does not say whether it runs {q.vm.name}",
            where=f"node {node}",
            remedy=f"ssh root@{node} true; hactl status; see docs/runbooks/a-node-is-dead.md",
            reason=why,
        )
    if q.claim is not None and set(copies) <= {q.claim.source, q.claim.target}:
        return  # the ends of the move that has been reported; what their locks are is its affair
    if len(copies) > 1:
        yield TWO_COPIES(
            f"{q.vm.name} has a copy on {' and '.join(copies)}",
            where=f"vm {q.vm.name}",
            remedy=f"hactl vm show {q.vm.name}",
            locks=", ".join(f"{n}: {mode_on(q.facts, n, q.vm.uuid)}" for n in copies),
        )
    elif not copies and not unknown:
        yield NOT_RUNNING(f"{q.vm.name} runs nowhere", where=f"vm {q.vm.name}", remedy=f"hactl vm start {q.vm.name}")
    elif copies == (q.target,):
        yield ALREADY_THERE(f"{q.vm.name} already runs on {q.target}", where=f"vm {q.vm.name}", remedy="hactl status")
    elif q.source is not None and copies == (q.source,):
        state = state_on(q.facts, q.source, q.vm.uuid)
        if not sealed_at(q.facts, q.source, q.vm.uuid):
            yield NOT_SEALED(
                f"{q.source} runs {q.vm.name} without holding its run-lock exclusively",
                where=f"vm {q.vm.name}",
                remedy=f"hactl lock show {q.vm.name}",
                lock=mode_on(q.facts, q.source, q.vm.uuid),
            )
        if state not in (None, "running"):
            yield NOT_RUNNING(
                f"{q.vm.name} is {state} on {q.source}",
                where=f"vm {q.vm.name}",
                remedy=f"find out why (virsh -c qemu:///system domstate --reason {q.vm.name}), then resume it there",
            )


def _cluster(q: Question) -> Iterator[Problem]:
    if q.quorate is not True:
        yield NO_QUORUM(
            "the cluster has no quorum" if q.quorate is False else "it is not known whether the cluster has quorum",
            where="cluster",
            remedy="hactl status",
        )
    for node in filter(None, (q.source, q.target)):
        word = q.nodes.get(node, "unknown")
        # A source in standby or maintenance may well be emptied; a target must be wide awake.
        if word != "online" and (node == q.target or word not in ("standby",)):
            yield NODE_NOT_READY(
                f"{node} is {word}", where=f"node {node}", remedy=_WAKE.get(word, "hactl status").format(node)
            )
        if node not in q.fenceable:
            yield NO_FENCING(
                f"no working fence device can fence {node}",
                where=f"node {node}",
                remedy="pcs stonith status; hactl status",
            )
    if not q.managed:
        yield NOT_MANAGED(
            f"Pacemaker does not act on {q.vm.name}: it is unmanaged, blocked or in maintenance",
            where=f"vm {q.vm.name}",
            remedy=f"pcs resource manage {q.vm.name}; if an operation failed: hactl vm cleanup {q.vm.name}",
        )
    for ident in q.constraints:
        yield FOREIGN_CONSTRAINT(
            f"the constraint {ident} holds {q.vm.name}",
            where=f"constraint {ident}",
            remedy=f"pcs resource clear {q.vm.name}",
        )
    if not q.vm.moves:
        yield NOT_LIVE(
            f"{q.vm.name} is not moved at all, as its spec says",
            where=f"vm {q.vm.name}",
            remedy=f'set vms.{q.vm.name}.migration.mode = "cold" (or "live") in the spec, then: hactl apply',
        )
    elif not q.vm.moves_live and not q.cold:
        yield NOT_LIVE(
            f"{q.vm.name} is not moved live (allow-migrate is not true)",
            where=f"vm {q.vm.name}",
            remedy=f"to shut it down and start it there: hactl vm move {q.vm.name} {q.target} --cold; for live moves "
            f'set vms.{q.vm.name}.migration.mode = "live" in the spec, then: hactl apply',
        )


def _target(q: Question) -> Iterator[Problem]:
    for need in q.needs:
        if need not in q.up_on_target:
            yield STORAGE_DOWN(
                f"{need} is not active on {q.target}",
                where=f"node {q.target}",
                remedy=f"hactl status, which says why; when that is mended: pcs resource cleanup {need}",
            )
    told = q.facts.get(q.target)
    if not isinstance(told, HostFacts):
        return
    if told.domain_files is not None and q.vm.config.rpartition("/")[2] not in told.domain_files:
        yield NO_DEFINITION(f"{q.target} has no {q.vm.config}", where=f"node {q.target}", remedy="hactl apply")
    yield from _guard(q, told)
    if q.domain is not None:
        yield from _domain(q, q.domain, told)
    if q.cpu == "incompatible" or isinstance(q.cpu, Unknown):
        yield CPU(
            f"{q.target} cannot run {q.vm.name}'s CPU"
            if q.cpu == "incompatible"
            else f"it is not known whether {q.target} can run {q.vm.name}'s CPU",
            where=f"node {q.target}",
            remedy="choose a CPU model that all nodes have (virsh hypervisor-cpu-baseline)"
            if q.cpu == "incompatible"
            else f"see why its libvirt does not answer: ssh root@{q.target} virsh -c qemu:///system version",
            answer=q.cpu.reason if isinstance(q.cpu, Unknown) else q.cpu,
        )


def _guard(q: Question, told: HostFacts) -> Iterator[Problem]:
    home = q.facts.get(q.source or "")
    for node, facts in ((q.target, told),) if q.cold else ((q.source or "", home), (q.target, told)):
        if isinstance(facts, HostFacts) and not (facts.hook_ok and facts.libvirt_answers):
            yield NO_GUARD(
                f"the guard is not in place on {node}",
                where=f"node {node}",
                remedy=f"hactl node bootstrap {node}",
                hook={True: "in place", False: "missing or changed", None: "not known"}[facts.hook_ok],
                libvirt="answers" if facts.libvirt_answers else "does not answer",
            )
    if told.leases is not None and told.leases.problem:
        yield NO_GUARD(
            f"{q.target} receives no VM: {told.leases.problem.partition(';')[0]}",
            where=f"node {q.target}",
            remedy=f"on {q.target}: systemctl restart libvirtd (guests run on); if that does not help: hactl status",
        )
    if isinstance(home, HostFacts) and not q.cold and home.guard_version != told.guard_version:
        yield NO_GUARD(
            f"{q.source} has guard version {home.guard_version}, {q.target} has {told.guard_version}",
            where=f"node {q.target}",
            remedy=f"hactl node bootstrap {q.target}",
        )


def _domain(q: Question, domain: etree._Element, told: HostFacts) -> Iterator[Problem]:
    if told.bridges is not None:
        wanted = {source.get("bridge") for source in domain.iterfind("./devices/interface/source")} - {None}
        for bridge in sorted(wanted - set(told.bridges)):
            yield NO_BRIDGE(
                f"{q.target} has no bridge {bridge}, which {q.vm.name} is attached to",
                where=f"node {q.target}",
                remedy=f"create the bridge on {q.target}, or choose another node: hactl vm move {q.vm.name}",
                bridges=", ".join(told.bridges) or "none",
            )
    need = memory_of(domain) + HOST_RESERVE
    if told.mem_available is not None and told.mem_available < need:
        yield NO_MEMORY(
            f"{q.target} has {told.mem_available >> 20} MiB free, {q.vm.name} needs {need >> 20} MiB",
            where=f"node {q.target}",
            remedy=f"choose another node: hactl vm move {q.vm.name}",
            guest=f"{memory_of(domain) >> 20} MiB",
            reserved_for_the_host=f"{HOST_RESERVE >> 20} MiB",
        )
    if domain.find("./devices/hostdev") is not None and not q.cold:
        yield HOST_DEVICE(
            f"{q.vm.name} has a host device passed through",
            where=f"vm {q.vm.name}",
            remedy=f"take the device out of the VM, or move it cold: hactl vm move {q.vm.name} {q.target} --cold",
        )


def memory_of(domain: etree._Element) -> int:
    """A domain's memory in bytes, from its XML (libvirt's default unit is KiB)."""
    memory = domain.find("./memory")
    if memory is None:
        return 0
    unit = _UNITS.get(memory.get("unit", "KiB"), 1 << 10)
    return int(memory.text or 0) * unit


_WAKE = {
    "standby": "pcs node unstandby {}",
    "maintenance": "pcs node unmaintenance {}",
    "OFFLINE": "pcs cluster start {}",
    "pending": "wait until it has joined: hactl status",
}
_UNITS = {
    "b": 1, "bytes": 1, "KB": 10**3, "k": 1 << 10, "KiB": 1 << 10, "MB": 10**6, "M": 1 << 20, "MiB": 1 << 20,
    "GB": 10**9, "G": 1 << 30, "GiB": 1 << 30, "TB": 10**12, "T": 1 << 40, "TiB": 1 << 40,
}  # fmt: skip
_CHECKS = (_claim, _where, _cluster, _target)

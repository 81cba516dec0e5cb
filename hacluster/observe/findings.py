"""What is wrong with a cluster as it was seen: each finding a Problem with the next command. Pure.

An error is a state that can hurt a guest or has done so, and makes `hactl status` exit with 1; a warning is something
an admin should know and can leave for tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import normpath

from hacluster.cib.names import DOMAIN_DIRECTORY
from hacluster.observe import state
from hacluster.observe.views import NodeView, Observation, VmView
from hacluster.ports import Domain, HeldLock, HostFacts, Unknown
from hacluster.problems import Problem, kind

RUNS_TWICE = kind(
    "HA301",
    "A VM runs twice",
    "Two QEMUs with one UUID can execute at the same time and write to the same disks. Stop one at once, then look at "
    "the disk before you trust it.",
)
SECOND_COPY = kind(
    "HA302",
    "A second, halted copy of a VM exists",
    "It does not execute, but it has the disks open, and one `virsh resume` makes it run.",
)
NO_LOCK = kind(
    "HA303",
    "A VM runs without its run-lock",
    "Nothing but fencing keeps a second copy from starting on another node.",
)
UNKNOWN_STATE = kind(
    "HA304",
    "It is not known whether a VM runs",
    "A node that may run it does not answer. Until it is fenced, or answers, the VM counts as running there.",
)
LEFTOVER_CLAIM = kind(
    "HA305",
    "A move's claim was left behind",
    "The hactl that made it ended before the move did. The VM stays bound to the claim's target until it is removed.",
    severity="warning",
)
NODE_UNCLEAN = kind(
    "HA306",
    "A node waits to be fenced",
    "Pacemaker does not know what the node does. Its VMs are started elsewhere only after it has been fenced.",
)
NODE_DOWN = kind("HA307", "A node is offline", "It left in order, or it was fenced.", severity="warning")
NODE_SILENT = kind(
    "HA308",
    "A node does not say what it runs",
    "Its probe did not answer over ssh, so its libvirt and its locks are unknown to hactl; Pacemaker may still see it.",
    severity="warning",
)
NO_QUORUM = kind("HA309", "The cluster has no quorum", "A partition without quorum starts and moves nothing.")
NO_FENCING = kind(
    "HA310",
    "Fencing is off",
    "With stonith-enabled=false Pacemaker starts a VM elsewhere while its old node may still run it.",
)
FENCE_DEVICE_DOWN = kind(
    "HA311",
    "A fence device does not run",
    "Its monitor failed or it was never started: the node it stands for may not be fenced when that is needed.",
)
MAINTENANCE = kind(
    "HA312", "The cluster is in maintenance mode", "Pacemaker starts, stops and recovers nothing.", severity="warning"
)
FAILED_OPERATION = kind(
    "HA313",
    "An operation failed",
    "Pacemaker keeps the failure on record until it is cleaned up, and may keep the resource off that node.",
    severity="warning",
)
VM_BLOCKED = kind(
    "HA314",
    "A VM is blocked",
    "Pacemaker does nothing with it, not even recovery, until the recorded failure is cleared.",
)
VM_NOT_RUNNING = kind(
    "HA315",
    "A VM does not run, though it should",
    "Pacemaker was told to run it and it does not, or it runs elsewhere than Pacemaker believes.",
)
FILE_MISSING = kind(
    "HA316",
    "A node lacks a VM's domain XML",
    "The VM cannot be started there. `hactl apply` distributes the files.",
    severity="warning",
)
HOOK_MISSING = kind(
    "HA317",
    "The libvirt hook is not in place on a node",
    "Without it `virsh start` on that node is not held to the run-lock.",
)
LIBVIRT_DOWN = kind("HA318", "libvirt does not answer on a node", "No VM can be started or moved there.")
DEFINED_TWICE = kind(
    "HA319",
    "A managed VM is also defined in libvirt",
    "Pacemaker's domains are transient. A persistent definition lets libvirt's autostart, or a hand, start it.",
    severity="warning",
)
FOREIGN_MOVE = kind(
    "HA320",
    "A constraint of `pcs resource move` or ban is left",
    "It goes on deciding where the resource runs, until it is cleared.",
    severity="warning",
)
CLONE_FAILED = kind("HA321", "A cloned resource failed on a node", "VMs that stand on it cannot run on that node.")
CLONE_STOPPED = kind(
    "HA322",
    "A cloned resource does not run on a node",
    "The node is online and could run it; VMs that stand on it cannot run there.",
    severity="warning",
)


_CLAIM_GRACE = 60.0


def judge(seen: Observation, now: float | None) -> tuple[Problem, ...]:
    """All findings, the cluster's first, then nodes, fencing, clones and VMs. `now` is epoch seconds, if known."""
    found: list[Problem] = [*_cluster(seen)]
    for node in seen.nodes:
        found += _node(node, seen)
    found += _fencing(seen)
    found += _clones(seen)
    for vm in seen.vms:
        found += _vm(vm, now)
    found += _records(seen)
    return tuple(found)


def _cluster(seen: Observation) -> Iterator[Problem]:
    if not seen.cluster.quorum:
        yield NO_QUORUM("this partition has no quorum", where="cluster", remedy="corosync-quorumtool -s")
    if not seen.cluster.stonith:
        yield NO_FENCING("stonith-enabled is false", where="cluster", remedy="pcs property set stonith-enabled=true")
    if seen.cluster.maintenance:
        yield MAINTENANCE("maintenance-mode is set", where="cluster", remedy="pcs property set maintenance-mode=false")


def _node(node: NodeView, seen: Observation) -> Iterator[Problem]:
    where = f"node {node.name}"
    if node.unclean:
        yield NODE_UNCLEAN(
            f"{node.name} is UNCLEAN: it has to be fenced first",
            where=where,
            remedy=f"pcs stonith history show {node.name}",
        )
    elif not node.online and not node.pending:
        yield NODE_DOWN(f"{node.name} is offline", where=where, remedy=f"pcs cluster start {node.name}")
    if isinstance(node.facts, Unknown):
        if node.online:
            yield NODE_SILENT(node.facts.reason, where=where, remedy=f"ssh root@{node.name} true")
        return
    if node.facts.hook_ok is False:
        yield HOOK_MISSING(
            f"{node.name}'s libvirt hook is missing, not executable, or not ours",
            where=where,
            remedy=f"hactl node bootstrap {node.name}",
        )
    if not node.facts.libvirt_answers:
        yield LIBVIRT_DOWN(
            f"libvirt on {node.name} does not answer",
            where=where,
            remedy=f"ssh root@{node.name} systemctl status libvirtd",
        )
    managed = {vm.uuid: vm.name for vm in seen.vms if vm.uuid}
    for domain in node.facts.domains or ():
        if domain.persistent and domain.uuid in managed:
            yield DEFINED_TWICE(
                f"{domain.name} is defined in libvirt on {node.name}"
                + (" and starts with it" if domain.autostart else ""),
                where=f"vm {managed[domain.uuid]}",
                remedy=f"ssh root@{node.name} virsh undefine {domain.name}",
            )
    yield from _files(node, node.facts, seen)


def _files(node: NodeView, facts: HostFacts, seen: Observation) -> Iterator[Problem]:
    if facts.domain_files is None or not node.online:
        return
    # Where heartbeat's agent was given a file of the admin's own, the probe does not look.
    ours = f"{DOMAIN_DIRECTORY}/"
    wanted = {vm.name: normpath(vm.config) for vm in seen.vms if vm.config.startswith(ours)}
    there = {normpath(ours + name) for name in facts.domain_files}
    missing = [name for name, path in wanted.items() if path not in there]
    if missing:
        yield FILE_MISSING(
            f"{node.name} lacks the domain XML of {', '.join(missing)}", where=f"node {node.name}", remedy="hactl apply"
        )


def _fencing(seen: Observation) -> Iterator[Problem]:
    for device in seen.fencing:
        if device.wanted and (device.failed or not device.running_on) and any(node.online for node in seen.nodes):
            yield FENCE_DEVICE_DOWN(
                f"{device.name} {'failed' if device.failed else 'does not run'}",
                where=f"fencing {device.name}",
                remedy=f"pcs stonith cleanup {device.name}",
                fences=", ".join(device.targets) or "what its agent reports",
            )


def _clones(seen: Observation) -> Iterator[Problem]:
    for clone in seen.clones:
        for node, word in clone.on.items():
            if word in ("failed", "blocked"):
                yield CLONE_FAILED(
                    f"{clone.name} is {word} on {node}", where=clone.name, remedy=f"pcs resource cleanup {clone.name}"
                )
        idle = [node.name for node in seen.nodes if node.state == "online" and clone.on.get(node.name) == "stopped"]
        if idle:
            yield CLONE_STOPPED(
                f"{clone.name} does not run on {', '.join(idle)}",
                where=clone.name,
                remedy=f"pcs resource cleanup {clone.name}",
            )


def _vm(vm: VmView, now: float | None) -> Iterator[Problem]:
    where = f"vm {vm.name}"
    if vm.state.startswith(state.TWICE):
        yield RUNS_TWICE(
            f"{vm.name} runs on {' and '.join(vm.copies)} at the same time",
            where=where,
            remedy=f"on the node that must give way: virsh destroy {vm.name}",
            locks=vm.lock,
            pacemaker=", ".join(vm.nodes) or "nowhere",
        )
        return
    if vm.state.startswith(state.TWO_COPIES):
        yield SECOND_COPY(
            f"{vm.name} has copies on {' and '.join(vm.copies)}, and no move explains it",
            where=where,
            remedy=f"hactl lock show {vm.name}",
            locks=vm.lock,
        )
    if state.UNKNOWN in vm.state:
        yield UNKNOWN_STATE(
            f"it is not known whether {vm.name} runs",
            where=where,
            remedy=f"hactl vm show {vm.name}; see docs/runbooks/a-node-is-dead.md",
            silent=", ".join(vm.unknown) or "libvirt",
            pacemaker=f"{vm.role} {', '.join(vm.nodes)}".strip(),
        )
    if vm.blocked:
        yield VM_BLOCKED(
            f"Pacemaker has blocked {vm.name}", where=where, remedy=f"hactl vm cleanup {vm.name}", state=vm.state
        )
    yield from _lock(vm)
    yield from _belief(vm)
    yield from _claim(vm, now)


def _claim(vm: VmView, now: float | None) -> Iterator[Problem]:
    # A claim is older than its migration by a moment, and younger than the claim's own end by another.
    if vm.claim is None or now is None or vm.state.startswith("moving") or now - vm.claim.since <= _CLAIM_GRACE:
        return
    stays = "" if vm.wanted else f", and {vm.name} stays stopped until somebody goes on with it"
    yield LEFTOVER_CLAIM(
        f"the claim of a move to {vm.claim.target} is still there{stays}",
        where=f"vm {vm.name}",
        remedy=f"hactl vm move {vm.name} --resume; or end it: hactl vm move {vm.name} --abort",
        owner=vm.claim.owner or "unknown",
        age=f"{int(now - vm.claim.since)} s" if vm.claim.since else "unknown",
    )


def _lock(vm: VmView) -> Iterator[Problem]:
    """A running, guarded VM that does not move holds EX on its node."""
    if vm.agent != "hacluster" or vm.node is None or vm.state.startswith(("moving", "stopping")):
        return
    held = vm.locks.get(vm.node)
    if held is None or (isinstance(held, HeldLock) and held.mode != "EX"):
        yield NO_LOCK(
            f"{vm.name} runs on {vm.node} without being sealed there",
            where=f"vm {vm.name}",
            remedy=f"hactl lock show {vm.name}",
            lock=vm.lock,
        )


def _belief(vm: VmView) -> Iterator[Problem]:
    settled = not vm.pending and not vm.blocked and state.UNKNOWN not in vm.state
    if not settled or vm.state.startswith(("moving", "starting", "stopping")):
        return
    if vm.node is not None and vm.node not in vm.nodes:
        yield VM_NOT_RUNNING(
            f"{vm.name} is on {vm.node}, but Pacemaker believes it is on {', '.join(vm.nodes) or 'no node'}",
            where=f"vm {vm.name}",
            remedy=f"crm_resource --refresh --resource {vm.name}",
        )
    elif vm.node is None and vm.wanted and not vm.copies:
        yield VM_NOT_RUNNING(
            f"{vm.name} should run and is {vm.state}", where=f"vm {vm.name}", remedy=f"hactl vm show {vm.name}"
        )
    elif vm.node is not None and isinstance(known := vm.domains.get(vm.node), Domain) and known.state != "running":
        yield VM_NOT_RUNNING(
            f"{vm.name} is {known.state} on {vm.node}",
            where=f"vm {vm.name}",
            remedy=f"on {vm.node}: virsh domstate --reason {vm.name}",
            reason=known.reason,
        )


def _records(seen: Observation) -> Iterator[Problem]:
    for failure in seen.failures:
        yield FAILED_OPERATION(
            f"{failure.operation} of {failure.resource} failed on {failure.node}: {failure.reason or failure.code}",
            where=failure.resource,
            remedy=f"hactl vm cleanup {failure.resource}"
            if seen.vm(failure.resource)
            else f"pcs resource cleanup {failure.resource}",
            at=failure.at or "unknown",
        )
    for ident in seen.foreign_moves:
        yield FOREIGN_MOVE(f"the constraint {ident} is left", where=ident, remedy=f"pcs constraint delete {ident}")

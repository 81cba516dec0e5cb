"""An Observation as the JSON that `hactl status --json` prints. Format 1; a field is added, never renamed. Pure."""

from __future__ import annotations

from typing import Any

from hacluster.observe.views import NodeView, Observation, VmView
from hacluster.ports import Domain, HeldLock, HostFacts, LeaseFacts, Unknown

FORMAT = 1


def document(seen: Observation) -> dict[str, Any]:
    """The whole document. What is not known is null, with the reason beside it where there is one."""
    cluster = seen.cluster
    return {
        "format": FORMAT,
        "cluster": {
            "name": cluster.name,
            "epoch": cluster.version[1],
            "quorum": cluster.quorum,
            "dc": cluster.dc,
            "maintenance": cluster.maintenance,
            "fencing_enabled": cluster.stonith,
        },
        "nodes": [_node(node) for node in seen.nodes],
        "fencing_proven": [
            {"node": each.node, "standing": each.word, "at": None if each.proof is None else each.proof.at}
            for each in seen.proven
        ],
        "fencing": [
            {"name": d.name, "agent": d.agent, "targets": list(d.targets), "on": list(d.running_on), "failed": d.failed}
            for d in seen.fencing
        ],
        "clones": [{"name": c.name, "agent": c.agent, "on": dict(c.on)} for c in seen.clones],
        "vms": [_vm(vm) for vm in seen.vms],
        "others": dict(seen.others),
        "problems": [problem.as_json() for problem in seen.problems],
    }


def _node(node: NodeView) -> dict[str, object]:
    facts = node.facts
    told: dict[str, object] = {
        "name": node.name,
        "state": node.state,
        "online": node.online,
        "unclean": node.unclean,
        "guard": node.guard,
        "answers": isinstance(facts, HostFacts),
    }
    if isinstance(facts, Unknown):
        return {**told, "reason": facts.reason}
    return {
        **told,
        "boot_id": facts.boot_id,
        "hook": facts.hook_ok,
        "libvirt": facts.libvirt_answers,
        "memory_total": facts.mem_total,
        "memory_available": facts.mem_available,
        "leases": None if facts.leases is None else _leases(facts.leases),
    }


def _leases(leases: LeaseFacts) -> dict[str, object]:
    return {
        "directory": leases.directory or None,
        "problem": leases.problem or None,
        "bare": {uuid: list(disks) for uuid, disks in leases.bare.items()},
        "left": list(leases.left),
    }


def _vm(vm: VmView) -> dict[str, object]:
    return {
        "name": vm.name,
        "uuid": vm.uuid,
        "agent": vm.agent,
        "state": vm.state,
        "node": vm.node,
        "wanted": vm.wanted,
        "copies": list(vm.copies),
        "unknown": list(vm.unknown),
        "pacemaker": {
            "role": vm.role,
            "nodes": list(vm.nodes),
            "pending": vm.pending or None,
            "failed": vm.failed,
            "blocked": vm.blocked,
        },
        "libvirt": {node: _domain(domain) for node, domain in vm.domains.items()},
        "locks": {node: _lock(lock) for node, lock in vm.locks.items()},
        "console": dict(vm.consoles),
        "claim": None
        if vm.claim is None
        else {
            "target": vm.claim.target,
            "source": vm.claim.source,
            "owner": vm.claim.owner,
            "since": vm.claim.since,
        },
    }


def _domain(domain: Domain | Unknown | None) -> dict[str, object] | None:
    if domain is None:
        return None
    if isinstance(domain, Unknown):
        return {"state": None, "unknown": domain.reason}
    return {"state": domain.state, "reason": domain.reason, "job": dict(domain.job) if domain.job else None}


def _lock(lock: HeldLock | Unknown | None) -> dict[str, object] | None:
    if lock is None:
        return None
    if isinstance(lock, Unknown):
        return {"mode": None, "unknown": lock.reason}
    return {"mode": lock.mode, "target": lock.target, "since": lock.since}

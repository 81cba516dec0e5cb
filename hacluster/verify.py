"""The audit of the running cluster: look at everything, ask each node what else it knows, and say what is wrong.

What could be a moment of a start or a move is looked at twice before it is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hacluster import fencing_proof, rehearsal
from hacluster.cib import managed
from hacluster.observe import Observation, audit, document
from hacluster.observe.barriers import Audits, Barriers, barriers, unfenceable
from hacluster.observe.findings import LEFTOVER_CLAIM
from hacluster.ports import HostAudit, World
from hacluster.problems import Problem
from hacluster.rehearsal import Looked

FORMAT = 1
SECOND_LOOK = 1.5
"""Seconds until what may have been a moment of a start or a move is looked at again."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was seen, each node's audit, each VM's barriers, and every finding. `barriers` are by VM name."""

    seen: Observation
    audits: Audits
    barriers: Mapping[str, Barriers]
    problems: tuple[Problem, ...]


def verify(world: World) -> Verified:
    """The audit. Raises Refused when no cluster answers; a node that does not answer is a finding."""
    found = _once(world)
    if any(problem.code in audit.TRANSIENT for problem in found.problems):
        world.clock.sleep(SECOND_LOOK)
        found = _once(world)
    return found


def _once(world: World) -> Verified:
    looked = rehearsal.look(world)
    seen = looked.seen
    audits = world.hosts.audit([node.name for node in seen.nodes if not node.gone])
    configured = {vm.name: vm for vm in managed.vms(looked.cib)}
    stand = {vm.name: barriers(vm, configured.get(vm.name), seen, audits) for vm in seen.vms}
    subject = audit.Subject(seen, configured, audits, stand, unfenceable(seen))
    found = (*seen.problems, *_abandoned(world, looked), *_unproven(looked), *audit.judge(subject))
    return Verified(seen, audits, stand, found)


def _unproven(looked: Looked) -> tuple[Problem, ...]:
    """Nodes under VMs whose fencing nobody has proven, unless the spec waives that. A lie is found already."""
    if not looked.seen.vms or fencing_proof.waived(looked.cib):
        return ()
    return fencing_proof.risks((each for each in looked.seen.proven if each.word != "lied"), waived=False)


def _abandoned(world: World, looked: Looked) -> Iterator[Problem]:
    """Claims whose hactl is gone. Those that are merely old have been found already."""
    said = {problem.where for problem in looked.seen.problems if problem.code == LEFTOVER_CLAIM.code}
    for claim in looked.seen.claims:
        if f"vm {claim.vm}" not in said and rehearsal.mover(world, looked, claim) == "gone":
            yield LEFTOVER_CLAIM(
                f"the hactl that moves {claim.vm} to {claim.target} is gone",
                where=f"vm {claim.vm}",
                remedy=f"hactl vm move {claim.vm} --resume",
                owner=claim.owner or "unknown",
                pid=claim.pid or "unknown",
            )


def to_json(found: Verified) -> dict[str, Any]:
    """The document of `hactl verify --json`. Format 1; a field is added, never renamed."""
    told = document(found.seen)
    return {
        "format": FORMAT,
        "cluster": told["cluster"],
        "nodes": [{**node, "audit": _audit(found.audits.get(node["name"]))} for node in told["nodes"]],
        "vms": [{**vm, "barriers": _barriers(found.barriers[vm["name"]])} for vm in told["vms"]],
        "problems": [problem.as_json() for problem in found.problems],
    }


def _audit(told: object) -> dict[str, object] | None:
    if not isinstance(told, HostAudit):
        return None
    return {
        "pacemaker": told.pacemaker,
        "code": told.code,
        "libvirt_guests": told.guests_service,
        "definitions": None
        if told.definitions is None
        else [{"name": d.name, "uuid": d.uuid, "autostart": d.autostart} for d in told.definitions],
    }


def _barriers(stands: Barriers) -> dict[str, object]:
    """What stands under a VM; null is "not known"."""
    return {
        "fencing": stands.fencing and not stands.unfenceable,
        "run_lock": stands.run_lock,
        "image_lock": None if stands.image_lock == "unknown" else stands.image_lock,
        "lease": None if stands.lease == "unknown" else stands.lease,
        "handover": stands.handover,
        "storage": list(stands.storage),
    }

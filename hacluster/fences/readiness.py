"""May this node be fenced now, for a test? Nothing may be on it, the others able to spare it, and its devices provable.

Pure: each function finds what speaks against it in what was seen.
"""

from __future__ import annotations

from collections.abc import Iterator

from hacluster import fencing_proof
from hacluster.cib import fence_devices, fencing
from hacluster.observe import NodeView, Observation
from hacluster.ports import HostFacts
from hacluster.problems import Problem, kind
from hacluster.rehearsal import Looked

NOT_DRAINED = kind(
    "HA545",
    "The node to be fenced is not drained",
    "The test cuts the node's power. Nothing may run there, or be started there meanwhile: no VM, managed or not, no "
    "storage; and Pacemaker must keep everything off it (standby).",
)
BAD_MOMENT = kind(
    "HA546",
    "The cluster cannot spare the node now",
    "While it is down the others must have quorum and be settled, and Pacemaker must be willing to fence.",
)
NOT_PROVABLE = kind(
    "HA549",
    "The node's fencing cannot be proven by a reboot",
    "The proof is that the machine goes down and comes back. That needs a device that Pacemaker uses first, and that "
    "does not merely cut off storage.",
)


def drained(seen: Observation, node: NodeView) -> Iterator[Problem]:
    """What still runs on the node, or might."""
    where = f"node {node.name}"
    if not node.standby:
        yield NOT_DRAINED(f"{node.name} is not in standby", where=where, remedy=f"pcs node standby {node.name}")
    there = [vm.name for vm in seen.vms if vm.presence.get(node.name) == "PRESENT"]
    silent = [vm.name for vm in seen.vms if vm.presence.get(node.name) == "UNKNOWN"]
    if there:
        move = f"hactl vm move {there[0]} NODE" if node.standby else f"pcs node standby {node.name}"
        yield NOT_DRAINED(f"still there: {', '.join(there)}", where=where, remedy=move)
    if silent:
        yield NOT_DRAINED(f"it is not known whether {', '.join(silent)} run there", where=where, remedy="hactl status")
    if isinstance(node.facts, HostFacts):
        managed = {vm.uuid for vm in seen.vms if vm.uuid}
        foreign = [qemu for qemu in node.facts.qemus or () if qemu.uuid not in managed]
        if node.facts.qemus is None or foreign:
            what = ", ".join(qemu.uuid or f"pid {qemu.pid}" for qemu in foreign)
            yield NOT_DRAINED(
                f"VMs that the cluster does not manage run there: {what}" if foreign else "it cannot list its QEMUs",
                where=where,
                remedy=f"ssh root@{node.name} virsh list",
            )
    else:
        yield NOT_DRAINED(f"it does not say what it runs: {node.facts.reason}", where=where, remedy="hactl status")
    busy = [clone.name for clone in seen.clones if clone.on.get(node.name, "–") not in ("–", "stopped")]
    if busy and node.standby:
        yield NOT_DRAINED(
            f"still there: {', '.join(busy)}", where=where, remedy=f"crm_mon --one-shot --node={node.name}"
        )


def moment(seen: Observation, node: NodeView) -> Iterator[Problem]:
    """Why the others cannot do without the node now."""
    where = "cluster"
    if not node.online:
        yield BAD_MOMENT(f"{node.name} is not online", where=where, remedy=f"pcs cluster start {node.name}")
    if not seen.cluster.stonith:
        yield BAD_MOMENT("fencing is switched off", where=where, remedy="pcs property set stonith-enabled=true")
    if seen.cluster.maintenance:
        yield BAD_MOMENT("maintenance-mode is set", where=where, remedy="pcs property set maintenance-mode=false")
    others = [each for each in seen.nodes if each.name != node.name]
    up = [each for each in others if each.online and not each.unclean and not each.pending]
    # With two nodes Corosync's two_node mode, or a quorum device, keeps the other one going.
    if not seen.cluster.quorum or (len(seen.nodes) > 2 and 2 * len(up) <= len(seen.nodes)) or not up:
        yield BAD_MOMENT(
            f"without {node.name} the cluster would have no quorum",
            where=where,
            remedy="bring the other nodes back first",
            online=", ".join(each.name for each in up) or "no other node",
        )
    unclean = [each.name for each in others if each.unclean]
    if unclean:
        yield BAD_MOMENT(f"{', '.join(unclean)} wait to be fenced", where=where, remedy="hactl status")
    for claim in seen.claims:
        yield BAD_MOMENT(
            f"{claim.vm} is being moved", where=f"vm {claim.vm}", remedy=f"wait, or: hactl vm move {claim.vm} --resume"
        )


def provable(looked: Looked, target: str) -> Iterator[Problem]:
    """Why a reboot by its fence devices would prove nothing."""
    where = f"node {target}"
    if all(each.node != target for each in looked.seen.proven):
        yield NOT_PROVABLE(
            f"{target} is a remote node: it has no cluster of its own to leave",
            where=where,
            remedy="only members of the cluster are proven by hactl",
        )
        return
    known = fence_devices.devices(looked.cib)
    first = fencing_proof.first_level(looked.cib, target, known)
    if not first:
        yield NOT_PROVABLE(
            f"no fence device can fence {target}", where=where, remedy="describe one in the spec, then: hactl apply"
        )
        return
    agents = [each.agent for each in known if each.name in first]
    if all(agent == fence_devices.WATCHDOG for agent in agents):
        yield NOT_PROVABLE(
            f"{target} is to reset itself when it loses the cluster, and a test begins with its leaving it",
            where=where,
            remedy="pull its network cables and see it reset; then take the risk by its name when you add VMs",
        )
        return
    profiles = [fencing.profile_of(agent) for agent in agents]
    if all(profile is not None and profile.cuts == "storage" for profile in profiles):
        yield NOT_PROVABLE(
            f"{', '.join(first)} only cuts {target} off its storage",
            where=where,
            remedy="cut its power first: its BMC, a power switch, or fence_sbd with a watchdog",
        )

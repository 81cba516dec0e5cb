"""Pacemaker's tools as agents and sweep use them on a node (crm_node, attrd_updater, crm_mon, crm_resource), and pcs.

A program that is not here is not simulated: that is an error of the simulation, never an exit code.
"""

from __future__ import annotations

from collections.abc import Sequence

from hacluster.sim import reports, status
from hacluster.sim.clones import LOCKSPACE
from hacluster.sim.cluster import Cluster, Part
from hacluster.sim.controller import Controller
from hacluster.sim.libvirt import ANSWER
from hacluster.sim.pcs import Pcs
from hacluster.sim.timeline import Process, Timeline
from hacluster.sim.virsh import Virsh

ASKS = {
    "crm_node": "pacemaker-controld",
    "crm_resource": "pacemaker-controld",
    "crm_mon": "pacemaker-based",
    "attrd_updater": "pacemaker-attrd",
}
"""The daemon that has to answer each of them."""
NO_CLUSTER = 102
"""Exit code of Pacemaker's tools when no cluster runs on the node."""


class Programs:
    """Everything that can be started on a node."""

    def __init__(self, timeline: Timeline, virsh: Virsh, cluster: Cluster) -> None:
        self._timeline = timeline
        self._virsh = virsh
        self._cluster = cluster
        self._pcs = Pcs(cluster)
        self.controller: Controller | None = None

    def __call__(self, argv: Sequence[str], process: Process) -> int:
        """Run one; its exit code. What it prints goes to the process."""
        if argv[0] == "virsh":
            return self._virsh(list(argv[1:]), process)
        self._timeline.sleep(ANSWER)
        node = process.machine.name
        while ASKS.get(argv[0]) in process.machine.stopped:
            self._timeline.sleep(ANSWER)
        part = self._cluster.part(node)
        if part is None:
            return NO_CLUSTER
        code, said = self._tool(list(argv), node, part)
        process.out.append(said)
        return code

    def _tool(self, argv: list[str], node: str, part: Part) -> tuple[int, str]:
        if argv[0] == "pcs":
            return self._pcs(argv[1:], part), ""
        if argv[:2] == ["crm_node", "-p"]:
            return 0, " ".join(sorted(part.members)) + "\n"
        if argv[0] == "crm_node":
            return 0, "1\n" if self._cluster.quorate(node) else "0\n"
        if argv[0] == "attrd_updater":
            return self._cluster.attributes(node, argv[1:])
        assert self.controller is not None
        if argv[0] == "crm_mon":
            return 0, reports.monitor(part.cib, self.controller.in_flight).decode()
        if argv[:2] == ["crm_resource", "--refresh"]:
            self.refresh(part, argv[argv.index("--resource") + 1], argv[argv.index("--node") + 1])
            return 0, ""
        if argv[:2] == ["crm_resource", "--wait"]:
            self._timeline.poll(self.controller.idle, float(argv[2].partition("=")[2]))
            return 0, ""
        raise AssertionError(f"no such program in the simulator: {' '.join(argv)}")

    def refresh(self, part: Part, resource: str, node: str) -> None:
        """Forget a resource's history on a node; one that is gone has nothing to forget."""
        if node in part.members:
            if resource == LOCKSPACE and self.controller is not None:
                self.controller.clones.forget(node)
            status.forget(part.cib, node, resource)
            part.changed()
            self._cluster.poke()

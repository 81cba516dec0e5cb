"""The guard's clone on each node: started where the node may take part, monitored, stopped when it is to go.

Its agent is the product's own. It is stopped once nothing that Pacemaker manages runs on the node any more; a VM that
is unmanaged or blocked does not count there, which is why the agent itself must refuse (on-fail=block).
"""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from hacluster.cib import managed
from hacluster.sim import scheduler, status
from hacluster.sim.cluster import Cluster, Part
from hacluster.sim.payload import Payload
from hacluster.sim.timeline import Process, Timeline

EVERY, AGAIN = 10.0, 5.0
"""Seconds between two monitors, and two attempts to start."""
LOCKSPACE = "hacluster-lockspace"
SHUTDOWN = "shutdown"
"""The node attribute that Pacemaker sets when it is told to stop."""


class Clones:
    """All instances. `busy` says on which nodes an operation of a VM runs."""

    def __init__(self, timeline: Timeline, cluster: Cluster, payload: Payload, busy: Callable[[], set[str]]) -> None:
        self._timeline = timeline
        self._cluster = cluster
        self._payload = payload
        self._busy = busy
        self._running: dict[str, Process] = {}
        self._stopping: dict[str, Process] = {}
        self.blocked: set[str] = set()
        """Nodes on which its stop failed: nothing is done about it there any more."""

    def joined(self, node: str) -> None:
        """A node has joined: start the instance, again if need be, then monitor it."""
        self.blocked.discard(node)
        part = self._cluster.part(node)
        if part is not None and not leaving(part.cib, node):
            self._begin(node)

    def forget(self, node: str) -> None:
        """A stop that failed on a node is forgotten, and so tried again."""
        self.blocked.discard(node)

    def schedule(self, part: Part) -> None:
        """Bring the instances to where they should be."""
        for node in part.members:
            busy = node in self._stopping and not self._stopping[node].ended
            if busy or node not in self._cluster.up:
                continue
            if not leaving(part.cib, node):
                self._begin(node)
            elif node in self._running and node not in self.blocked and not self._used(part, node):
                self._end(node)
            elif status.attribute(part.cib, node, SHUTDOWN) and not self._used(part, node):
                self._cluster.leave(node)

    def _used(self, part: Part, node: str) -> bool:
        if scheduler.maintenance(part.cib):
            return False
        for vm in managed.vms(part.cib):
            found = scheduler.believe(part.cib, vm)
            ours = vm.meta.get("is-managed", "true") != "false" and not found.blocked
            if ours and node in found.active | found.clear:
                return True
        return node in self._busy()

    def _begin(self, node: str) -> None:
        if node in self._running and not self._running[node].ended:
            return
        perform = self._payload.module("resource_agents.lockspace").perform

        def clone() -> None:
            while perform("start") != 0:
                self._timeline.sleep(AGAIN)
            while True:
                self._timeline.sleep(EVERY)
                perform("monitor")

        machine = self._cluster.machines[node]
        self._running[node] = self._timeline.spawn("lockspace", clone, machine, environ=_environment(node))

    def _end(self, node: str) -> None:
        part = self._cluster.part(node)
        if part is not None and scheduler.maintenance(part.cib):
            if status.attribute(part.cib, node, SHUTDOWN):
                self._cluster.leave(node)
            return
        self._timeline.kill(self._running[node])
        perform = self._payload.module("resource_agents.lockspace").perform

        def stop() -> None:
            if perform("stop") == 0:
                self._running.pop(node, None)
            else:
                self.blocked.add(node)

        def over(_process: Process) -> None:
            self._cluster.poke()

        machine = self._cluster.machines[node]
        self._stopping[node] = self._timeline.spawn("lockspace stop", stop, machine, environ=_environment(node))
        self._stopping[node].at_end.append(over)


def leaving(cib: etree._Element, node: str) -> bool:
    """Whether nothing may run on a node: it is in standby, or its cluster software is to stop."""
    return scheduler.standby(cib, node) or status.attribute(cib, node, SHUTDOWN) is not None


def _environment(node: str) -> dict[str, str]:
    told = {"OCF_RESKEY_CRM_meta_on_node": node, "OCF_RESKEY_CRM_meta_timeout": "60000"}
    return {**told, "OCF_RESOURCE_INSTANCE": LOCKSPACE}

"""Bringing the cluster to rest between two rounds, as a patient admin does, and telling what does not come to rest.

Power and wires are given back at once. Everything else is left to the cluster for a while; then an admin starts
daemons, cleans up, and in the end cycles a node. What he had to do is counted: a cluster should not need him.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from hacluster.lab.chaos.scene import Scene
from hacluster.problems import Refused

LOOK_EVERY = 1.0
START_DAEMONS_AFTER = 25.0
CYCLE_AFTER = 75.0
CLEAN_UP_AFTER = 20.0
CLEAN_UP_EVERY = 40.0


class Rest:
    """One wait for rest."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._since: dict[str, float] = {}
        self._helped: dict[str, float] = {}

    def reach(self, timeout: float) -> dict[str, str]:
        """Wait for rest, and help; what is not well at the end, by VM or node, or nothing."""
        begun = time.monotonic()
        wrong: dict[str, str] = {}
        while time.monotonic() - begun < timeout:
            self._power_up()
            wrong = unsettled(self.scene) or self.scene.doubts()
            if not wrong:
                return {}
            self._help_with(wrong)
            time.sleep(LOOK_EVERY)
        return wrong

    def _power_up(self) -> None:
        for node in self.scene.nodes:
            try:
                if self.scene.bed.power(node, "status") == "frozen":
                    self.scene.bed.power(node, "thaw")
                self.scene.switch_on(node)
            except Refused as refused:  # somebody else is switching it; the next look shows what became of it
                self.scene.tell(f"        {refused}")

    def _help_with(self, wrong: dict[str, str]) -> None:
        now = time.monotonic()
        self._since = {name: self._since.get(name, now) for name in wrong}
        powered = self.scene.powered()
        nodes = [name for name in wrong if name in self.scene.nodes]
        for node in nodes:
            lasted = now - self._since[node]
            if lasted > CYCLE_AFTER and self._first(f"cycle {node}", now, CYCLE_AFTER):
                self._did(f"power cycle {node}")
                self.scene.bed.power(node, "cycle")
            elif lasted > START_DAEMONS_AFTER and node in powered and self._first(f"start {node}", now, CYCLE_AFTER):
                self._type(node, ["systemctl", "start", "corosync", "pacemaker", "libvirtd"], wrong[node])
        for name in wrong if powered and not nodes else ():
            if now - self._since[name] > CLEAN_UP_AFTER and self._first(name, now, CLEAN_UP_EVERY):
                words = ["crm_resource", "--cleanup", "-r", name]
                if name in self.scene.vms:
                    words = self.scene.rescue(name)
                self._type(self.scene.prompt(), words, wrong[name])

    def _first(self, what: str, now: float, again: float) -> bool:
        """Whether this has not been done for `again` seconds; it is taken for done now."""
        if now - self._helped.get(what, -again) < again:
            return False
        self._helped[what] = now
        return True

    def _type(self, node: str, argv: Sequence[str], why: str) -> None:
        self._did(f"{node}$ {' '.join(argv)} ({why})")
        self.scene.run(node, argv, 120)

    def _did(self, what: str) -> None:
        self.scene.helped.append(what)
        self.scene.tell(f"        helped: {what}")


def unsettled(scene: Scene) -> dict[str, str]:
    """What a cheap look finds: nodes that are not online, VMs that fail, are elsewhere than they should, or still."""
    status = scene.crm_mon()
    if status is None:
        return {scene.nodes[0]: "no node shows the cluster's status"}
    online = {str(node.get("name")) for node in status.iterfind("nodes/node[@online='true']")}
    found = {node: "not online" for node in scene.nodes if node not in online}
    for node in status.iterfind("nodes/node[@pending='true']"):
        found[str(node.get("name"))] = "pending"
    for vm in scene.vms:
        resource = status.find(f".//resource[@id='{vm}']")
        homes = [] if resource is None else [str(node.get("name")) for node in resource.iterfind("node")]
        places = scene.observer.places(vm)
        if resource is not None and resource.get("failed") == "true":
            found[vm] = "Pacemaker counts it as failed"
        elif sorted(homes) != places:
            found[vm] = f"Pacemaker has it on {_list(homes)}, there are copies on {_list(places)}"
        elif not places:
            found[vm] = "it runs nowhere"
        elif not scene.observer.runs(vm):
            found[vm] = "its guest does not count"
    return found


def _list(nodes: Sequence[str]) -> str:
    return " and ".join(nodes) or "no node"

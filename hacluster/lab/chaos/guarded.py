"""The cluster as hactl makes it: spec applied, guard, hook and run-locks in place."""

from __future__ import annotations

import json
from typing import Any

from hacluster.lab.chaos.scene import SPEC, Scene
from hacluster.problems import Refused, kind

SET_UP = kind("HA721", "The cluster for chaos could not be set up", "A step that builds the cluster in the lab failed.")


class Guarded(Scene):
    """VMs under ocf:hacluster:VirtualDomain."""

    kind = "guarded"

    def set_up(self) -> None:
        """`hactl apply` on the first node. Raises Refused."""
        self.refuse_other("hacluster")
        done = self.run(self.nodes[0], ["hactl", "apply", SPEC], 300)
        if done.returncode:
            text = (done.stdout + done.stderr).strip()
            raise Refused(SET_UP("hactl apply failed.", where=self.bed.name, said=text))

    def move(self, vm: str, node: str) -> list[str]:
        """hactl's."""
        return ["hactl", "vm", "move", vm, node]

    def move_again(self, vm: str, node: str) -> list[str]:
        """hactl goes on watching what its dead predecessor began."""
        return ["hactl", "vm", "move", vm, node, "--resume"]

    def power(self, vm: str, order: str) -> list[str]:
        """hactl's."""
        return ["hactl", "vm", order, vm]

    def config(self, vm: str) -> str:
        """Content-addressed: one file for each version."""
        return f"/etc/hacluster/domains/{vm}.*.xml"

    def clean_up(self, vm: str) -> list[str]:
        """hactl's, which harms no running guest."""
        return ["hactl", "vm", "cleanup", vm]

    def doubts(self) -> dict[str, str]:
        """What `hactl status` says: each VM sealed where it runs, and no errors."""
        told = self._status()
        if told is None:
            return {self.nodes[0]: "hactl status says nothing"}
        found = {
            str(problem["where"]).split()[-1]: f"{problem['code']} {problem['message']}"
            for problem in told["problems"]
            if problem["severity"] == "error"
        }
        for vm in told["vms"]:
            sealed = [node for node, lock in vm["locks"].items() if (lock or {}).get("mode") == "EX"]
            home = self.observer.home(vm["name"])
            if sealed != [home] or vm["copies"] != [home]:
                found[vm["name"]] = f"{vm['state']}; copies on {vm['copies']}, sealed on {sealed}"
        return found

    def explained(self, vm: str) -> str:
        """The findings about the VM in `hactl status`."""
        told = self._status() or {"problems": []}
        return "; ".join(
            f"{problem['code']} {problem['message']} → {problem['remedy']}"
            for problem in told["problems"]
            if vm in str(problem["where"]).split()
        )

    def _status(self) -> dict[str, Any] | None:
        done = self.run(self.prompt(), ["hactl", "status", "--json"], 60)
        try:
            return dict(json.loads(done.stdout))
        except ValueError:
            return None

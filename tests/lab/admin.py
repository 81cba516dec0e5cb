"""An admin at a node's prompt: the lab's cluster as tests type at it and look at it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

from hacluster.lab.bed import Bed

CIB = "/cib/configuration/constraints/rsc_location[starts-with(@id,'hactl-move-')]"


class Admin:
    """Types commands in the nodes of a bed. `home` is the node that hactl is typed on unless a test says otherwise."""

    def __init__(self, bed: Bed, home: str = "n1") -> None:
        self.bed = bed
        self.home = home

    def sh(self, node: str, script: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A shell script in a node, whatever its exit code."""
        return self.bed.exec(node, ["sh", "-c", script], timeout=timeout)

    def ok(self, node: str, script: str, timeout: float = 60) -> str:
        """A shell script in a node that must succeed; what it printed."""
        done = self.sh(node, script, timeout)
        assert done.returncode == 0, f"{node}$ {script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def hactl(self, *argv: str, on: str | None = None, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """hactl, whatever its exit code."""
        return self.bed.exec(on or self.home, ["hactl", *argv], timeout=timeout)

    def do(self, *argv: str, on: str | None = None) -> str:
        """hactl, which must succeed; what it printed."""
        done = self.hactl(*argv, on=on)
        assert done.returncode == 0, f"hactl {' '.join(argv)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, *argv: str, code: str) -> str:
        """hactl, which must refuse with this problem and without a traceback; what it said."""
        done = self.hactl(*argv)
        said = done.stdout + done.stderr
        assert done.returncode == 1, said
        assert code in said, said
        assert "Traceback" not in said, said
        return said

    def vm(self, name: str) -> dict[str, Any]:
        """A VM as `hactl status --json` shows it."""
        told = json.loads(self.hactl("status", "--json").stdout)
        return next(vm for vm in told["vms"] if vm["name"] == name)

    def where(self, name: str) -> str:
        """The one node that has a copy of a VM."""
        copies = self.vm(name)["copies"]
        assert len(copies) == 1, copies
        return str(copies[0])

    def elsewhere(self, name: str) -> str:
        """A node, not the one that hactl is typed on, that has no copy of a VM."""
        here = self.where(name)
        return next(node for node in reversed(self.bed.nodes()) if node != here)

    def epoch(self) -> int:
        """How often the configuration has been changed."""
        return int(json.loads(self.hactl("status", "--json").stdout)["cluster"]["epoch"])

    def claims(self) -> str:
        """The claims in the CIB, as cibadmin prints them; empty when there is none."""
        found = self.sh(self.home, f'cibadmin --query --xpath "{CIB}"')
        return found.stdout if found.returncode == 0 else ""

    def counts(self, name: str) -> bool:
        """Whether the VM's guest goes on writing to its disk."""
        canary = self.bed.canary(name)
        before = canary.last()
        return self.until(lambda: canary.last() > before, 10)

    def boots(self, name: str) -> int:
        """How often the VM's guest has booted, from its disk; and the disk must show one writer only."""
        report = self.bed.canary(name).check()
        assert report.clean, report.findings
        return len(report.boots)

    def settled(self, *names: str, timeout: float = 90) -> None:
        """Wait until these VMs run, each once and sealed, all nodes are online and Pacemaker is idle."""
        seen: list[object] = []

        def quiet() -> bool:
            told = json.loads(self.hactl("status", "--json").stdout or "{}")
            seen[:] = [told.get("nodes"), told.get("vms")]
            vms = [vm for vm in told.get("vms", []) if vm["name"] in names]
            sealed = all(
                vm["node"] and vm["state"].startswith("running") and (vm["locks"][vm["node"]] or {}).get("mode") == "EX"
                for vm in vms
            )
            return len(vms) == len(names) and sealed and all(node["state"] == "online" for node in told["nodes"])

        assert self.until(quiet, timeout), seen
        self.sh(self.home, "crm_resource --wait --timeout=60", 90)

    @staticmethod
    def until(holds: Callable[[], bool], timeout: float) -> bool:
        """Ask until it holds; False when the time has passed."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if holds():
                return True
            time.sleep(0.3)
        return holds()

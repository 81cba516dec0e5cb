"""`hactl lab demo`: the whole path in one run, with every command shown as it is typed, and each claim checked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from hacluster.cli import render
from hacluster.cli.lab import app as lab
from hacluster.lab.bed import Bed
from hacluster.lab.canary import PERIOD_MS
from hacluster.problems import Refused, kind
from hacluster.spec import load

DEMO_FAILED = kind(
    "HA720",
    "The demonstration did not end as it should",
    "A command failed, or a VM was not where it was said to be. The lab stays up, so that you can look at it.",
)


def demo(
    spec: Path = typer.Argument(..., metavar="SPEC", help="the cluster to build", show_default=False, readable=False),
    name: str = typer.Option("lab", "--name", help="which lab"),
) -> None:
    """Bring the lab up, build the cluster of SPEC in it, move a VM live, and try to run it twice."""
    cluster = load(spec)
    bed = Bed(name, cluster)
    _heading("a cluster from one file")
    _type(f"hactl lab up {spec}{_lab(name)}")
    bed.up(lambda line: print(line, flush=True), spec=spec.read_bytes())
    stage = Stage(bed, cluster.nodes[0].name)
    stage.node("hactl", "apply")
    stage.node("hactl", "status")

    vm = cluster.vms[0].name
    source, target = stage.places(vm)
    _heading(f"{vm} moves live from {source} to {target}")
    with bed.canary(vm).watch() as watcher:
        stage.node("hactl", "vm", "move", vm, target)
    seen = watcher.result
    render.out.print(
        f"{vm}'s counter went from {seen.before} to {seen.after}; its longest gap was {seen.gap_ms:.0f} ms "
        f"(it counts every {PERIOD_MS} ms)"
    )

    _heading(f"{vm} runs on {target}; somebody types virsh on {source}")
    stage.witness = source
    stage.refused("sh", "-c", f"virsh create /etc/hacluster/domains/{vm}.*.xml")
    stage.witness = target
    stage.refused("virsh", "migrate", "--live", vm, _uri(bed, source))
    stage.node("hactl", "status")
    findings = bed.canary(vm).check().findings
    if findings or stage.copies(vm) != [target]:
        raise Refused(DEMO_FAILED(f"{vm} is not proven to run once", where=vm, findings=len(findings)))
    render.out.print(f"{vm} runs once, on {target}; its disk shows no second writer.\n")
    render.out.print(f"The lab stays up. A shell in a node: hactl lab exec{_lab(name)} {source}")
    render.out.print(f"Take it down, without a trace: hactl lab down{_lab(name)}")


class Stage:
    """Types commands in a node of the lab and looks at what they did."""

    def __init__(self, bed: Bed, witness: str) -> None:
        self.bed = bed
        self.witness = witness

    def node(self, *argv: str) -> None:
        """A command that must succeed."""
        code = self._run(argv)
        if code != 0:
            raise Refused(DEMO_FAILED(f"{' '.join(argv)} ended with {code}", where=self.witness))

    def refused(self, *argv: str) -> None:
        """A command that must be refused."""
        if self._run(argv) == 0:
            raise Refused(DEMO_FAILED(f"{' '.join(argv)} was not refused", where=self.witness))

    def places(self, vm: str) -> tuple[str, str]:
        """Where a VM runs, and another node."""
        (source,) = self.copies(vm)
        return source, next(node for node in self.bed.nodes() if node != source)

    def copies(self, vm: str) -> list[str]:
        """The nodes that have a copy of a VM, as `hactl status --json` says."""
        told: dict[str, Any] = json.loads(self.bed.exec(self.witness, ["hactl", "status", "--json"]).stdout)
        return next(list(each["copies"]) for each in told["vms"] if each["name"] == vm)

    def _run(self, argv: Sequence[str]) -> int:
        shown = argv[2] if argv[:2] == ("sh", "-c") else " ".join(argv)
        _type(f"hactl lab exec{_lab(self.bed.name)} {self.witness} -- {shown}")
        sys.stdout.flush()
        return subprocess.run(self.bed.command(self.witness, argv), env=self.bed.environment(), check=False).returncode


def _uri(bed: Bed, node: str) -> str:
    assert bed.cluster is not None  # the demo made it
    wanted = next(each for each in bed.cluster.nodes if each.name == node)
    return f"qemu+{bed.cluster.migration_transport}://{wanted.migration_host or node}/system"


def _lab(name: str) -> str:
    return "" if name == "lab" else f" --name {name}"


def _heading(text: str) -> None:
    render.out.print(f"\n[bold cyan]# {text}[/]")


def _type(command: str) -> None:
    render.out.print(f"\n[bold]$ {command}[/]")


def register(app: typer.Typer) -> None:
    """Add the demonstration to `hactl lab`."""
    del app
    lab.command()(demo)

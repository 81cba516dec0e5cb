"""`hactl lab … --vm`: the bed of full virtual machines. It prints, and leaves the work to hacluster.lab.machines."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from hacluster.cli import render
from hacluster.lab import host
from hacluster.lab.machines import cluster, inventory
from hacluster.lab.machines.bed import Machines
from hacluster.problems import Refused
from hacluster.spec import load


def bed() -> Machines:
    """The bed. Raises Refused unless root asks."""
    if os.geteuid() != 0:
        command = " ".join(["sudo", "hactl", *sys.argv[1:]])
        raise Refused(host.NOT_ROOT("Only root can look at a lab or change it.", where="--vm", remedy=command))
    return Machines()


def _say(line: str) -> None:
    print(line, flush=True)


def up(spec: Path | None) -> None:
    """Bring the machines up as the cluster of a spec; without one they stay bare."""
    machines = bed()
    if spec is None:
        machines.up(_say)
        return
    wanted, text = load(spec), spec.read_bytes()
    cluster.check(wanted, machines.description)
    machines.up(_say, cluster.state(text), lambda step: cluster.make(machines, wanted, text, step))


def status(as_json: bool) -> None:
    """Show the bed; exit 1 when it is down and something is left over of it."""
    seen = inventory.look(bed())
    if as_json:
        render.json_out(seen.as_json())
    else:
        for line in seen.lines():
            print(line)
    if seen.left:
        sys.exit(1)


def execute(node: str, argv: list[str]) -> NoReturn:
    """Run a command in a machine, by its agent; without one enter it by ssh."""
    machines = bed()
    if not argv:
        words = machines.ssh(node)
        sys.stdout.flush()
        os.execvp(words[0], words)
    done = machines.exec(node, argv, timeout=COMMAND_WITHIN)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    sys.exit(done.returncode)


COMMAND_WITHIN = 3600.0


def restore() -> None:
    """Set all machines back to how they were brought up."""
    machines = bed()
    machines.restore()
    print(f"the machines are as they were brought up: {machines.state()}")

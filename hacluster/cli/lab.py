"""`hactl lab`: a real cluster on this machine. It parses, prints, and leaves the work to hacluster.lab."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from hacluster.cli import render
from hacluster.cli.shell import Commands
from hacluster.lab import bed as beds
from hacluster.lab.canary import NotACountingDisk
from hacluster.lab.host import NOT_ROOT
from hacluster.lab.machines.description import NAME as MACHINES
from hacluster.lab.packages import PACKAGES
from hacluster.model import Cluster
from hacluster.problems import Refused, kind

NO_SPEC = kind("HA715", "The lab's spec cannot be found", "A lab is built from a spec; the shipped one is lab.toml.")

app = typer.Typer(cls=Commands, help="A real cluster in namespaces on this machine.", no_args_is_help=True)

NAME = typer.Option("lab", "--name", help="which lab; several can be up at once")
SHOWN = 10
"""Findings of one disk that are printed; a second copy leaves dozens that say the same."""

VM = typer.Option(False, "--vm", help="the bed of full virtual machines, with kernels of their own")

JSON = typer.Option(False, "--json", help="print one JSON document")


def register(parent: typer.Typer) -> None:
    """Add `hactl lab` to the command line."""
    parent.add_typer(app, name="lab")


@app.callback()
def about() -> None:
    """A real cluster in namespaces on this machine: systemd, Corosync, Pacemaker, libvirt, QEMU and fencing."""


def shipped_spec(name: str = "lab.toml") -> Path:
    """A spec that comes with hactl. Raises Refused when it is not installed."""
    package = Path(beds.__file__).parents[1]
    for place in (package.parent / "examples", package / "data" / "examples"):
        if (place / name).is_file():
            return place / name
    raise Refused(NO_SPEC(f"{name} is not installed.", remedy="hactl lab up SPEC"))


def bed_called(name: str, cluster: Cluster | None = None) -> beds.Bed:
    """The lab of that name. Raises Refused unless root asks: others do not see enough of it to tell the truth."""
    bed = beds.Bed(name, cluster)
    if os.geteuid() != 0:
        command = " ".join(["sudo", "hactl", *sys.argv[1:]])
        raise Refused(NOT_ROOT("Only root can look at a lab or change it.", where=name, remedy=command))
    return bed


@app.command()
def up(
    spec: Path = typer.Argument(
        None,
        metavar="[SPEC]",
        help="the cluster to build (default: the shipped lab.toml)",
        show_default=False,
        readable=False,
    ),
    name: str = NAME,
    vm: bool = VM,
    bare: bool = typer.Option(False, "--bare", help="with --vm: machines with Debian and ssh, and no cluster yet"),
) -> None:
    """Bring the lab up and wait until every node is online."""
    from hacluster.spec import load

    if vm:
        from hacluster.cli import lab_machines

        lab_machines.up(None if bare else spec or shipped_spec("vm-cluster.toml"))
        return

    path = spec or shipped_spec()
    bed_called(name, load(path)).up(lambda line: print(line, flush=True), spec=path.read_bytes())


@app.command()
def down(name: str = NAME, vm: bool = VM) -> None:
    """Take the lab down, whatever state it is in, without a trace."""
    name = MACHINES if vm else name
    left = bed_called(name).down(lambda line: print(line, flush=True))
    if left:
        raise Refused(beds.LEFT_OVER(line, where=name, remedy=f"hactl lab down --name {name}") for line in left)
    print("nothing left")


@app.command()
def status(name: str = NAME, vm: bool = VM, as_json: bool = JSON) -> None:
    """Show the lab; when it is down, what is left over of it (exit 1 if anything is)."""
    from hacluster.lab import inventory

    if vm:
        from hacluster.cli import lab_machines

        lab_machines.status(as_json)
        return
    seen = inventory.look(bed_called(name))
    if as_json:
        render.json_out(seen.as_json())
    else:
        for line in seen.lines():
            print(line)
    if seen.left:
        sys.exit(1)


@app.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def exec_(
    node: str = typer.Argument(..., metavar="NODE", show_default=False),
    command: list[str] = typer.Argument(None, metavar="-- COMMAND...", show_default=False),
    name: str = NAME,
    vm: bool = VM,
) -> None:
    """Run a command in a node (default: a shell), with this terminal and with the command's exit code."""
    argv = [word for number, word in enumerate(command or []) if (number, word) != (0, "--")]
    if vm:
        from hacluster.cli import lab_machines

        lab_machines.execute(node, argv)
    bed = bed_called(name)
    words = bed.command(node, argv or ["/bin/bash"])
    sys.stdout.flush()
    os.execvpe(words[0], words, bed.environment())


@app.command()
def power(
    order: str = typer.Argument(..., metavar="on|off|cycle|freeze|thaw|status", show_default=False),
    node: str = typer.Argument(..., metavar="NODE", show_default=False),
    name: str = NAME,
    vm: bool = VM,
) -> None:
    """Switch a node's power, as pulling its plug does; or freeze it, as a hang does."""
    if order not in ("on", "off", "cycle", "freeze", "thaw", "status"):
        raise typer.BadParameter("on, off, cycle, freeze, thaw or status")
    if vm:
        from hacluster.cli import lab_machines

        print(lab_machines.bed().power(node, order))
        return
    print(bed_called(name).power(node, order))


@app.command()
def restore(vm: bool = VM) -> None:
    """Set all virtual machines back to how they were brought up, in seconds (with --vm only)."""
    if not vm:
        raise typer.BadParameter("only the virtual machines of --vm can be set back")
    from hacluster.cli import lab_machines

    lab_machines.restore()


@app.command()
def link(
    order: str = typer.Argument(..., metavar="up|down", show_default=False),
    node: str = typer.Argument(..., metavar="NODE", show_default=False),
    number: int = typer.Argument(
        None, metavar="[LINK]", help="0 or 1 (default: all links of the node)", show_default=False
    ),
    name: str = NAME,
) -> None:
    """Pull a node's corosync links out of the switch, or plug them in."""
    if order not in ("up", "down"):
        raise typer.BadParameter("up or down")
    bed = bed_called(name)
    bed.link(node, order == "up", number)
    print(" ".join(f"{link} {'up' if is_up else 'down'}" for link, is_up in bed.links(node).items()))


@app.command()
def deploy(name: str = NAME) -> None:
    """Lay agents, guard and hook into the running nodes again, from the code that runs this command."""
    for node in bed_called(name).deploy():
        print(f"{node}: agents, guard and hook are in place")


@app.command()
def check(
    vms: list[str] = typer.Argument(None, metavar="[VM...]", help="whose disks (default: all)", show_default=False),
    name: str = NAME,
) -> None:
    """Judge the counting guests' disks: exit 1 if any shows the hand of a second copy."""
    bed = bed_called(name)
    suspect = False
    for vm in vms or list(bed.disks()):
        try:
            report = bed.canary(vm).check()
        except NotACountingDisk:
            print(f"{vm:<12} not a counting guest's disk")
            suspect = True
            continue
        suspect |= not report.clean
        verdict = "clean" if report.clean else f"{len(report.findings)} FINDINGS"
        print(f"{vm:<12} count {report.last:<9} boots {len(report.boots):<4} {verdict}")
        for finding in report.findings[:SHOWN]:
            print(f"    {finding.kind:<12} {finding.text}")
        if len(report.findings) > SHOWN:
            print(f"    … and {len(report.findings) - SHOWN} more")
    if suspect:
        sys.exit(1)


@app.command()
def packages() -> None:
    """Print the Debian packages that a lab stands on."""
    print("\n".join(PACKAGES))

"""`hactl vm`: list, show, start, stop and move the cluster's VMs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import typer
from rich.table import Table

from hacluster import moving, power
from hacluster.cli import render
from hacluster.cli.cluster import document, vm_table
from hacluster.cli.progress import Line
from hacluster.cli.world import connect
from hacluster.problems import Refused

vms = typer.Typer(help="The cluster's virtual machines.", no_args_is_help=True)

VM = typer.Argument(..., metavar="VM", help="the VM's name")
NODE = typer.Option(None, "--node", "-N", metavar="NODE", help="ask the cluster through this node")
JSON = typer.Option(False, "--json", help="print JSON")
DRY = typer.Option(False, "--dry-run", help="check everything, change nothing")
WAIT = typer.Option(None, "--wait", metavar="SECONDS", help="how long to watch; the VM's own budget by default")


def register(app: typer.Typer) -> None:
    """Add `hactl vm` to the command line."""
    app.add_typer(vms, name="vm")


@vms.command("list")
def list_(node: str = NODE, as_json: bool = JSON) -> None:
    """List the VMs: where each runs, its state and its run-lock."""
    seen = moving.look(connect(node)).seen
    if as_json:
        render.json_out(document(seen)["vms"])
    else:
        render.out.print(vm_table(seen))


@vms.command()
def show(vm: str = VM, node: str = NODE, as_json: bool = JSON) -> None:
    """Show all that is known about one VM: Pacemaker's view, and each node's."""
    looked = moving.look(connect(node))
    found = moving.find(looked, vm)
    seen = next(each for each in looked.seen.vms if each.name == found.name)
    if as_json:
        render.json_out(next(d for d in document(looked.seen)["vms"] if d["name"] == vm))
        return
    about = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in {
        "name": found.name,
        "uuid": found.uuid,
        "state": seen.state,
        "console": seen.console or "none",
        "domain XML": found.config,
        "stands on": ", ".join(moving.needs(looked, found)) or "nothing",
        "moved": "live" if found.moves_live else "not live",
        "stop budget": f"{found.parameters.get('stop_budget', '?')} s",
    }.items():
        about.add_row(f"[dim]{name}[/]", value)
    render.out.print(about)
    table = Table("node", "copy", "run-lock", "libvirt")
    for each in looked.seen.nodes:
        table.add_row(each.name, *moving.on_node(looked, found, each.name))
    render.out.print(table)
    render.problems(seen.problems)


@vms.command()
def start(vm: str = VM, node: str = NODE, wait: float = WAIT) -> None:
    """Start a VM where Pacemaker sees fit, and wait until it runs."""
    with Line(f"starting {vm}") as line:
        where = power.start(connect(node), vm, tell=line, timeout=wait)
    render.out.print(f"{vm} runs on {where}")


@vms.command()
def stop(vm: str = VM, node: str = NODE, wait: float = WAIT) -> None:
    """Shut a VM down (destroy it after its stop budget), and wait for the proof that it is gone."""
    with Line(f"stopping {vm}") as line:
        power.stop(connect(node), vm, tell=line, timeout=wait)
    render.out.print(f"{vm} is stopped: no node has a copy")


@vms.command()
def move(
    vm: str = VM,
    target: str = typer.Argument(None, metavar="[NODE]", help="where to; the best node that passes every check"),
    node: str = NODE,
    wait: float = WAIT,
    dry_run: bool = DRY,
    resume: bool = typer.Option(False, "--resume", help="go on watching a move whose hactl is gone"),
) -> None:
    """Move a running VM live to another node; refuses with every finding before it changes anything."""
    world = connect(node)
    if dry_run:
        claim = moving.rehearse(world, vm, target)
        render.out.print(f"{vm} would be moved live from {claim.source} to {claim.target}; nothing was changed")
        return
    with Line(f"moving {vm}") as line:

        def tell(progress: moving.Progress) -> None:
            line(progress.phase, numbers(progress.job) if progress.job else "")

        try:
            moved = (moving.resume if resume else moving.move)(
                world, vm, **({} if resume else {"target": target}), tell=tell, timeout=wait
            )
        except KeyboardInterrupt:
            raise Refused(moving.interrupted(vm, target)) from None
    render.out.print(f"{vm} moved live from {moved.source} to {moved.target} in {moved.seconds:.1f} s")


def numbers(job: Mapping[str, int]) -> str:
    """A running migration in numbers: bytes, rate, what remains, expected pause."""
    mib = 1 << 20
    parts = [f"{job.get('data_processed', 0) / mib:.1f} of {job.get('data_total', 0) / mib:.1f} MiB"]
    if job.get("memory_bps"):
        parts.append(f"{job['memory_bps'] / mib:.1f} MiB/s")
    parts.append(f"{job.get('data_remaining', 0) / mib:.1f} MiB remaining")
    if "downtime" in job:
        parts.append(f"pause {job['downtime']} ms")
    width = shutil.get_terminal_size().columns
    return ", ".join(parts)[: max(20, width - 40)]

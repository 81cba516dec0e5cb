"""`hactl status`, `hactl plan`, `hactl apply`: what is, what would change, and changing it."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Table

from hacluster.cli import render
from hacluster.cli.world import connect
from hacluster.observe import Observation, document, look
from hacluster.problems import errors

NODE = typer.Option(None, "--node", "-N", metavar="NODE", help="ask the cluster through this node")
JSON = typer.Option(False, "--json", help="print JSON")

_BAD = ("UNCLEAN", "OFFLINE", "RUNNING TWICE", "TWO COPIES", "UNKNOWN", "failed", "blocked", "gone", "?")
_BUSY = ("moving", "starting", "stopping", "pending", "standby", "maintenance")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(status)


def status(node: str = NODE, as_json: bool = JSON) -> None:
    """Show the cluster: nodes, fencing, storage, and each VM with its node, run-lock and console."""
    world = connect(node)
    seen = look(world.pacemaker, world.hosts, world.clock, consoles=True)
    if as_json:
        render.json_out(document(seen))
    else:
        show(seen)
        render.problems(seen.problems)
    if errors(seen.problems):
        raise typer.Exit(1)


def show(seen: Observation) -> None:
    """Print an Observation for people; its findings are the caller's."""
    cluster = seen.cluster
    quorum = "quorum" if cluster.quorum else "[bold red]no quorum[/]"
    dc = f"DC {cluster.dc}" if cluster.dc else "[yellow]no DC[/]"
    mode = ", [yellow]maintenance mode[/]" if cluster.maintenance else ""
    name = f"[bold]{escape(cluster.name)}[/], " if cluster.name else ""
    render.out.print(f"cluster {name}{quorum}, {dc}, configuration {cluster.version[1]}{mode}\n")
    render.out.print(_nodes(seen))
    for table in (_fencing(seen), _clones(seen), vm_table(seen), _others(seen)):
        if table.row_count:
            render.out.print()
            render.out.print(table)
    if not seen.vms:
        render.out.print("\nno VMs")


def vm_table(seen: Observation) -> Table:
    """The VMs: state, run-lock, console."""
    table = _table("VM", "state", "run-lock", "console")
    for vm in seen.vms:
        lock = vm.lock if vm.agent == "hacluster" else f"– ({vm.agent})"
        table.add_row(vm.name, paint(vm.state), paint(lock), escape(vm.console) or "–")
    return table


def paint(word: str) -> str:
    """A state word as markup, in the colour of its seriousness."""
    colour = "red" if any(bad in word for bad in _BAD) else "yellow" if word.startswith(_BUSY) else ""
    return f"[{colour}]{escape(word)}[/]" if colour else escape(word)


def _nodes(seen: Observation) -> Table:
    table = _table("node", "state", "guard", "memory free")
    for node in seen.nodes:
        free = getattr(node.facts, "mem_available", None)
        dc = " (DC)" if node.name == seen.cluster.dc else ""
        memory = "?" if free is None else f"{free / (1 << 30):.1f} GiB"
        table.add_row(node.name, paint(node.state) + dc, node.guard or "–", memory)
    return table


def _fencing(seen: Observation) -> Table:
    table = _table("fence device", "agent", "fences", "runs on")
    for device in seen.fencing:
        where = ", ".join(device.running_on) or "nowhere"
        said = f"failed on {where}" if device.failed else where
        table.add_row(device.name, device.agent, ", ".join(device.targets) or "by its agent", paint(said))
    return table


def _clones(seen: Observation) -> Table:
    table = _table("on every node", *(node.name for node in seen.nodes))
    for clone in seen.clones:
        table.add_row(clone.name, *(paint(clone.on.get(node.name, "–")) for node in seen.nodes))
    return table


def _others(seen: Observation) -> Table:
    table = _table("other resource", "state")
    for name, word in seen.others.items():
        table.add_row(name, paint(word))
    return table


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, padding=(0, 3, 0, 0), header_style="dim")

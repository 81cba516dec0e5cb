"""`hactl lock`: which node may run which VM, and clearing a run-lock that stayed, with proof."""

from __future__ import annotations

import time

import typer
from rich.markup import escape
from rich.table import Table

from hacluster import locks as locking
from hacluster import rehearsal
from hacluster.cli import render
from hacluster.cli.cluster import JSON, NODE, paint, table_of
from hacluster.cli.shell import Commands
from hacluster.cli.vm import node_table
from hacluster.cli.world import connect
from hacluster.locks import Row
from hacluster.observe import Observation

locks = typer.Typer(cls=Commands, help="The VMs' run-locks: which node may run which VM.", no_args_is_help=True)

VM = typer.Argument(..., metavar="VM", help="the VM's name", show_default=False)


def register(app: typer.Typer) -> None:
    """Add `hactl lock` to the command line."""
    app.add_typer(locks, name="lock")


@locks.command("list")
def list_(node: str = NODE, as_json: bool = JSON) -> None:
    """List all run-locks: VM, node, mode, move, and what of the VM is there."""
    seen = rehearsal.look(connect(node)).seen
    if as_json:
        render.json_out(locking.listing(seen))
        return
    found = locking.rows(seen)
    render.out.print(_table(found) if found else "no node holds a run-lock")
    _silent(seen)


@locks.command()
def show(vm: str = VM, node: str = NODE, as_json: bool = JSON) -> None:
    """Show a VM's run-lock: its value block in words, and what each node says."""
    looked = rehearsal.look(connect(node))
    rehearsal.find(looked, vm)
    _show(looked.seen, vm, as_json)


@locks.command()
def clear(
    vm: str = typer.Argument(..., metavar="VM", help="the VM's name, or a uuid", show_default=False),
    node: str = typer.Option(
        None, "--node", metavar="NODE", help="the node whose lock goes; the one that holds it", show_default=False
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="check everything, ask the node nothing"),
) -> None:
    """Have a node give a run-lock back, with proof that the VM is not there; refused without it.

    The cluster is asked through this machine, or the node in HACTL_NODE.
    """
    world = connect()
    asked = locking.request(world, vm, node)
    if asked is None:
        render.out.print(f"no node holds a run-lock of {escape(vm)}")
        return
    if dry_run:
        held = asked.mode or "none on record"
        render.out.print(
            f"{asked.node} would be asked to give the lock of {escape(vm)} back ({held}); nothing was done"
        )
        return
    mode = locking.clear(world, asked)
    said = f"gave the run-lock of {escape(vm)} back ({mode})" if mode != "NL" else f"held no run-lock of {escape(vm)}"
    render.out.print(f"{asked.node} {said}: it proved that the VM is not there\n")
    seen = rehearsal.look(world).seen
    if seen.vm(vm) is not None:
        _show(seen, vm, as_json=False)


def _show(seen: Observation, vm: str, as_json: bool) -> None:
    view = seen.vm(vm)
    assert view is not None  # found in the same CIB
    if as_json:
        render.json_out(locking.about(seen, view))
        return
    render.out.print(f"[bold]{escape(vm)}[/] {paint(view.state)}, {view.uuid}")
    held = [row for row in locking.rows(seen) if row.uuid == view.uuid]
    for row in held:
        render.out.print(f"{row.node}: {row.meaning} ({row.lock.mode}){_since(row)}: {row.block}")
    if not held:
        render.out.print("no node holds its run-lock")
    render.out.print()
    render.out.print(node_table(view))
    render.problems([p for p in seen.problems if p.where == f"vm {vm}"])


def _table(found: tuple[Row, ...]) -> Table:
    table = table_of("VM", "node", "run-lock", "since", "move", "there", "uuid")
    for row in found:
        move = f"{row.lock.nonce}{' to ' + row.lock.target if row.lock.target else ''}" if row.lock.nonce else "–"
        name = escape(row.vm) or "[yellow]not managed[/]"
        there = paint(row.copy) if row.presence == "PRESENT" else f"[yellow]{row.copy}[/]"
        table.add_row(
            name, row.node, f"{row.meaning} ({row.lock.mode})", _since(row).strip() or "–", move, there, row.uuid
        )
    return table


def _since(row: Row) -> str:
    return f" {max(0, int(time.time()) - row.lock.since)} s ago" if row.lock.since else ""


def _silent(seen: Observation) -> None:
    for node, reason in locking.silent(seen).items():
        render.out.print(f"[yellow]{node}: not known ({escape(reason)})[/]")

"""`hactl node`: the hosts of the cluster."""

from __future__ import annotations

import typer

from hacluster.cli import render
from hacluster.cli.progress import Line
from hacluster.cli.shell import Commands
from hacluster.edge.ssh import NodeRunner
from hacluster.host import payload
from hacluster.host.bootstrap import GUARD_CONF, bootstrap

nodes = typer.Typer(cls=Commands, help="The hosts of the cluster.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `hactl node` to the command line."""
    app.add_typer(nodes, name="node")


@nodes.callback()
def about() -> None:
    """The hosts of the cluster."""


@nodes.command(name="bootstrap")
def bootstrap_(
    names: list[str] = typer.Argument(..., metavar="NODE...", help="hosts, as ssh knows them", show_default=False),
    dry_run: bool = typer.Option(False, "--dry-run", help="say what would be written, write nothing"),
) -> None:
    """Install the agents, the guard and libvirt's hook on hosts that already run Pacemaker and libvirt."""
    runner = NodeRunner(None)
    conf = payload.PayloadFile(GUARD_CONF, b"dlm=libdlm\nlockspace=hacluster\n", 0o644)
    files = (*payload.files(), conf)
    for name in names:
        with Line(f"bootstrapping {name}") as line:
            done = bootstrap(runner, name, files, dry_run=dry_run, tell=line)
        for path in done.written:
            render.out.print(f"{name}: {'would write' if dry_run else 'wrote'} {path}")
        if not done.written:
            render.out.print(f"{name}: nothing to do")

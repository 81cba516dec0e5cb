"""`hactl node`: the hosts of the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import List  # noqa: UP035 - Debian 12's typer 0.7 reads option types at run time and knows this one

import typer

from hacluster import spec
from hacluster.cli import bootstrapping, catalogue, draining, render
from hacluster.cli.progress import Line
from hacluster.cli.shell import Commands
from hacluster.edge.ssh import NodeRunner
from hacluster.host import payload
from hacluster.host.bootstrap import GUARD_CONF, bootstrap

_ACCEPT = typer.Option([], "--accept", metavar="CODE", help="take this risk by name; may be repeated")

nodes = typer.Typer(cls=Commands, help="The hosts of the cluster.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `hactl node` to the command line."""
    nodes.command()(draining.drain)
    nodes.command()(draining.resume)
    app.add_typer(nodes, name="node")


@nodes.callback()
def about() -> None:
    """The hosts of the cluster."""


@nodes.command(name="bootstrap")
def bootstrap_(
    targets: List[str] = typer.Argument(  # noqa: UP006 - see import
        ...,
        metavar="SPEC|NODE...",
        help="a spec: make its bare machines the hosts of its cluster; or hosts, as ssh knows them, that run Pacemaker "
        "and libvirt already: install agents, guard and libvirt's hook there",
        show_default=False,
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="show every file's diff and every command, change nothing"),
    only: List[str] = typer.Option(  # noqa: UP006 - see import
        [], "--only", metavar="STEP", help="this step of a spec's; may be repeated"
    ),
    accept: List[str] = _ACCEPT,  # noqa: UP006 - see import
    as_json: bool = typer.Option(False, "--json", help="what would be or was changed for a spec, as JSON"),
) -> None:
    """From bare machines that ssh reaches to the cluster of one file; run again, it changes only what is missing."""
    accepted = catalogue.accepted(accept)
    if len(targets) == 1 and (targets[0].endswith(".toml") or Path(targets[0]).is_file()):
        cluster = spec.load(Path(targets[0]), accepted)
        bootstrapping.run(cluster, only, accepted, dry_run=dry_run, as_document=as_json)
        return
    if only or as_json:
        raise typer.BadParameter("--only and --json are for a spec", param_hint="--only")
    runner = NodeRunner(None)
    conf = payload.PayloadFile(GUARD_CONF, b"dlm=libdlm\nlockspace=hacluster\n", 0o644)
    files = (*payload.files(), conf)
    for name in targets:
        with Line(f"bootstrapping {name}") as line:
            done = bootstrap(runner, name, files, dry_run=dry_run, tell=line)
        for path in done.written:
            render.out.print(f"{name}: {'would write' if dry_run else 'wrote'} {path}")
        if not done.written:
            render.out.print(f"{name}: nothing to do")

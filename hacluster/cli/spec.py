"""`hactl init`, `hactl schema`, `hactl check`: what can be said about a spec without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import List  # noqa: UP035 - Debian 12's typer 0.7 reads option types at run time and knows this one

import typer

from hacluster import spec
from hacluster.cib import fencing
from hacluster.cli import catalogue, render
from hacluster.problems import Refused, errors, kind
from hacluster.spec import schema, starter

NOT_WRITTEN = kind("HA180", "The starter file was not written", "hactl init never overwrites a file.")

_FILE = typer.Argument(Path("cluster.toml"), metavar="[FILE]", help="where to write it")
_SPEC = typer.Argument(..., metavar="SPEC", help="the cluster's file, cluster.toml", show_default=False, readable=False)
_JSON = typer.Option(False, "--json", help="findings as JSON")
_ACCEPT = typer.Option([], "--accept", metavar="CODE", help="take this risk by name; may be repeated")


def register(app: typer.Typer) -> None:
    """Add the commands to `hactl`."""
    app.command()(init)
    app.command("schema")(print_schema)
    app.command()(check)


def init(file: Path = _FILE) -> None:
    """Write a commented starter file to begin from."""
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(starter.TEXT)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "hactl init ANOTHER-NAME.toml" if isinstance(error, FileExistsError) else "choose another place"
        raise Refused(NOT_WRITTEN(f"cannot write the file: {reason}", where=str(file), remedy=remedy)) from None
    render.out.print(f"{file} is written. Change it to your hosts, then: hactl check {file}", markup=False)


def print_schema() -> None:
    """Print the JSON Schema of cluster.toml; editors complete from it."""
    render.json_out(schema.document())


def check(path: Path = _SPEC, as_json: bool = _JSON, accept: List[str] = _ACCEPT) -> None:  # noqa: UP006 - see import
    """Say everything that is wrong with a spec. Needs no cluster; exit 0 when nothing stands against it."""
    accepted = catalogue.accepted(accept)
    cluster, found = spec.check(path)
    if cluster is not None:
        found += fencing.check(cluster)
    render.problems(found, as_json, accepted)
    if errors(found, accepted):
        raise typer.Exit(1)
    if cluster is not None and not as_json:
        parts = (
            (len(cluster.nodes), "node"),
            (len(cluster.fence_devices), "fence device"),
            (len(cluster.storages), "storage"),
            (len(cluster.networks), "network"),
            (len(cluster.vms), "VM"),
        )
        counted = ", ".join(f"{number} {what}{'s' if number != 1 else ''}" for number, what in parts)
        render.out.print(f"{path}: the cluster {cluster.name} is well described: {counted}", markup=False)

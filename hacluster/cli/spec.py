"""`hactl init` and `hactl schema`: to begin a spec, and to write one in an editor that knows it."""

from __future__ import annotations

from pathlib import Path

import typer

from hacluster.cli import render
from hacluster.problems import Refused, kind
from hacluster.spec import schema, starter

NOT_WRITTEN = kind("HA180", "The starter file was not written", "hactl init never overwrites a file.")

_FILE = typer.Argument(Path("cluster.toml"), metavar="[FILE]", help="where to write it")


def register(app: typer.Typer) -> None:
    """Add the commands to `hactl`."""
    app.command()(init)
    app.command("schema")(print_schema)


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

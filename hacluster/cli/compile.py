"""`hactl compile`: what the spec means as a CIB."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from hacluster import spec
from hacluster.cib import corosync, fencing, remote, storage
from hacluster.cib.compile import compile as compile_cib
from hacluster.cli import catalogue, render
from hacluster.problems import Refused, errors, kind

NOT_WRITTEN = kind(
    "HA260",
    "A compiled file could not be written",
    "The directory has to exist and be writable. What was written before it is as it should be.",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compile")(compile_spec)


def compile_spec(
    path: Path = typer.Argument(..., metavar="SPEC", help="cluster.toml", show_default=False, readable=False),
    output: Path = typer.Option(
        None, "--output", "-o", metavar="FILE", help="write it there instead of to standard output", show_default=False
    ),
    corosync_conf: Path = typer.Option(
        None, "--corosync", metavar="FILE", help="write Corosync's configuration there too", show_default=False
    ),
    accept: list[str] = typer.Option([], "--accept", metavar="CODE", help="take a named risk"),
) -> None:
    """Print the CIB that a spec means. Needs no cluster, and changes none."""
    accepted = catalogue.accepted(accept)
    cluster = spec.load(path, accepted)
    found = (*fencing.check(cluster), *remote.check(cluster), *storage.check(cluster))
    if errors(found, accepted):
        raise Refused(found)
    document = compile_cib(cluster)
    if found:
        render.problems(found, accepted=accepted)
    if corosync_conf is not None:
        _write(corosync_conf, corosync.conf(cluster).encode(), "--corosync")
    if output is None or str(output) == "-":
        sys.stdout.buffer.write(document)
        return
    _write(output, document, "--output")


def _write(path: Path, content: bytes, option: str) -> None:
    try:
        path.write_bytes(content)
    except (OSError, ValueError) as error:
        said = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise Refused(NOT_WRITTEN(said, where=str(path), remedy=f"name another file with {option}")) from error

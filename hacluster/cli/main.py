"""`hactl`: the command line. It parses, wires the ports to the real world, and prints; it decides nothing."""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import sys
from pathlib import Path

import structlog
import typer

import hacluster
from hacluster.cli import render
from hacluster.problems import CATALOGUE, Problem, Refused, kind

INTERRUPTED = kind(
    "HA001",
    "Interrupted",
    "hactl was stopped by a signal. What it had begun can be seen with `hactl status`; a move goes on in Pacemaker.",
)
UNKNOWN_CODE = kind("HA002", "Unknown problem code", "The code is not in this version's catalogue.")

app = typer.Typer(
    name="hactl",
    help="Highly available KVM virtual machines on plain Pacemaker: one file, one command, and a VM never runs twice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

LOG = Path("/var/log/hacluster/hactl.log")


def _log_to_file() -> None:
    """What hactl did goes to a file that only root reads; nothing of it to the terminal."""
    handler: logging.Handler = logging.NullHandler()
    if os.geteuid() == 0:
        try:
            LOG.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            handler = logging.FileHandler(LOG)
        except OSError:
            handler = logging.NullHandler()  # a read-only /var must not keep an admin from looking
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    # A library that logs an error would otherwise print it between hactl's own lines.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


@app.command()
def explain(code: str = typer.Argument(..., metavar="CODE", help="for instance HA103")) -> None:
    """Say what a problem's code means, why it is a problem, and whether its risk can be accepted."""
    for module in pkgutil.walk_packages(hacluster.__path__, "hacluster."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    known = CATALOGUE.get(code.upper())
    if known is None:
        near = ", ".join(sorted(c for c in CATALOGUE if c[:3] == code.upper()[:3]))
        raise Refused(UNKNOWN_CODE(f"there is no problem {code}", remedy=f"known codes: {near or 'HA101 …'}"))
    render.out.print(f"[bold]{known.code}[/] {known.title} ({known.severity})\n\n{known.why}")
    if known.acceptable:
        render.out.print(f"\nThe risk can be taken by name: --accept {known.code}")


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    render.out.print(f"hactl {installed('hacluster')}")


def _mount() -> None:
    """Every command module adds its own commands; the order here is the order of the help."""
    for name in ("spec", "compile", "cluster", "vm", "node", "lab", "demo"):
        importlib.import_module(f"hacluster.cli.{name}").register(app)


def main() -> None:
    """Run hactl; exits 0 done, 1 refused or failed with Problems, 2 usage."""
    _log_to_file()
    _mount()
    as_json = "--json" in sys.argv
    try:
        app()
    except Refused as no:
        render.problems(no.problems, as_json)
        sys.exit(1)
    except KeyboardInterrupt:
        stopped: Problem = INTERRUPTED("stopped by a signal", remedy="hactl status")
        render.problems([stopped], as_json)
        sys.exit(1)

"""`hactl`: the command line. It parses, wires the ports to the real world, and prints; it decides nothing."""

from __future__ import annotations

import errno
import importlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import structlog
import typer
from lxml import etree

from hacluster.cli import catalogue, render
from hacluster.cli.shell import Commands
from hacluster.ports import Unreachable
from hacluster.problems import Problem, Refused, kind

UNKNOWN_CODE = kind("HA002", "Unknown problem code", "The code is not in this version's catalogue.")
NOT_WRITTEN = kind(
    "HA003",
    "hactl could not write what it had to say",
    "A full disk, a lost mount or a closed terminal: what hactl had begun before is not undone by that.",
)
FAULT = kind(
    "HA004",
    "A fault in hactl",
    "Something happened that hactl's authors did not foresee. The log says where. Nothing is assumed about what was "
    "done before: `hactl status` shows it, and the guard holds whatever hactl does.",
)

app = typer.Typer(
    name="hactl",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
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


def _version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def about(
    show_version: bool = typer.Option(
        False, "--version", help="print the version", is_eager=True, callback=_version, show_default=False
    ),
) -> None:
    """Highly available KVM virtual machines on plain Pacemaker: one file, one command, and a VM never runs twice."""
    del show_version  # _version has printed it


@app.command()
def explain(
    code: str = typer.Argument(
        None, metavar="[CODE]", help="for instance HA103; without one, all are listed", show_default=False
    ),
) -> None:
    """Say what a problem's code means, why it is a problem, and whether its risk can be accepted."""
    known_codes = catalogue.load()
    if code is None:
        for _, each in sorted(known_codes.items()):
            render.out.print(f"[bold]{each.code}[/]  {each.title}")
        return
    known = known_codes.get(code.upper())
    if known is None:
        raise Refused(UNKNOWN_CODE(f"there is no problem {code!r}", where="CODE", remedy="hactl explain"))
    render.out.print(f"[bold]{known.code}[/] {known.title} ({known.severity})\n\n{known.why}")
    if known.acceptable:
        render.out.print(f"\nThe risk can be taken by name: --accept {known.code}")


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    render.out.print(f"hactl {installed('hacluster')}")


_OFFLINE = {"init": "spec", "schema": "spec", "compile": "compile", "template": "template"}
"""Commands that need no cluster, by their module: loading libvirt, ssh and the lab would double their time."""


def _mount() -> None:
    """Every command module adds its own commands; the order here is the order of the help."""
    alone = _OFFLINE.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if alone is not None:
        importlib.import_module(f"hacluster.cli.{alone}").register(app)
        return
    for name in (
        "spec",
        "check",
        "graph",
        "compile",
        "template",
        "importing",
        "cluster",
        "undo",
        "verify",
        "vm",
        "adopting",
        "lock",
        "node",
        "storage",
        "fence",
        "lab",
        "demo",
        "chaos",
    ):
        importlib.import_module(f"hacluster.cli.{name}").register(app)


def main() -> None:
    """Run hactl; exits 0 done, 1 refused or failed with Problems, 2 usage."""
    _streams()
    _log_to_file()
    trust_the_cluster()
    _mount()
    # A service manager's or timeout's way to stop a command; by default it would leave without a word.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except Refused as no:
        _end(no.problems)
    except Unreachable as error:
        from hacluster.cli.world import NODE_UNREACHABLE

        remedy = "name a node that is up with --node NODE; hactl status shows what has become of it"
        _end([NODE_UNREACHABLE(str(error), where="cluster", remedy=remedy)])
    except OSError as error:
        if error.filename is not None or error.errno not in _NOT_WRITTEN:
            _fault(error)
        # What is left in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _end([NOT_WRITTEN(error.strerror or str(error), where="standard output", remedy="hactl status")], plain=True)
    except Exception as error:  # noqa: BLE001 - an admin in trouble is shown a Problem; the log has the traceback
        _fault(error)


def trust_the_cluster() -> None:
    """Read documents of any size where nothing else is said: what a cluster of a thousand VMs says of itself is longer
    than libxml2 takes from a stranger (10 MB). What strangers write has parsers of its own."""
    etree.set_default_parser(etree.XMLParser(huge_tree=True, resolve_entities=False, no_network=True))


_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE, errno.EBADF)


def _streams() -> None:
    """Make the three standard streams usable, whatever the caller closed and whatever its encoding is."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a closed one would be the next file's number, and messages would go into that file
    os.close(descriptor)
    sys.stdout = sys.stdout or io.TextIOWrapper(io.FileIO(1, "w", closefd=False))
    sys.stderr = sys.stderr or io.TextIOWrapper(io.FileIO(2, "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _fault(error: Exception) -> NoReturn:
    logging.getLogger("hactl").error("fault", exc_info=error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {error}"
    found = FAULT(
        said,
        where=f"{Path(place.filename).name}, line {place.lineno}",
        remedy=f"hactl status, and report this with the end of {LOG}",
    )
    _end([found])


def _end(found: Sequence[Problem], *, plain: bool = False) -> NoReturn:
    render.problems(found, as_json="--json" in sys.argv and not plain)
    sys.exit(1)

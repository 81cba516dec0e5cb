"""`hactl storage`: the shared file systems of a cluster that runs: larger, with more journals, checked."""

from __future__ import annotations

from pathlib import Path

import typer

from hacluster import model, spec
from hacluster.bootstrap import steps, upkeep
from hacluster.bootstrap.steps import Site, Step, Told
from hacluster.cib import names
from hacluster.cli import bootstrapping
from hacluster.cli.cluster import spec_path
from hacluster.cli.progress import Line
from hacluster.cli.shell import Commands
from hacluster.problems import Refused, errors, kind

NO_SUCH = kind(
    "HA639",
    "The spec has no such storage, or it is none that hactl can change",
    "Growing, journals and checks are GFS2's, on a device that the spec names.",
)

_NAME = typer.Argument(..., metavar="NAME", help="the storage's name in the spec", show_default=False)
_SPEC = typer.Option(None, "--spec", metavar="SPEC", help="else ./cluster.toml, else /etc/hacluster/cluster.toml")
_DRY = typer.Option(False, "--dry-run", help="show every command, change nothing")
_JSON = typer.Option(False, "--json", help="what would be or was changed, as JSON")

storage = typer.Typer(cls=Commands, help="The shared file systems of the cluster.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `hactl storage` to the command line."""
    app.add_typer(storage, name="storage")


@storage.callback()
def about() -> None:
    """The shared file systems of the cluster."""


@storage.command()
def grow(name: str = _NAME, path: Path = _SPEC, dry_run: bool = _DRY, as_json: bool = _JSON) -> None:
    """Give a mounted GFS2 all of its device, which has been made larger on the array. VMs run on."""
    site, found = _find(name, path)
    if not dry_run:
        upkeep.rescan(site, found)
    _make(site, upkeep.Grow(found), dry_run=dry_run, as_json=as_json)


@storage.command(name="add-journal")
def add_journal(name: str = _NAME, path: Path = _SPEC, dry_run: bool = _DRY, as_json: bool = _JSON) -> None:
    """Give a mounted GFS2 the journals that the spec wants for it: one for each node. VMs run on."""
    site, found = _find(name, path)
    _make(site, upkeep.AddJournals(found), dry_run=dry_run, as_json=as_json)


@storage.command()
def fsck(name: str = _NAME, path: Path = _SPEC, dry_run: bool = _DRY, as_json: bool = _JSON) -> None:
    """Check a GFS2 that no VM uses: Pacemaker takes it down on every node, one checks it, all mount it again."""
    site, found = _find(name, path)
    step = upkeep.Check(found, names.clone(names.filesystem(found.name)))
    looked = step.look(site)
    if not dry_run and not errors(looked.problems):
        with Line("fsck") as line:
            steps.in_order(site, looked.changes, step.name, line)
    bootstrapping.show((Told(step, looked),), frozenset(), dry_run=dry_run, as_document=as_json)


def _make(site: Site, step: Step, *, dry_run: bool, as_json: bool) -> None:
    if dry_run:
        told = steps.plan(site, (step,))
    else:
        with Line(step.name) as line:
            told = steps.apply(site, (step,), line)
    bootstrapping.show(told, frozenset(), dry_run=dry_run, as_document=as_json)


def _find(name: str, path: Path | None) -> tuple[Site, model.Gfs2]:
    cluster = spec.load(spec_path(path))
    found = next((each for each in cluster.storages if each.name == name), None)
    if not isinstance(found, model.Gfs2) or found.device is None or found.volume_manager != "lvmlockd":
        known = [s.name for s in cluster.storages if isinstance(s, model.Gfs2) and s.device is not None]
        message = f"there is no GFS2 storage {name} with a device" if found is None else f"{name} is none"
        remedy = f"one of: {', '.join(known)}" if known else "name its device in the spec"
        raise Refused(NO_SUCH(message, where=f"storage.{name}", remedy=remedy))
    return bootstrapping.site_of(cluster, frozenset()), found

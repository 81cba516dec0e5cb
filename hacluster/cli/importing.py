"""`hactl import`: from a cluster, or a CIB file, to a spec and a residue. It writes files and changes nothing else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

import typer
from lxml import etree
from rich.markup import escape

from hacluster import spec
from hacluster.cib import reading, schema
from hacluster.cib.compile import FEATURE_SET, SCHEMA
from hacluster.cli import render
from hacluster.cli.cluster import JSON, NODE, table_of
from hacluster.cli.world import World, connect
from hacluster.edge.schemas import SchemaTools
from hacluster.edge.ssh import NodeRunner
from hacluster.importing import Imported, Sources, import_cib
from hacluster.importing.result import RESIDUE, SPEC
from hacluster.importing.view import View, view
from hacluster.ports import Unknown
from hacluster.problems import Problem, Refused, kind
from hacluster.spec import domainfile

UNREADABLE = kind(
    "HA285", "A file for the import cannot be read", "The CIB, or what the options name, is not a readable file."
)
NOT_WRITTEN = kind(
    "HA286",
    "The import was not written",
    "hactl import never overwrites a file: a spec may have been changed by hand since it was written.",
)

FORMAT = 1
COROSYNC = "/etc/corosync/corosync.conf"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_)


def import_(
    cib: Path = typer.Argument(
        None, metavar="[CIB]", help="a CIB file; without one the cluster is asked", show_default=False, readable=False
    ),
    output: Path = typer.Option(
        None,
        "--output",
        "-o",
        metavar="DIR|FILE.toml",
        help="where to write; else the spec is printed",
        show_default=False,
    ),
    domains: Path = typer.Option(
        None, "--domains", metavar="DIR", help="a folder of domain XML files, for a CIB file", show_default=False
    ),
    corosync: Path = typer.Option(
        None, "--corosync", metavar="FILE", help="corosync.conf, for a CIB file", show_default=False
    ),
    node: str = NODE,
    dry_run: bool = typer.Option(False, "--dry-run", help="say what would be written, write nothing"),
    as_json: bool = JSON,
) -> None:
    """Describe an existing cluster as a spec, and keep what a spec cannot say as a residue beside it.

    What both compile to means exactly what the cluster's CIB means, so hactl plan has nothing to change. The cluster
    itself is only read.
    """
    if cib is None:
        world = connect(node)
        element, sources, origin = _live(world, domains, corosync)
    else:
        element = _read(_content(cib, reading.LIMIT), str(cib), node)
        sources, origin = _sources(domains, corosync), cib.name
    file, residue = _names(output)
    made = import_cib(element, sources, origin=origin, spec=file.name, residue=residue)
    if output is not None and not dry_run:
        write(file.parent, made)
    if as_json:
        render.json_out(_document(made, file, written=output is not None and not dry_run))
        return
    if output is None:
        typer.echo(made.files[file.name].decode(), nl=False)
        return
    _show(made, file, dry_run)


def _live(world: World, domains: Path | None, corosync: Path | None) -> tuple[etree._Element, Sources, str]:
    """The cluster's CIB, and from its nodes what the CIB names."""
    raw = world.pacemaker.cib()
    element = _upgraded(raw, "the cluster", SchemaTools(world.runner, world.pacemaker.local_node()))
    given = _sources(domains, corosync)
    seen = view(element)
    found = dict(given.domains)
    text = given.corosync
    for name in _nodes(seen):
        wanted = [path for path in _configs(seen) if path.rsplit("/", 1)[-1] not in found]
        if not wanted and text:
            break
        told = world.hosts.read(name, [*wanted, COROSYNC])
        if isinstance(told, Unknown):
            continue
        text = text or told.get(COROSYNC, b"").decode(errors="replace")
        found |= {path.rsplit("/", 1)[-1]: told[path] for path in wanted if path in told}
    return element, Sources(found, text), "a live cluster"


def _nodes(seen: View) -> list[str]:
    return [name for each in seen.nodes if (name := each.get("uname", "")) and each.get("type") != "remote"]


def _configs(seen: View) -> list[str]:
    """The domain files that VMs name: absolute paths of XML files, and nothing else is read from a node."""
    paths = [each.parameters.get("config", "") for each in seen.primitives if each.agent[2] == "VirtualDomain"]
    return [p for p in dict.fromkeys(paths) if p.startswith("/") and p.endswith(".xml") and "/../" not in p]


def _read(content: bytes, where: str, node: str | None) -> etree._Element:
    through = node or socket.gethostname()
    return _upgraded(content, where, SchemaTools(NodeRunner(), through))


def _upgraded(content: bytes, where: str, tools: SchemaTools) -> etree._Element:
    """The CIB in today's words. What is not a CIB at all, or too new, never reaches a tool."""
    supported, newest = tools.supported() or FEATURE_SET, schema.newest() or SCHEMA
    element = reading.read(content, where, supported, newest)
    if not reading.needs_upgrade(element):
        return element
    return reading.read(tools.upgrade(content), where, supported, newest)


def _sources(domains: Path | None, corosync: Path | None) -> Sources:
    text = "" if corosync is None else _content(corosync, 1 << 20).decode(errors="replace")
    if domains is None:
        return Sources(corosync=text)
    try:
        paths = sorted(path for path in domains.iterdir() if path.suffix == ".xml" and path.is_file())
    except OSError as error:
        raise Refused(_unreadable(error.strerror or str(error), domains)) from error
    return Sources({path.name: _content(path, domainfile.LIMIT) for path in paths}, text)


def _content(path: Path, limit: int) -> bytes:
    found: list[Problem] = []
    content = spec.source.read(path, found, limit)
    if content is None:
        raise Refused(_unreadable(found[0].message.removeprefix("cannot read the file: "), path))
    return content


def _unreadable(said: str, path: Path) -> Problem:
    return UNREADABLE(f"cannot read it: {said}", where=str(path), remedy="cibadmin --query > cib.xml")


def _names(output: Path | None) -> tuple[Path, str]:
    """The spec's file, and the residue's name beside it."""
    if output is None:
        return Path(SPEC), RESIDUE
    if output.suffix == ".toml":
        return output, RESIDUE if output.name == SPEC else f"{output.stem}.{RESIDUE}"
    return output / SPEC, RESIDUE


def write(folder: Path, made: Imported) -> None:
    """Write all files, or none: what is there already is found first."""
    paths = {name: folder / name for name in made.files}
    if taken := [path for path in paths.values() if os.path.lexists(path)]:
        raise Refused([_not_written("it is there already", path) for path in taken])
    written: list[Path] = []
    try:
        for name, path in paths.items():
            path.parent.mkdir(mode=0o700 if name in made.private else 0o755, parents=True, exist_ok=True)
            mode = 0o600 if name in made.private else 0o644
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                written.append(path)
                file.write(made.files[name])
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise Refused(_not_written(error.strerror or str(error), folder)) from error


def _not_written(said: str, path: Path) -> Problem:
    return NOT_WRITTEN(f"it cannot be written: {said}", where=str(path), remedy="choose another folder with --output")


def _show(made: Imported, file: Path, dry_run: bool) -> None:
    """A line for each element that is not the spec's, a summary, and what has to be done next."""
    table = table_of("", "section", "element", "why")
    for each in made.fates:
        if each.fate != "owned":
            table.add_row(each.fate, _plain(each.entry.section), _plain(each.entry.key), _plain(each.why))
    if table.row_count:
        render.out.print(table)
        render.out.print()
    render.problems(made.problems)
    counts = f"{made.count('owned')} owned, {made.count('kept')} kept, {made.count('withheld')} withheld"
    verb = "would be written" if dry_run else "written"
    render.out.print(f"{counts}; {verb}: {_list(made.files, file.parent)}", markup=False)
    render.out.print(f"next: hactl check {file}, then hactl plan {file}", markup=False)


def _plain(text: str) -> str:
    """A stranger's text for a table: no markup, and nothing that could disturb a terminal."""
    return escape("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def _list(names: Iterable[str], folder: Path) -> str:
    shown = [str(folder / name) for name in names]
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")


def _document(made: Imported, file: Path, *, written: bool) -> Mapping[str, object]:
    return {
        "format": FORMAT,
        "spec": str(file),
        "written": written,
        "files": sorted(made.files),
        "counts": {fate: made.count(fate) for fate in ("owned", "kept", "withheld")},
        "elements": [
            {"section": f.entry.section, "id": f.entry.key, "element": f.tag, "fate": f.fate, "why": f.why}
            for f in made.fates
        ],
        "problems": [problem.as_json() for problem in made.problems],
    }

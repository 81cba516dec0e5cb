"""`hactl graph`: a picture of what stands on what in a spec, a CIB or the running cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from lxml import etree

from hacluster import spec as specs
from hacluster.cib import reading
from hacluster.cib.compile import compile_element
from hacluster.cli import surroundings
from hacluster.cli.cluster import NODE, spec_path
from hacluster.cli.surroundings import DOMAINS
from hacluster.cli.world import connect
from hacluster.edge import local
from hacluster.graph import draw, picture
from hacluster.lint import Facts, Subject
from hacluster.ports import Unreachable
from hacluster.problems import Problem, Refused, kind
from hacluster.spec import source
from hacluster.spec.wording import nearest, quoted

NO_GRAPHVIZ = kind(
    "HA860", "graphviz is not installed here", "hactl writes the picture as DOT; graphviz's `dot` makes an SVG of it."
)
NO_SUCH = kind("HA861", "There is no such resource to draw", "A picture can be made of any VM or other primitive.")
NOT_WRITTEN = kind("HA862", "The picture could not be written", "The folder has to exist and be writable.")
NOT_DRAWN = kind("HA863", "graphviz could not draw the picture", "It failed, or did not end within a minute.")

_FILE = typer.Argument(
    None,
    metavar="[SPEC|CIB]",
    help="cluster.toml, or a CIB (- reads one from standard input); else ./cluster.toml, else "
    "/etc/hacluster/cluster.toml",
    show_default=False,
    readable=False,
    allow_dash=True,
)


def register(app: typer.Typer) -> None:
    """Add the command to `hactl`."""
    app.command()(graph)


def graph(
    path: Path = _FILE,
    live: bool = typer.Option(False, "--live", help="draw the running cluster instead"),
    domains: Path = DOMAINS,
    node: str = NODE,
    form: str = typer.Option(
        None, "--format", metavar="dot|svg", help="else svg for a file of that name, and dot", show_default=False
    ),
    output: Path = typer.Option(
        None, "--output", "-o", metavar="FILE", help="write it there instead of to standard output", show_default=False
    ),
    vm: str = typer.Option(
        None, "--vm", metavar="NAME", help="only that VM and what it stands on, and why", show_default=False
    ),
) -> None:
    """Draw which storage each VM stands on, and why a thing waits for another. VMs with the same bonds are one box."""
    if live and path is not None:
        raise typer.BadParameter("give either a file or --live", param_hint="--live")
    form = form or ("svg" if output is not None and output.suffix == ".svg" else "dot")
    if form not in ("dot", "svg"):
        raise typer.BadParameter("it is dot or svg", param_hint="--format")
    subject, title = _cluster(node) if live else _file(path, domains)
    known = {resource.id for resource in subject.facts.resources}
    if vm is not None and vm not in known:
        near = nearest(vm, known)
        remedy = f"hactl graph --vm {near}" if near else "leave --vm out to see the whole cluster"
        raise Refused(NO_SUCH(f"there is no {quoted(vm)}" + (f"; did you mean {near}?" if near else ""), remedy=remedy))
    text = draw(picture(subject, vm), title if vm is None else f"{vm}: what it stands on").encode()
    _write(text if form == "dot" else _svg(text), output)


def _file(path: Path | None, domains: Path | None) -> tuple[Subject, str]:
    if path is not None and str(path) == "-":
        content = sys.stdin.buffer.read(reading.LIMIT + 1)
        return _titled(Facts(reading.any_cib(content, "standard input")), "the cluster", domains)
    path = spec_path(path)
    unread: list[Problem] = []
    text = source.read(path, unread, reading.LIMIT)
    if text is None:
        raise Refused(unread)
    if reading.is_xml(text):
        return _titled(Facts(reading.any_cib(text, str(path))), path.name, domains)
    cluster = specs.load(path, specs.ACCEPTABLE)
    known = {vm.name: vm.domain_xml for vm in cluster.vms}
    return Subject(Facts(compile_element(cluster)), domains=known), f"cluster {cluster.name}"


def _titled(facts: Facts, otherwise: str, domains: Path | None) -> tuple[Subject, str]:
    name = facts.properties.get("cluster-name")
    known = {} if domains is None else surroundings.domains_in(domains, facts)
    return Subject(facts, domains=known), f"cluster {name}" if name else otherwise


def _cluster(node: str | None) -> tuple[Subject, str]:
    world = connect(node)
    facts = Facts(etree.fromstring(world.pacemaker.cib()))
    return surroundings.of_cluster(world, facts), f"cluster {facts.properties.get('cluster-name', '')}".strip()


def _svg(text: bytes) -> bytes:
    try:
        done = local.run(["dot", "-Tsvg"], stdin=text, deadline=60.0)
    except Unreachable as error:
        raise Refused(NOT_DRAWN(str(error), where="dot", remedy="hactl graph --vm NAME draws less")) from error
    if done.code == 127:
        raise Refused(
            NO_GRAPHVIZ("there is no `dot` here", where="dot", remedy="apt-get install graphviz; or: --format dot")
        )
    if not done.ok:
        said = done.err.decode(errors="replace").strip()
        raise Refused(NOT_DRAWN(said or f"exit code {done.code}", where="dot", remedy="hactl graph --format dot"))
    return done.out


def _write(content: bytes, output: Path | None) -> None:
    if output is None or str(output) == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        remedy = "name another file with --output"
        raise Refused(NOT_WRITTEN(error.strerror or str(error), where=str(output), remedy=remedy)) from error

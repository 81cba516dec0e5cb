"""`hactl check`: everything that is wrong with a spec, with a CIB whoever made it, or with the running cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List  # noqa: UP035 - Debian 12's typer 0.7 reads option types at run time and knows this one

import typer
from lxml import etree

from hacluster import spec
from hacluster.cib import document, fencing, metadata
from hacluster.cli import catalogue, render
from hacluster.cli.cluster import NODE, spec_path
from hacluster.cli.world import connect
from hacluster.edge.agents import InstalledAgents
from hacluster.lint import Facts, Subject, lint, with_lines
from hacluster.lint.subject import Describe
from hacluster.ports import Agents
from hacluster.problems import Problem, errors
from hacluster.spec import source

_FILE = typer.Argument(
    None,
    metavar="[SPEC|CIB]",
    help="cluster.toml, or a CIB as `cibadmin --query` prints it (- reads one from standard input); "
    "else ./cluster.toml, else /etc/hacluster/cluster.toml",
    show_default=False,
    readable=False,
    allow_dash=True,
)
_LIVE = typer.Option(False, "--live", help="lint the running cluster instead, whoever made it")
_JSON = typer.Option(False, "--json", help="findings as JSON")
_ACCEPT = typer.Option([], "--accept", metavar="CODE", help="take this risk by name; may be repeated")


def register(app: typer.Typer) -> None:
    """Add the command to `hactl`."""
    app.command()(check)


def check(
    path: Path = _FILE,
    live: bool = _LIVE,
    node: str = NODE,
    as_json: bool = _JSON,
    accept: List[str] = _ACCEPT,  # noqa: UP006 - see import
) -> None:
    """Say everything that is wrong with a spec, a CIB or the running cluster. Exit 0 when nothing stands against it."""
    accepted = catalogue.accepted(accept)
    if live and path is not None:
        raise typer.BadParameter("give either a file or --live", param_hint="--live")
    if live:
        found, praise = _cluster(node)
    else:
        found, praise = _file(path)
    render.problems(found, as_json, accepted)
    if errors(found, accepted):
        raise typer.Exit(1)
    if not as_json:
        render.out.print(praise, markup=False)


def _file(path: Path | None) -> tuple[tuple[Problem, ...], str]:
    """The findings of a file of either kind, and what to say when there is none."""
    if path is not None and str(path) == "-":
        return _cib(sys.stdin.buffer.read(document.LIMIT + 1), "standard input")
    path = spec_path(path)
    unread: list[Problem] = []
    content = source.read(path, unread, document.LIMIT)
    if content is None:
        return tuple(unread), ""
    return _cib(content, str(path)) if document.is_xml(content) else _spec(path)


def _spec(path: Path) -> tuple[tuple[Problem, ...], str]:
    cluster, found = spec.check(path)
    if cluster is None:
        return found, ""
    found += fencing.check(cluster)
    parts = (
        (len(cluster.nodes), "node"),
        (len(cluster.fence_devices), "fence device"),
        (len(cluster.storages), "storage"),
        (len(cluster.networks), "network"),
        (len(cluster.vms), "VM"),
    )
    counted = ", ".join(f"{number} {what}{'s' if number != 1 else ''}" for number, what in parts)
    return found, f"{path}: the cluster {cluster.name} is well described: {counted}"


def _cib(content: bytes, name: str) -> tuple[tuple[Problem, ...], str]:
    facts = Facts(document.read(content, name))
    found = lint(Subject(facts, describe=_describe(InstalledAgents())))
    return with_lines(found, facts), f"{name}: {_summary(facts)}, and nothing stands against it"


def _cluster(node: str | None) -> tuple[tuple[Problem, ...], str]:
    world = connect(node)
    facts = Facts(etree.fromstring(world.pacemaker.cib()))
    found = lint(Subject(facts, describe=_describe(InstalledAgents())))
    return found, f"the cluster has {_summary(facts)}, and nothing stands against it"


def _summary(facts: Facts) -> str:
    return f"{len(facts.nodes)} nodes, {len(facts.resources)} resources, {len(facts.vms)} of them VMs"


def _describe(agents: Agents) -> Describe:
    """Metadata by agent; None for an agent that is not installed here or does not say anything readable."""

    def described(agent: str) -> metadata.Metadata | None:
        text = agents.metadata(agent)
        try:
            return metadata.parse(text) if isinstance(text, bytes) else None
        except ValueError:
            return None

    return described

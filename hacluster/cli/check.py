"""`hactl check`: everything that is wrong with a spec, a CIB whoever made it, the running cluster, or the hosts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List  # noqa: UP035 - Debian 12's typer 0.7 reads option types at run time and knows this one

import typer
from lxml import etree

from hacluster import capacity, model, spec
from hacluster.cib import compile as compiler
from hacluster.cib import fencing, reading, remote, schema, storage
from hacluster.cli import catalogue, losses, render, surroundings, survey
from hacluster.cli.cluster import NODE, spec_path
from hacluster.cli.surroundings import DOMAINS
from hacluster.cli.template import own_templates
from hacluster.cli.world import connect
from hacluster.edge.agents import InstalledAgents
from hacluster.lint import Facts, Subject, lint, with_lines
from hacluster.problems import Problem, Refused, errors
from hacluster.spec import source

_SENTENCES = 4

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
_LOST = typer.Option(
    None,
    "--nodes-lost",
    min=0,
    max=2,
    metavar="N",
    help="ask Pacemaker's scheduler what the loss of every N nodes together would cost (a spec: 1, where the scheduler "
    "is installed; 0 asks nothing)",
    show_default=False,
)
_HOSTS = typer.Option(
    False, "--hosts", help="survey the spec's hosts instead: each one, and the way from each to each; changes nothing"
)
_JSON = typer.Option(False, "--json", help="findings as JSON")
_ACCEPT = typer.Option([], "--accept", metavar="CODE", help="take this risk by name; may be repeated")


def register(app: typer.Typer) -> None:
    """Add the command to `hactl`."""
    app.command()(check)


def check(
    path: Path = _FILE,
    live: bool = _LIVE,
    domains: Path = DOMAINS,
    node: str = NODE,
    lost: int = _LOST,
    hosts: bool = _HOSTS,
    as_json: bool = _JSON,
    accept: List[str] = _ACCEPT,  # noqa: UP006 - see import
) -> None:
    """Say everything that is wrong with a spec, a CIB, the running cluster or its hosts. Exit 0 without an error."""
    accepted = catalogue.accepted(accept)
    if hosts:
        if live:
            raise typer.BadParameter("the survey asks the hosts of a spec", param_hint="--live")
        survey.check(spec_path(path), as_json, accepted)
        return
    if live and path is not None:
        raise typer.BadParameter("give either a file or --live", param_hint="--live")
    seen = _cluster(node, lost or 0) if live else _file(path, lost, domains)
    told = seen.told
    render.problems(seen.found, as_json, accepted, **({} if told is None else {"losses": told.as_json()}))
    if told is not None and told.losses and not as_json:
        losses.show(told)
    if errors(seen.found, accepted):
        raise typer.Exit(1)
    if not as_json:
        render.out.print(seen.praise, markup=False)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What there is to say: the findings, what the loss of nodes would cost, and what to say when all is well."""

    found: tuple[Problem, ...]
    praise: str = ""
    told: capacity.Forecast | None = None


def _file(path: Path | None, lost: int | None, domains: Path | None) -> _Seen:
    """A file of either kind."""
    if path is not None and str(path) == "-":
        return _cib(sys.stdin.buffer.read(reading.LIMIT + 1), "standard input", lost or 0, domains)
    path = spec_path(path)
    unread: list[Problem] = []
    content = source.read(path, unread, reading.LIMIT)
    if content is None:
        return _Seen(tuple(unread))
    return _cib(content, str(path), lost or 0, domains) if reading.is_xml(content) else _spec(path, lost)


def _spec(path: Path, lost: int | None) -> _Seen:
    cluster, found = spec.check(path)
    if cluster is None:
        return _Seen(found)
    found += (
        *fencing.check(cluster, surroundings.describe(InstalledAgents())),
        *remote.check(cluster),
        *storage.check(cluster),
        *own_templates(),
        *_compiled(cluster),
    )
    told = _told(cluster, lost) if lost or (lost is None and losses.installed()) else None
    found += tuple(capacity.findings(told)) if told is not None else ()
    parts = (
        (len(cluster.nodes), "node"),
        (len(cluster.fence_devices), "fence device"),
        (len(cluster.storages), "storage"),
        (len(cluster.networks), "network"),
        (len(cluster.vms), "VM"),
    )
    counted = ", ".join(f"{number} {what}{'s' if number != 1 else ''}" for number, what in parts)
    return _Seen(found, f"{path}: the cluster {cluster.name} is well described: {counted}", told)


_IN_A_SPEC = {
    "HA807": "raise stonith-timeout in [cluster.properties]",
    "HA818": "give the nodes a second level: nodes.NAME.fencing = [[…], […]]",
    "HA829": 'set agent = "hacluster" for them',
    "HA838": 'rename one of them, or set agent = "hacluster" for it',
    "HA849": "take it out of the domain XML, or set migration.mode to cold",
    "HA855": "name a CPU model that every host has, or set migration.mode to cold",
}
"""What lint finds in a CIB that a spec without errors compiles to, and what an admin changes in the spec then."""


def _compiled(cluster: model.Cluster) -> tuple[Problem, ...]:
    """Lint's findings about what the spec means; nothing where it does not compile, which is said elsewhere."""
    try:
        facts = Facts(compiler.compile_element(cluster))
    except Refused:
        return ()
    subject = Subject(facts, domains={vm.name: vm.domain_xml for vm in cluster.vms})
    return tuple(replace(p, remedy=_IN_A_SPEC[p.code]) for p in lint(subject) if p.code in _IN_A_SPEC)


def _told(cluster: model.Cluster, lost: int | None) -> capacity.Forecast | None:
    """What a loss would cost. Raises Refused when that was asked for and cannot be told, or the spec not compiled."""
    try:
        compiled = compiler.compile_element(cluster)
    except Refused:
        if lost:
            raise
        return None  # `hactl compile` says why; here it would hide what the spec's own checks found
    return losses.ask_here(compiled, lost or 1, qdevice=cluster.qdevice is not None)


def _cib(content: bytes, name: str, lost: int, domains: Path | None) -> _Seen:
    facts = Facts(reading.any_cib(content, name))
    known = {} if domains is None else surroundings.domains_in(domains, facts)
    found = lint(Subject(facts, surroundings.describe(InstalledAgents()), known))
    told = losses.ask_here(facts.root, lost) if lost else None
    found = (*_schema(facts.root, name), *with_lines(found, facts), *(capacity.findings(told) if told else ()))
    return _Seen(found, f"{name}: {_summary(facts, found)}", told)


def _schema(cib: etree._Element, name: str) -> tuple[Problem, ...]:
    """What Pacemaker's schema has against the file, as one finding: libxml2 says one fault in several sentences."""
    found = schema.check(cib) if schema.available() else ()
    wrong = [problem for problem in found if problem.code == schema.INVALID.code]
    if not wrong:
        return found
    place = next((problem.where for problem in wrong if problem.where != "line 0"), "")
    said = "; ".join(dict.fromkeys(problem.message for problem in wrong[:_SENTENCES]))
    remedy = f"crm_verify --verbose --xml-file {name}"
    return (schema.INVALID(said, where=f"{name}, {place}", remedy=remedy, schema=cib.get("validate-with")),)


def _cluster(node: str | None, lost: int) -> _Seen:
    world = connect(node)
    facts = Facts(etree.fromstring(world.pacemaker.cib()))
    found = lint(surroundings.of_cluster(world, facts))
    told = losses.ask(facts.root, world.pacemaker, lost) if lost else None
    found = (*found, *(capacity.findings(told) if told else ()))
    return _Seen(found, f"the cluster: {_summary(facts, found)}", told)


def _summary(facts: Facts, found: Sequence[Problem]) -> str:
    """What was looked at, and that no error was found in it."""
    seen = f"{len(facts.nodes)} nodes, {len(facts.resources)} resources, {len(facts.vms)} of them VMs"
    return f"{seen}: no errors, warnings: {len(found)}" if found else f"{seen}, and nothing stands against it"

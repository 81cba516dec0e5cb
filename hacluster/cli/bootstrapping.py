"""`hactl node bootstrap`: what it asks an admin, and how it shows what would be or was changed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import typer
from rich.markup import escape

from hacluster.bootstrap import steps
from hacluster.bootstrap.bridges import Bridges
from hacluster.bootstrap.changes import as_json
from hacluster.bootstrap.guarding import Guarding
from hacluster.bootstrap.keys import Keys, Trust
from hacluster.bootstrap.machines import Machines
from hacluster.bootstrap.membership import Membership, Pcsd
from hacluster.bootstrap.naming import Naming
from hacluster.bootstrap.packages import Packages
from hacluster.bootstrap.steps import Site, Step, Told
from hacluster.bootstrap.storage import Lvm, Storage
from hacluster.bootstrap.virtual import Virtual
from hacluster.cli import render
from hacluster.cli.progress import Line
from hacluster.edge import host_keys
from hacluster.edge.bare import BareHost
from hacluster.edge.ssh import KNOWN_HOSTS, UNKNOWN_HOST, NodeRunner
from hacluster.host import payload
from hacluster.model import Cluster, Node
from hacluster.ports import Unreachable
from hacluster.problems import Problem, Refused, errors

_CONNECTING = 30.0
"""Seconds for a connection to a machine that may be busy installing, or be an emulated one."""


def all_steps() -> tuple[Step, ...]:
    """Every step, in the order in which they build upon each other."""
    return (
        Machines(),
        Packages(),
        Naming(),
        Keys(),
        Trust(),
        Guarding(payload.files()),
        Virtual(),
        Bridges(),
        Lvm(),
        Pcsd(),
        Membership(),
        Storage(),
    )


def chosen(words: Sequence[str]) -> tuple[Step, ...]:
    """The steps of these names, in their own order; all without any. Raises a usage error for an unknown one."""
    every = all_steps()
    names = [step.name for step in every]
    unknown = [word for word in words if word not in names]
    if unknown:
        raise typer.BadParameter(f"there is no step {unknown[0]}; there are {', '.join(names)}", param_hint="--only")
    return tuple(step for step in every if not words or step.name in words)


def run(cluster: Cluster, words: Sequence[str], accepted: frozenset[str], *, dry_run: bool, as_document: bool) -> None:
    """Bootstrap the machines of a cluster, or say what that would change. Exits with 1 where something speaks against
    it."""
    todo = chosen(words)
    site = site_of(cluster, accepted)
    if dry_run:
        told = steps.plan(site, todo)
    else:
        with Line("bootstrap") as line:
            told = steps.apply(site, todo, line)
    show(told, accepted, dry_run=dry_run, as_document=as_document)


def site_of(cluster: Cluster, accepted: frozenset[str]) -> Site:
    """The machines of a cluster, over ssh. Raises Refused for one whose host key nobody has confirmed."""
    return Site(cluster, _hosts(cluster.nodes), accepted)


def show(told: Sequence[Told], accepted: frozenset[str], *, dry_run: bool, as_document: bool) -> None:
    """Show what would be, or was, changed, and the findings. Exits with 1 where one of them is not accepted."""
    found = steps.problems(told)
    if as_document:
        _document(told, found, dry_run=dry_run)
    else:
        _show(told, dry_run=dry_run)
        render.problems(found, accepted=accepted)
    if errors(found, accepted):
        raise typer.Exit(1)


def dialled(node: Node) -> str:
    """What ssh dials for a node whose name nothing may know yet."""
    return node.ssh_host or node.addresses[0]


def _hosts(nodes: Sequence[Node]) -> Mapping[str, BareHost]:
    pins = {node.name: node.host_key for node in nodes if node.host_key is not None}
    runner = NodeRunner({node.name: dialled(node) for node in nodes}, pins=pins, patience=_CONNECTING)
    unpinned = [node for node in nodes if node.host_key is None and not runner.is_local(node.name)]
    unknown = [node for node in unpinned if not host_keys.known(dialled(node), KNOWN_HOSTS)]
    found = [problem for node in unknown if (problem := _confirm(node)) is not None]
    if found:
        raise Refused(found)
    return {node.name: BareHost(runner, node.name) for node in nodes}


def _confirm(node: Node) -> Problem | None:
    """Have an admin compare a host key that nobody knows yet; what he does not confirm is refused."""
    host = dialled(node)
    try:
        key, fingerprint = host_keys.shown(host)
    except Unreachable as error:
        return steps.NO_ANSWER(str(error), where=f"node {node.name}", remedy=f"ssh root@{host} true")
    if sys.stdin is not None and sys.stdin.isatty():
        render.err.print(f"{escape(node.name)} ({escape(host)}) shows the host key [bold]{escape(fingerprint)}[/]")
        render.err.print(f"    on its console: ssh-keygen -lf {host_keys.OWN}")
        if typer.confirm("Is that the same?", default=False, err=True):
            host_keys.remember(host, key)
            return None
    return UNKNOWN_HOST(
        f"nobody has confirmed the host key that {host} shows.",
        where=node.name,
        remedy=f"compare it with the node's own, on its console (ssh-keygen -lf {host_keys.OWN}), and pin it: "
        f'nodes.{node.name}.host_key = "{fingerprint}"',
        shown=fingerprint,
    )


def _show(told: Sequence[Told], *, dry_run: bool) -> None:
    count = 0
    for each in told:
        if not each.looked.changes:
            continue
        render.out.print(f"[bold]{escape(each.step.title)}[/] ({each.step.name})")
        for change in each.looked.changes:
            count += 1
            render.out.print(f"  {change.node}: {change.headline}", markup=False)
            if dry_run and (shown := change.diff()):
                render.out.print("\n".join(f"      {line}" for line in shown.splitlines()), markup=False)
    if not count:
        render.out.print("nothing to do: every machine is as the spec wants it")
    else:
        render.out.print(f"\n{count} changes {'would be made' if dry_run else 'made'}")


def _document(told: Sequence[Told], found: Sequence[Problem], *, dry_run: bool) -> None:
    render.json_out(
        {
            "format": 1,
            "dry_run": dry_run,
            "steps": [
                {
                    "step": each.step.name,
                    "title": each.step.title,
                    "changes": [as_json(change) for change in each.looked.changes],
                }
                for each in told
            ],
            "nothing_to_do": not any(each.looked.changes for each in told),
            "problems": [problem.as_json() for problem in found],
        }
    )

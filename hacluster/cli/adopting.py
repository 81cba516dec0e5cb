"""`hactl vm adopt` and `hactl vm release`: a running VM comes under the guarded agent, or back under heartbeat's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer
from rich.markup import escape

from hacluster import adopting
from hacluster import spec as specs
from hacluster.cib import compile as compiler
from hacluster.cib import residue as residues
from hacluster.cli import catalogue, render
from hacluster.cli.cluster import ACCEPT, NODE, spec_path, ssh_hosts
from hacluster.cli.progress import Line
from hacluster.cli.vm import DRY, vms
from hacluster.cli.world import connect
from hacluster.model import Cluster
from hacluster.preflight import UNKNOWN_VM, nearest
from hacluster.problems import Refused, kind
from hacluster.spec import residue_file

RESIDUE_STAYS = kind(
    "HA298",
    "The residue could not be written anew",
    "The VM is the spec's now, and the residue still says that it is kept. Until its entries are taken out, hactl plan "
    "passes the VM over.",
)

VMS = typer.Argument(..., metavar="VM...", help="the VMs' names", show_default=False)
SPEC = typer.Option(
    None,
    "--spec",
    metavar="SPEC",
    help="the spec; else ./cluster.toml, else /etc/hacluster/cluster.toml",
    show_default=False,
)


def register(app: typer.Typer) -> None:
    """Add the two to `hactl vm`."""
    del app  # `hactl vm` is there already
    vms.command("adopt")(adopt)
    vms.command("release")(release)


def adopt(
    names: list[str] = VMS, spec: Path = SPEC, node: str = NODE, dry_run: bool = DRY, accept: list[str] = ACCEPT
) -> None:
    """Bring running VMs of ocf:heartbeat:VirtualDomain under the guarded agent. Their guests run on."""
    _change(names, spec, node, "hacluster", dry_run=dry_run, accepted=catalogue.accepted(accept))


def release(
    names: list[str] = VMS, spec: Path = SPEC, node: str = NODE, dry_run: bool = DRY, accept: list[str] = ACCEPT
) -> None:
    """Bring running VMs back under ocf:heartbeat:VirtualDomain, as the spec then says. Their guests run on."""
    _change(names, spec, node, "heartbeat", dry_run=dry_run, accepted=catalogue.accepted(accept))


def _change(
    names: Sequence[str], spec: Path | None, node: str | None, agent: str, *, dry_run: bool, accepted: frozenset[str]
) -> None:
    path = spec_path(spec)
    cluster = specs.load(path, accepted)
    known = [vm.name for vm in cluster.vms]
    if unknown := [name for name in names if name not in known]:
        raise Refused(
            UNKNOWN_VM(
                f"the spec has no VM {name}", where=f"vms.{name}", remedy=nearest(name, known, f"hactl check {path}")
            )
            for name in unknown
        )
    freed, residue = _freed(cluster, names)
    world = connect(node, ssh_hosts(cluster))
    asked = adopting.ask(world, freed, tuple(names), agent)
    if asked.nothing:
        render.out.print(f"nothing to do: {', '.join(names)} under {agent}'s agent", markup=False)
        return
    for change in asked.changes:
        render.out.print(f"{change.kind} {escape(change.section)} [bold]{escape(change.id)}[/]")
    if asked.problems:
        raise Refused(asked.problems)
    if dry_run:
        render.out.print("their guests would run on; nothing was changed")
        return
    with Line("adopt" if agent == "hacluster" else "release") as line:
        done = adopting.adopt(world, asked, line)
    beside = residue_file.beside(path)
    if residue is not None and beside is not None:
        _rewrite(beside, residue)
    for each in done:
        render.out.print(f"{each.vm} runs on {each.node} under {agent}'s agent, in the same process (pid {each.pid})")


def _freed(cluster: Cluster, names: Sequence[str]) -> tuple[Cluster, bytes | None]:
    """The cluster with what concerns these VMs taken out of its residue, and that; None if it has not changed."""
    if not cluster.residue:
        return cluster, None
    residue = residues.parse(cluster.residue)
    bare = compiler.compile_element(replace(cluster, residue=b""))
    entries = residues.for_vms(bare, residue, names)
    if not entries:
        return cluster, None
    content = residue.without(entries).as_bytes()
    return replace(cluster, residue=content), content


def _rewrite(path: Path, content: bytes) -> None:
    """Put the new residue in the old one's place, whole or not at all."""
    beside = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        remedy = "hactl import into another folder, and take its residue.xml"
        raise Refused(RESIDUE_STAYS(error.strerror or str(error), where=str(path), remedy=remedy)) from error

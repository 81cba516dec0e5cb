"""`hactl status`, `hactl plan`, `hactl apply`: what is, what would change, and changing it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from hacluster import apply as applying
from hacluster import claiming
from hacluster import plan as planning
from hacluster import spec as specs
from hacluster.apply import planfile
from hacluster.apply.run import CHANGED
from hacluster.cib import fencing
from hacluster.cli import catalogue, plans, render
from hacluster.cli.progress import Line
from hacluster.cli.world import World, connect
from hacluster.edge.secret import LocalSecrets
from hacluster.fencing_proof import Standing
from hacluster.model import Cluster
from hacluster.observe import Observation, document, look
from hacluster.problems import Refused, errors, kind

NO_SPEC = kind(
    "HA347",
    "There is no spec",
    "hactl looks for cluster.toml in the current folder, then for /etc/hacluster/cluster.toml.",
)

SPECS = (Path("cluster.toml"), Path("/etc/hacluster/cluster.toml"))

SPEC = typer.Argument(
    None,
    metavar="[SPEC]",
    help="the spec; else ./cluster.toml, else /etc/hacluster/cluster.toml",
    show_default=False,
    readable=False,
)
PLAN_OR_SPEC = typer.Argument(
    None,
    metavar="[SPEC|PLAN]",
    help="the spec, or the file of a plan; else ./cluster.toml, else /etc/hacluster/cluster.toml",
    show_default=False,
    readable=False,
)
ACCEPT = typer.Option([], "--accept", metavar="CODE", help="take a risk by its code, for instance HA333")

KEEP = typer.Option([], "--keep", metavar="ID", help="leave what somebody else made of this thing, see the plan")
WAIT = typer.Option(300.0, "--wait", metavar="SECONDS", help="how long Pacemaker may take")

NODE = typer.Option(None, "--node", "-N", metavar="NODE", help="ask the cluster through this node", show_default=False)
JSON = typer.Option(False, "--json", help="print JSON")

_BAD = ("UNCLEAN", "OFFLINE", "RUNNING TWICE", "TWO COPIES", "UNKNOWN", "failed", "blocked", "gone", "?")
_BUSY = ("moving", "starting", "stopping", "pending", "standby", "maintenance")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(status)
    app.command()(plan)
    app.command()(apply)


def status(node: str = NODE, as_json: bool = JSON) -> None:
    """Show the cluster: nodes, fencing, storage, and each VM with its node, run-lock and console."""
    world = connect(node)
    seen = look(world.pacemaker, world.hosts, world.clock, consoles=True)
    if as_json:
        render.json_out(document(seen))
    else:
        show(seen)
        render.problems(seen.problems)
    if errors(seen.problems):
        raise typer.Exit(1)


def plan(
    spec: Path = SPEC,
    node: str = NODE,
    accept: list[str] = ACCEPT,
    keep: list[str] = KEEP,
    out: Path = typer.Option(
        None, "--out", "-o", metavar="FILE", help="write the plan there, for: hactl apply FILE", show_default=False
    ),
    as_pcs: bool = typer.Option(False, "--as-pcs", help="print the change as pcs commands, for reading"),
    as_json: bool = JSON,
) -> None:
    """Show what `hactl apply` would change, what Pacemaker would do then, and what each VM pays. Changes nothing."""
    accepted = catalogue.accepted(accept)
    if as_pcs and as_json:
        raise typer.BadParameter("choose --as-pcs or --json", param_hint="--as-pcs")
    cluster, world, prepared = _prepare(spec, node, accepted, frozenset(keep))
    if out is not None:
        written = planfile.encode(
            prepared, cluster, ssh_hosts(cluster), accepted, at=world.clock.wall(), by=claiming.owner()
        )
        plans.write(out, written)
    if as_pcs:
        plans.show_as_pcs(prepared)
        render.problems(prepared.problems, accepted=accepted)
    else:
        show_prepared(prepared, as_json, accepted)
    if out is not None and not as_json and not as_pcs:
        render.out.print(f"\nwritten to {escape(str(out))}; hactl apply {escape(str(out))} does exactly this")
    if errors(prepared.problems, accepted):
        raise typer.Exit(1)


def apply(
    spec: Path = PLAN_OR_SPEC,
    node: str = NODE,
    accept: list[str] = ACCEPT,
    keep: list[str] = KEEP,
    dry_run: bool = typer.Option(False, "--dry-run", help="show the plan, change nothing"),
    planned: int = typer.Option(
        None, "--planned", metavar="N", help="only if the configuration is still N", show_default=False
    ),
    wait: float = WAIT,
) -> None:
    """Make the cluster what the spec says, or what a plan's file has: files to every node, one atomic push, then watch
    and verify."""
    accepted = catalogue.accepted(accept)
    path = spec_path(spec)
    content = plans.content(path)
    if planfile.looks_like(content):
        if keep:
            raise typer.BadParameter("what is kept was decided when the plan was made", param_hint="--keep")
        written = planfile.decode(content, str(path))
        accepted |= written.accepted
        world = connect(node, written.ssh_hosts)
        prepared = applying.prepare_written(world, LocalSecrets(), written, str(path))
    else:
        _, world, prepared = _prepare(path, node, accepted, frozenset(keep))
    if planned is not None and planned != prepared.plan.planned[1]:
        now = prepared.plan.planned[1]
        raise Refused(
            CHANGED(
                "it is not the configuration that was planned",
                where="CIB",
                remedy="hactl plan",
                planned=planned,
                now=now,
            )
        )
    carry_out(world, prepared, accepted, wait, "apply", dry_run=dry_run)


def carry_out(
    world: World, prepared: applying.Prepared, accepted: frozenset[str], wait: float, word: str, *, dry_run: bool
) -> None:
    """Show what is prepared and, unless something speaks against it, do it. `word` names it on the progress line."""
    show_prepared(prepared, as_json=False, accepted=accepted)
    if errors(prepared.problems, accepted):
        raise typer.Exit(1)
    if prepared.nothing or dry_run:
        return
    with Line(word) as line:
        done = applying.apply(world, prepared, line, accepted=accepted, wait=wait)
    pushed = "configuration pushed and verified" if done.pushed else "configuration unchanged"
    render.out.print(f"\n{pushed}, {done.delivered} files delivered, {done.pruned} removed ({done.seconds:.1f} s)")


def spec_path(given: Path | None) -> Path:
    """The spec to read. Raises Refused when there is none."""
    found = given or next((path for path in SPECS if path.is_file()), None)
    if found is None:
        raise Refused(
            NO_SPEC(
                "there is no spec here",
                where=" or ".join(map(str, SPECS)),
                remedy="name the file: hactl plan SPEC; or begin one: hactl init",
            )
        )
    return found


def ssh_hosts(cluster: Cluster) -> dict[str, str]:
    """What ssh dials for each node whose spec says so."""
    return {node.name: node.ssh_host for node in cluster.nodes if node.ssh_host}


def _prepare(
    spec: Path | None, node: str | None, accepted: frozenset[str], keep: frozenset[str]
) -> tuple[Cluster, World, applying.Prepared]:
    cluster = specs.load(spec_path(spec), accepted)
    if errors(found := fencing.check(cluster), accepted):
        raise Refused(found)
    world = connect(node, ssh_hosts(cluster))
    return cluster, world, applying.prepare(world, LocalSecrets(), cluster, keep)


def show_prepared(prepared: applying.Prepared, as_json: bool, accepted: frozenset[str]) -> None:
    """Show a plan with its findings."""
    if as_json:
        told = planning.document(prepared.plan)
        told["nothing_to_do"] = prepared.nothing
        told["files"] = plans.deliveries(prepared)
        told["problems"] = [problem.as_json() for problem in prepared.problems]
        render.json_out(told)
    else:
        plans.show(prepared)
        render.problems(prepared.problems, accepted=accepted)


def show(seen: Observation) -> None:
    """Print an Observation for people; its findings are the caller's."""
    cluster = seen.cluster
    quorum = "quorum" if cluster.quorum else "[bold red]no quorum[/]"
    dc = f"DC {cluster.dc}" if cluster.dc else "[yellow]no DC[/]"
    mode = ", [yellow]maintenance mode[/]" if cluster.maintenance else ""
    name = f"[bold]{escape(cluster.name)}[/], " if cluster.name else ""
    render.out.print(f"cluster {name}{quorum}, {dc}, configuration {cluster.version[1]}{mode}\n")
    render.out.print(_nodes(seen))
    for table in (_fencing(seen), _clones(seen), _vms(seen), _others(seen)):
        if table.row_count:
            render.out.print()
            render.out.print(table)
    if not seen.vms:
        render.out.print("\nno VMs")


def show_vms(seen: Observation) -> None:
    """Print the VMs: state, run-lock, console."""
    render.out.print(_vms(seen) if seen.vms else "no VMs")


def _vms(seen: Observation) -> Table:
    table = table_of("VM", "state", "run-lock", "console")
    for vm in seen.vms:
        lock = vm.lock if vm.agent == "hacluster" else f"– ({vm.agent})"
        table.add_row(vm.name, paint(vm.state), paint(lock), escape(vm.console) or "–")
    return table


def paint(word: str) -> str:
    """A state word as markup, in the colour of its seriousness."""
    colour = "red" if any(bad in word for bad in _BAD) else "yellow" if word.startswith(_BUSY) else ""
    return f"[{colour}]{escape(word)}[/]" if colour else escape(word)


def _nodes(seen: Observation) -> Table:
    table = table_of("node", "state", "guard", "memory free")
    for node in seen.nodes:
        free = getattr(node.facts, "mem_available", None)
        dc = " (DC)" if node.name == seen.cluster.dc else ""
        memory = "?" if free is None else f"{free / (1 << 30):.1f} GiB"
        table.add_row(node.name, paint(node.state) + dc, node.guard or "–", memory)
    return table


def _fencing(seen: Observation) -> Table:
    table = table_of("fence device", "agent", "fences", "runs on", "proven")
    for device in seen.fencing:
        where = ", ".join(device.running_on) or "nowhere"
        said = f"failed on {where}" if device.failed else where
        targets = ", ".join(device.targets) or "by its agent"
        table.add_row(device.name, device.agent, targets, paint(said), proven(seen, device.name, device.targets))
    return table


def proven(seen: Observation, device: str, targets: Sequence[str]) -> str:
    """When a device's fencing of its targets was last proven, as markup: one word where it is the same for all."""
    told = {each.node: proven_word(each, device) for each in seen.proven if not targets or each.node in targets}
    words = set(told.values())
    return words.pop() if len(words) == 1 else ", ".join(f"{node} {word}" for node, word in told.items())


def proven_word(each: Standing, device: str) -> str:
    """A node's proof for one of its devices: its date, or what is wrong with it; a later level is never proven."""
    if each.proof is None or device not in each.proof.devices:
        return "[yellow]never[/]"
    day = time.strftime("%Y-%m-%d", time.localtime(each.proof.at))
    colour = {"proven": "", "lied": "bold red"}.get(each.word, "yellow")
    said = day if each.word == "proven" else f"{each.word} ({day})"
    return f"[{colour}]{said}[/]" if colour else said


def _clones(seen: Observation) -> Table:
    table = table_of("on every node", *(node.name for node in seen.nodes))
    for clone in seen.clones:
        table.add_row(clone.name, *(paint(clone.on.get(node.name, "–")) for node in seen.nodes))
    return table


def _others(seen: Observation) -> Table:
    table = table_of("other resource", "state")
    for name, word in seen.others.items():
        table.add_row(name, paint(word))
    return table


def table_of(*columns: str) -> Table:
    """An empty table in hactl's style. On a narrow terminal a cell is broken, never cut: what it says must be there."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

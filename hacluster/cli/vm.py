"""`hactl vm`: list, show, start, stop and move the cluster's VMs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import typer
from rich.markup import escape
from rich.table import Table

from hacluster import aborting, converging, moving, power, rehearsal, watching
from hacluster.cib import managed
from hacluster.claim import Claim
from hacluster.cli import catalogue, render
from hacluster.cli.cluster import ACCEPT, show_vms, table_of
from hacluster.cli.progress import Line
from hacluster.cli.shell import Commands
from hacluster.cli.world import World, connect
from hacluster.observe import VmView, document
from hacluster.ports import Unknown
from hacluster.problems import Refused

FORMAT = 1
LOCKS = {"EX": "sealed (EX)", "PW": "gate open (PW)", "CR": "seat (CR)", "NL": "none"}

vms = typer.Typer(cls=Commands, help="The cluster's virtual machines.", no_args_is_help=True)

VM = typer.Argument(..., metavar="VM", help="the VM's name", show_default=False)
NODE = typer.Option(None, "--node", "-N", metavar="NODE", help="ask the cluster through this node", show_default=False)
JSON = typer.Option(False, "--json", help="print JSON")
DRY = typer.Option(False, "--dry-run", help="check everything, change nothing")
WAIT = typer.Option(
    None, "--wait", metavar="SECONDS", help="how long to watch; the VM's own budget by default", show_default=False
)


def register(app: typer.Typer) -> None:
    """Add `hactl vm` to the command line."""
    app.add_typer(vms, name="vm")


@vms.command("list")
def list_(node: str = NODE, as_json: bool = JSON) -> None:
    """List the VMs: where each runs, its state and its run-lock."""
    seen = rehearsal.look(connect(node), consoles=True).seen
    if as_json:
        render.json_out({"format": FORMAT, "vms": document(seen)["vms"]})
    else:
        show_vms(seen)


@vms.command()
def show(vm: str = VM, node: str = NODE, as_json: bool = JSON) -> None:
    """Show all that is known about one VM: Pacemaker's view, and each node's."""
    looked = rehearsal.look(connect(node), consoles=True)
    found = rehearsal.find(looked, vm)
    view = looked.seen.vm(vm)
    assert view is not None  # found in the same CIB
    mine = [p for p in looked.seen.problems if p.where in (vm, f"vm {vm}")]
    if as_json:
        render.json_out(document(replace(looked.seen, vms=(view,), problems=tuple(mine))))
        return
    about = table_of("", "")
    about.show_header = False
    for name, value in {
        "state": view.state,
        "run-lock": view.lock,
        "wanted": "running" if view.wanted else "stopped",
        "console": view.console or "none",
        "uuid": view.uuid,
        "domain XML": view.config,
        "stands on": ", ".join(managed.stands_on(looked.cib, found)) or "nothing",
        "moves": "live" if found.moves_live else "not live",
        "stop budget": f"{found.parameters.get('stop_budget', '?')} s",
        "claim": _claim(view.claim),
    }.items():
        about.add_row(f"[dim]{name}[/]", escape(value))
    render.out.print(f"[bold]{escape(vm)}[/]")
    render.out.print(about)
    render.out.print()
    render.out.print(node_table(view))
    render.problems(mine)


def node_table(view: VmView) -> Table:
    """A VM on each node: is there a copy, what libvirt says of it, which mode its run-lock has."""
    table = table_of("node", "copy", "libvirt", "run-lock")
    for name, presence in view.presence.items():
        domain, lock = view.domains.get(name), view.locks.get(name)
        said = "?" if isinstance(domain, Unknown) else "–" if domain is None else f"{domain.state} ({domain.reason})"
        held = "?" if isinstance(lock, Unknown) else "–" if lock is None else LOCKS.get(lock.mode, lock.mode)
        table.add_row(name, {"PRESENT": "yes", "ABSENT": "no", "UNKNOWN": "unknown"}[presence], said, held)
    return table


def _claim(claim: Claim | None) -> str:
    if claim is None:
        return "none"
    since = f", {int(time.time()) - claim.since} s ago" if claim.since else ""
    way = {"live": "to", "cold": "cold, to", "back": "back to"}[claim.how]
    return f"{way} {claim.target}, by {claim.owner or 'unknown'} (pid {claim.pid or '?'}){since}"


@vms.command()
def start(vm: str = VM, node: str = NODE, wait: float = WAIT) -> None:
    """Start a VM where Pacemaker sees fit, and wait until it runs."""
    with Line(f"starting {vm}") as line:
        where = power.start(connect(node), vm, tell=line, timeout=wait)
    render.out.print(f"{vm} runs on {where}")


@vms.command()
def stop(vm: str = VM, node: str = NODE, wait: float = WAIT) -> None:
    """Shut a VM down (destroy it after its stop budget), and wait for the proof that it is gone."""
    with Line(f"stopping {vm}") as line:
        power.stop(connect(node), vm, tell=line, timeout=wait)
    render.out.print(f"{vm} is stopped: no node has a copy")


@vms.command()
def cleanup(vm: str = VM, node: str = NODE) -> None:
    """Forget a VM's failed operations, so that Pacemaker acts on it again; never harms a running guest."""
    home = power.clean_up(connect(node), vm)
    render.out.print(f"{vm}'s failures are forgotten; it {'runs on ' + home if home else 'runs nowhere'}")


@vms.command()
def move(
    vm: str = VM,
    target: str = typer.Argument(
        None, metavar="[NODE]", help="where to; the best node that passes every check", show_default=False
    ),
    node: str = NODE,
    wait: float = WAIT,
    dry_run: bool = DRY,
    cold: bool = typer.Option(False, "--cold", help="shut it down, prove that it is gone, start it there"),
    resume: bool = typer.Option(False, "--resume", help="go on with a move whose hactl is gone"),
    abort: bool = typer.Option(False, "--abort", help="end a move that is under way, wherever that is safe"),
    accept: list[str] = ACCEPT,
) -> None:
    """Move a running VM live to another node; refuses with every finding before it changes anything."""
    accepted = catalogue.accepted(accept)
    _one_way(target, cold=cold, resume=resume, abort=abort, dry_run=dry_run)
    world = connect(node)
    if dry_run:
        render.out.print(_would(world, vm, target, cold=cold, abort=abort, accepted=accepted))
        return
    with Line(f"{'ending the move of' if abort else 'moving'} {vm}") as line:

        def tell(progress: watching.Progress) -> None:
            line(progress.phase, numbers(progress.job) if progress.job else "")

        try:
            if abort:
                ended = aborting.abort(world, vm, accepted=accepted, tell=tell, timeout=wait)
                back = "was started again" if ended.how == "cold" else "runs, sealed,"
                said = f"the move of {vm} is ended: it {back} on {ended.node} ({ended.seconds:.1f} s)"
            else:
                go = moving.resume if resume else partial(moving.move, cold=cold)
                moved = go(world, vm, target, tell=tell, timeout=wait)
                said = f"{vm} {_MOVED[moved.how].format(moved.source, moved.target)} in {moved.seconds:.1f} s"
        except KeyboardInterrupt:
            raise Refused(moving.interrupted(world, vm)) from None
    render.out.print(said)


_MOVED = {
    "live": "moved live from {} to {}",
    "cold": "moved cold from {} to {}",
    "back": "was started on {0} again",
}


def _one_way(target: str | None, *, cold: bool, resume: bool, abort: bool, dry_run: bool) -> None:
    """Raise a usage error for options that mean different things."""
    given = [name for name, chosen in (("--cold", cold), ("--resume", resume), ("--abort", abort)) if chosen]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} exclude each other", param_hint=given[-1])
    if abort and target is not None:
        raise typer.BadParameter("a move that is ended needs no target", param_hint="NODE")
    if resume and dry_run:
        raise typer.BadParameter("what a resumed move does is decided as it goes on", param_hint="--dry-run")


def _would(world: World, vm: str, target: str | None, *, cold: bool, abort: bool, accepted: frozenset[str]) -> str:
    """What a move, or its end, would be."""
    if abort:
        claim = aborting.rehearse(world, vm, accepted)
        return f"the move of {vm} from {claim.source} to {claim.target} would be ended; nothing was changed"
    claim = moving.rehearse(world, vm, target, cold=cold)
    way = "shut down and started" if cold else "moved live"
    return f"{vm} would be {way} from {claim.source} to {claim.target}; nothing was changed"


def numbers(job: Mapping[str, int]) -> str:
    """A running migration in numbers, as many as fit beside the phase."""
    return converging.numbers(job)[: max(20, shutil.get_terminal_size().columns - 40)]

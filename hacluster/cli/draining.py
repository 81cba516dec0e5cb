"""`hactl node drain` and `resume`: a node is emptied, and taken back."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.markup import escape

from hacluster import draining
from hacluster.cli import catalogue, render
from hacluster.cli.cluster import ACCEPT, NODE, table_of
from hacluster.cli.progress import Line
from hacluster.cli.world import connect
from hacluster.draining import Going, Plan
from hacluster.problems import Refused, errors, kind

STANDS = kind(
    "HA486",
    "hactl was stopped while a node is being drained",
    "The node is in standby: Pacemaker goes on emptying it, and starts nothing there until it is taken back.",
)
FORMAT = 1

_NAME = typer.Argument(..., metavar="NODE", help="the node's name", show_default=False)
_DRY = typer.Option(False, "--dry-run", help="check everything, say where each VM would go, change nothing")
_JSON = typer.Option(False, "--json", help="print JSON")
_WAIT = typer.Option(
    None, "--wait", metavar="SECONDS", help="how long to watch; by default ten minutes for each round of migrations",
    show_default=False,
)  # fmt: skip
_WORDS = {"migrate": "moves live to {}", "move": "is stopped, and started on {}", "stop": "is stopped"}


def drain(
    name: str = _NAME,
    node: str = NODE,
    dry_run: bool = _DRY,
    as_json: bool = _JSON,
    wait: float = _WAIT,
    accept: list[str] = ACCEPT,
) -> None:
    """Move every VM of a node away, several at once; it then stays in standby until it is resumed."""
    accepted = catalogue.accepted(accept)
    world = connect(node)
    if dry_run:
        _show(draining.plan(world, name), as_json, accepted)
        return
    with Line(f"draining {name}") as line:
        try:
            done = draining.drain(world, name, accepted=accepted, tell=line, timeout=wait)
        except KeyboardInterrupt:
            remedy = f"hactl node drain {name} goes on; hactl node resume {name} takes it back"
            raise Refused(STANDS(f"{name} may be in standby", where=f"node {name}", remedy=remedy)) from None
    if as_json:
        render.json_out({"format": FORMAT, **asdict(done)})
        return
    for vm, where in sorted(done.arrived.items()):
        how = " [yellow](it was booted anew)[/]" if vm in done.restarted else ""
        render.out.print(f"{escape(vm)}: {escape(where)}{how}")
    render.out.print(f"{escape(name)} is empty and in standby ({done.seconds:.1f} s); back: hactl node resume {name}")


def _show(planned: Plan, as_json: bool, accepted: frozenset[str]) -> None:
    """What a drain would do. Exits 1 when it would be refused."""
    if as_json:
        found = [problem.as_json() for problem in planned.findings]
        render.json_out({"format": FORMAT, **json.loads(json.dumps(asdict(planned))), "findings": found})
    else:
        table = table_of("VM", "would")
        for going in planned.going:
            table.add_row(escape(going.vm), sentence(going))
        render.out.print(table)
        at_once = f"at most {planned.limit} at once" if planned.limit else "as many at once as Pacemaker thinks fit"
        render.out.print(f"\n{len(planned.going)} VMs, {at_once}; nothing was changed")
        render.problems(planned.findings, accepted=accepted)
    if errors(planned.findings, accepted):
        raise typer.Exit(1)


def sentence(going: Going) -> str:
    """What becomes of a VM, in words."""
    return _WORDS.get(going.how, going.how).format(escape(going.target or "?"))


def resume(name: str = _NAME, node: str = NODE, dry_run: bool = _DRY) -> None:
    """Take a drained node back, and wait until VMs can run there."""
    world = connect(node)
    back = draining.returning(world, name)
    if dry_run:
        for going in back:
            render.out.print(f"{escape(going.vm)} {sentence(going)}")
        render.out.print(f"{len(back)} VMs would move; nothing was changed")
        return
    with Line(f"taking {name} back") as line:
        seconds = draining.resume(world, name, tell=line)
    render.out.print(f"{escape(name)} takes VMs again ({seconds:.1f} s)")

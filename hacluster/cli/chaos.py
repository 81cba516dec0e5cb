"""`hactl lab chaos`: break the lab at random and report what its VMs went through. It parses and prints."""

from __future__ import annotations

import random
import sys

import typer
from rich.markup import escape

from hacluster.cli import render
from hacluster.cli.cluster import table_of
from hacluster.cli.lab import JSON, NAME, bed_called
from hacluster.cli.lab import app as lab
from hacluster.lab.chaos import menu, theatre
from hacluster.lab.chaos.report import Report
from hacluster.problems import Refused


def chaos(
    seed: int = typer.Option(None, "--seed", metavar="N", help="draw the same faults again", show_default=False),
    minutes: float = typer.Option(2.0, "--minutes", metavar="M", help="how long to go on breaking things"),
    stock: bool = typer.Option(
        False, "--stock", help="plain pcs and ocf:heartbeat:VirtualDomain instead of hactl's VMs"
    ),
    verbs: list[str] = typer.Option([], "--verb", metavar="VERB", help="only these verbs; see --list"),
    listing: bool = typer.Option(False, "--list", help="show the verbs, do nothing"),
    name: str = NAME,
    as_json: bool = JSON,
) -> None:
    """Random faults and orders on the running lab, watched from outside: exit 1 if a VM ever ran twice."""
    chosen = menu.named(verbs)
    if listing:
        show_verbs()
        return
    number = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    told = sys.stderr if as_json else sys.stdout
    report = theatre.play(
        bed_called(name),
        number,
        minutes * 60,
        chosen,
        stock=stock,
        tell=lambda line: print(line, file=told, flush=True),
    )
    found = theatre.findings(report, name)
    if as_json:
        render.json_out({**report.as_json(), "problems": [problem.as_json() for problem in found]})
        raise typer.Exit(1 if found else 0)
    show(report)
    if found:
        raise Refused(found)


def show_verbs() -> None:
    """Print the menu."""
    table = table_of("verb", "kind", "what it is")
    for verb in menu.VERBS:
        table.add_row(verb.name, verb.group, escape(verb.about) + ("" if verb.weight else " (only when named)"))
    render.out.print(table)


def show(report: Report) -> None:
    """Print a report for people."""
    render.out.print(
        f"\n[bold]{report.kind}[/], seed {report.seed}: {report.rounds} rounds in {report.seconds:.0f} s, "
        f"{len(report.steps)} steps; looked {report.samples} times, longest blink {report.slowest * 1000:.0f} ms\n"
    )
    totals = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in report.totals().items())
    render.out.print(totals + "\n")
    table = table_of("verb", "done", "refused", "failed", "skipped")
    for verb, counts in report.by_verb().items():
        table.add_row(verb, *(str(counts[what] or "–") for what in ("done", "refused", "failed", "skipped")))
    render.out.print(table)
    render.out.print()
    table = table_of(
        "VM", "available", "longest gap", "live moves", "failovers", "boots", "copies", "twice for", "disk"
    )
    for vm in report.vms:
        table.add_row(
            vm.vm,
            f"{vm.available * 100:.1f} %",
            f"{vm.longest_gap:.1f} s",
            str(vm.live_moves),
            str(vm.failovers),
            str(vm.restarts),
            f"[bold red]{vm.most}[/]" if vm.most > 1 else str(vm.most),
            f"{vm.seconds_twice:.1f} s",
            f"[bold red]{len(vm.findings)} findings[/]" if vm.findings else "clean",
        )
    render.out.print(table)
    for incident in report.incidents:
        render.out.print(
            f"[bold red]round {incident.round}: {incident.vm} ran twice[/], for {incident.seconds:.1f} s, "
            f"in {escape(', '.join(incident.verbs))}"
        )
    for line in report.helped:
        render.out.print(f"an admin had to help: {escape(line)}")
    for end in report.ends:
        why = escape(end.explained) or "[bold red]unexplained[/]"
        render.out.print(f"round {end.round}, {end.name}: {escape(end.found)}: {why}")


def register(app: typer.Typer) -> None:
    """Add `chaos` to `hactl lab`."""
    del app
    lab.command()(chaos)

"""`make bench`: brings up a lab of its own, measures, shows the ratios, and takes the lab down whatever happens.

`--only compile` needs no lab: it measures what happens on the machine of the one who asks.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import signal
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from hacluster.cli import render
from hacluster.lab.bed import Bed
from hacluster.problems import Refused
from tests.bench import compile_cost, monitor, moves, push, report
from tests.bench.stage import GUARDED, HOME, RAW, STOCK, Failed, Stage, cluster, spec_text

FORMAT = 1
PARTS = ("compile", "moves", "monitor", "push")
MONITORS = 6
"""Monitors of each agent for a round of moves: a move takes seconds, a monitor milliseconds."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for. Exits with 2 on anything else."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="measure one part")
    parser.add_argument("--rounds", type=_rounds, default=5, metavar="N", help="how often (default: %(default)s)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw how compiling grows there, as SVG")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--name", default=f"bench{os.getpid()}", help="the lab's name")
    return parser.parse_args(argv)


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a number from 1")
    return int(text)


def host() -> dict[str, object]:
    """The machine: what a reader must know to judge the numbers."""
    return {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load": load(),
    }


def load() -> list[float]:
    """The load averages of 1, 5 and 15 minutes."""
    return [round(each, 2) for each in os.getloadavg()]


def versions(stage: Stage) -> dict[str, str]:
    """What was measured: the first line that each tool says of itself."""
    tools = {
        "pacemaker": ["pacemakerd", "--version"],
        "pcs": ["pcs", "--version"],
        "libvirt": ["virsh", "--version"],
        "qemu": ["qemu-system-x86_64", "--version"],
    }
    return {name: stage.do(HOME, argv).splitlines()[0].strip() for name, argv in tools.items()}


def measure(asked: argparse.Namespace, console: Console) -> dict[str, object]:
    """The whole run. Raises Refused or Failed; the lab is gone afterwards in any case."""

    def tell(line: str) -> None:
        console.print(f"  {line}", style="dim", markup=False)

    machine = host()
    console.print(
        f"load average {machine['load']} on {machine['cpus']} CPUs; guests are emulated (TCG), not virtualised"
    )
    document: dict[str, Any] = {
        "format": FORMAT,
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "rounds": asked.rounds,
        "host": machine,
    }
    parts = PARTS if asked.only is None else (asked.only,)
    if "compile" in parts:
        console.print("\n[bold]compile[/]")
        compiled = compile_cost.measure(asked.rounds, tell)
        report.compiling(console, compiled)
        document["compile"] = compiled.as_json()
        if asked.plot is not None:
            asked.plot.write_text(report.compile_plot(compiled))
            console.print(f"plot: {asked.plot}")
    if staged := [part for part in parts if part != "compile"]:
        document |= _in_a_lab(asked, staged, console, tell)
    document["load_at_the_end"] = load()
    console.print(f"\nload average at the end {document['load_at_the_end']}")
    return document


def _in_a_lab(
    asked: argparse.Namespace, parts: Sequence[str], console: Console, tell: Callable[[str], None]
) -> dict[str, Any]:
    """What needs nodes and guests."""
    document: dict[str, Any] = {}
    whole = cluster([GUARDED, RAW, STOCK])
    bed = Bed(asked.name, whole)
    try:
        bed.up(tell, spec=spec_text([GUARDED]).encode())
        stage = Stage(bed, whole)
        stage.apply([GUARDED])
        document["versions"] = versions(stage)
        for part in parts:
            console.print(f"\n[bold]{part}[/]")
            if part == "moves":
                moved = moves.measure(stage, asked.rounds, tell)
                report.moves(console, moved)
                document[part] = moved.as_json()
            elif part == "monitor":
                watched = monitor.measure(stage, asked.rounds * MONITORS, tell)
                report.monitor(console, watched)
                document[part] = {label: one.as_json() for label, one in watched.items()}
            else:
                pushed = push.measure(stage, asked.rounds, tell)
                report.push(console, pushed)
                document[part] = pushed.as_json()
    finally:
        if left := bed.down():
            console.print("left over: " + ", ".join(left), style="bold red")
    return document


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)


def main() -> int:
    """The command; its exit code: 0 measured, 1 could not."""
    asked = arguments()
    signal.signal(signal.SIGTERM, _stop)
    # A pipe has no width of its own; the tables need theirs.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else max(200, shutil.get_terminal_size()[0]))
    try:
        document = measure(asked, console)
    except Refused as refused:
        render.problems(refused.problems)
        return 1
    except (Failed, statistics.StatisticsError) as failed:
        console.print(f"could not measure: {failed}", style="red", markup=False)
        return 1
    if asked.json is not None:
        asked.json.write_text(json.dumps(document, indent=1) + "\n")
        console.print(f"numbers: {asked.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Shows the measurements side by side. The ratio is the other's median over ours: above one, ours is the cheaper."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from hacluster.lab.canary import PERIOD_MS
from tests.bench import compile_cost, fleet, plot
from tests.bench import moves as moving
from tests.bench.compile_cost import BOUND, BOUND_MIB, GOAL, Compile
from tests.bench.figures import ratio, told
from tests.bench.monitor import OURS, Monitor
from tests.bench.moves import Moves
from tests.bench.push import COUNT, Push

HACTL = "hactl vm move"


def moves(console: Console, found: Moves) -> None:
    """Seconds, pause, what is left behind, and whether the exit code can be believed."""
    table = _table(
        "Live moves of the same counting guest on a block disk, in turns: median (min-max)",
        "command", "wall", "/ hactl", "migrating", "/ hactl", "guest's pause", "unmoved", "/ hactl",
        "moved live", "exit code true", "left behind", "CIB writes",
    )  # fmt: skip
    ours = {name: found.series(HACTL, name).median for name in ("seconds", "copying_ms", "pause_ms")}
    for way, done in found.by_way.items():
        wall, copying, pause = (found.series(way, name) for name in ours)
        left = sorted({each for move in done for each in move.left})
        table.add_row(
            way,
            str(wall),
            told(ratio(wall.median, ours["seconds"])),
            str(copying),
            told(ratio(copying.median, ours["copying_ms"])),
            str(pause),
            f"{found.series(way, 'quiet_ms').median:.0f} ms",
            told(ratio(pause.median, ours["pause_ms"])),
            f"{sum(move.outcome == 'moved live' for move in done)} of {len(done)}",
            f"{sum(move.truthful for move in done)} of {len(done)}",
            ", ".join(left) or "nothing",
            f"{found.series(way, 'writes').median:.0f}",
        )
    console.print(table)
    console.print(
        "Migrating is the agent's migrate_to as Pacemaker recorded it, and for virsh the whole command. The pause is\n"
        f"the longest time without a record on the guest's disk, which gets one every {PERIOD_MS} ms; unmoved is the\n"
        f"same over {moving.QUIET:.0f} s before. virsh moves a guest that no cluster knows: the floor. "
        "pcs's has autoset_utilization_* off.\n"
    )
    table = _table(
        "The same, once each, with the target's migration network down",
        "command", "wall", "exit code", "the guest", "pause", "exit code true", "left behind",
    )  # fmt: skip
    for way, move in found.faulty.items():
        table.add_row(
            way,
            f"{move.seconds:.1f} s",
            str(move.exit_code),
            move.outcome,
            f"{move.pause_ms:.0f} ms",
            "yes" if move.truthful else "[bold red]no[/]",
            ", ".join(move.left) or "nothing",
        )
    console.print(table)


def monitor(console: Console, found: dict[str, Monitor]) -> None:
    """CPU and wall time of a monitor, and what it makes others do."""
    table = _table(
        "One monitor of a running VM, in turns: median (min-max)",
        "agent", "CPU", "/ ours", "wall", "/ ours", "processes and threads",
        "libvirtd's CPU", "pacemaker-based's", "CPU in all", "/ ours",
    )  # fmt: skip
    ours = found[OURS]
    for label, one in found.items():
        table.add_row(
            label,
            str(one.cpu_ms),
            told(ratio(one.cpu_ms.median, ours.cpu_ms.median)),
            str(one.wall_ms),
            told(ratio(one.wall_ms.median, ours.wall_ms.median)),
            "?" if one.tasks is None else str(one.tasks),
            f"{one.libvirtd.median:.1f} ms",
            f"{one.based.median:.1f} ms",
            f"{_all(one):.1f} ms",
            told(ratio(_all(one), _all(ours))),
        )
    console.print(table)
    console.print(
        f"n = {len(ours.cpu_ms.values)} each, by hand as Pacemaker's executor runs them, maintenance mode on.\n"
    )


def _all(one: Monitor) -> float:
    return one.cpu_ms.median + one.libvirtd.median + one.based.median


def push(console: Console, found: Push) -> None:
    """A hundred VMs by hactl and by pcs, and where hactl's time goes."""
    table = _table(
        f"{COUNT} VMs into the CIB",
        "way",
        "pcs calls",
        "seconds",
        "/ hactl",
        "CPU seconds",
        "/ hactl",
        "a call: median (min-max)",
    )
    ours = found.configuring.median
    cpu = found.cpu.median
    table.add_row(
        "hactl: compile, merge, simulate, push", "1", str(found.configuring), told(1.0), str(found.cpu), told(1.0), "-"
    )
    for label, count, seconds, spent, calls in (
        ("pcs -f FILE, one push", f"{COUNT} + 1", found.files_then_push(), found.files_then_push_cpu(), found.edits),
        (
            "pcs resource create, live",
            f"{COUNT}",
            found.live.wall(found.first),
            found.live.cpu(found.first),
            found.live,
        ),
    ):
        table.add_row(
            label,
            count,
            f"{seconds:.0f} s, extrapolated from {len(calls.calls)} calls",
            told(ratio(seconds, ours)),
            f"{spent:.0f} s, extrapolated",
            told(ratio(spent, cpu)),
            str(calls.series()),
        )
    console.print(table)
    console.print(
        f"hactl also gives every node the domain files, in {found.delivery}; with pcs the admin copies them. "
        "pcs's has no plan and no constraints;\n"
        f"its one push after pcs -f took {found.file_push.seconds:.1f} s. CPU is the commands' own, no daemon's. "
        f"Then Pacemaker probed hactl's VMs for {found.settled.median:.0f} s. Nothing boots.\n"
    )
    table = _table("Where hactl's time goes", "step", "median (min-max)")
    for name, series in found.steps.items():
        table.add_row(name, str(series))
    console.print(table)


def compiling(console: Console, found: Compile) -> None:
    """What a thousand VMs cost, and how the cost grows."""
    ours, cpu = found.series("seconds", GOAL), found.series("cpu", GOAL)
    table = _table(
        f"{GOAL} VMs on {fleet.NODES} nodes as a CIB, in a file",
        "way", "processes", "seconds", "/ hactl", "CPU seconds", "/ hactl", "memory",
    )  # fmt: skip
    table.add_row("hactl compile", "1", str(ours), told(1.0), str(cpu), told(1.0), str(found.series("memory", GOAL)))
    table.add_row(
        "pcs -f FILE resource create",
        str(GOAL),
        f"{found.pcs():.0f} s, extrapolated from {len(found.calls)} calls",
        told(ratio(found.pcs(), ours.median)),
        f"{found.pcs('cpu'):.0f} s, extrapolated",
        told(ratio(found.pcs("cpu"), cpu.median)),
        "-",
    )
    console.print(table)
    kept = min(ours.values) < BOUND and found.series("memory", GOAL).median < BOUND_MIB
    console.print(
        f"Bound: {BOUND:g} s (the best round: other work only adds to it) and {BOUND_MIB:g} MiB for {GOAL} VMs: "
        f"{'kept' if kept else '[bold red]not kept[/]'}.\n"
    )
    table = _table("hactl compile by the number of VMs: median (min-max)", "VMs", "wall", "CPU", "memory")
    for vms in compile_cost.SIZES:
        table.add_row(str(vms), *(str(found.series(what, vms)) for what in ("seconds", "cpu", "memory")))
    bends = {what: found.bend(what) for what in ("seconds", "cpu", "memory")}
    table.add_row("off the line", *(f"{bend:.1%}" for bend in bends.values()))
    console.print(table)


def compile_plot(found: Compile) -> str:
    """How CPU time and memory grow, as SVG; wall time would draw the other work on the machine."""
    return plot.svg(
        [
            plot.Panel(title, unit, found.points(what), found.line(what), (GOAL, bound))
            for title, unit, what, bound in (
                ("hactl compile: CPU seconds by VMs", "s", "cpu", BOUND),
                ("largest memory in MiB by VMs", "MiB", "memory", BOUND_MIB),
            )
        ]
    )


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))

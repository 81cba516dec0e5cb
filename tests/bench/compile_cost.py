"""A thousand VMs on sixteen nodes: `hactl compile`, beside pcs called once for each VM; and how hactl's cost grows.

Every compile is a process of its own, as an admin starts it: Python's start, the modules, the spec and the CIB are all
in it. pcs edits a file, the cheaper of its two ways; fifty calls are measured, half on a CIB without VMs, half on the
one with all of them, and a line through them gives the sum for a thousand: extrapolated. In pcs's favour, its rules on
where VMs run are left out. No lab is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import figures, fleet
from tests.bench.figures import Line, Series
from tests.bench.push import Call
from tests.bench.stage import Failed, stock_resource

SIZES = (0, 250, 500, 1000, 1500, 2000, 2500, 3000)
GOAL = 1000
"""VMs; for so many there is a bound: BOUND seconds and BOUND_MIB."""
BOUND, BOUND_MIB = 1.0, 200.0
PCS_CALLS = 50


@dataclass(frozen=True, slots=True)
class Run:
    """One `hactl compile`: seconds, CPU seconds, and the largest memory of the process in MiB."""

    vms: int
    seconds: float
    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class Compile:
    """What was measured."""

    runs: tuple[Run, ...]
    calls: tuple[Call, ...]

    def series(self, what: str, vms: int) -> Series:
        """One measure at one size: `seconds`, `cpu` or `memory`."""
        unit = "MiB" if what == "memory" else "s"
        return Series(unit, tuple(getattr(run, what) for run in self.runs if run.vms == vms))

    def points(self, what: str) -> list[tuple[float, float]]:
        """(VMs, measure) for every size: the median, of seconds the least: other work only ever adds to them."""
        sizes = sorted({run.vms for run in self.runs})
        if what == "seconds":
            return [(vms, min(self.series(what, vms).values)) for vms in sizes]
        return [(vms, self.series(what, vms).median) for vms in sizes]

    def line(self, what: str) -> Line:
        """The straight line through the points."""
        return figures.line(self.points(what))

    def bend(self, what: str) -> float:
        """How far the point that is farthest from the line is from it, as a part of the largest."""
        line, points = self.line(what), self.points(what)
        return max(abs(y - line.base - line.slope * x) for x, y in points) / max(y for _, y in points)

    def pcs(self, what: str = "seconds") -> float:
        """A call for each of GOAL VMs, extrapolated: `seconds` or `cpu`."""
        return figures.line([(call.size, getattr(call, what)) for call in self.calls]).total(0, GOAL)

    def as_json(self) -> dict[str, object]:
        """Everything."""
        return {
            "nodes": fleet.NODES,
            "runs": [[r.vms, round(r.seconds, 4), round(r.cpu, 4), round(r.memory, 1)] for r in self.runs],
            "goal": {what: self.series(what, GOAL).as_json() for what in ("seconds", "cpu", "memory")},
            "bend": {what: round(self.bend(what), 4) for what in ("seconds", "cpu", "memory")},
            "pcs_calls": [[c.size, round(c.seconds, 4), round(c.cpu, 4)] for c in self.calls],
            "pcs_extrapolated_s": round(self.pcs(), 1),
            "pcs_extrapolated_cpu_s": round(self.pcs("cpu"), 1),
        }


def measure(rounds: int, tell: Callable[[str], None]) -> Compile:
    """Compile every size `rounds` times, in turns, then ask pcs. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="hactl-bench.") as folder:
        place = Path(folder)
        for vms in SIZES:
            (place / f"{vms}.toml").write_text(fleet.spec(vms))
        runs = []
        for number in range(rounds):
            runs += [_compile(place, vms) for vms in SIZES]
            tell(f"round {number + 1} of {rounds}: {GOAL} VMs in {runs[-len(SIZES) + SIZES.index(GOAL)].seconds:.2f} s")
        calls = _pcs(place, tell)
    return Compile(tuple(runs), tuple(calls))


def _compile(place: Path, vms: int) -> Run:
    hactl = Path(sys.executable).with_name("hactl")
    seconds, cpu, memory = _measured([str(hactl), "compile", f"{place}/{vms}.toml", "-o", f"{place}/{vms}.xml"])
    return Run(vms, seconds, cpu, memory)


def _pcs(place: Path, tell: Callable[[str], None]) -> list[Call]:
    if shutil.which("pcs") is None:
        raise Failed("pcs is not installed")
    made = []
    for number in range(PCS_CALLS // 2):
        for size in (0, GOAL):
            name = f"pcs{number:03}"
            words = stock_resource(name, f"/etc/libvirt/qemu/{name}.xml")
            seconds, cpu, _ = _measured(["pcs", "-f", f"{place}/{size}.xml", *words])
            made.append(Call(size + number, seconds, cpu))
    tell(f"{PCS_CALLS} pcs calls, load {os.getloadavg()[0]:.1f}")
    return made


def _measured(argv: Sequence[str]) -> tuple[float, float, float]:
    """Seconds, CPU seconds (its own children counted in) and MiB at most of a command. Raises Failed."""
    begun = time.monotonic()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        said = process.stdout.read() if process.stdout else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{argv[0]} ended with {process.returncode}: {said.decode(errors='replace')[-500:]}")
    return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024

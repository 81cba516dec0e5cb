"""Spin over guard.pml: the cases, how one is run, and what came of it.

`python3 -m tests.model.spin` (which is `make model`) runs all of them and exits 1 unless each ends as expected: with
every barrier in place no error in the whole state space, and with one taken away a trace that ends in two running
copies, or in an old memory let run over a newer disk. It needs Debian's packages spin and gcc.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hacluster.guard import table
from hacluster.guard.dlm import CR, EX, NL, PW
from hacluster.guard.table import Refusal, Step
from tests.model.generate import HERE, promela

TWICE = "two running copies"
OUTRUN = "an old memory runs over a newer disk"
MEMORY = 3600
"""MiB that a search may take."""

SHOWN = 60
"""Steps of a trace that are printed."""

WORLD = {"MOVES": 1, "FAILURES": 1, "LEAVES": 0, "HANDOVER_RUNNING": 0, "DISK_LOCK": 0, "HAND_RESUMES_ARRIVALS": 0}
"""Bounds and surroundings, and what they are unless a case says otherwise: moves (each with a fresh nonce), nodes lost,
stops of a lockspace agent; the copy is let run by libvirt's Finish instead of by the guard; QEMU's image lock or a
lease on every disk; operators that resume what waits paused at a target."""

BARRIERS = {
    "PROOF_FIRST": "a release proves absence before it adopts the lock and lowers the record",
    "NO_MARKER": "the proof does not look for a start in flight",
    "PROCESSES_FIRST": "the proof looks for processes first and for a start in flight afterwards",
    "SHARED_MARKER": "a refused arrival takes away the marker of another start",
    "PREPARE_SEES_THE_LIVING": "prepare overlooks a killed QEMU of which a thread still writes",
    "RESUME_UNSEALED": "a copy is let run under its seat",
    "RESUME_AFTER_SEAT": "a copy is let run as soon as its record says no longer that it is a seat",
    "SEAL_IS_ENOUGH": "a sealed copy is let run without the source's word that it handed over",
    "RESUME_UNNAMED": "a sealed copy whose record was lost is let run",
    "UNMARKED_RESUME": "a seat is given while somebody is still about to resume an earlier arrival on that node",
    "GO_ON_ALWAYS": "a paused source is let go on after a reseal, though others than the guard let copies run",
    "LEAVE_UNPROVED": "the lockspace is left before the records are void, and without a look for a start in flight",
    "LEAVE_BY_RECORDS": "the lockspace is left after the records are lowered, which others can raise again meanwhile",
    "PURGE_BEFORE_FENCING": "locks are purged and the node lives: the fence device lies",
}
RUNNING = {"HANDOVER_RUNNING": 1, "DISK_LOCK": 1, "HAND_RESUMES_ARRIVALS": 1}


@dataclass(frozen=True)
class Case:
    """One search. `expect` is None when nothing may be found; `full` cases are too long for every test run."""

    name: str
    expect: str | None = None
    without: tuple[str, ...] = ()
    world: Mapping[str, int] = field(default_factory=dict)
    cells: Mapping[tuple[int, str], Step | Refusal] = field(default_factory=dict)
    full: bool = False

    @property
    def definitions(self) -> list[str]:
        """Its arguments for Spin's preprocessor."""
        unknown = (self.world.keys() - WORLD) | (set(self.without) - BARRIERS.keys())
        if unknown:
            raise ValueError(f"{self.name}: unknown {', '.join(sorted(unknown))}")
        chosen = {**WORLD, **self.world, **{name: int(name in self.without) for name in BARRIERS}}
        return [f"-D{name}={value}" for name, value in chosen.items()]


@dataclass(frozen=True)
class Outcome:
    """What a search found: None, TWICE or OUTRUN; the steps that led there; whether it saw every state."""

    found: str | None
    steps: tuple[str, ...]
    complete: bool
    states: int
    depth: int
    memory: float
    seconds: float


INTACT = (
    Case("paused hand-over"),
    Case("paused hand-over, and the lockspace is stopped", world={"LEAVES": 1, "MOVES": 0}),
    Case("running hand-over under a disk lock", world=RUNNING),
    Case("paused hand-over, operators resume arrivals, disk lock", world={"DISK_LOCK": 1, "HAND_RESUMES_ARRIVALS": 1}),
    Case("two moves, two node failures", world={"MOVES": 2, "FAILURES": 2}, full=True),
    Case("two node failures, the lockspace is stopped", world={"LEAVES": 1, "FAILURES": 2}, full=True),
    Case("running hand-over, two moves, two failures", world={**RUNNING, "MOVES": 2, "FAILURES": 2}, full=True),
)

_ONE_BARRIER = (
    Case("release before proof (A5)", TWICE, ("PROOF_FIRST",)),
    Case("proof without the in-flight marker (A5)", TWICE, ("NO_MARKER",)),
    Case("proof in the wrong order", TWICE, ("PROCESSES_FIRST",)),
    Case("one marker for two starts", TWICE, ("SHARED_MARKER",)),
    Case("a start beside a dying QEMU (A4)", TWICE, ("PREPARE_SEES_THE_LIVING",), {"MOVES": 0, "FAILURES": 0}),
    Case("purge before fencing: a lying fence device (A6)", TWICE, ("PURGE_BEFORE_FENCING",)),
    Case("resume before seal (A2)", TWICE, ("RESUME_UNSEALED",)),
    Case("resume once the seat is gone, whatever came", TWICE, ("RESUME_AFTER_SEAT",)),
    Case("resume without a hand-over (A19)", OUTRUN, ("SEAL_IS_ENOUGH",)),
    Case("resume of an arrival that nobody vouches for", OUTRUN, ("RESUME_UNNAMED",)),
    Case("a late resume meets the next arrival", TWICE, ("UNMARKED_RESUME",), {"MOVES": 2, "FAILURES": 0}),
    Case("the source goes on after its copy ran", OUTRUN, ("GO_ON_ALWAYS",), RUNNING),
    Case("records raised while the lockspace is left", TWICE, ("LEAVE_BY_RECORDS",), {"LEAVES": 1, "MOVES": 0}),
    Case("the lockspace is left without proof", TWICE, ("LEAVE_UNPROVED",), {"LEAVES": 1, "MOVES": 0}),
)

_NO_DISK_LOCK = (
    Case("virsh resume of a paused arrival, no disk lock (A3)", TWICE, (), {"HAND_RESUMES_ARRIVALS": 1}),
    Case("lost Finish in a running hand-over, no disk lock (A2, A34)", TWICE, (), {"HANDOVER_RUNNING": 1}),
)

_TABLE = (
    Case("a seat admits a fresh start (A1)", TWICE, cells={(CR, table.FRESH_START): Step(CR)}),
    Case("no lock admits a fresh start", TWICE, cells={(NL, table.FRESH_START): Step(NL)}),
    Case("an open gate admits a fresh start", OUTRUN, cells={(PW, table.FRESH_START): Step(PW)}),
    Case("a seat admits any incoming start", TWICE, cells={(CR, table.INCOMING): Step(CR)}),
    Case("a release needs no proof", TWICE, cells={(EX, table.RELEASE): Step(NL)}),
    Case("the table lets a seat resume", TWICE, cells={(CR, table.RESUME): Step(CR)}),
    Case("the table asks for no hand-over", OUTRUN, cells={(EX, table.RESUME): Step(EX)}),
    Case(
        "no value-block check for a seat",
        OUTRUN,
        world={"FAILURES": 0},
        cells={(NL, table.TAKE_SEAT): Step(CR), (CR, table.TAKE_SEAT): Step(CR)},
    ),
    Case(
        "a gate is reopened without a reseal (A17)",
        OUTRUN,
        world={"MOVES": 2, "FAILURES": 0},
        cells={(PW, table.OPEN_GATE): Step(PW)},
    ),
)

BROKEN = _ONE_BARRIER + _NO_DISK_LOCK + _TABLE
"""Each of them must end badly."""
CASES = INTACT + BROKEN


def search(case: Case) -> Outcome:
    """Run Spin. Where a barrier is gone the search is breadth first, so that a trace is as short as can be."""
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(HERE / "guard.pml", directory)
        (Path(directory) / "table.pml").write_text(promela({**table.TABLE, **case.cells}), encoding="utf-8")
        shortest = [] if case in INTACT else ["-DBFS"]
        _run(["spin", "-a", *case.definitions, "guard.pml"], directory)
        limits = ["-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY}", *shortest]
        _run(["gcc", "-O2" if case.full else "-O1", "-w", *limits, "-o", "pan", "pan.c"], directory)
        report = _run(["./pan", "-m1000000"], directory)
        replay = _run(["./pan", "-r", "guard.pml.trail"], directory, fails=True) if "errors: 1" in report else ""
    return read(report, replay)


def _run(argv: list[str], directory: str, fails: bool = False) -> str:
    """A program's output; it must succeed, but for a replay, which ends with the assertion's failure."""
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode and not fails:
        raise RuntimeError(f"{' '.join(argv)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def read(report: str, replay: str) -> Outcome:
    """What Spin's report and the replay of its trail say. Raises RuntimeError when it says neither yes nor no."""

    def number(pattern: str) -> float:
        match = re.search(pattern, report)
        return float(match[1]) if match else 0.0

    found = None
    if "assertion violated" in report:
        found = OUTRUN if "outrun" in report[report.index("assertion violated") :].splitlines()[0] else TWICE
    elif "errors: 0" not in report:
        raise RuntimeError(f"Spin says neither yes nor no: {report[-2000:]}")
    return Outcome(
        found=found,
        steps=tuple(re.findall(r"^\s*(n\d: .*?)\s*$", replay, re.MULTILINE)),
        complete="not completed" not in report and "depth too small" not in report and "out of memory" not in report,
        states=int(number(r"([\d.e+]+) states, stored")),
        depth=int(number(r"depth reached (\d+)")),
        memory=number(r"([\d.]+)\s+total actual memory usage"),
        seconds=number(r"elapsed time ([\d.e+-]+)"),
    )


def right(case: Case, outcome: Outcome) -> bool:
    """Whether it ended as it must."""
    return outcome.found == case.expect and (outcome.complete or case.expect is not None)


def main(names: list[str]) -> int:
    """Run the cases whose name contains one of `names` (all without), and print what came of each."""
    if missing := [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]:
        print(
            f"make model needs {' and '.join(missing)}; as root: apt-get install {' '.join(missing)}", file=sys.stderr
        )
        return 1
    wrong = 0
    for case in CASES:
        if names and not any(name in case.name for name in names):
            continue
        outcome = search(case)
        ok = right(case, outcome)
        wrong += not ok
        verdict = outcome.found or ("nothing" if outcome.complete else "nothing, but not every state was seen")
        print(f"{'ok ' if ok else 'BAD'} {case.name}: {verdict}")
        print(f"    {outcome.states} states, depth {outcome.depth}, {outcome.memory:.0f} MiB, {outcome.seconds:.1f} s")
        for step in outcome.steps[:SHOWN]:
            print(f"      {step}")
        sys.stdout.flush()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

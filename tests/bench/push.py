"""A hundred VMs into the CIB: one `hactl apply` up to its push, beside pcs called once for each VM.

pcs is measured in both ways that its manuals know: `pcs resource create` on the live CIB, and `pcs -f FILE` edits with
one `cib-push diff-against=` at the end. Each call costs more the bigger the CIB is, so calls are measured without and
with the hundred VMs, and a line through them gives the sum for a hundred: that sum is extrapolated. The live calls at
both sizes cannot take turns, so a load that changes meanwhile bends their line; their CPU tells whether it did.
All pushes are real. Nothing boots: a default of the cluster stops VMs that nobody has started, and pcs gets --disabled.
In pcs's favour: its constraints and looking at what would happen are left out. The domain files that hactl gives to the
nodes are shown apart: with pcs the admin copies them.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lxml import etree

from tests.bench import figures
from tests.bench.apply_cost import DELIVERY
from tests.bench.figures import Series
from tests.bench.stage import GUARDED, HOME, PEER_FILES, Stage, spec_text, stock_resource

COUNT = 100
FLEET = [f"vm{number:03}" for number in range(1, COUNT + 1)]
FLEET_SPEC = "/root/fleet.toml"
STOPPED_DEFAULT = (
    "resource defaults set create id=bench-stopped meta target-role=Stopped rule resource ocf:hacluster:VirtualDomain"
)


@dataclass(frozen=True, slots=True)
class Call:
    """One pcs call: the primitives that were there before, its seconds, and the CPU seconds of its own processes."""

    size: int
    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Calls:
    """pcs calls at two sizes of the configuration. Of both measures, wall suffers from a busy machine, CPU does not."""

    calls: tuple[Call, ...]

    def series(self) -> Series:
        """The seconds of all calls."""
        return Series("s", tuple(call.seconds for call in self.calls))

    def wall(self, first: int) -> float:
        """The seconds of COUNT calls in a row, beginning with `first` primitives; extrapolated."""
        return figures.line([(call.size, call.seconds) for call in self.calls]).total(first, COUNT)

    def cpu(self, first: int) -> float:
        """The same in CPU seconds."""
        return figures.line([(call.size, call.cpu) for call in self.calls]).total(first, COUNT)

    def as_json(self, first: int) -> dict[str, object]:
        """Every call, and the extrapolations."""
        return {
            "call": self.series().as_json(),
            "calls": [[call.size, round(call.seconds, 4), round(call.cpu, 4)] for call in self.calls],
            "extrapolated_s": round(self.wall(first), 2),
            "extrapolated_cpu_s": round(self.cpu(first), 2),
        }


@dataclass(frozen=True, slots=True)
class Pushed:
    """One push of the fleet: seconds in all, CPU seconds of its own processes, seconds by step, and of probing."""

    seconds: float
    cpu: float
    steps: dict[str, float]
    settled: float


@dataclass(frozen=True, slots=True)
class Push:
    """What was measured. `first` is how many primitives the CIB had before the hundred VMs.

    `settled` is how long Pacemaker then probed them; `file_push` is the one push of the edited file, which has only as
    many new VMs in it as calls were measured since the hundred: a little is missing from it.
    """

    first: int
    totals: Series
    cpu: Series
    steps: dict[str, Series]
    settled: Series
    live: Calls
    edits: Calls
    file_push: Call

    @property
    def delivery(self) -> Series:
        """The seconds for the domain files on all nodes, a part of `totals` that pcs leaves to the admin."""
        return self.steps[DELIVERY]

    @property
    def configuring(self) -> Series:
        """What compares with pcs: `totals` without `delivery`, that is compile, merge, look, simulate, push."""
        pairs = zip(self.totals.values, self.delivery.values, strict=True)
        return Series("s", tuple(total - files for total, files in pairs))

    def files_then_push(self) -> float:
        """The extrapolated seconds of COUNT edits of a file, and one push."""
        return self.edits.wall(self.first) + self.file_push.seconds

    def files_then_push_cpu(self) -> float:
        """The same in CPU seconds."""
        return self.edits.cpu(self.first) + self.file_push.cpu

    def as_json(self) -> dict[str, object]:
        """Everything."""
        return {
            "vms": COUNT,
            "primitives_before": self.first,
            "hactl": {
                "compile_plan_push": self.configuring.as_json(),
                "with_domain_files": self.totals.as_json(),
                "cpu": self.cpu.as_json(),
                "steps": {name: series.as_json() for name, series in self.steps.items()},
                "pacemaker_settled_after_s": self.settled.as_json(),
            },
            "pcs_resource_create": self.live.as_json(self.first),
            "pcs_f_then_one_push": {
                **self.edits.as_json(self.first),
                "push_s": round(self.file_push.seconds, 3),
                "extrapolated_with_push_s": round(self.files_then_push(), 2),
                "extrapolated_with_push_cpu_s": round(self.files_then_push_cpu(), 2),
            },
        }


def measure(stage: Stage, rounds: int, tell: Callable[[str], None]) -> Push:
    """Push the fleet up to three times; make `rounds` live pcs calls and twice as many file edits at either size.

    Leaves the fleet, stopped, and what pcs made in the cluster. Raises Failed.
    """
    stage.do(HOME, ["pcs", "resource", "meta", GUARDED, "target-role=Started"])
    stage.do(HOME, ["pcs", *STOPPED_DEFAULT.split()])
    stage.put(HOME, FLEET_SPEC, spec_text([GUARDED, *FLEET]))
    stage.settle()
    first = _primitives(stage)
    pushes: list[Pushed] = []
    repeats = min(3, rounds)
    for number in range(repeats - 1):
        pushes.append(_push(stage, tell))
        tell(f"taking the {COUNT} VMs away again, {number + 1} of {repeats - 1}")
        stage.apply([GUARDED])
    small, large = "/root/small", "/root/large"
    live = _live(stage, rounds, "a", tell)
    _copy_cib(stage, small)
    pushes.append(_push(stage, tell))
    live += _live(stage, rounds, "b", tell)
    _copy_cib(stage, large)
    edits = _edits(stage, rounds, (small, large), tell)
    words = ["pcs", "cluster", "cib-push", f"{large}.edited.xml", f"diff-against={large}.read.xml"]
    file_push = _timed(stage, _primitives(stage), words)
    stage.settle()
    return Push(
        first,
        Series("s", tuple(each.seconds for each in pushes)),
        Series("s", tuple(each.cpu for each in pushes)),
        {step: Series("s", tuple(each.steps[step] for each in pushes)) for step in pushes[0].steps},
        Series("s", tuple(each.settled for each in pushes)),
        Calls(tuple(live)),
        Calls(tuple(edits)),
        file_push,
    )


def _push(stage: Stage, tell: Callable[[str], None]) -> Pushed:
    spent = _cpu()
    told = json.loads(stage.python(HOME, "tests.bench.apply_cost", FLEET_SPEC))
    spent = _cpu() - spent
    begun = time.monotonic()
    stage.settle()
    done = Pushed(told["seconds"], spent, told["steps"], time.monotonic() - begun)
    tell(f"{COUNT} VMs pushed in {done.seconds:.2f} s, probed {done.settled:.0f} s later")
    return done


def _live(stage: Stage, rounds: int, mark: str, tell: Callable[[str], None]) -> list[Call]:
    """Live calls in a row, at the size that the CIB has now."""
    size = _primitives(stage)
    made = []
    for number in range(rounds):
        name = f"live-{mark}{number:03}"
        words = stock_resource(name, f"{PEER_FILES}/{name}.xml", disabled=True)
        made.append(_timed(stage, size + number, ["pcs", *words]))
    seconds = Calls(tuple(made)).series()
    tell(f"{rounds} live pcs calls from {size} primitives on: {seconds}, load {os.getloadavg()[0]:.1f}")
    stage.settle()
    return made


def _copy_cib(stage: Stage, path: str) -> None:
    """The CIB as files: one to edit, and one as it was read."""
    stage.do(HOME, ["sh", "-c", f"cibadmin --query >{path}.read.xml && cp {path}.read.xml {path}.edited.xml"])


def _edits(stage: Stage, rounds: int, paths: tuple[str, str], tell: Callable[[str], None]) -> list[Call]:
    """`rounds` edits of each file, in turns, and as many again."""
    sizes = [_primitives(stage, ["cat", f"{path}.edited.xml"]) for path in paths]
    made = []
    for number in range(2 * rounds):
        for size, path in zip(sizes, paths, strict=True):
            name = f"edit-{number:03}"
            words = stock_resource(name, f"{PEER_FILES}/{name}.xml", disabled=True)
            made.append(_timed(stage, size + number, ["pcs", "-f", f"{path}.edited.xml", *words]))
    tell(f"{len(made)} pcs -f edits, in turns at {sizes[0]} and {sizes[1]} primitives, load {os.getloadavg()[0]:.1f}")
    return made


def _timed(stage: Stage, size: int, argv: list[str]) -> Call:
    spent, begun = _cpu(), time.monotonic()
    stage.do(HOME, argv)
    return Call(size, time.monotonic() - begun, _cpu() - spent)


def _cpu() -> float:
    """CPU seconds of all commands so far that have ended. Daemons are not among them, neither hactl's nor pcs's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _primitives(stage: Stage, source: Sequence[str] = ("cibadmin", "--query")) -> int:
    cib = etree.fromstring(stage.do(HOME, source).encode())
    return sum(1 for _ in cib.iterfind("configuration/resources//primitive"))

"""A hundred VMs into the CIB: one `hactl apply` up to its push, beside pcs called once for each VM.

pcs is measured in both ways that its manuals know: `pcs resource create` on the live CIB, and `pcs -f FILE` edits with
one `cib-push diff-against=` at the end. Each call costs more the bigger the CIB is, so calls are measured before and
after the hundred VMs are there, and a line through them gives the sum for a hundred: that sum is extrapolated. All
pushes are real. Nothing boots: a default of the cluster stops VMs that nobody has started, and pcs gets --disabled.
In pcs's favour: its constraints and looking at what would happen are left out. The domain files that hactl gives to the
nodes are shown apart: with pcs the admin copies them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from tests.bench import figures
from tests.bench.apply_cost import DELIVERY
from tests.bench.figures import Series
from tests.bench.stage import GUARDED, HOME, PEER_FILES, Stage, spec_text, stock_resource

COUNT = 100
FLEET = [f"vm{number:03}" for number in range(1, COUNT + 1)]
FLEET_SPEC = "/root/fleet.toml"
EDITED, READ = "/root/edited.xml", "/root/read.xml"
STOPPED_DEFAULT = (
    "resource defaults set create id=bench-stopped meta target-role=Stopped rule resource ocf:hacluster:VirtualDomain"
)


@dataclass(frozen=True, slots=True)
class Calls:
    """pcs calls as (primitives that were there before, seconds)."""

    points: tuple[tuple[float, float], ...]

    def series(self) -> Series:
        """The seconds of all calls."""
        return Series("s", tuple(seconds for _, seconds in self.points))

    def extrapolated(self, first: int) -> float:
        """The seconds of COUNT calls in a row, beginning with `first` primitives."""
        return figures.line(self.points).total(first, COUNT)

    def as_json(self, first: int) -> dict[str, object]:
        """Calls, line and extrapolation."""
        fitted = figures.line(self.points)
        return {
            "call": self.series().as_json(),
            "points": [[round(size), round(seconds, 4)] for size, seconds in self.points],
            "base_s": round(fitted.base, 4),
            "slope_s_per_resource": round(fitted.slope, 6),
            "extrapolated_s": round(self.extrapolated(first), 2),
        }


@dataclass(frozen=True, slots=True)
class Pushed:
    """One push of the fleet: seconds in all, by step, and until Pacemaker had probed it."""

    seconds: float
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
    steps: dict[str, Series]
    settled: Series
    live: Calls
    edits: Calls
    file_push: float

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
        return self.edits.extrapolated(self.first) + self.file_push

    def as_json(self) -> dict[str, object]:
        """Everything."""
        return {
            "vms": COUNT,
            "primitives_before": self.first,
            "hactl": {
                "compile_plan_push": self.configuring.as_json(),
                "with_domain_files": self.totals.as_json(),
                "steps": {name: series.as_json() for name, series in self.steps.items()},
                "pacemaker_settled_after_s": self.settled.as_json(),
            },
            "pcs_resource_create": self.live.as_json(self.first),
            "pcs_f_then_one_push": {
                **self.edits.as_json(self.first),
                "push_s": round(self.file_push, 3),
                "extrapolated_with_push_s": round(self.files_then_push(), 2),
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
    live, edits = _pcs(stage, rounds, "a", tell)
    pushes.append(_push(stage, tell))
    more_live, more_edits = _pcs(stage, rounds, "b", tell)
    begun = time.monotonic()
    stage.do(HOME, ["pcs", "cluster", "cib-push", EDITED, f"diff-against={READ}"])
    file_push = time.monotonic() - begun
    stage.settle()
    return Push(
        first,
        Series("s", tuple(each.seconds for each in pushes)),
        {step: Series("s", tuple(each.steps[step] for each in pushes)) for step in pushes[0].steps},
        Series("s", tuple(each.settled for each in pushes)),
        Calls((*live, *more_live)),
        Calls((*edits, *more_edits)),
        file_push,
    )


def _push(stage: Stage, tell: Callable[[str], None]) -> Pushed:
    told = json.loads(stage.python(HOME, "tests.bench.apply_cost", FLEET_SPEC))
    begun = time.monotonic()
    stage.settle()
    done = Pushed(told["seconds"], told["steps"], time.monotonic() - begun)
    tell(f"{COUNT} VMs pushed in {done.seconds:.2f} s, probed {done.settled:.0f} s later")
    return done


def _pcs(
    stage: Stage, rounds: int, mark: str, tell: Callable[[str], None]
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Live calls, then edits of a file, at the size that the CIB has now."""
    live = []
    for number in range(rounds):
        name = f"live-{mark}{number:03}"
        words = stock_resource(name, f"{PEER_FILES}/{name}.xml", disabled=True)
        live.append((float(_primitives(stage)), _timed(stage, ["pcs", *words])))
    tell(f"{rounds} live pcs calls at {live[0][0]:.0f} primitives: {Series('s', tuple(s for _, s in live))}")
    stage.settle()
    size = float(_primitives(stage))
    stage.do(HOME, ["sh", "-c", f"cibadmin --query >{READ} && cp {READ} {EDITED}"])
    edits = []
    for number in range(2 * rounds):
        name = f"edit-{mark}{number:03}"
        words = stock_resource(name, f"{PEER_FILES}/{name}.xml", disabled=True)
        edits.append((size + number, _timed(stage, ["pcs", "-f", EDITED, *words])))
    tell(f"{2 * rounds} pcs -f edits at {size:.0f} primitives: {Series('s', tuple(s for _, s in edits))}")
    return live, edits


def _timed(stage: Stage, argv: list[str]) -> float:
    begun = time.monotonic()
    stage.do(HOME, argv)
    return time.monotonic() - begun


def _primitives(stage: Stage) -> int:
    cib = etree.fromstring(stage.do(HOME, ["cibadmin", "--query"]).encode())
    return sum(1 for _ in cib.iterfind("configuration/resources//primitive"))

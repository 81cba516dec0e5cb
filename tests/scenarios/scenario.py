"""What a scenario file says: a cluster, what people do, what goes wrong and when, and what must have become of it.

    title = "The source loses its power in the middle of a copy"
    why = "DESIGN 6: …"

    [start]                     # where VMs run when it begins
    web = "n1"

    [world]                     # what differs from a healthy cluster
    copy_seconds = 2.0          # how long a guest's memory takes to copy
    boards.n1 = "lies"          # works, lies (says that it switched off, and did not) or dead
    handover = "running"        # the VMs' parameter
    recovery = 30.0             # seconds that the lock manager takes after a fencing
    trip = 0.3                  # seconds that an operation of the lock manager takes
    nodes = 5                   # more than three
    without = "hook"            # a barrier that is taken away (see player.WITHOUT)

    [[fault]]                   # at a named point: see `points` in player.py
    at = "migration copies"
    on = "n1"                   # only there; `count = 2`: only the second time
    do = "power cut n1"         # as in a step: `by` is who types it, `node` the node it is typed on

    [[step]]                    # one after another; an operator's command is waited for
    by = "alice"
    do = "hactl vm move web n2"
    meanwhile = true            # do not wait for it

    [expect]
    runs.web = "n2"             # or "nowhere", "somewhere" (in one place)
    boots.web = 1               # fresh starts of its guest
    failures.web = 0            # operations of it that failed
    told.alice = "HA430"        # a code of the refusal; "done", "failed", "killed", …
    fenced = ["n1"]             # nobody, if it is not given; ["*"]: whoever
    broken = "runs twice"       # a test of the test, or what no software can hinder: the witness must say this
    finds = "HA140"             # hactl check must find this in the cluster, changed as `spec` says

    lab.told.alice = "HA430"    # what a real cluster does otherwise than the simulator
    lab.missed."hook release" = "…"  # a fault's point that is never passed there, and why

    bed = "virtual machines"    # cannot be staged in memory: where it can be, and `why` says the reason
    lab = "needs …: …"          # cannot be staged in the lab, and why

    [spec]                      # what stands in cluster.toml, and what stands there instead
    "name = \\"lab\\"" = "name = \\"other\\""

The file's name begins with what it stages: `cause-03-` the third root cause, `a17-` attack A17, else a plain name.
A scenario fails, beside what it expects, when the witness saw two copies or an old memory over a newer disk, when a
VM's copy is not sealed at the end, when a claim is left, or when a fault's point was never passed.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Step:
    """Something that is done. `by` is who is told the outcome, `on` the node it is typed on or goes through."""

    do: str
    by: str = ""
    on: str = ""
    meanwhile: bool = False


@dataclass(frozen=True)
class Fault:
    """Something that happens when a point is passed."""

    at: str
    do: str
    on: str = ""
    vm: str = ""
    count: int = 1
    by: str = ""
    node: str = ""


@dataclass(frozen=True)
class Expect:
    """What must have become of it; what is not named is not looked at."""

    runs: Mapping[str, str] = field(default_factory=dict)
    boots: Mapping[str, int] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    fenced: tuple[str, ...] = ()
    broken: str = ""
    finds: str = ""
    claim: bool = False
    missed: Mapping[str, str] = field(default_factory=dict)
    lab: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """One file."""

    title: str
    why: str = ""
    bed: str = ""
    lab: str = ""
    start: Mapping[str, str] = field(default_factory=dict)
    world: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    steps: tuple[Step, ...] = ()
    expect: Expect = field(default_factory=Expect)


def read(path: Path) -> Scenario:
    """A scenario file. Raises TypeError for a key that no scenario has."""
    told = tomllib.loads(path.read_text())
    expect = told.pop("expect", {})
    return Scenario(
        faults=tuple(Fault(**fault) for fault in told.pop("fault", ())),
        steps=tuple(Step(**step) for step in told.pop("step", ())),
        expect=Expect(**{**expect, "fenced": tuple(expect.get("fenced", ()))}),
        **told,
    )


def to_toml(scenario: Scenario) -> str:
    """The scenario as a file that replays it."""
    lines = [f"title = {_value(scenario.title)}", f"why = {_value(scenario.why)}"]
    lines += [f"{key} = {_value(getattr(scenario, key))}" for key in ("bed", "lab") if getattr(scenario, key)]
    lines += [""]
    for name in ("start", "world", "spec"):
        table = getattr(scenario, name)
        if table:
            lines += [f"[{name}]", *(f"{_value(key)} = {_value(value)}" for key, value in table.items()), ""]
    for kind, items in (("fault", scenario.faults), ("step", scenario.steps)):
        for item in items:
            lines += [f"[[{kind}]]"]
            lines += [f"{key} = {_value(value)}" for key, value in vars(item).items() if value not in ("", False)]
            lines += [""]
    lines += ["[expect]", *(f"{key} = {_value(value)}" for key, value in vars(scenario.expect).items() if value)]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(key)} = {_value(one)}" for key, one in value.items()) + " }"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)

"""docs/scenarios.md: each scenario, what becomes of it in the simulator, and what became of it in the lab.

What the lab showed stands in the page itself; `make scenarios` writes the rows of what it has played anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.lab.scenarios.player import elsewhere
from tests.scenarios.scenario import Scenario, read

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "scenarios.md"
FILES = sorted(path for path in (ROOT / "tests" / "scenarios").glob("*.toml") if path.name != "cluster.toml")
HEAD = """# Scenarios: one file, two worlds

Each file of `tests/scenarios` says where VMs run, what people do, what goes wrong and when, and what must have become
of it. It is played in a simulator, in which the product's own code runs over machines in memory, and on a real cluster
in namespaces (`make scenarios`, which also writes this page). On both: no two copies of a VM ever run (in the lab an
observer outside the nodes looks), no disk shows two writers, the VM ends where the file says and under its seal, and
people are told what the file says.

Lab: a dot for each of the last runs that held, an x for each that did not; or why it is not played there.

| scenario | what happens | simulator | lab |
|---|---|---|---|
"""
HELD, NOT_HELD, UNPLAYED = "held", "did not hold", "not played yet"
LAST = 5
"""Runs of a scenario that its row remembers: a dot for each that held, an x for each that did not."""
MARKS = re.compile(r"^\| `([^`]+)` \|.*\| (?:held|did not hold)[^|]* `([.x]+)`[^|]*\|$", re.MULTILINE)


def known(page: str) -> dict[str, str]:
    """What the page remembers of the lab: for each scenario a mark for each of its last runs."""
    return dict(MARKS.findall(page))


def render(runs: Mapping[str, str], wrong: Mapping[str, str]) -> str:
    """The page, from the marks of the lab's runs and what was wrong in the last one of those that did not hold."""
    return HEAD + "".join(_row(path.stem, read(path), runs.get(path.stem, ""), wrong) for path in FILES)


def note(name: str, wrong: list[str]) -> None:
    """Write down how a run on the lab ended."""
    page = PAGE.read_text() if PAGE.exists() else ""
    runs, said = known(page), reasons(page)
    runs[name] = (runs.get(name, "") + ("x" if wrong else "."))[-LAST:]
    said[name] = _sentence(wrong[0]) if wrong else ""
    PAGE.write_text(render(runs, said))


def reasons(page: str) -> dict[str, str]:
    """What was wrong with those that did not hold in their last run."""
    return dict(re.findall(rf"^\| `([^`]+)` \|.*\| {NOT_HELD} `[.x]+`: ([^|]*) \|$", page, re.MULTILINE))


def _row(name: str, scenario: Scenario, marks: str, wrong: Mapping[str, str]) -> str:
    if scenario.bed:
        simulator = f"needs {scenario.bed}"
    elif scenario.expect.finds:
        simulator = f"`hactl check`: {scenario.expect.finds}"
    else:
        simulator = f"{scenario.expect.broken}, as it must" if scenario.expect.broken else "holds"
    lab = elsewhere(scenario)
    if not lab:
        lab = f"{HELD} `{marks}`" if marks.endswith(".") else UNPLAYED
        lab = f"{NOT_HELD} `{marks}`: {wrong.get(name, '')}" if marks.endswith("x") else lab
    return f"| `{name}` | {_cell(scenario.title)} | {simulator} | {_cell(lab)} |\n"


def _sentence(text: str) -> str:
    return _cell(text.splitlines()[0])[:140].strip()


def _cell(text: str) -> str:
    return text.replace("|", "/").strip()

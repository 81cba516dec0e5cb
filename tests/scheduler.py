"""Pacemaker's scheduler for tests, run on files: no cluster, no daemon."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from lxml import etree

from hacluster import oracle
from hacluster.cib import simulate

TOOLS = ("crm_simulate", "crm_verify", "pcs")

needs_tools = [
    pytest.mark.tools,
    pytest.mark.skipif(any(shutil.which(tool) is None for tool in TOOLS), reason="needs Pacemaker's and pcs's tools"),
]


@dataclass(frozen=True)
class Outcome:
    """What the scheduler would do: its summary, its graph, and the CIB once all of it has been done."""

    simulation: simulate.Simulation
    graph: oracle.Graph

    def findings(self, *vms: str) -> list[str]:
        """What the oracle has against it, as codes."""
        return [problem.code for problem in oracle.check(self.graph, self.simulation.before, vms)]


def run(*argv: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(part) for part in argv], capture_output=True, timeout=60, check=False)


def ask(cib: bytes | etree._Element, where: Path, *options: str) -> Outcome:
    """Ask the scheduler once about a CIB. `options` are further ones of crm_simulate (`--node-fail n1`)."""
    source, graph = where / "ask.xml", where / "graph.xml"
    source.write_bytes(cib if isinstance(cib, bytes) else etree.tostring(cib))
    done = run("crm_simulate", "--xml-file", source, "--run", "--save-graph", graph, "--output-as=xml", *options)
    assert done.returncode == 0, done.stderr.decode()
    return Outcome(simulate.parse(done.stdout), oracle.read(graph.read_bytes()))


def carried_out(cib: bytes | etree._Element, where: Path) -> etree._Element:
    """The CIB, status included, once everything that the scheduler wants has been done."""
    return _saved(cib, where, "--simulate")


def with_failure(cib: etree._Element, where: Path, operation: str) -> etree._Element:
    """The CIB after an operation (`web_stop_0@n3=1`) has ended so, and before anything is done about it."""
    return _saved(cib, where, "--run", "--op-inject", operation)


def _saved(cib: bytes | etree._Element, where: Path, *options: str) -> etree._Element:
    source, result = where / "do.xml", where / "done.xml"
    source.write_bytes(cib if isinstance(cib, bytes) else etree.tostring(cib))
    done = run("crm_simulate", "--xml-file", source, "--save-output", result, *options)
    assert done.returncode == 0, done.stderr.decode()
    return etree.parse(str(result)).getroot()

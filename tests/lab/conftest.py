"""A lab for the tests that need one: `bed`, brought up once a session and taken down always.

A test that fails shows what the cluster looked like at that moment: its lab is gone when somebody reads about it.
"""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pluggy
import pytest

from hacluster.lab import host
from hacluster.lab.bed import Bed
from hacluster.lab.chaos.scene import Scene
from hacluster.model import Cluster
from hacluster.spec import load

ASKED = {
    "crm_mon": "crm_mon -1rnf --show-detail",
    "QEMUs": "pgrep -a qemu | cut -c1-100",
    "run-locks": "tail -n +1 /run/hacluster/vm/*",
    "journal": "journalctl --no-pager -o short-precise -n 150 -g 'hacluster|web|db|fenc|VirtualDomain|libvirtd'",
}
"""What each node is asked when a test has failed."""

SPEC = Path(__file__).parents[2] / "examples" / "lab.toml"


def lab_name(kind: str = "t") -> str:
    """A name that no other test run on this machine uses."""
    return f"{kind}{os.getpid()}"


def cluster() -> Cluster:
    """The cluster of the shipped lab."""
    return load(SPEC)


def skip_without_lab() -> None:
    """Skip, with the reason, where no lab can be brought up."""
    if problems := host.findings():
        pytest.skip("no lab here: " + "; ".join(problem.message for problem in problems))


def fresh_lab(kind: str = "t", spec: Path = SPEC) -> Iterator[Bed]:
    """The lab of a spec, new: nodes online, nothing in the CIB, the spec on each node; taken down without a trace."""
    skip_without_lab()
    lab = Bed(lab_name(kind), load(spec))
    try:
        lab.up(spec=spec.read_bytes())
        yield lab
    finally:
        assert lab.down() == []


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """One lab for all modules that leave it as they found it, or with the shipped spec applied."""
    yield from fresh_lab()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Add what the nodes say to the report of a failed test."""
    report = (yield).get_result()
    lab = getattr(item, "funcargs", {}).get("bed")
    if report.failed and isinstance(lab, Bed):
        for node in lab.nodes():
            for what, command in ASKED.items():
                report.sections.append((f"{node}: {what}", _asked(lab, node, command)))


def look(scene: Scene) -> str:
    """What the nodes say, for the report of a test that takes its lab down itself."""
    lab = scene.bed
    parts = [f"--- {node}: {what}\n{_asked(lab, node, asked)}" for node in lab.nodes() for what, asked in ASKED.items()]
    return "\n".join(parts)


def _asked(lab: Bed, node: str, command: str) -> str:
    try:
        return lab.exec(node, ["sh", "-c", command], timeout=15).stdout
    except Exception as problem:  # noqa: BLE001 - a node that is off must not take the report with it
        return f"no answer: {problem}"

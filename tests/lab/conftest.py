"""A lab for the tests that need one: `bed`, brought up once a session and taken down always."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.lab import host
from hacluster.lab.bed import Bed
from hacluster.model import Cluster
from hacluster.spec import load

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


def fresh_lab(kind: str = "t") -> Iterator[Bed]:
    """The shipped lab, new: nodes online, nothing in the CIB, the spec on each node; taken down without a trace."""
    skip_without_lab()
    lab = Bed(lab_name(kind), cluster())
    try:
        lab.up(spec=SPEC.read_bytes())
        yield lab
    finally:
        assert lab.down() == []


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """One lab for all modules that leave it as they found it, or with the shipped spec applied."""
    yield from fresh_lab()

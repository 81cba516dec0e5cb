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


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """The shipped lab: nodes n1, n2, n3 online, nothing in the CIB, /etc/hacluster/cluster.toml on each node."""
    skip_without_lab()
    lab = Bed(lab_name(), cluster())
    try:
        lab.up(spec=SPEC.read_bytes())
        yield lab
    finally:
        left = lab.down()
        assert left == []

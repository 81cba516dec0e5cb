"""The virtual machines for tests: asked for, brought up once, and set back whenever a test has broken something."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.lab.machines import cluster
from hacluster.lab.machines.bed import Machines, findings
from hacluster.spec import load

SPEC = Path(__file__).parents[2] / "examples" / "vm-cluster.toml"
ASKED_BY = "HACLUSTER_VM"


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """The machines as the shipped cluster. Who finds them up leaves them up, as they were brought up."""
    if not os.environ.get(ASKED_BY):
        pytest.skip(f"only on full virtual machines, which take minutes to build: make test-vm ({ASKED_BY}=1)")
    if problems := findings():
        pytest.skip("no virtual machines here: " + "; ".join(problem.message for problem in problems))
    bed, text = Machines(), SPEC.read_bytes()
    found_up = bed.is_up()
    bed.up(print, cluster.state(text), lambda step: cluster.make(bed, load(SPEC), text, step))
    try:
        if found_up:
            bed.restore()
        yield bed
        if found_up:
            bed.restore()
    finally:
        if not found_up:
            assert bed.down() == []

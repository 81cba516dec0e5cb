"""hactl vm move as it is typed: what excludes what, and what is said when the node that hactl works through is lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.cli.shell import EXAMPLES, hactl


@pytest.mark.parametrize(
    "typed",
    [
        ["--cold", "--resume"],
        ["--cold", "--abort"],
        ["--resume", "--abort"],
        ["n2", "--abort"],
        ["--resume", "--dry-run"],
        ["--abort", "--accept", "HA446"],
    ],
    ids=" ".join,
)
def test_options_that_exclude_each_other_are_wrong_usage(typed: list[str]) -> None:
    done = hactl("vm", "move", "web", *typed)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_a_node_that_is_lost_on_the_way_is_named_and_no_fault_of_hactl() -> None:
    script = (
        "from hacluster.cli import main\n"
        "from hacluster.ports import Unreachable\n"
        "def app(): raise Unreachable('n1: no answer within 30 s')\n"
        "main.app = app\n"
        "main._mount = lambda: None\n"
        "main.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=EXAMPLES.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "HA604" in done.stderr
    assert "n1: no answer within 30 s" in done.stderr
    assert "--node" in done.stderr

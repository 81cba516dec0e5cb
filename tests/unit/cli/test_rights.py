"""What somebody who is not root is told."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.unit.cli.shell import EXAMPLES, hactl

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else"),
]
AS_NOBODY = 'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'


@pytest.mark.parametrize("order", [["status"], ["down"], ["power", "off", "n1"], ["exec", "n1"], ["check"], ["deploy"]])
def test_a_lab_is_roots(order: list[str]) -> None:
    done = hactl("lab", *order, shell=AS_NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error HA703 ")
    assert f"→ sudo hactl lab {' '.join(order)}\n" in done.stderr


def test_a_spec_that_may_not_be_read_is_a_problem_and_no_usage_error() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        spec = Path(folder) / "cluster.toml"
        spec.write_text((EXAMPLES / "kvm-cluster.toml").read_text())
        spec.chmod(0)
        for command in ("check", "compile", "plan"):
            done = hactl(command, spec, shell=AS_NOBODY)
            assert done.returncode == 1
            assert "cannot read the file: Permission denied\n    → read it as root" in done.stderr

"""hactl as a user starts it: a process of its own, with the streams and the environment that a test gives it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples"
_HACTL = [sys.executable, "-m", "hacluster"]


def hactl(*arguments: str | Path, shell: str = '"$@"', **environment: str) -> subprocess.CompletedProcess[str]:
    """Run hactl. `shell` is a line of sh in which "$@" stands for the command."""
    return subprocess.run(
        ["/bin/sh", "-c", shell, "sh", *_HACTL, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(EXAMPLES.parent), **environment},
    )

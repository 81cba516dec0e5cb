"""What the lab needs of the machine it runs on, and what it runs there: one place for both.

Only `run` starts commands here; everything has a deadline. Nothing here knows what a node is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from hacluster.lab.packages import COMMANDS
from hacluster.lab.power import ENVIRONMENT
from hacluster.problems import Problem, Refused, kind

NOT_ROOT = kind("HA703", "A lab needs root", "Namespaces, overlays, loop devices and cgroups are made as root only.")
NO_CGROUP = kind(
    "HA704", "There is no cgroup v2", "A node's power switch is cgroup.kill, its freezer cgroup.freeze: both are v2."
)
MISSING = kind("HA705", "A package is missing", "The lab's nodes run the machine's own Debian packages.")
FAILED = kind("HA706", "A step of the lab failed", "A command the lab runs on this machine did not succeed.")


def run(argv: Sequence[str | Path], *, timeout: float = 30, check: bool = True, stdin: str | None = None) -> str:
    """Run a command of this machine; its standard output. Raises Refused (HA706) when it fails or does not end."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, env=ENVIRONMENT, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise Refused(FAILED(f"{words[0]} did not end within {timeout:.0f} s.", command=" ".join(words))) from late
    if check and done.returncode:
        raise Refused(FAILED(done.stderr.strip() or f"{words[0]} failed.", command=" ".join(words), rc=done.returncode))
    return done.stdout


def mounts() -> Iterator[tuple[str, str, str]]:
    """This machine's mounts as (mount point, type, root inside the file system), oldest first."""
    with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            words = fields.split()
            yield words[4].encode().decode("unicode_escape"), rest.split()[0], words[3]


def cgroup2() -> Path | None:
    """Where cgroup v2 is mounted: /sys/fs/cgroup, or beside v1 in a hybrid hierarchy. None when it is nowhere."""
    return next((Path(target) for target, fstype, _ in mounts() if fstype == "cgroup2"), None)


def findings() -> list[Problem]:
    """Everything that keeps this machine from running a lab; empty when it can."""
    found = []
    if os.geteuid() != 0:
        found.append(NOT_ROOT("Only root can bring up a lab.", where="lab", remedy="sudo hactl lab up"))
    if (root := cgroup2()) is None or not (root / "cgroup.procs").exists():
        found.append(
            NO_CGROUP(
                "cgroup v2 is not mounted.",
                where="/sys/fs/cgroup",
                remedy="mount -t cgroup2 cgroup2 /sys/fs/cgroup",
                needed="5.14",
            )
        )
    path = ENVIRONMENT["PATH"]
    missing = sorted({package for command, package in COMMANDS.items() if shutil.which(command, path=path) is None})
    if missing:
        found.append(
            MISSING(
                f"Not installed: {', '.join(missing)}.",
                where="this machine",
                remedy=f"apt-get install --no-install-recommends {' '.join(missing)}",
            )
        )
    return found

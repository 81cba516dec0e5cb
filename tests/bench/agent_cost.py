"""What one monitor of a resource agent costs: runs in a node, as the executor runs the agent. Prints JSON.

Standard input is JSON: {"rounds": N, "agents": {"LABEL": {"path": ..., "environment": {...}}}}. The agents take turns.
CPU is user and system time of the agent and of everything it waited for; daemons' CPU is what libvirtd and Pacemaker's
CIB manager used while the agent ran. Nothing but the standard library is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DAEMONS = ("libvirtd", "pacemaker-based")
CORES = "/var/lib/pacemaker/cores"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What Pacemaker's executor gives a monitor: neither HOME nor USER, locale C."""
    fixed = {"PATH": PATH, "LC_ALL": "C", "OCF_ROOT": "/usr/lib/ocf", "OCF_RA_VERSION_MAJOR": "1"}
    meta = {"OCF_RESKEY_CRM_meta_timeout": "30000", "OCF_RESKEY_CRM_meta_interval": "10000"}
    return {**fixed, **meta, **given}


def daemons() -> dict[str, int]:
    """Nanoseconds of CPU that each daemon has used so far, with its threads that have ended."""
    spent = dict.fromkeys(DAEMONS, 0)
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            name = (process / "comm").read_text().strip()
            if name in spent:
                spent[name] += time.clock_gettime_ns(_clock(int(process.name)))
        except OSError:
            continue  # it ended while it was read
    return spent


def _clock(pid: int) -> int:
    """The CPU clock of another process, as clock_getcpuclockid(3) makes its number."""
    return (~pid << 3) | 2


def once(path: str, given: Mapping[str, str]) -> dict[str, float]:
    """One monitor: exit code, wall and CPU in milliseconds, and the daemons' CPU in milliseconds."""
    before = daemons()
    begun = time.monotonic()
    child = subprocess.Popen(
        [path, "monitor"],
        env=environment(given),
        cwd=CORES,
        umask=0o026,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    after = daemons()
    spent = {name: (after[name] - before[name]) / 1e6 for name in DAEMONS}
    cpu = usage.ru_utime + usage.ru_stime
    return {"exit": child.returncode, "wall_ms": wall * 1000, "cpu_ms": cpu * 1000, **spent}


def tasks(path: str, given: Mapping[str, str]) -> int | None:
    """How many processes and threads one monitor starts, itself included.

    It runs in a pid namespace of its own, where the kernel numbers them from 1: the shell is 1 and what the shell
    starts afterwards has the next free number.
    """
    script = "\"$0\" monitor >/dev/null 2>&1; /bin/sh -c 'echo $$'"
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "sh", "-c", script, path],
        env=environment(given), cwd=CORES, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return int(done.stdout) - 2 if done.returncode == 0 and done.stdout.strip().isdecimal() else None


def main() -> None:
    """Measure what standard input asks for."""
    asked: dict[str, Any] = json.load(sys.stdin)
    agents = asked["agents"]
    labels = list(agents)
    found: dict[str, dict[str, Any]] = {
        label: {"tasks": tasks(agent["path"], agent["environment"]), "runs": []} for label, agent in agents.items()
    }
    for number in range(asked["rounds"]):
        for turn in range(len(labels)):
            label = labels[(number + turn) % len(labels)]
            found[label]["runs"].append(once(agents[label]["path"], agents[label]["environment"]))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()

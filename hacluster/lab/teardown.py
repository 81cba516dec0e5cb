"""Takes a lab away, whatever is left of it, knowing nothing but its name; and says what would not go.

All of a lab is found by that name: its processes by their cgroup, its mounts and network namespaces below its run
directory, its loop devices by the files behind them. So a lab whose `up` was killed half-way goes like any other.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hacluster.lab import disks, host, power
from hacluster.lab.layout import CGROUP, RUNS

UMOUNT_WITHIN = 5.0


def remove(name: str, report: Callable[[str], None]) -> None:
    """Take everything away that carries this lab's name. Works on any wreck, and twice."""
    run = RUNS / name
    group = _cgroup(name)
    if group is not None and group.is_dir():
        power.kill_cgroup(str(group))
        with contextlib.suppress(OSError):  # another lab lives there
            group.parent.rmdir()
        report("processes have ended")
    disks.take_apart(run)
    for target in reversed(_mounts(run)):
        end = time.monotonic() + UMOUNT_WITHIN
        while os.path.ismount(target) or target in _mounts(run):
            late = time.monotonic() > end
            host.run(["umount", *(["--lazy"] if late else []), target], check=False)
            if late:
                break
            if target in _mounts(run):
                time.sleep(0.05)
    if run.exists():
        shutil.rmtree(run)
        report("mounts, loop devices and files are gone")


def leftovers(name: str) -> list[str]:
    """What the kernel still has of this lab, one line each."""
    run = RUNS / name
    left = [f"mount {target}" for target in _mounts(run)]
    left += [f"loop device {device} on {backing}" for device, backing in disks.loops(run)]
    group = _cgroup(name)
    if group is not None and group.exists():
        left.append(f"cgroup {group}")
    left += [f"process {pid} {command}" for pid, command in processes(name)]
    if run.exists():
        left.append(f"directory {run}")
    return left


def processes(name: str) -> Iterator[tuple[int, str]]:
    """The living processes of a lab: (pid, command). A zombie that nobody has waited for is not one."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            inside = f"/{CGROUP}/{name}/" in (entry / "cgroup").read_text().replace("\n", "/\n")
            if inside and "\nState:\tZ" not in (entry / "status").read_text():
                yield int(entry.name), (entry / "comm").read_text().strip()
        except OSError:
            continue


def _cgroup(name: str) -> Path | None:
    root = host.cgroup2()
    return None if root is None else root / CGROUP / name


def _mounts(run: Path) -> list[str]:
    return [target for target, _, _ in host.mounts() if (target + "/").startswith(f"{run}/")]

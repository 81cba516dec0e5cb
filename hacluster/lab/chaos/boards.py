"""The lab's BMCs, made to be slow or to lie: the script behind a board is exchanged, and put back."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from hacluster.lab.bed import Bed
from hacluster.lab.power import PYTHON

BOARDS_TURN = 30.0
"""Seconds that a board has for switching a node on again after it switched it off."""

SLOW = """sleep 6
exec {real} "$@"
"""
"""Longer than ipmitool waits for one answer, shorter than a fence action may take."""

LYING = """state={directory}/claimed
order=$1; shift
while [ $# -gt 0 ]; do
    if [ "$order" = get ]; then
        if [ "$1" = power ]; then echo "power:$(cat "$state" 2>/dev/null || echo 1)"; else echo "$1:default"; fi
        shift
    else
        if [ "$1" = power ]; then echo "$2" >"$state"; fi
        if [ "$1 $2" != "power 1" ]; then {tell}; fi
        shift 2
    fi
done
"""
"""It says what it was told to be. The lock manager of a real cluster believes a fence that has succeeded; so must the
lab's, which is told here what a board that did its work tells it."""

TELL = (
    '{python} -ISc \'import sys; sys.path.insert(0, "{code}"); from hacluster.lab.power import tell_lock_server; '
    'tell_lock_server("{run}", op="off", node="{node}"); tell_lock_server("{run}", op="fenced", node="{node}")\''
)


def devices(bed: Bed, node: str) -> list[str]:
    """The fence devices of a node."""
    known = json.loads((bed.run / "bed.json").read_text())["bmcs"]
    return [device for device, bmc in known.items() if bmc["node"] == node]


def processes(bed: Bed, node: str) -> list[int]:
    """The processes of a node's boards."""
    group = Path(json.loads((bed.run / "bed.json").read_text())["cgroup"], "fabric", "cgroup.procs")
    configurations = [str(bed.run / "bmc" / device / "lan.conf") for device in devices(bed, node)]
    found = []
    for pid in group.read_text().split():
        words = Path("/proc", pid, "cmdline").read_bytes().decode(errors="replace").split("\0")
        if words[0].endswith("ipmi_sim") and any(each in words for each in configurations):
            found.append(int(pid))
    return found


def switching(bed: Bed, node: str) -> bool:
    """Whether a board has switched the node off just now and is about to switch it on: nobody presses a button then.

    fence_ipmilan waits for the off that it ordered; a node that somebody else has switched on again meanwhile makes it
    wait to its timeout.
    """
    log = bed.run / "bmc.log"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    last = next((line.split() for line in reversed(lines) if line.split()[1] == node), None)
    return last is not None and last[2] == "off" and time.time() - float(last[0]) < BOARDS_TURN


def replace(bed: Bed, node: str, script: str) -> Callable[[], None]:
    """Exchange the script of a node's boards; what puts the real ones back."""
    places = [bed.run / "bmc" / device for device in devices(bed, node)]
    for place in places:
        real = place / "chassis.real"
        if not real.exists():
            (place / "chassis").rename(real)
        tell = TELL.format(python=PYTHON, code=Path(__file__).parents[3], run=bed.run, node=node)
        new = place / "chassis.new"
        new.write_text("#!/bin/sh\n" + script.format(real=real, directory=place, tell=tell), encoding="utf-8")
        new.chmod(0o755)
        new.rename(place / "chassis")

    return lambda: put_back(bed, node)


def put_back(bed: Bed, node: str) -> None:
    """Give a node's boards their own scripts again, and let them answer."""
    for device in devices(bed, node):
        place = bed.run / "bmc" / device
        if (place / "chassis.real").exists():
            (place / "chassis.real").rename(place / "chassis")
        (place / "claimed").unlink(missing_ok=True)
    for pid in processes(bed, node):
        os.kill(pid, signal.SIGCONT)

"""The points of a run that a fault can be put at, in a real cluster: whoever passes one waits until it has been done.

libvirt's hooks and the VM agent get a tap before them: a script that looks whether its point is wanted, says that it
has been reached, and goes on when it is told to, or after PATIENCE. A copy of a guest's memory cannot be made to wait;
it is made slow instead, and libvirt's status file says when it is under way.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hacluster.lab.chaos.scene import Scene
from hacluster.problems import Refused

PATIENCE = 20
STAGE = "/run/stage"
WANTED, REACHED, GO = f"{STAGE}/wanted", f"{STAGE}/reached", f"{STAGE}/go"
HOOK = "/etc/libvirt/hooks/qemu.d/00-stage"
AGENT = "/usr/lib/ocf/resource.d/hacluster/VirtualDomain"
MEET = f"""
meet() {{
    mv "{WANTED}/$1" "{REACHED}/$1" 2>/dev/null || return 0
    n=0; while [ ! -e "{GO}/$1" ] && [ $n -lt {PATIENCE * 20} ]; do sleep 0.05; n=$((n + 1)); done
}}
"""
HOOK_TAP = f"""#!/bin/sh
cat >/dev/null
{MEET}
meet "hook $2.$1"
exit 0
"""
AGENT_TAP = f"""#!/bin/sh
{MEET}
meet "$1 begins.$OCF_RESOURCE_INSTANCE"
{AGENT}.real "$@"
code=$?
meet "$1 ends.$OCF_RESOURCE_INSTANCE"
exit $code
"""
TAPPED = re.compile(r"(hook \w+|(?:start|stop|monitor|migrate_to|migrate_from) (?:begins|ends))")
COPYING = "migration copies"
CLAIMED = "claimed"
LOOK = 0.02


@dataclass
class Point:
    """One fault that waits for its point. `node` is empty where any node will do; `passed` says that it came."""

    at: str
    vm: str
    node: str
    do: Callable[[], object]
    passed: bool = False


def can_tap(at: str) -> bool:
    """Whether a fault can be put at this point in a real cluster."""
    return at in (COPYING, CLAIMED) or TAPPED.fullmatch(at) is not None


class Taps:
    """The points of one scenario, watched by a thread each."""

    def __init__(self, scene: Scene, points: list[Point]) -> None:
        self._scene = scene
        self._points = points
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(point,), daemon=True) for point in points]

    def __enter__(self) -> Taps:
        for node in self._scene.nodes if self._tapping else ():
            self._install(node)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for node in self._scene.nodes if self._tapping else ():
            self._scene.sh(node, f"rm -rf {HOOK} {STAGE}; test -e {AGENT}.real && mv {AGENT}.real {AGENT}")

    @property
    def missed(self) -> list[str]:
        """The points that were never passed."""
        return [point.at for point in self._points if not point.passed]

    @property
    def _tapping(self) -> bool:
        return any(TAPPED.fullmatch(point.at) for point in self._points)

    def _install(self, node: str) -> None:
        here = [point for point in self._points if TAPPED.fullmatch(point.at) and point.node in ("", node)]
        wanted = " ".join(f"'{WANTED}/{point.at}.{point.vm}'" for point in here)
        script = f"""
            rm -rf {STAGE}; mkdir -p {WANTED} {REACHED} {GO}
            cat >{HOOK} <<'END'\n{HOOK_TAP}END
            cat >{AGENT}.tap <<'END'\n{AGENT_TAP}END
            chmod 755 {HOOK} {AGENT}.tap
            test -e {AGENT}.real || mv {AGENT} {AGENT}.real; mv {AGENT}.tap {AGENT}
            test -z "$*" || touch "$@"
        """
        self._scene.bed.exec(node, ["sh", "-c", f"set -- {wanted}\n{script}"])

    def _watch(self, point: Point) -> None:
        reached = {COPYING: self._copying, CLAIMED: self._claimed}.get(point.at, self._tapped)
        while not self._over.is_set():
            node = reached(point)
            if node is not None:
                point.passed = True
                point.do()
                self._let_go(point, node)
                return
            time.sleep(LOOK)

    def _inside(self, node: str, path: str) -> Path | None:
        """A file of a node as this machine sees it; None while the node is off."""
        leader = self._scene.bed.leader(node)
        return Path(f"/proc/{leader}/root{path}") if leader is not None else None

    def _tapped(self, point: Point) -> str | None:
        for node in [point.node] if point.node else self._scene.nodes:
            file = self._inside(node, f"{REACHED}/{point.at}.{point.vm}")
            if file is not None and file.exists():
                return node
        return None

    def _copying(self, point: Point) -> str | None:
        for node in [point.node] if point.node else self._scene.nodes:
            status = self._inside(node, f"/run/libvirt/qemu/{point.vm}.xml")
            try:
                text = status.read_text(errors="replace") if status is not None else ""
            except OSError:
                continue
            if re.search(r"<job[^>]* async='migration out'[^>]* phase='perform", text):
                return node
        return None

    def _claimed(self, point: Point) -> str | None:
        node = self._scene.prompt()
        claim = f"//rsc_location[@id='hactl-move-{point.vm}']"
        found = self._scene.sh(node, f'cibadmin --query --xpath "{claim}" >/dev/null 2>&1', 10)
        return node if found.outcome == "done" else None

    def _let_go(self, point: Point, node: str) -> None:
        try:
            self._scene.sh(node, f"touch '{GO}/{point.at}.{point.vm}'")
        except Refused:
            return  # what was done there was to switch it off

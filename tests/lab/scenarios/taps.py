"""The points of a run that a fault can be put at, in a real cluster: whoever passes one waits until it has been done.

libvirt's hooks and the VM agent get a tap before them: a script that looks whether its point is wanted, says that it
has been reached, and goes on when it is told to, or after PATIENCE. The points inside a migration: copying.py.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hacluster.lab.chaos.scene import Scene
from hacluster.problems import Refused
from tests.lab.scenarios.copying import BEGINS, COPIES, HELD, OVER, SWITCHES, Copying, inside
from tests.lab.scenarios.people import Person

PATIENCE = 20
STAGE = "/tmp/stage"
"""Not in /run, which a scenario may fill up."""
WANTED, REACHED, GO = f"{STAGE}/wanted", f"{STAGE}/reached", f"{STAGE}/go"
HOOK = "/etc/libvirt/hooks/qemu.d/00-stage"
AGENT = "/usr/lib/ocf/resource.d/hacluster/VirtualDomain"
MEET = f"""
meet() {{
    for wanted in "{WANTED}/$1".*; do
        [ -e "$wanted" ] || continue
        read -r left <"$wanted"
        if [ "$left" -gt 1 ]; then echo $((left - 1)) >"$wanted"; continue; fi
        name=${{wanted##*/}}
        mv "$wanted" "{REACHED}/$name" 2>/dev/null || continue
        n=0; while [ ! -e "{GO}/$name" ] && [ $n -lt {PATIENCE * 20} ]; do sleep 0.05; n=$((n + 1)); done
    done
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
REMOVED = f"rm -rf {HOOK} {STAGE}; test -e {AGENT}.real && mv {AGENT}.real {AGENT}; true"
"""What takes the taps out of a node."""
TAPPED = re.compile(r"(hook \w+|(?:start|stop|monitor|migrate_to|migrate_from) (?:begins|ends))")
CLAIMED, DAEMON = "claimed", "libvirtd begins"
HOOKS = {BEGINS: "hook migrate", OVER: "hook stopped"}
"""Points of a migration at which libvirt calls a hook, of the target or the source, and waits for it."""
LOOK = 0.02


@dataclass
class Point:
    """Where faults wait for their time. `node` is empty where any node will do; `passed` says that it came. A copy
    goes on `lasts` seconds after it has begun, so that others get their turn in the middle of it."""

    at: str
    vm: str
    node: str
    count: int
    deeds: list[Callable[[], object]] = field(default_factory=list)
    passed: bool = False
    lasts: float = 0.0
    claims: set[str] = field(default_factory=set)

    @property
    def tap(self) -> str:
        """The hook's or agent's call that is tapped for it; empty when it is watched for in another way."""
        name = HOOKS.get(self.at, self.at)
        return f"{name}.{self.vm}.{self.count}" if TAPPED.fullmatch(name) else ""

    @property
    def held(self) -> tuple[str, ...]:
        """What else waits for the deeds: what Pacemaker begins upon a claim."""
        first = self.at == CLAIMED and self.count == 1
        return tuple(f"{name} begins.{self.vm}.{CLAIMED}" for name in ("migrate_to", "stop")) if first else ()


def can_tap(at: str) -> bool:
    """Whether a fault can be put at this point in a real cluster."""
    return at in (CLAIMED, DAEMON, *HELD, *HOOKS) or TAPPED.fullmatch(at) is not None


class Taps:
    """The points of one scenario, watched by a thread each."""

    def __init__(self, scene: Scene, points: Sequence[Point]) -> None:
        self._scene = scene
        self._points = points
        self._copying = Copying(scene)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(point,), daemon=True) for point in points]
        self._daemons = {point.node: self._libvirtd(point.node) for point in points if point.at == DAEMON}

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
            self._scene.sh(node, REMOVED)

    @property
    def missed(self) -> list[str]:
        """The points that were never passed."""
        return [point.at for point in self._points if not point.passed]

    @property
    def _tapping(self) -> bool:
        return any(point.tap or point.held for point in self._points)

    def _install(self, node: str) -> None:
        here = [point for point in self._points if point.tap and point.node in ("", node)]
        wanted = "".join(f"echo {point.count} >'{WANTED}/{point.tap}'\n" for point in here)
        wanted += "".join(f"echo 1 >'{WANTED}/{name}'\n" for point in self._points for name in point.held)
        script = f"""
            rm -rf {STAGE}; mkdir -p {WANTED} {REACHED} {GO}
            cat >{HOOK} <<'END'\n{HOOK_TAP}END
            cat >{AGENT}.tap <<'END'\n{AGENT_TAP}END
            chmod 755 {HOOK} {AGENT}.tap
            test -e {AGENT}.real || mv {AGENT} {AGENT}.real; mv {AGENT}.tap {AGENT}
        """
        self._scene.bed.exec(node, ["sh", "-c", script + wanted])

    def _watch(self, point: Point) -> None:
        left = point.count
        while not self._over.is_set():
            node = self._reached(point)
            if node is None:
                time.sleep(LOOK)
            elif point.at == COPIES and left > 1:
                left -= 1
                self._let_go(point, node)
                while not self._over.is_set() and not self._copying.over(point.vm):
                    time.sleep(LOOK)
            else:
                point.passed = True
                end, claims = time.monotonic() + point.lasts, self._claims(point.vm) if point.tap else set()
                for person in [do() for do in point.deeds]:
                    if isinstance(person, Person):
                        self._attend(point, person, claims)
                while time.monotonic() < end and not self._over.is_set() and not self._copying.over(point.vm):
                    time.sleep(LOOK)
                self._let_go(point, node)
                return

    def _attend(self, point: Point, person: Person, before: set[str]) -> None:
        """Hold a point until somebody has his answer where nobody is held up whom he needs for it; elsewhere until
        hactl has, or has changed the VM's claim."""
        if point.at in (CLAIMED, COPIES, SWITCHES):
            person.watch(PATIENCE)
        elif point.tap and person.words[0] == "hactl":
            person.watch(PATIENCE, lambda: self._claims(point.vm) != before)

    def _reached(self, point: Point) -> str | None:
        if point.tap:
            return self._tapped(point)
        if point.at in HELD:
            return self._copying.reached(point.at, point.vm, point.node)
        return self._claimed(point) if point.at == CLAIMED else self._begun(point)

    def _tapped(self, point: Point) -> str | None:
        for node in [point.node] if point.node else self._scene.nodes:
            file = inside(self._scene, node, f"{REACHED}/{point.tap}")
            if file is not None and file.exists():
                return node
        return None

    def _claimed(self, point: Point) -> str | None:
        """Claims are told apart by their owner's note, as no two have the same."""
        point.claims |= self._claims(point.vm)
        return self._scene.prompt() if len(point.claims) >= point.count else None

    def _claims(self, vm: str) -> set[str]:
        """The owner's note of the claim that stands on a VM; empty when none does."""
        path = f"//rsc_location[@id='hactl-move-{vm}']"
        done = self._scene.run(self._scene.prompt(), ["cibadmin", "--query", "--xpath", path], 10)
        return set(re.findall(r' attribute="hactl-claim"[^>]* value="([^"]*)"', done.stdout))

    def _begun(self, point: Point) -> str | None:
        now = self._libvirtd(point.node)
        return point.node if now not in ("", self._daemons[point.node]) else None

    def _libvirtd(self, node: str) -> str:
        """Which libvirtd a node has, once that answers; empty when none does."""
        asked = "virsh -q list >/dev/null 2>&1 && cat /proc/sys/kernel/random/boot_id && pidof libvirtd"
        return self._scene.run(node, ["sh", "-c", asked], 5).stdout

    def _let_go(self, point: Point, node: str) -> None:
        try:
            if point.tap:
                self._scene.sh(node, f"touch '{GO}/{point.tap}'")
            elif point.held:
                for each in self._scene.powered():
                    self._scene.sh(
                        each, f"rm -f {WANTED}/*.{CLAIMED}; touch {GO}/'{point.held[0]}' {GO}/'{point.held[1]}'"
                    )
            else:
                self._copying.let_go(point.at, point.vm, node)
        except Refused:
            return  # what was done there was to switch it off

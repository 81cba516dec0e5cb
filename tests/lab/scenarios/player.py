"""Plays a scenario on the lab's cluster, and says what is not as it must be.

What holds in every run: the observer outside the nodes never saw two copies of a VM run, each guest's disk shows one
writer at a time, and at the end each VM is sealed where it runs and no claim is left. Where the simulator lets minutes
of virtual time pass, a wait ends here as soon as everything is at rest.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hacluster.lab.chaos.rest import Rest, unsettled
from hacluster.lab.chaos.run import disk
from hacluster.lab.chaos.scene import SPEC, Scene
from tests.lab.scenarios.copying import COPIES, HELD
from tests.lab.scenarios.people import SAVED
from tests.lab.scenarios.taps import REMOVED, Point, Taps, can_tap
from tests.lab.scenarios.verbs import EMPTY_RUN, FREED, LIBVIRTD, PYTHON, STARTED, Verbs, can_do
from tests.scenarios.player import CLUSTER, spec_of
from tests.scenarios.scenario import Scenario, Step

STAGED = {"boards", "copy_seconds"}
"""What of a scenario's `world` the lab can be made to be."""
ENDLESS = 100.0
"""Seconds after which a copy that does not go on at all is let go here."""
AT_REST_AFTER, STUCK_AFTER = 3.0, 15.0
"""Seconds in which everything runs; in which what does not run does not change, while each VM is where it is to end."""
SETTLES_WITHIN, MENDED_WITHIN = 120.0, 240.0
"""Seconds in which it comes to rest; in which the product has mended what it mends by itself: a copy that waits in vain
is given up after 45, a VM that Pacemaker has given up is reported to it anew after another 60, a sweep apart each."""
SHORT, SHOWS_WITHIN = 20.0, 8.0
"""Seconds up to which a wait is meant as it stands; in which what a step did can be seen from outside."""
SLOW = 1
"""MiB per second, libvirt's smallest: how a guest's memory is made to take its time."""


def elsewhere(scenario: Scenario) -> str:
    """Why a scenario is not for the lab; empty when it is. AssertionError when it is, and the lab cannot stage it."""
    if scenario.bed not in ("", "the lab"):
        return f"needs {scenario.bed}: {scenario.why}"
    if scenario.lab:
        return scenario.lab
    if scenario.expect.finds:
        return "it is about the spec, and needs no cluster"
    if scenario.expect.broken:
        return "it is meant to run twice, which the simulator shows"
    assert scenario.world.keys() <= STAGED, f"the lab cannot be made so: {sorted(scenario.world.keys() - STAGED)}"
    for fault in scenario.faults:
        assert can_tap(fault.at), f"no fault can be put at this point of a real cluster: {fault.at}"
    for do in (*(fault.do for fault in scenario.faults), *(step.do for step in scenario.steps)):
        assert can_do(do), f"nobody does this in the lab: {do}"
    return ""


class Player:
    """One run of a scenario on a scene whose VMs all run."""

    def __init__(self, scene: Scene, scenario: Scenario) -> None:
        self.scene = scene
        self.scenario = scenario
        expect = scenario.expect
        here: dict[str, Any] = {key: {**getattr(expect, key), **own} for key, own in expect.lab.items()}
        self.expect = replace(expect, **here)
        self.verbs = Verbs(scene)
        self._rested = False
        self.points = self._points()

    def play(self) -> list[str]:
        """Everything that is not as it must be; nothing when the scenario holds."""
        if not self.scenario.spec:
            return self._play()
        with TemporaryDirectory() as folder:
            put_spec(self.scene, spec_of(self.scenario, Path(folder)))
        try:
            return self._play()
        finally:
            assert renew(self.scene) == {}
            put_spec(self.scene, CLUSTER)

    def _play(self) -> list[str]:
        scenario, scene = self.scenario, self.scene
        self._place()
        for node, how in scenario.world.get("boards", {}).items():
            self.verbs.board(node, how)
        boots = {vm: disk(scene.bed, vm)[0] for vm in scene.vms}
        twice, fenced, failed = len(scene.observer.twice()), self._fenced(), self._failed()
        if "copy_seconds" in scenario.world or any(point.at in HELD for point in self.points):
            scene.sh(scene.observer.home(self.vm) or scene.prompt(), f"virsh migrate-setspeed {self.vm} {SLOW}")
        with Taps(scene, self.points) as taps:
            for step in scenario.steps:
                self._do(step)
            for person in list(self.verbs.people.values()):
                person.leave()
            if not self._rested:
                self._rest(SETTLES_WITHIN)
        for person in self.verbs.people.values():  # also who came with the last fault
            person.leave()
        self.verbs.leave()
        wrong = [f"a fault's point was never passed: {at}" for at in taps.missed if at not in self.expect.missed]
        silent = self.verbs.people.keys() - self.expect.told.keys()
        for who in sorted(silent):
            if (person := self.verbs.people[who]).words[0] == "pcs" and person.told != ["done"]:
                wrong.append(f"{who} could not do it")
        end = time.monotonic() + MENDED_WITHIN  # what looks at rest may still wait for its next attempt
        while (left := [*self._always(), *self._misplaced()]) and time.monotonic() < end:
            time.sleep(1)
        wrong += [f"{seen.vm} ran twice: {seen}" for seen in scene.observer.twice()[twice:]]
        wrong += [*left, *self._expected(boots, fenced), *self._failures(failed)]
        said = [
            f"{who} was told {' '.join(one.told)}: {one.said.strip()}" for who, one in list(self.verbs.people.items())
        ]
        return [*wrong, *said] if wrong else []

    @property
    def vm(self) -> str:
        """The VM that the scenario is about."""
        return next(iter(self.scenario.start), "web")

    def _points(self) -> list[Point]:
        """Where the faults wait; those of one point follow each other."""
        points: dict[tuple[str, str, str, int], Point] = {}
        for fault in self.scenario.faults:
            key = (fault.at, fault.vm or self.vm, fault.on, fault.count)
            deed = self.verbs.act(Step(fault.do, fault.by, fault.node, meanwhile=True))
            points.setdefault(key, Point(*key)).deeds.append(deed)
        if seconds := float(self.scenario.world.get("copy_seconds", 0.0)):
            copying = [point for point in points.values() if point.at == COPIES]
            if not copying:
                copying = [points.setdefault((COPIES, self.vm, "", 1), Point(COPIES, self.vm, "", 1))]
            for point in copying:
                point.lasts = min(seconds, ENDLESS)
        return list(points.values())

    def _place(self) -> None:
        """Each VM where the scenario begins with it; the others elsewhere, as in the simulator."""
        taken = set(self.scenario.start.values())
        others = {vm: self.scene.observer.home(vm) for vm in self.scene.vms if vm not in self.scenario.start}
        free = [node for node in self.scene.nodes if node not in taken]
        away = {vm: free[0] for vm, node in others.items() if node in taken}
        for vm, node in {**self.scenario.start, **away}.items():
            if self.scene.observer.home(vm) != node:
                done = self.scene.run(self.scene.prompt(), self.scene.move(vm, node), 120)
                assert done.returncode == 0, done.stdout + done.stderr

    def _do(self, step: Step) -> None:
        self._rested = False
        if step.do.startswith("wait "):
            self._wait(float(step.do.split()[1]))
        elif step.do == "settle":
            self._rest(SETTLES_WITHIN)
        else:
            self.verbs.act(step)()

    def _wait(self, seconds: float) -> None:
        """So long; a longer wait is for what comes of the step before it, and ends when all is at rest."""
        time.sleep(min(seconds, SHOWS_WITHIN if seconds > SHORT else seconds))
        if seconds > SHORT:
            self._rest(max(seconds, SETTLES_WITHIN) - SHOWS_WITHIN)
            self._rested = True

    def _rest(self, seconds: float) -> None:
        end, since, before = time.monotonic() + seconds, time.monotonic(), None
        while time.monotonic() < end:
            wrong = unsettled(self.scene)
            if wrong != before:
                since, before = time.monotonic(), wrong
            elif time.monotonic() - since > (STUCK_AFTER if wrong else AT_REST_AFTER) and not (
                wrong and self._misplaced()
            ):
                return
            time.sleep(0.5)

    # ---- what became of it

    def _always(self) -> list[str]:
        wrong = [f"{vm}: {found}" for vm in self.scene.vms for found in disk(self.scene.bed, vm)[1]]
        stopped = {vm for vm, node in self.expect.runs.items() if node == "nowhere"}
        members = self.scene.run(self.scene.prompt(), ["crm_node", "-p"], 20).stdout.split()
        unseen = {vm for vm in self.scene.vms if self.scene.observer.home(vm) not in [None, *members]}
        for name, found in self.scene.doubts().items():
            if name in self.scene.vms and name not in stopped | unseen:
                wrong.append(f"{name}: {found}")
        if not self.expect.claim:
            claims = self.scene.sh(
                self.scene.prompt(), "cibadmin --query -o constraints | grep -o 'id=\"hactl-move[^ ]*'"
            )
            wrong += [f"a claim is left: {claims.said}"] if claims.outcome == "done" else []
        return wrong

    def _expected(self, boots: dict[str, int], fenced: set[tuple[str, str]]) -> list[str]:
        expect, wrong = self.expect, list[str]()
        for vm, number in expect.boots.items():
            found = 1 + disk(self.scene.bed, vm)[0] - boots[vm]
            if found != number:
                wrong.append(f"the guest of {vm} booted {found} times, not {number}")
        for who, what in expect.told.items():
            person = self.verbs.people.get(who)
            if person is None or what not in person.told:
                wrong.append(f"{who} was told {person and person.told}, not {what}")
        shot = {node for _, node in self._fenced() - fenced}
        if expect.fenced != ("*",) and set(expect.fenced) != shot:
            wrong.append(f"fenced were {sorted(shot)}, not {list(expect.fenced)}")
        return wrong

    def _misplaced(self) -> list[str]:
        wrong = []
        for vm, node in self.expect.runs.items():
            here = self.scene.observer.home(vm)
            if not (here == node or (node == "nowhere" and here is None) or (node == "somewhere" and here)):
                wrong.append(f"{vm} is on {here or 'no node'}, not {node}")
        return wrong

    def _failures(self, before: set[tuple[str, ...]]) -> list[str]:
        wrong = []
        for vm, number in self.expect.failures.items():
            failed = sorted(one for one in self._failed() - before if one[0].startswith(f"{vm}_"))
            if len(failed) != number:
                wrong.append(f"{len(failed)} operations of {vm} failed, not {number}: {failed}")
        return wrong

    def _failed(self) -> set[tuple[str, ...]]:
        """The operations whose failure Pacemaker remembers: key, node, call and what was said."""
        status = self.scene.crm_mon()
        found = status.iterfind("failures/failure") if status is not None else ()
        return {tuple(str(one.get(key)) for key in ("op_key", "node", "call", "exitreason")) for one in found}

    def _fenced(self) -> set[tuple[str, str]]:
        """Whom the boards were told to switch, and when: the fence history of Pacemaker keeps one event of a kind."""
        log = self.scene.bed.run / "bmc.log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return {(line.split()[0], line.split()[1]) for line in lines}


def put_spec(scene: Scene, spec: Path) -> None:
    """Apply this spec."""
    for node in scene.powered():
        scene.bed.exec(node, ["sh", "-c", f"cat >{SPEC}"], stdin=spec.read_text())
    done = scene.run(scene.prompt(), ["hactl", "apply", SPEC, "--accept", "HA333"], 300)  # nobody minds a restart here
    assert done.returncode == 0, done.stdout + done.stderr


def renew(scene: Scene) -> dict[str, str]:
    """Undo whatever a scenario may have left, and wait until every VM runs again; what is not well, or nothing."""
    scene.undo_all()
    for node in scene.nodes:
        scene.switch_on(node)
    _await_fencing(scene)
    if unsettled(scene).keys() & set(scene.nodes):  # only a node that is online can be cleaned
        Rest(scene).reach(SETTLES_WITHIN)
    own = f"set -- {' '.join(scene.vms)}\n{CLEAN}\n{COMPLETE}"
    with ThreadPoolExecutor(len(scene.nodes)) as pool:
        done = list(pool.map(lambda node: scene.sh(node, own), scene.powered()))
    scene.sh(scene.prompt(), "\n".join(AGAIN.format(vm=vm) for vm in scene.vms))
    if any(deed.outcome != "done" for deed in done):  # a file that a scenario deleted
        scene.run(scene.prompt(), ["hactl", "apply", SPEC], 300)
    return Rest(scene).reach(SETTLES_WITHIN)


def _await_fencing(scene: Scene) -> None:
    """Fencing that is still under way, or is to be repeated, would hit a node that has just come back."""
    end = time.monotonic() + SETTLES_WITHIN
    while time.monotonic() < end:
        status = scene.crm_mon()
        if status is not None and status.find("fence_history/fence_event[@status='pending']") is None:
            return
        for node in scene.nodes:
            scene.switch_on(node)
        time.sleep(0.5)


CLEAN = (
    f"""
exec >/dev/null 2>&1
test -e {PYTHON}.away && mv {PYTHON}.away {PYTHON}
{REMOVED}
{FREED}
{EMPTY_RUN}
if findmnt -n {LIBVIRTD}; then {STARTED}; fi
for full in $(findmnt -rno TARGET -t tmpfs | grep ^/var/li*); do umount -l $full; done
ip neigh flush nud permanent
rm -f {SAVED}
"""
    + """
chmod +x /etc/libvirt/hooks/qemu.d/hacluster
crm_attribute -N "$(uname -n)" -n standby -D
for away in /dev/lab/*.away; do test -e "$away" && mv "$away" "${away%.away}"; done
test -e /tmp/stranger && kill $(cat /tmp/stranger)
rm -f /tmp/stranger /tmp/person.* /etc/libvirt/hooks/qemu
for name in $(virsh list --name); do case " $* " in *" $name "*) ;; *) virsh destroy $name;; esac; done
for name in $(virsh list --all --persistent --name); do virsh undefine $name; done
attrd_updater -n hacluster-guard -U "$(sed -n s/^guard=//p /run/hacluster/lockspace)"
"""
)
"""What a scenario left on a node, whose VMs are the arguments."""
AGAIN = """
cibadmin --delete --xpath "//rsc_location[@id='hactl-move-{vm}']"
crm_resource --clear -r {vm}
crm_resource --meta -r {vm} -d is-managed
crm_resource --meta -r {vm} -d target-role
crm_resource --cleanup -r {vm}
"""
"""What it left in the cluster's configuration and memory."""
COMPLETE = """
for vm in $(cibadmin --query --xpath "//nvpair[@name='config']" | sed -n 's/.* value="\\([^"]*\\)".*/\\1/p'); do
    test -e "$vm" || exit 1
done
exit 0
"""
"""Whether each VM's domain file is there."""

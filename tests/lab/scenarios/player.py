"""Plays a scenario on the lab's cluster, and says what is not as it must be.

What holds in every run: the observer outside the nodes never saw two copies of a VM run, each guest's disk shows one
writer at a time, and at the end each VM is sealed where it runs and no claim is left. Where the simulator lets minutes
of virtual time pass, a wait ends here as soon as everything is at rest.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from lxml import etree

from hacluster.lab.chaos.rest import Rest, unsettled
from hacluster.lab.chaos.run import disk
from hacluster.lab.chaos.scene import SPEC, Scene
from tests.lab.scenarios.taps import Point, Taps, can_tap
from tests.lab.scenarios.verbs import Verbs, can_do
from tests.scenarios.scenario import Scenario, Step

STAGED = {"boards", "copy_seconds"}
"""What of a scenario's `world` the lab can be made to be."""
AT_REST_AFTER, STUCK_AFTER = 3.0, 15.0
"""Seconds in which everything runs; in which what does not run does not change, while each VM is where it is to end."""
SETTLES_WITHIN = 120.0
SHORT, SHOWS_WITHIN = 20.0, 8.0
"""Seconds up to which a wait is meant as it stands; in which what a step did can be seen from outside."""
SLOW = 1
"""MiB per second, libvirt's smallest: how a guest's memory is made to take its time."""


def elsewhere(scenario: Scenario) -> str:
    """Why a scenario is not for the lab; empty when it is."""
    if scenario.bed not in ("", "the lab"):
        return f"it is for the {scenario.bed}: {scenario.why}"
    if scenario.expect.finds:
        return "it is about the spec, and needs no cluster"
    if scenario.spec:
        return f"the lab's cluster is not made so: {', '.join(scenario.spec.values())}"
    if scenario.expect.broken:
        return "it is meant to run twice, which the simulator shows"
    if other := scenario.world.keys() - STAGED:
        return f"the lab cannot be made so: {', '.join(sorted(other))}"
    if points := [fault.at for fault in scenario.faults if not can_tap(fault.at)]:
        return f"no fault can be put at this point of a real cluster: {points[0]}"
    deeds = [fault.do for fault in scenario.faults] + [step.do for step in scenario.steps]
    if any(do == f"storage {node} gone" for do in deeds for node in scenario.start.values()):
        return "a guest that has its disk open keeps it in the lab: only a new QEMU can miss it"
    if unknown := [do for do in deeds if not can_do(do)]:
        return f"nobody does this in the lab: {unknown[0]}"
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
        self._acts = [self.verbs.act(Step(f.do, f.by, f.node, meanwhile=True)) for f in scenario.faults]

    def play(self) -> list[str]:
        """Everything that is not as it must be; nothing when the scenario holds."""
        scenario, scene = self.scenario, self.scene
        self._place()
        for node, how in scenario.world.get("boards", {}).items():
            self.verbs.board(node, how)
        boots = {vm: disk(scene.bed, vm)[0] for vm in scene.vms}
        twice, fenced, failed = len(scene.observer.twice()), self._fenced(), self._failed()
        vm = next(iter(scenario.start), "web")
        if any(fault.at == "migration copies" for fault in scenario.faults) or "copy_seconds" in scenario.world:
            for node in scene.nodes:
                scene.sh(node, f"virsh migrate-setspeed {vm} {SLOW} 2>/dev/null; true")
        points = [Point(f.at, f.vm or vm, f.on, do) for f, do in zip(scenario.faults, self._acts, strict=True)]
        with Taps(scene, points) as taps:
            for step in scenario.steps:
                self._do(step)
            for person in self.verbs.people.values():
                person.wait()
            if not self._rested:
                self._rest(SETTLES_WITHIN)
        wrong = [f"a fault's point was never passed: {at}" for at in taps.missed]
        silent = self.verbs.people.keys() - self.expect.told.keys()
        for who in sorted(silent):
            if (person := self.verbs.people[who]).words[0] == "pcs" and person.told != ["done"]:
                wrong.append(f"{who} could not do it")
        wrong += [f"{seen.vm} ran twice: {seen}" for seen in scene.observer.twice()[twice:]]
        wrong += [*self._always(), *self._expected(boots, fenced), *self._failures(failed)]
        said = [f"{who} was told {' '.join(one.told)}: {one.said.strip()}" for who, one in self.verbs.people.items()]
        return [*wrong, *said] if wrong else []

    def _place(self) -> None:
        """Each VM where the scenario begins with it."""
        for vm, node in self.scenario.start.items():
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
        expect, wrong = self.expect, self._misplaced()
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
        """Whom the cluster has fenced, and when. A node that has just booted does not know all of it."""
        found = set()
        for node in self.scene.powered():
            done = self.scene.run(node, ["stonith_admin", "--history", "*", "--output-as", "xml"], 20)
            if not done.stdout.startswith("<"):
                continue  # its cluster software is not there
            events = etree.fromstring(done.stdout.encode()).iterfind(".//fence_event[@status='success']")
            found |= {(str(event.get("completed")), str(event.get("target"))) for event in events}
        return found


def renew(scene: Scene) -> dict[str, str]:
    """Undo whatever a scenario may have left, and wait until every VM runs again; what is not well, or nothing."""
    scene.undo_all()
    for node in scene.nodes:
        scene.switch_on(node)
    if unsettled(scene).keys() & set(scene.nodes):  # only a node that is online can be cleaned
        Rest(scene).reach(SETTLES_WITHIN)
    asked = "\n".join(AGAIN.format(vm=vm) for vm in scene.vms)
    for node in scene.powered():
        done = scene.sh(node, f"set -- {' '.join(scene.vms)}\n{CLEAN}\n{asked}\n{COMPLETE}")
        if done.outcome != "done":  # a file that a scenario deleted
            scene.run(scene.prompt(), ["hactl", "apply", SPEC], 300)
        asked = ""
    return Rest(scene).reach(SETTLES_WITHIN)


CLEAN = """
exec >/dev/null 2>&1
chmod +x /etc/libvirt/hooks/qemu.d/hacluster
crm_attribute -N "$(uname -n)" -n standby -D
for away in /dev/lab/*.away; do test -e "$away" && mv "$away" "${away%.away}"; done
test -e /run/stranger && kill $(cat /run/stranger)
rm -f /run/stranger /run/person.* /etc/libvirt/hooks/qemu
for name in $(virsh list --name); do case " $* " in *" $name "*) ;; *) virsh destroy $name;; esac; done
for name in $(virsh list --all --persistent --name); do virsh undefine $name; done
attrd_updater -n hacluster-guard -U "$(sed -n s/^guard=//p /run/hacluster/lockspace)"
"""
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

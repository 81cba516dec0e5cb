"""Plays a scenario in the simulator, and says what is not as it must be.

Commands (`do`): see verbs.py.

Points (`at`): claimed, claim removed; OPERATION begins, OPERATION ends (start, stop, monitor, migrate_to,
migrate_from); hook OPERATION; migration begins, copies, switches over, finishes; source goes on (after a migration
that failed); migration is over; guest boots; libvirtd begins (at boot).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from lxml import etree

from hacluster import spec
from hacluster.cib import compile as compiling
from hacluster.cib import managed
from hacluster.cib.names import domain_file
from hacluster.edge.hosts import read as read_probe
from hacluster.ports import Unreachable
from hacluster.problems import Refused
from hacluster.sim.payload import Edits
from hacluster.sim.timeline import Process
from hacluster.sim.world import World
from tests.scenarios.scenario import Scenario, Step
from tests.scenarios.verbs import Verbs

CLUSTER = Path(__file__).with_name("cluster.toml")
PATIENCE, AFTERWARDS = 900.0, 45.0
"""Seconds of virtual time: for an operator's command; after the last step, so that monitors and sweeps have passed."""


def _edit(*changes: tuple[str, str]) -> Callable[[str], str]:
    """A change of a module's source. A text that is not there any more is an error: the barrier would still stand."""

    def change(source: str) -> str:
        for old, new in changes:
            assert old in source, f"the source has changed: {old!r} is not in it"
            source = source.replace(old, new)
        return source

    return change


WITHOUT: dict[str, Edits] = {
    "hook": {"resource_agents.hook": _edit(("handler = OPERATIONS.get(operation)", "handler = None"))},
    "release by proof": {"hacluster.guard.lock": _edit(("if found.verdict != ABSENT:", "if False:"))},
    "fresh start needs the seal": {
        "hacluster.guard.table": _edit(("(NL, event): Refusal(_NO_LOCK)", "(NL, event): Step(NL)"))
    },
    "hand-over": {
        "hacluster.guard.state": _edit(
            (" or value[0] != _HANDED_OVER:\n        return False", ":\n        return True")
        )
    },
}
"""Barriers that a test takes away: the source of a module, changed."""


NODE = """
[nodes.n{0}]
addresses = ["10.99.0.1{0}", "10.99.1.1{0}"]
migration_host = "10.99.1.1{0}"
fencing = [["ipmi-n{0}"]]

[fence_devices.ipmi-n{0}]
agent = "fence_ipmilan"
ip = "10.99.0.2{0}"
username = "admin"
password = "file:/etc/hacluster/secrets/ipmi-n{0}"
lanplus = true
cipher = 3
privlvl = "operator"
"""


def spec_of(scenario: Scenario, folder: Path) -> Path:
    """cluster.toml as a scenario wants it. AssertionError when it does not have what is to be replaced."""
    text = CLUSTER.read_text()
    for old, new in scenario.spec.items():
        assert old in text, f"cluster.toml has no {old!r}"
        text = text.replace(old, new)
    text += "".join(NODE.format(number) for number in range(4, int(scenario.world.get("nodes", 3)) + 1))
    path = folder / "cluster.toml"
    path.write_text(text)
    return path


def found_by_check(scenario: Scenario) -> set[str]:
    """The codes of what hactl check finds in the cluster that a scenario describes."""
    with TemporaryDirectory() as folder:
        return {problem.code for problem in spec.check(spec_of(scenario, Path(folder)))[1]}


@cache
def _cluster(changes: tuple[tuple[str, str], ...], nodes: int) -> tuple[bytes, dict[str, bytes]]:
    with TemporaryDirectory() as folder:
        cluster = spec.load(spec_of(Scenario("", world={"nodes": nodes}, spec=dict(changes)), Path(folder)))
    files = {
        domain_file(vm.name, hashlib.sha256(vm.domain_xml).hexdigest(), vm.agent): vm.domain_xml for vm in cluster.vms
    }
    return compiling.compile(cluster), files


class Player:
    """One run of a scenario. `world` can be looked at afterwards."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        cib, files = _cluster(tuple(scenario.spec.items()), int(scenario.world.get("nodes", 3)))
        root = etree.fromstring(cib)
        self.paths = {vm.name: vm.config for vm in managed.vms(root)}
        self.world = World(_adapted(root, scenario), files, read_probe, edits=_edits(scenario))
        self.world.line.copy_seconds = float(scenario.world.get("copy_seconds", 2.0))
        self.world.cluster.boards.update(scenario.world.get("boards", {}))
        self.world.cluster.recovery = float(scenario.world.get("recovery", 0.0))
        self.world.payload.trip = float(scenario.world.get("trip", 0.001))
        self.world.watch(self._one_lock_per_node)
        self.verbs = Verbs(self)
        self.people: dict[str, Process] = {}
        self.unlawful: list[str] = []
        self._steps = 0

    def play(self) -> list[str]:
        """Everything that is not as it must be; nothing when the scenario holds."""
        try:
            self.prepare()
            for step in self.scenario.steps:
                self.do(step)
            self.world.run(PATIENCE, lambda: all(p.ended for p in self.people.values()))
            self.world.run(AFTERWARDS)
            self.world.settle()
            return [*self.always(), *self._expected()]
        finally:
            self.world.close()

    def prepare(self) -> None:
        """Start the cluster, with the VMs where the scenario wants them, and arm its faults."""
        begun = self.world.run(60.0, lambda: self.world.timeline.now > 2.0 and self.world.settled())
        assert begun, "the cluster did not start"
        for part in self.world.cluster.parts:
            for location in part.cib.findall("./configuration/constraints/rsc_location[@id]"):
                if location.get("id").startswith("start-"):
                    location.getparent().remove(location)
        self.world.run(1.0)
        for fault in self.scenario.faults:
            act = self.verbs.act(Step(fault.do, fault.by, fault.node, meanwhile=True))
            self.world.at(fault.at, act, node=fault.on, vm=fault.vm, count=fault.count)

    # ---- what is done

    def do(self, step: Step) -> None:
        """Carry out a step; an operator's command is waited for unless it runs meanwhile."""
        if step.do.startswith("wait "):
            self.world.run(float(step.do.split()[1]))
        elif step.do == "settle":
            self.world.settle()
        else:
            before = set(self.people)
            self.verbs.act(step)()
            if not step.meanwhile:
                self.world.run(PATIENCE, lambda: all(self.people[who].ended for who in set(self.people) - before))

    def person(self, step: Step, process: Process) -> None:
        """Somebody who typed a command, and is told how it ended."""
        self._steps += 1
        process.at_end.append(lambda _process: None)
        self.people[step.by or f"nobody {self._steps}"] = process

    # ---- what became of it

    def always(self) -> list[str]:
        """What must hold at the end of every run."""
        world, expect = self.world, self.scenario.expect
        wrong = [f"a fault's point was never passed: {name}" for name in world.waiting_faults]
        if expect.broken:
            if not any(expect.broken in sentence for sentence in world.witness.broken):
                wrong.append(f"the witness did not see that it {expect.broken}: {world.witness.broken or 'nothing'}")
            return wrong
        wrong += [*world.witness.broken, *self.unlawful]
        for vm in self.paths:
            where, locks = world.where(vm), self.locks(vm)
            if list(where.values()) == ["running"] and locks != {next(iter(where)): "EX"}:
                wrong.append(f"{vm} runs on {next(iter(where))}, but its run-lock is {locks or 'held by nobody'}")
        if not expect.claim:
            wrong += [f"the claim {ident} is left" for ident in self.claims()]
        return wrong

    def _one_lock_per_node(self) -> None:
        """A law that is looked at whenever a point is passed: two locks of one node would make each other's seal
        impossible (A16), and a node in EX excludes all others."""
        seen: dict[tuple[str, str], int] = {}
        for lock in self.world.payload.fabric.locks.values():
            key = (lock.resource, lock.node)
            if key in seen:
                self.unlawful.append(f"{lock.node} holds two locks on {lock.resource}: {seen[key]} and {lock.mode}")
            seen[key] = lock.mode

    def mending(self) -> list[Step]:
        """What makes everything whole again, whatever was broken."""
        steps = ["calm", "heal", "the copy works"]
        for node, machine in self.world.machines.items():
            steps += [f"empty {node} {folder}" for folder in sorted(machine.full)]
            whose = {"agent" if name.endswith(" ") else name for name in machine.stopped}  # "web ": all that serves web
            steps += [f"SIGCONT {what} {node}" for what in sorted(whose)]
            steps += [f"SIGCONT corosync {node}"] if node in self.world.cluster.mute else []
            steps += [f"SIGCONT libvirtd {node}", f"storage {node} well", f"start libvirtd {node}", f"power on {node}"]
        return [Step(do, meanwhile=True) for do in steps]

    def unwell(self) -> list[str]:
        """VMs that do not run in one place, under their seal."""
        found = []
        for vm in self.paths:
            where, held = self.world.where(vm), self.locks(vm)
            if list(where.values()) != ["running"] or held != dict.fromkeys(where, "EX"):
                found.append(f"{vm} is at last {where or 'nowhere'}, its run-lock {held}")
        return found

    def locks(self, vm: str) -> dict[str, str]:
        """The mode in which each node holds the run-lock of a VM."""
        uuid, names = self.world.uuid(vm), ("NL", "CR", "CW", "PR", "PW", "EX")
        held = self.world.payload.fabric.locks.values()
        return {lock.node: names[lock.mode] for lock in held if lock.resource == uuid}

    def claims(self) -> set[str]:
        """The claims of moves that stand anywhere."""
        path = "./configuration/constraints/rsc_location"
        found = {one.get("id", "") for part in self.world.cluster.parts for one in part.cib.iterfind(path)}
        return {ident for ident in found if ident.startswith("hactl-move-")}

    def _expected(self) -> list[str]:
        expect, wrong = self.scenario.expect, []
        for vm, node in expect.runs.items():
            where = {} if node == "nowhere" else {node: "running"}
            if node == "somewhere" and list(self.world.where(vm).values()) == ["running"]:
                continue
            if self.world.where(vm) != where:
                wrong.append(f"{vm} is {self.world.where(vm) or 'nowhere'}, not {where or 'nowhere'}")
        for vm, boots in expect.boots.items():
            found = self.world.witness.disk(self.world.uuid(vm)).boots
            if found != boots:
                wrong.append(f"the guest of {vm} booted {found} times, not {boots}")
        for vm, number in expect.failures.items():
            failed = [ran for ran in self.world.controller.ran if ran.resource == vm and not ran.ok]
            if len(failed) != number:
                wrong.append(f"{len(failed)} operations of {vm} failed, not {number}: {failed}")
        for who, what in expect.told.items():
            if what not in ((said := self.told(who)), *said.split()):
                wrong.append(f"{who} was told {said}, not {what}: {self.words(who)}")
        if expect.fenced != ("*",) and expect.fenced != tuple(self.world.cluster.fenced):
            wrong.append(f"fenced were {self.world.cluster.fenced}, not {list(expect.fenced)}")
        return wrong

    def told(self, who: str) -> str:
        """An outcome in a word: done, failed, killed, waits, silence, or the codes of a refusal."""
        process = self.people[who]
        if not process.ended:
            return "waits"
        if process.error is not None:
            raise process.error
        if not process.done or process.dead:
            return "killed"
        if isinstance(process.result, Refused):
            return " ".join(dict.fromkeys(problem.code for problem in process.result.problems))
        if isinstance(process.result, Unreachable):
            return "silence"
        return "failed" if isinstance(process.result, int) and process.result else "done"

    def words(self, who: str) -> str:
        """The outcome in full."""
        process = self.people[who]
        if isinstance(process.result, Refused):
            return "; ".join(f"{p.message} {dict(p.facts)}" for p in process.result.problems)
        return "".join(process.err).strip() or str(process.result)


def _adapted(cib: etree._Element, scenario: Scenario) -> bytes:
    """The CIB with the scenario's start and parameters."""
    constraints = cib.find("./configuration/constraints")
    for vm, node in scenario.start.items():
        place = {"id": f"start-{vm}", "rsc": vm, "node": node, "score": "INFINITY"}
        etree.SubElement(constraints, "rsc_location", place)
    handover = scenario.world.get("handover")
    for nvpair in cib.iter("nvpair"):
        if handover is not None and nvpair.get("name") == "handover":
            nvpair.set("value", handover)
    text: bytes = etree.tostring(cib)
    return text


def _edits(scenario: Scenario) -> Edits | None:
    """The sources without a barrier; a barrier that the source has no more of is an error of the scenario."""
    return WITHOUT[scenario.world["without"]] if "without" in scenario.world else None

"""Plays a scenario in the simulator, and says what is not as it must be.

Commands (`do`): hactl vm move VM [NODE] [--resume] · hactl vm start|stop|cleanup VM · virsh COMMAND VM [NODE] (create,
destroy, resume, suspend, migrate) · power cut NODE · power on NODE · isolate NODE… · heal · board NODE works|lies|dead
· kill WHO · remove claim VM · lose the reply · the copy fails · wait SECONDS · settle
· at POINT: COMMAND (from now on, once) · calm (no more of these)

Points (`at`): claimed, claim removed; OPERATION begins, OPERATION ends (start, stop, monitor, migrate_to,
migrate_from); hook OPERATION; migration begins, copies, switches over, finishes; source goes on (after a migration
that failed); guest boots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from lxml import etree

from hacluster import moving, power, spec
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


@cache
def _cluster() -> tuple[bytes, dict[str, bytes]]:
    cluster = spec.load(CLUSTER)
    files = {domain_file(vm.name, hashlib.sha256(vm.domain_xml).hexdigest()): vm.domain_xml for vm in cluster.vms}
    return compiling.compile(cluster), files


class Player:
    """One run of a scenario. `world` can be looked at afterwards."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        cib, files = _cluster()
        root = etree.fromstring(cib)
        self.paths = {vm.name: vm.config for vm in managed.vms(root)}
        self.world = World(_adapted(root, scenario), files, read_probe, edits=_edits(scenario))
        self.world.line.copy_seconds = float(scenario.world.get("copy_seconds", 2.0))
        self.world.cluster.boards.update(scenario.world.get("boards", {}))
        self.people: dict[str, Process] = {}
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
            act = self._action(Step(fault.do, meanwhile=True))
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
            self._action(step)()
            if not step.meanwhile:
                self.world.run(PATIENCE, lambda: all(self.people[who].ended for who in set(self.people) - before))

    def _action(self, step: Step) -> Callable[[], None]:
        """What a step does, ready to be done also in the middle of something else."""
        words = step.do.split()
        cluster, world = self.world.cluster, self.world
        if words[0] == "at":
            point, _, what = step.do.removeprefix("at ").partition(": ")
            planned = self._action(Step(what, on=step.on, by=step.by, meanwhile=True))
            return lambda: world.at(point, planned)
        if words[:2] == ["hactl", "vm"]:
            return lambda: self._person(step, world.operator(step.do, self._hactl(words[2:], step.on or "n3")))
        if words[0] == "virsh":
            return lambda: self._person(step, world.type(step.on or self._home(words[2]), *self._virsh(words[1:])))
        simple: dict[str, Callable[[], None]] = {
            "power cut": lambda: cluster.power_cut(words[2]),
            "power on": lambda: cluster.power_on(words[2]),
            "remove claim": lambda: self._remove_claim(words[2]),
            "lose the": lambda: setattr(world.line, "lose_reply", True),
            "the copy": lambda: setattr(world.line, "fails", "Connection reset by peer"),
        }
        simpler: dict[str, Callable[[], None]] = {
            "isolate": lambda: cluster.isolate(words[1:]),
            "heal": cluster.heal,
            "calm": world.calm,
            "board": lambda: cluster.boards.update({words[1]: words[2]}),  # type: ignore[dict-item]  # checked by its use
            "kill": lambda: world.timeline.kill(self.people[words[1]]),
        }
        act = simple.get(" ".join(words[:2])) or simpler.get(words[0])
        assert act is not None, f"nobody knows how to do: {step.do}"
        return act

    def _person(self, step: Step, process: Process) -> None:
        self._steps += 1
        process.at_end.append(lambda _process: None)
        self.people[step.by or f"nobody {self._steps}"] = process

    def _hactl(self, words: list[str], via: str) -> Callable[[], object]:
        ports, note = self.world.ports(via), self.world.note
        command, vm = words[0], words[1]
        node = next((word for word in words[2:] if not word.startswith("--")), None)
        if command == "move" and "--resume" in words:
            return lambda: moving.resume(ports, vm, tell=lambda progress: None)
        return {
            "move": lambda: moving.move(ports, vm, node, tell=lambda progress: None),
            "stop": lambda: power.stop(ports, vm, tell=note),
            "start": lambda: power.start(ports, vm, tell=note),
            "cleanup": lambda: power.clean_up(ports, vm),
        }[command]

    def _virsh(self, words: list[str]) -> list[str]:
        command, vm, *rest = words
        if command == "create":
            return ["virsh", "create", self.paths[vm]]
        if command == "migrate":
            return ["virsh", "migrate", "--live", "--domain", vm, "--desturi", f"qemu+tcp://{rest[0]}/system"]
        return ["virsh", command, vm]

    def _home(self, vm: str) -> str:
        return next(iter(self.world.where(vm)), "n1")

    def _remove_claim(self, vm: str) -> None:
        ports = self.world.ports("n3")
        self.world.operator("pcs", lambda: ports.pacemaker.delete_constraint(f"hactl-move-{vm}"))

    # ---- what became of it

    def always(self) -> list[str]:
        """What must hold at the end of every run."""
        world, expect = self.world, self.scenario.expect
        wrong = [f"a fault's point was never passed: {name}" for name in world.waiting_faults]
        if expect.broken:
            if not any(expect.broken in sentence for sentence in world.witness.broken):
                wrong.append(f"the witness did not see that it {expect.broken}: {world.witness.broken or 'nothing'}")
            return wrong
        wrong += world.witness.broken
        for vm in self.paths:
            where, locks = world.where(vm), self.locks(vm)
            if list(where.values()) == ["running"] and locks != {next(iter(where)): "EX"}:
                wrong.append(f"{vm} runs on {next(iter(where))}, but its run-lock is {locks or 'held by nobody'}")
        if not expect.claim:
            wrong += [f"the claim {ident} is left" for ident in self._claims()]
        return wrong

    def locks(self, vm: str) -> dict[str, str]:
        """The mode in which each node holds the run-lock of a VM."""
        uuid, names = self.world.uuid(vm), ("NL", "CR", "CW", "PR", "PW", "EX")
        held = self.world.payload.fabric.locks.values()
        return {lock.node: names[lock.mode] for lock in held if lock.resource == uuid}

    def _claims(self) -> set[str]:
        path = "./configuration/constraints/rsc_location"
        found = {one.get("id", "") for part in self.world.cluster.parts for one in part.cib.iterfind(path)}
        return {ident for ident in found if ident.startswith("hactl-move-")}

    def _expected(self) -> list[str]:
        expect, wrong = self.scenario.expect, []
        for vm, node in expect.runs.items():
            where = {} if node == "nowhere" else {node: "running"}
            if self.world.where(vm) != where:
                wrong.append(f"{vm} is {self.world.where(vm) or 'nowhere'}, not {where or 'nowhere'}")
        for vm, boots in expect.boots.items():
            found = self.world.witness.disk(self.world.uuid(vm)).boots
            if found != boots:
                wrong.append(f"the guest of {vm} booted {found} times, not {boots}")
        for who, what in expect.told.items():
            if what not in ((said := self.told(who)), *said.split()):
                wrong.append(f"{who} was told {said}, not {what}: {self.words(who)}")
        if expect.fenced != tuple(self.world.cluster.fenced):
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

"""What can be done in a scenario, as text, and what it means in the simulator.

hactl vm move VM [NODE] [--resume|--abort|--cold] · hactl vm start|stop|cleanup VM
virsh COMMAND VM [NODE]              create, define, autostart, start, save, restore, snapshot-revert, destroy,
                                     suspend, resume, migrate VM NODE, list
pcs …                                as pcs takes it (see sim/pcs.py)
power cut|on NODE · board NODE works|lies|dead|slow
isolate NODE… · unplug NODE LINK · deafen NODE to NODE · heal
kill WHO                             a person's command, by the name that the step gave (`by`)
kill|SIGSTOP|SIGCONT WHAT NODE       libvirtd, corosync, pacemaker-execd …, agent (of any VM), virsh
kill|SIGSTOP|SIGCONT qemu VM NODE
start libvirtd NODE
storage NODE well|hangs|gone · fill NODE FOLDER · empty NODE FOLDER · clock NODE SECONDS
delete config VM NODE · hook NODE off|on (its run bit) · python NODE off|on · guard NODE VERSION
stranger VM NODE                     a process whose command line shows the VM's uuid
unmanaged NAME NODE                  somebody starts a VM that the cluster does not know
admin's hook NODE                    the admin has a qemu hook of his own
remove claim VM · spoil value block VM · lose the reply · the copy fails
wait SECONDS · settle · at POINT: COMMAND (from now on, once) · calm (no more of these)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hacluster import aborting, moving, power
from hacluster.sim import status
from hacluster.sim.machine import INSTALLED_HOOK, Stranger
from hacluster.sim.payload import Payload
from hacluster.watching import Progress
from tests.scenarios.scenario import Step

if TYPE_CHECKING:
    from tests.scenarios.player import Player

Act = Callable[[], None]
UNMANAGED = "<domain type='kvm'><name>{}</name><uuid>00000000-0000-4000-8000-{:012x}</uuid></domain>"


class Verbs:
    """All of them, over one player's world."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._world = player.world
        self._cluster = player.world.cluster
        self._told = ""
        self._patterns: list[tuple[str, Callable[..., None]]] = [
            (r"power cut (\S+)", self._cluster.power_cut),
            (r"power on (\S+)", self._cluster.power_on),
            (r"board (\S+) (works|lies|dead|slow)", lambda node, how: self._cluster.boards.update({node: how})),
            (r"isolate (.+)", lambda nodes: self._cluster.isolate(nodes.split())),
            (r"unplug (\S+) ([01])", lambda node, link: self._cluster.unplug(node, int(link))),
            (r"deafen (\S+) to (\S+)", self._cluster.deafen),
            (r"heal", self._cluster.heal),
            (r"(kill|SIGSTOP|SIGCONT) qemu (\S+) (\S+)", self._qemu),
            (r"(kill|SIGSTOP|SIGCONT) (\S+) (\S+)", self._daemon),
            (r"kill (\S+)", lambda who: self._world.timeline.kill(player.people[who])),
            (r"start libvirtd (\S+)", lambda node: self._world.daemons[node].restart()),
            (r"storage (\S+) (well|hangs|gone)", lambda node, how: self._world.daemons[node].storage(how)),
            (r"fill (\S+) (\S+)", lambda node, folder: self._machine(node).full.add(folder)),
            (r"empty (\S+) (\S+)", lambda node, folder: self._machine(node).full.discard(folder)),
            (r"clock (\S+) ([+-]?\d+)", self._clock),
            (r"delete config (\S+) (\S+)", lambda vm, node: self._machine(node).files.pop(player.paths[vm], None)),
            (r"hook (\S+) (off|on)", self._hook),
            (r"python (\S+) (off|on)", lambda node, on: setattr(self._world.daemons[node], "python", on == "on")),
            (r"guard (\S+) (\S+)", self._guard),
            (r"stranger (\S+) (\S+)", self._stranger),
            (r"remove claim (\S+)", self._remove_claim),
            (r"spoil value block (\S+)", self._spoil),
            (r"lose the reply", lambda: setattr(self._world.line, "lose_reply", True)),
            (r"the copy fails", lambda: setattr(self._world.line, "fails", "Connection reset by peer")),
            (r"the copy works", lambda: setattr(self._world.line, "fails", "")),
            (r"calm", self._world.calm),
        ]

    def act(self, step: Step) -> Act:
        """What a step does, ready to be done also in the middle of something else. AssertionError for nonsense."""
        words = step.do.split()
        player, world = self._player, self._world
        if words[0] == "at":
            point, _, what = step.do.removeprefix("at ").partition(": ")
            planned = self.act(replace(step, do=what, meanwhile=True))
            return lambda: world.at(point, planned)
        if words[:2] == ["hactl", "vm"]:
            return lambda: player.person(step, world.operator(step.do, self._hactl(words[2:], step.on or "n3")))
        if words[0] == "virsh":
            return lambda: player.person(step, world.type(step.on or self._home(words), *self._virsh(words[1:])))
        if words[0] == "pcs":
            return lambda: player.person(step, world.type(step.on or "n3", *words))
        if words[0] == "unmanaged":
            return lambda: player.person(step, world.type(words[2], "virsh", "create", self._unmanaged(*words[1:])))
        for pattern, do in self._patterns:
            if found := re.fullmatch(pattern, step.do):
                return partial(do, *found.groups())
        raise AssertionError(f"nobody knows how to do: {step.do}")

    # ---- people

    def _hactl(self, words: list[str], via: str) -> Callable[[], object]:
        ports, note = self._world.ports(via), self._world.note
        command, vm = words[0], words[1]
        node = next((word for word in words[2:] if not word.startswith("--")), None)
        tell = self._tell
        if "--resume" in words:
            return lambda: moving.resume(ports, vm, node, tell=tell)
        if "--abort" in words:
            return lambda: aborting.abort(ports, vm, tell=tell)
        return {
            "move": lambda: moving.move(ports, vm, node, cold="--cold" in words, tell=tell),
            "stop": lambda: power.stop(ports, vm, tell=note),
            "start": lambda: power.start(ports, vm, tell=note),
            "cleanup": lambda: power.clean_up(ports, vm),
        }[command]

    def _tell(self, progress: Progress) -> None:
        if progress.phase != self._told:
            self._told = progress.phase
            self._world.note(f"hactl: {progress.phase}")

    def _virsh(self, words: list[str]) -> list[str]:
        command, *rest = words
        if command in ("create", "define"):
            return ["virsh", command, self._player.paths[rest[0]]]
        if command == "migrate":
            return ["virsh", "migrate", "--live", "--domain", rest[0], "--desturi", f"qemu+tcp://{rest[1]}/system"]
        return ["virsh", command, *rest[:1]]

    def _home(self, words: list[str]) -> str:
        return next(iter(self._world.where(words[2])), "n1") if len(words) > 2 else "n1"

    def _unmanaged(self, name: str, node: str) -> str:
        path = f"/root/{name}.xml"
        self._machine(node).write(path, UNMANAGED.format(name, len(name)).encode())
        return path

    def _remove_claim(self, vm: str) -> None:
        ports = self._world.ports("n3")
        self._world.operator("pcs", lambda: ports.pacemaker.delete_constraint(f"hactl-move-{vm}"))

    # ---- machines and what runs on them

    def _machine(self, node: str) -> Any:
        return self._world.machines[node]

    def _qemu(self, signal: str, vm: str, node: str) -> None:
        for domain in list(self._world.daemons[node].domains.values()):
            if domain.name == vm and domain.qemu is not None:
                if signal == "kill":
                    domain.qemu.end()
                else:
                    domain.qemu.stopped = signal == "SIGSTOP"

    def _daemon(self, signal: str, what: str, node: str) -> None:
        machine, libvirt = self._machine(node), self._world.daemons[node]
        if what == "libvirtd":
            {"kill": libvirt.kill, "SIGSTOP": libvirt.stop, "SIGCONT": libvirt.go_on}[signal]()
        elif what == "corosync" and signal != "kill":
            self._cluster.hush(node, signal == "SIGSTOP")
        elif what == "corosync":
            self._cluster.crash(node)
        elif signal == "kill" and what.startswith("pacemaker"):
            self._cluster.crash(node)
            self._cluster.come(node)  # pacemakerd starts it again
        else:
            names = [f"{vm} " for vm in self._player.paths] if what == "agent" else [what]
            for name in names:
                self._signal(signal, name, machine)
            self._cluster.poke()

    def _signal(self, signal: str, name: str, machine: Any) -> None:
        if signal == "SIGSTOP":
            machine.stop(name)
        elif signal == "SIGCONT":
            machine.go_on(name)
        else:
            for process in [one for one in machine.processes if one.name.startswith(name)]:
                self._world.timeline.kill(process)

    def _clock(self, node: str, seconds: str) -> None:
        self._machine(node).clock += float(seconds)

    def _hook(self, node: str, on: str) -> None:
        self._machine(node).files[INSTALLED_HOOK].executable = on == "on"

    def _guard(self, node: str, version: str) -> None:
        part = self._cluster.part(node)
        assert part is not None
        status.set_attribute(part.cib, node, "hacluster-guard", version)
        part.changed()
        self._cluster.poke()

    def _stranger(self, vm: str, node: str) -> None:
        Stranger(self._machine(node), b"grep\0-uuid\0" + self._world.uuid(vm).encode() + b"\0")

    def _spoil(self, vm: str) -> None:
        payload: Payload = self._world.payload
        payload.fabric.values[self._world.uuid(vm)] = None

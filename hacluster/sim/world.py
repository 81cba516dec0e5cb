"""The whole: machines, libvirt, lock manager and Pacemaker, from a CIB; operators, faults, and the witness's word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lxml import etree

from hacluster.cib import managed
from hacluster.ports import Unreachable
from hacluster.problems import Refused
from hacluster.sim.children import children
from hacluster.sim.cluster import Cluster
from hacluster.sim.controller import Controller
from hacluster.sim.definitions import Definitions
from hacluster.sim.guest import Witness
from hacluster.sim.libvirt import Libvirt
from hacluster.sim.machine import Machine
from hacluster.sim.migration import Line
from hacluster.sim.payload import Edits, Payload
from hacluster.sim.ports import Read, SimClock, SimHosts, SimPacemaker, SimRunner
from hacluster.sim.system import System
from hacluster.sim.timeline import Process, Timeline
from hacluster.sim.tools import Programs
from hacluster.sim.virsh import Virsh


@dataclass(frozen=True, slots=True)
class Ports:
    """The World of `hacluster.ports`."""

    pacemaker: SimPacemaker
    hosts: SimHosts
    runner: SimRunner
    clock: SimClock


@dataclass
class _Fault:
    name: str
    node: str
    vm: str
    count: int
    act: Callable[[], None]


class World:
    """A cluster that has just been switched on. `files` lie on every node; `read` reads a probe's answer."""

    def __init__(
        self, cib: bytes, files: Mapping[str, bytes], read: Read, *, seed: int = 0, edits: Edits | None = None
    ) -> None:
        root = etree.fromstring(cib)
        self._managed = {vm.uuid: vm.name for vm in managed.vms(root)}
        self._read = read
        self._faults: list[_Fault] = []
        self._watchers: list[Callable[[], None]] = []
        self.log: list[str] = []
        self.timeline = Timeline()
        self.witness = Witness(lambda: self.timeline.now)
        self.system = System(self.timeline, self._syslog, seed)
        names = [node.get("uname") for node in root.iterfind("./configuration/nodes/node")]
        self.machines = {name: Machine(name, self.timeline) for name in names}
        self.daemons: dict[str, Libvirt] = {}
        self.cluster = Cluster(cib, self.machines, self.daemons, self.timeline)
        self.line = Line(self.cluster.reaches, self.point)
        virsh = Virsh(self.timeline, self.daemons, _hosts(root, names), self.line)
        self.programs = Programs(self.timeline, virsh, self.cluster)
        kids = children(self.timeline, self.system, self.programs, lambda: self.payload.module("hacluster.guard.dlm"))
        self.payload = Payload(self.system, kids, edits)
        self.cluster.payload = self.payload
        for name, machine in self.machines.items():
            for path, content in files.items():
                machine.write(path, content)
            self.daemons[name] = Libvirt(
                machine,
                self.timeline,
                self.payload,
                self.witness,
                managed=self._managed.__contains__,
                point=self.point,
            )
            virsh.kept[name] = Definitions(self.daemons[name])
        self.controller = Controller(self.timeline, self.cluster, self.payload, self.point)
        self.programs.controller = self.controller
        for name in names:
            self.cluster.power_on(name)

    # ---- people

    def ports(self, via: str) -> Ports:
        """The ports as hactl has them when it works through a node."""
        hosts = SimHosts(self.timeline, self.cluster, self.payload, via, self._read)
        pacemaker = SimPacemaker(self.timeline, self.cluster, self.controller, self.programs, via, point=self.point)
        runner = SimRunner(self.timeline, self.cluster, hosts, via, self.programs)
        return Ports(pacemaker, hosts, runner, SimClock(self.timeline))

    def operator(self, name: str, work: Callable[[], object]) -> Process:
        """Somebody at a terminal outside of the cluster; a refusal, or a node that is silent, is the result."""

        def body() -> object:
            try:
                return work()
            except (Refused, Unreachable) as told:
                return told

        return self.timeline.spawn(name, body)

    def type(self, node: str, *argv: str) -> Process:
        """Somebody types a command on a node; the process's result is its exit code."""
        return self.timeline.spawn_with(
            " ".join(argv), lambda process: self.programs(argv, process), self.machines[node]
        )

    # ---- time and faults

    def run(self, seconds: float, over: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, at most so many seconds, until `over()`; whether that came."""
        return self.timeline.run(self.timeline.now + seconds, over)

    def settle(self, seconds: float = 600.0) -> bool:
        """Let time pass until the cluster is idle and every node has its guard; whether it came to that."""
        return self.run(seconds, self.settled)

    def settled(self) -> bool:
        """Whether Pacemaker has nothing to do."""
        return bool(self.cluster.up) and self.controller.idle()

    def at(self, name: str, act: Callable[[], None], *, node: str = "", vm: str = "", count: int = 1) -> None:
        """Do something when a point is passed for the `count`-th time (at a node, of a VM, if they are given)."""
        self._faults.append(_Fault(name, node, vm, count, act))

    def point(self, name: str, node: str, vm: str) -> None:
        """A named point is passed; what was planned for it happens before anything else does."""
        self.timeline.check()
        self.note(f"{node}: {vm}: {name}")
        for look in self._watchers:
            look()
        for fault in list(self._faults):
            if fault.name == name and fault.node in ("", node) and fault.vm in ("", vm):
                fault.count -= 1
                if fault.count == 0:
                    self._faults.remove(fault)
                    fault.act()
        self.timeline.check()

    def watch(self, look: Callable[[], None]) -> None:
        """Look at something whenever a point is passed."""
        self._watchers.append(look)

    def calm(self) -> None:
        """Nothing that was planned for a point happens any more."""
        self._faults.clear()

    @property
    def waiting_faults(self) -> tuple[str, ...]:
        """Points that were never passed: a scenario that waits for one of them does not test what it says."""
        return tuple(fault.name for fault in self._faults)

    # ---- what became of it

    def note(self, sentence: str) -> None:
        """Put something into the log, with the time."""
        self.log.append(f"{self.timeline.now:9.3f} {sentence}")

    def where(self, vm: str) -> dict[str, str]:
        """Where QEMUs of a VM are, and whether each executes."""
        found = {}
        for name, daemon in self.daemons.items():
            for domain in daemon.domains.values():
                if domain.name == vm and domain.qemu is not None and not domain.qemu.ended:
                    found[name] = "running" if domain.qemu.executing else "paused"
        return found

    def uuid(self, vm: str) -> str:
        """A VM's uuid."""
        return next(uuid for uuid, name in self._managed.items() if name == vm)

    def close(self) -> None:
        """End all processes."""
        self.timeline.close()

    def _syslog(self, node: str, ident: str, message: str) -> None:
        self.note(f"{node}: {ident}: {message}")


def _hosts(cib: etree._Element, names: list[str]) -> dict[str, str]:
    found = {name: name for name in names}
    for vm in managed.vms(cib):
        for pair in vm.parameters.get("migration_hosts", "").split():
            node, _, host = pair.partition("=")
            found[host] = node
    return found

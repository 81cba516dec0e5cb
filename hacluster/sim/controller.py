"""Pacemaker's controller and executors: runs what the scheduler wants, one step of a VM at a time, and records it.

The agents are the product's own (`payload`), with the environment that Pacemaker gives them, killed at their timeout
and only they (their children die by their own doing). An executor that does not answer is given up after a while.
Storage is not simulated; the guard's clone is (`clones`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lxml import etree

from hacluster.cib import managed
from hacluster.cib.managed import ManagedVm
from hacluster.sim import scheduler, status
from hacluster.sim.clones import Clones
from hacluster.sim.cluster import Cluster, Part
from hacluster.sim.machine import Machine
from hacluster.sim.payload import Payload
from hacluster.sim.scheduler import Op
from hacluster.sim.status import Ran
from hacluster.sim.timeline import Process, Timeline

SCHEDULING, EVERY, DELAY = 0.05, 10.0, 60.0
"""Seconds: a scheduler run takes; between two monitors; beyond an operation's timeout until its node's executor is
given up (cluster-delay)."""
NEVER = 1e6
DECIDE = {"pacemaker-controld", "pacemaker-schedulerd", "pacemaker-based"}
"""Without one of these on the DC nothing is decided."""


class Controller:
    """All DCs in one: each part of the cluster gets what its own CIB says."""

    def __init__(
        self, timeline: Timeline, cluster: Cluster, payload: Payload, point: Callable[[str, str, str], None]
    ) -> None:
        self._timeline = timeline
        self._cluster = cluster
        self._payload = payload
        self._point = point
        self._wakers: list[Callable[[Any], None]] = []
        self._dirty = True
        self._aborts = 0
        self._order = 0
        self._calls: dict[tuple[str, int], int] = {}
        self._fencing: set[str] = set()
        self._monitors: dict[tuple[str, str], Process] = {}
        self.in_flight: dict[str, set[str]] = {}
        """For each VM the nodes on which an operation of it runs."""
        self.ran: list[Ran] = []
        self.clones = Clones(timeline, cluster, payload, lambda: set().union(*self.in_flight.values()))
        cluster.poke = self.poke
        cluster.joined = self.clones.joined
        timeline.spawn("controller", self._loop)

    def poke(self) -> None:
        """Something has changed that aborts the transition: configuration, membership, an attribute, a failure."""
        self._aborts += 1
        self._look()

    def _look(self) -> None:
        self._dirty = True
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake(None)

    def idle(self) -> bool:
        """Whether nothing runs and nothing is to be done."""
        return not self._dirty and not self._fencing and not any(self.in_flight.values())

    def _loop(self) -> None:
        while True:
            self._timeline.wait_for(self._wakers.append, lambda: self._dirty, NEVER)
            self._timeline.sleep(SCHEDULING)
            self._dirty = False
            for part in self._cluster.parts:
                if part.members and not DECIDE & self._cluster.machines[min(part.members)].stopped:
                    self._schedule(part)

    def _schedule(self, part: Part) -> None:
        self.clones.schedule(part)
        for node in self._to_fence(part):
            if node not in self._fencing:
                self._fencing.add(node)
                self._timeline.spawn(f"fence {node}", partial(self._fence, node))
        for plan in scheduler.plans(part.cib):
            if self.in_flight.get(plan.vm, set()) & part.members:
                continue
            vm = managed.vm(part.cib, plan.vm)
            assert vm is not None
            for op in plan.now:
                if op.node in part.members:
                    self._stop_monitor(plan.vm)
                    self._execute(part, vm, op, plan.then)
            if plan.settled is not None:
                self._watch(vm, plan.settled)
            elif not plan.now:
                self._stop_monitor(plan.vm)

    def _to_fence(self, part: Part) -> tuple[str, ...]:
        """Whom the scheduler wants fenced, and then whom the lock manager waits for."""
        wanted = scheduler.to_fence(part.cib)
        if part.cib.get("have-quorum") != "1":
            return wanted
        known = {*wanted, *part.members}
        return (*wanted, *(node for node in self._cluster.lost_to_locks if node not in known))

    def _fence(self, node: str) -> None:
        try:
            part = next((part for part in self._cluster.parts if part.cib.get("have-quorum") == "1"), None)
            if part is not None and node in self._to_fence(part):
                self._cluster.fence(node)
        finally:
            self._fencing.discard(node)
            self.poke()

    # ---- operations

    def _execute(self, part: Part, vm: ManagedVm, op: Op, then: tuple[Op, ...]) -> None:
        """Run an operation, and when it has succeeded and nothing aborted the transition the ones that follow."""
        machine = self._cluster.machines[op.node]
        if not machine.powered:
            return  # its silence is not noticed yet
        nodes = self.in_flight.setdefault(vm.name, set())
        nodes.add(op.node)
        aborts = self._aborts

        def over(process: Process) -> None:
            nodes.discard(op.node)
            if not isinstance(process.result, Ran) or not process.result.ok:
                self.poke()
            elif then and self._aborts == aborts and then[0].node in part.members:
                self._execute(part, vm, then[0], then[1:])
            self._look()

        process = self._timeline.spawn(
            "pacemaker-execd",
            lambda: self.perform(part.cib, vm, op, expected=0 if op.name != "monitor" else 7),
            machine,
        )
        process.at_end.append(over)
        self._timeline.spawn("timer", partial(self._give_up, vm, op, process))

    def _give_up(self, vm: ManagedVm, op: Op, process: Process) -> None:
        """The controller waits for an executor's answer only so long: then the operation has failed."""
        part = self._cluster.part(op.node)
        timeout = DELAY if part is None else DELAY + _timeout(part.cib, vm, op.name)
        if self._timeline.join(process, timeout) or part is None:
            return
        self._order += 1
        machine = self._cluster.machines[op.node]
        lost = Ran(
            node=op.node, resource=vm.name, name=op.name, call=self._call(machine), order=self._order,
            when=int(machine.wall()), code=1, timed_out=True, reason="no answer from the executor",
            source=op.source, target=op.target,
        )  # fmt: skip
        self._record(lost)
        self.in_flight[vm.name].discard(op.node)
        self.poke()

    def perform(self, cib: etree._Element, vm: ManagedVm, op: Op, *, expected: int = 0, interval: int = 0) -> Ran:
        """One operation, from its pending record to its result; for a process of the node."""
        self._order += 1
        machine = self._cluster.machines[op.node]
        begun = Ran(
            node=op.node, resource=vm.name, name=op.name, call=self._call(machine), order=self._order,
            when=int(machine.wall()), expected=expected, interval=interval, source=op.source, target=op.target,
        )  # fmt: skip
        if not interval:
            self._record(begun)
        self._point(f"{op.name} begins", op.node, vm.name)
        code, timed_out, reason = self._agent(cib, vm, op)
        done = Ran(
            node=op.node, resource=vm.name, name=op.name, call=begun.call, order=begun.order, when=begun.when,
            code=code, expected=expected, interval=interval, timed_out=timed_out, reason=reason,
            source=op.source, target=op.target,
        )  # fmt: skip
        if not interval or not done.ok or vm.name not in [one.resource for one in self.ran if one.interval]:
            self._record(done)
        self.ran.append(done)
        self._point(f"{op.name} ends", op.node, vm.name)
        return done

    def _record(self, ran: Ran) -> None:
        part = self._cluster.part(ran.node)
        if part is None:
            return
        status.record(part.cib, ran)
        if ran.code is not None and not ran.ok and ran.name not in ("migrate_to", "stop"):
            name = f"fail-count-{ran.resource}"
            count = int(status.attribute(part.cib, ran.node, name) or 0)
            status.set_attribute(part.cib, ran.node, name, str(count + 1))
        part.changed()

    def _call(self, machine: Machine) -> int:
        key = (machine.name, machine.boots)
        self._calls[key] = self._calls.get(key, 10) + 1
        return self._calls[key]

    def _agent(self, cib: etree._Element, vm: ManagedVm, op: Op) -> tuple[int, bool, str]:
        timeout = _timeout(cib, vm, op.name)
        environ = {f"OCF_RESKEY_{name}": value for name, value in vm.parameters.items()}
        environ |= {
            "OCF_RESOURCE_INSTANCE": vm.name,
            "OCF_RESKEY_CRM_meta_timeout": str(int(timeout * 1000)),
            "OCF_RESKEY_CRM_meta_on_node": op.node,
        }
        if op.source:
            environ["OCF_RESKEY_CRM_meta_migrate_source"] = op.source
            environ["OCF_RESKEY_CRM_meta_migrate_target"] = op.target
        run = self._payload.module("resource_agents.virtual_domain").run
        machine = self._cluster.machines[op.node]
        agent = self._timeline.spawn(f"{vm.name} {op.name}", lambda: run(op.name), machine, environ=environ)
        agent.at_end.append(lambda _process: None)
        if not self._timeline.join(agent, timeout):
            self._timeline.kill(agent)
            return 1, True, f"{op.name} timed out after {timeout:.0f} s"
        if agent.error is not None:
            raise agent.error
        if agent.result is None:
            return 1, False, "the agent was killed"
        reasons = [line for text in agent.err for line in text.splitlines() if line.startswith("ocf-exit-reason:")]
        return int(agent.result), False, reasons[-1].partition(":")[2] if reasons else ""

    # ---- recurring monitors

    def _watch(self, vm: ManagedVm, node: str) -> None:
        key = (vm.name, node)
        if key in self._monitors and not self._monitors[key].ended:
            return

        def loop() -> None:
            while True:
                self._timeline.sleep(EVERY)
                part = self._cluster.part(node)
                if part is None:
                    continue
                if not self.perform(part.cib, vm, Op("monitor", node), interval=int(EVERY * 1000)).ok:
                    self.poke()
                    return

        self._monitors[key] = self._timeline.spawn("pacemaker-execd", loop, self._cluster.machines[node])

    def _stop_monitor(self, vm: str) -> None:
        for key in [key for key in self._monitors if key[0] == vm]:
            self._timeline.kill(self._monitors.pop(key))


def _timeout(cib: etree._Element, vm: ManagedVm, name: str) -> float:
    for ident in (vm.name, vm.template):
        for op in cib.iterfind(f"./configuration/resources//*[@id='{ident}']/operations/op[@name='{name}']"):
            return float(op.get("timeout", "20s").removesuffix("s"))
    return 20.0

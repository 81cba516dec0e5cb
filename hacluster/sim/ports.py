"""The ports of `hacluster.ports`, over the simulated cluster, for a process of a simulated machine.

A command goes through one node. When that node is gone, or runs no cluster, the calls fail as the real ones do. The
probe that answers for a node is the product's own; `read` turns its JSON into facts (the edge's reader, handed in).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lxml import etree

from hacluster.ports import (
    Completed,
    Conflict,
    Foretold,
    HostAudit,
    HostFacts,
    NodeFile,
    Released,
    Unknown,
    Unreachable,
)
from hacluster.sim import reports
from hacluster.sim.cluster import Cluster, Part
from hacluster.sim.controller import Controller
from hacluster.sim.machine import Machine
from hacluster.sim.payload import Payload
from hacluster.sim.timeline import Timeline
from hacluster.sim.tools import Programs

ASKING, PROBING = 0.03, 0.15
"""Seconds that a question to the cluster, and a node's probe, take."""
Read = Callable[[str, bytes], HostFacts | Unknown]


class SimClock:
    """The Clock port."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def now(self) -> float:
        """As Clock.now."""
        return self._timeline.now

    def wall(self) -> float:
        """As Clock.wall."""
        return Machine.EPOCH + self._timeline.now

    def sleep(self, seconds: float) -> None:
        """As Clock.sleep."""
        self._timeline.sleep(seconds)


class SimPacemaker:
    """The Pacemaker port, through the node `via`."""

    def __init__(
        self,
        timeline: Timeline,
        cluster: Cluster,
        controller: Controller,
        programs: Programs,
        via: str,
        *,
        point: Callable[[str, str, str], None],
    ) -> None:
        self._timeline = timeline
        self._cluster = cluster
        self._controller = controller
        self._programs = programs
        self._via = via
        self._point = point

    def _part(self) -> Part:
        self._timeline.sleep(ASKING)
        if not self._cluster.machines[self._via].powered:
            self._timeline.sleep(3.0)
            raise Unreachable(f"{self._via} does not answer")
        part = self._cluster.part(self._via)
        if part is None:
            raise Unreachable(f"Pacemaker does not run on {self._via}")
        return part

    def local_node(self) -> str:
        """As Pacemaker.local_node."""
        return self._via

    def cib(self) -> bytes:
        """As Pacemaker.cib."""
        text: bytes = etree.tostring(self._part().cib)
        return text

    def monitor(self) -> bytes:
        """As Pacemaker.monitor."""
        return reports.monitor(self._part().cib, self._controller.in_flight)

    def verify(self, cib: bytes) -> tuple[str, ...]:
        """As Pacemaker.verify; every CIB is taken."""
        return ()

    def replace(self, cib: bytes) -> None:
        """As Pacemaker.replace; the configuration is what is replaced."""
        part, new = self._part(), etree.fromstring(cib)
        if any(new.get(name) != part.cib.get(name) for name in ("admin_epoch", "epoch", "num_updates")):
            raise Conflict
        before, after = _claims(part.cib), _claims(new)
        part.cib.replace(part.cib.find("configuration"), new.find("configuration"))
        self._changed(part)
        for vm, claim in after.items():
            if before.get(vm) != claim:
                self._point("claimed", self._via, vm)

    def create_constraint(self, xml: bytes) -> bool:
        """As Pacemaker.create_constraint."""
        part, new = self._part(), etree.fromstring(xml)
        constraints = part.cib.find("./configuration/constraints")
        if any(old.get("id") == new.get("id") for old in constraints):
            return False
        constraints.append(new)
        self._changed(part)
        self._point("claimed", self._via, new.get("rsc", ""))
        return True

    def delete_constraint(self, ident: str, *, value: str = "") -> None:
        """As Pacemaker.delete_constraint."""
        part = self._part()
        constraints = part.cib.find("./configuration/constraints")
        for old in [old for old in constraints if old.get("id") == ident]:
            if not value or any(one.get("value") == value for one in old.iterfind("rule/expression")):
                constraints.remove(old)
                self._changed(part)
                self._point("claim removed", self._via, old.get("rsc", ""))

    def set_target_role(self, resource: str, role: str | None) -> None:
        """As Pacemaker.set_target_role."""
        part = self._part()
        primitive = part.cib.find(f"./configuration/resources//primitive[@id='{resource}']")
        meta = primitive.find("meta_attributes")
        if meta is None:
            meta = etree.SubElement(primitive, "meta_attributes", id=f"{resource}-meta_attributes")
        for old in meta.findall("nvpair[@name='target-role']"):
            meta.remove(old)
        if role is not None:
            etree.SubElement(meta, "nvpair", id=f"{meta.get('id')}-target-role", name="target-role", value=role)
        self._changed(part)

    def set_utilization(self, node: str, name: str, value: str) -> None:
        """As Pacemaker.set_utilization."""
        part = self._part()
        member = part.cib.find(f"./configuration/nodes/node[@uname='{node}']")
        held = member.find("utilization")
        if held is None:
            held = etree.SubElement(member, "utilization", id=f"nodes-{member.get('id')}-utilization")
        for old in held.findall(f"nvpair[@name='{name}']"):
            held.remove(old)
        etree.SubElement(held, "nvpair", id=f"{held.get('id')}-{name}", name=name, value=value)
        self._changed(part)

    def set_standby(self, node: str, on: bool) -> None:
        """As Pacemaker.set_standby."""
        part = self._part()
        member = part.cib.find(f"./configuration/nodes/node[@uname='{node}']")
        for old in member.findall("instance_attributes/nvpair[@name='standby']"):
            old.getparent().remove(old)
        if on:
            held = member.find("instance_attributes")
            if held is None:
                held = etree.SubElement(member, "instance_attributes", id=f"nodes-{member.get('id')}")
            etree.SubElement(held, "nvpair", id=f"{held.get('id')}-standby", name="standby", value="on")
        self._changed(part)

    def refresh(self, resource: str, node: str) -> None:
        """As Pacemaker.refresh."""
        self._programs.refresh(self._part(), resource, node)

    def simulate(self, cib: bytes, *, graph: bool = False) -> bytes:
        """As Pacemaker.simulate; there is no transition graph."""
        assert not graph, "the simulated scheduler makes no transition graph"
        self._timeline.sleep(ASKING)
        return reports.simulation(etree.fromstring(cib))

    def foresee(self, cib: bytes) -> Foretold:
        """As Pacemaker.foresee, without a graph; every CIB is taken."""
        return Foretold(self.simulate(cib))

    def idle(self) -> bool | Unknown:
        """As Pacemaker.idle."""
        try:
            self._part()
        except Unreachable as error:
            return Unknown(str(error))
        return self._controller.idle()

    def _changed(self, part: Part) -> None:
        part.changed(configuration=True)
        self._cluster.poke()


def _claims(cib: etree._Element) -> dict[str, bytes]:
    """The claims of moves that stand in a CIB, by VM."""
    path = "./configuration/constraints/rsc_location"
    return {
        one.get("rsc", ""): etree.tostring(one)
        for one in cib.iterfind(path)
        if one.get("id", "").startswith("hactl-move-")
    }


class SimHosts:
    """The Hosts port; `via` is the node (or the admin's machine beside it) whose network the questions take."""

    def __init__(self, timeline: Timeline, cluster: Cluster, payload: Payload, via: str, read: Read) -> None:
        self._timeline = timeline
        self._cluster = cluster
        self._payload = payload
        self._via = via
        self._read = read

    def facts(self, nodes: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, HostFacts | Unknown]:
        """As Hosts.facts: the probe runs on all of them at once."""
        probe = self._payload.module("resource_agents.probe")
        begun = {}
        for node in nodes:
            if self._cluster.linked(self._via, node):
                process = self._timeline.spawn("probe", probe.main, self._cluster.machines[node])
                process.at_end.append(lambda _process: None)
                begun[node] = process
        self._timeline.sleep(PROBING if len(begun) == len(nodes) else min(deadline, 3.0))
        found: dict[str, HostFacts | Unknown] = {}
        for node in nodes:
            asked = begun.get(node)
            if asked is None or not self._timeline.join(asked, deadline) or not asked.done:
                found[node] = Unknown(f"{node} does not answer")
            elif asked.error is not None:
                raise asked.error
            else:
                found[node] = self._read(node, "".join(asked.out).encode())
        return found

    def audit(self, nodes: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, HostAudit | Unknown]:
        """As Hosts.audit; machines in memory have nothing of what it asks for."""
        return dict.fromkeys(nodes, Unknown("machines in memory are not audited"))

    def release(self, node: str, uuid: str, *, deadline: float = 15.0) -> Released | Unknown:
        """As Hosts.release: the product's own program runs there."""
        if not self._cluster.linked(self._via, node):
            return Unknown(f"{node} does not answer")
        program = self._payload.module("resource_agents.releasing")
        asked = self._timeline.spawn("release", lambda: program.release(uuid), self._cluster.machines[node])
        asked.at_end.append(lambda _process: None)
        if not self._timeline.join(asked, deadline) or not asked.done:
            return Unknown(f"{node} does not answer")
        if asked.error is not None:
            raise asked.error
        return Released(asked.result["released"], asked.result["mode"], asked.result["reason"])

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        """As Hosts.put."""
        if not self._cluster.linked(self._via, node):
            raise Unreachable(f"{node} does not answer")
        for file in files:
            self._cluster.machines[node].write(file.path, file.content)

    def read(self, node: str, paths: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, bytes] | Unknown:
        """As Hosts.read."""
        if not self._cluster.linked(self._via, node):
            return Unknown(f"{node} does not answer")
        files = self._cluster.machines[node].files
        return {path: files[path].content for path in paths if path in files}

    def remove(self, node: str, paths: Sequence[str]) -> None:
        """As Hosts.remove."""
        if not self._cluster.linked(self._via, node):
            raise Unreachable(f"{node} does not answer")
        for path in paths:
            self._cluster.machines[node].files.pop(path, None)

    def job(self, node: str, domain: str, *, deadline: float = 3.0) -> Mapping[str, int] | Unknown | None:
        """As Hosts.job."""
        self._timeline.sleep(ASKING)
        if not self._cluster.linked(self._via, node):
            return Unknown(f"{node} does not answer")
        found = [d for d in self._cluster.daemons[node].domains.values() if d.name == domain]
        return dict(found[0].progress) if found and found[0].job == "migration out" else None

    def compare_cpu(self, node: str, domain_xml: bytes, *, deadline: float = 5.0) -> str | Unknown:
        """As Hosts.compare_cpu; all machines have the same CPU."""
        return "identical" if self._cluster.linked(self._via, node) else Unknown(f"{node} does not answer")


class SimRunner:
    """The Runner port: a command on a node, as the program in `programs` that it names, or cat."""

    def __init__(self, timeline: Timeline, cluster: Cluster, hosts: SimHosts, via: str, programs: Programs) -> None:
        self._timeline = timeline
        self._cluster = cluster
        self._hosts = hosts
        self._via = via
        self._programs = programs

    def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        """As Runner.run."""
        if not self._cluster.linked(self._via, node):
            self._timeline.sleep(min(3.0, deadline))
            raise Unreachable(f"{node} does not answer")
        if argv[0] == "cat":
            files = self._cluster.machines[node].files
            known = argv[1] in files
            return Completed(0, files[argv[1]].content, b"") if known else Completed(1, b"", b"No such file")
        process = self._timeline.spawn_with(
            " ".join(argv), lambda process: self._programs(argv, process), self._cluster.machines[node]
        )
        process.at_end.append(lambda _process: None)
        if not self._timeline.join(process, deadline) or not process.done:
            self._timeline.kill(process)
            raise Unreachable(f"{node} does not answer")
        if process.error is not None:
            raise process.error
        return Completed(process.result, "".join(process.out).encode(), "".join(process.err).encode())

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        """As Runner.put."""
        self._hosts.put(node, files)

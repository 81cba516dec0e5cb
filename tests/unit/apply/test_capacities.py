"""What nodes have for VMs is set beside the push: what grows before it, what shrinks after it, <nodes> never by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from lxml import etree

from hacluster.apply import capacities, run
from hacluster.apply.prepare import Prepared
from hacluster.cib import compile as compiler
from hacluster.cib import merge
from hacluster.cib.capacities import Room, differences, put
from hacluster.cib.simulate import Simulation
from hacluster.model import Capacity, Cluster, Node
from hacluster.observe import ClusterView, Observation
from hacluster.plan import Foreseen, make
from hacluster.ports import World
from hacluster.problems import Refused

GIB = 1 << 30


def cluster(memory: int, vcpus: int = 8) -> etree._Element:
    nodes = tuple(Node(f"n{i}", i, (f"10.0.0.{i}",), capacity=Capacity(memory * GIB, vcpus)) for i in (1, 2))
    return compiler.compile_element(Cluster("c", nodes, lock_manager="external", strategy="balanced"))


def live(**has: str) -> etree._Element:
    """A CIB of n1, which has what is given, and n2, which has nothing."""
    cib = etree.fromstring(
        '<cib admin_epoch="0" epoch="7" num_updates="1"><configuration><crm_config/><nodes>'
        '<node id="1" uname="n1"/><node id="2" uname="n2"/></nodes><resources/><constraints/></configuration>'
        "<status/></cib>"
    )
    put(cib, (Room("n1", "1", name, None, value) for name, value in has.items()))
    return cib


@dataclass
class Cib:
    """A cluster that notes what is done to it, in order; `meddle` is done to it by somebody else after each setting."""

    cib_: etree._Element
    meddle: Callable[[etree._Element], None] | None = None
    done: list[str] = field(default_factory=list)

    def cib(self) -> bytes:
        return bytes(etree.tostring(self.cib_))

    def idle(self) -> bool:
        return True

    def set_utilization(self, node: str, name: str, value: str) -> None:
        found = next(n for n in self.cib_.iterfind("configuration/nodes/node") if n.get("uname") == node)
        put(self.cib_, [Room(node, found.get("id"), name, None, value)])
        self.cib_.set("epoch", str(int(self.cib_.get("epoch")) + 1))
        self.done.append(f"{node} {name}={value}")
        if self.meddle is not None:
            self.meddle(self.cib_)

    def replace(self, cib: bytes) -> None:
        pushed = etree.fromstring(cib)
        assert pushed.get("epoch") == self.cib_.get("epoch")
        assert etree.tostring(pushed.find(".//nodes")) == etree.tostring(self.cib_.find(".//nodes"))
        self.cib_.replace(self.cib_.find("configuration"), pushed.find("configuration"))
        self.done.append("push")


@dataclass
class Ports:
    pacemaker: Cib
    clock: Any = None

    @property
    def world(self) -> World:
        return cast("World", self)


class Still:
    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        pass


def prepared(before: etree._Element, desired: etree._Element) -> Prepared:
    merged = merge.merge(before, desired)
    seen = Observation(ClusterView("c", (0, 7, 0), True, "n1", False, True), (), (), (), (), {}, ())
    nothing = Simulation((), {}, {})
    plan = make(before, merged, Foreseen(nothing, nothing), seen=seen, nodes=())
    return Prepared(plan, before, "", seen, (), ())


def carried_out(ports: Ports, planned: Prepared) -> list[str]:
    grown = capacities.grow(ports.world, planned, lambda _text: None)
    assert grown is not None
    run.push(ports.world, grown)
    capacities.shrink(ports.world, grown)
    return ports.pacemaker.done


def test_the_plan_says_what_nodes_will_have() -> None:
    merged = merge.merge(live(cpu="8"), cluster(4))
    told = [(c.kind, c.id, c.facts) for c in merged.changes if c.section == "nodes"]
    assert told == [
        ("change", "1", (("host_memory", "-", "4096"),)),
        ("change", "2", (("cpu", "-", "8"), ("host_memory", "-", "4096"))),
    ]
    assert differences(merged.cib, cluster(4)) == ()
    assert merge.merge(merged.cib, cluster(4)).changes == ()


def test_what_grows_is_set_before_the_push_and_what_shrinks_after_it() -> None:
    before = live(cpu="16", host_memory="2048")
    ports = Ports(Cib(live(cpu="16", host_memory="2048")), Still())
    assert carried_out(ports, prepared(before, cluster(4))) == [
        "n1 host_memory=4096",
        "n2 cpu=8",
        "n2 host_memory=4096",
        "push",
        "n1 cpu=8",
    ]
    assert differences(ports.pacemaker.cib_, cluster(4)) == ()


def test_nothing_is_set_where_nothing_is_counted() -> None:
    plain = compiler.compile_element(Cluster("c", (Node("n1", 1, ("10.0.0.1",)),), lock_manager="external"))
    ports = Ports(Cib(live(cpu="16")), Still())
    assert carried_out(ports, prepared(live(cpu="16"), plain)) == ["push"]
    assert ports.pacemaker.cib_.find(".//nvpair[@name='cpu']").get("value") == "16"


def other(cib: etree._Element) -> None:
    etree.SubElement(cib.find("configuration/constraints"), "rsc_location", id="theirs", rsc="x", node="n1", score="1")


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_change_by_somebody_else_ends_it_without_a_push(when: str) -> None:
    now = live()
    if when == "before":
        other(now)
    ports = Ports(Cib(now, other if when == "meanwhile" else None), Still())
    with pytest.raises(Refused) as no:
        run.apply(ports.world, prepared(live(), cluster(4)), lambda _text: None)
    assert [p.code for p in no.value.problems] == ["HA342"]
    assert "push" not in ports.pacemaker.done
    assert (ports.pacemaker.done == []) is (when == "before")

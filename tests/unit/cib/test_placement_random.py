"""Random rules, capacities and priorities: every CIB is valid, and where Pacemaker puts the VMs no rule is broken.

The scheduler is asked with all nodes up and with each of them lost. What is hard holds in every answer; a VM that finds
no place stays down instead.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from lxml import etree

from hacluster import model
from hacluster.cib import compile as compiler
from hacluster.cib import schema, simulate, staged
from hacluster.cib.templates import Library, shipped_directory
from hacluster.importing import toml
from hacluster.spec import parse
from tests import scheduler
from tests.depth import examples
from tests.unit.test_capacity import ask

pytestmark = scheduler.needs_tools

LIBRARY = Library([shipped_directory()])
NODES = ("n1", "n2", "n3")
VMS = tuple("abcdef")


@st.composite
def wishes(draw: st.DrawFn) -> dict[str, Any]:
    """A cluster.toml's tables: three nodes, up to six VMs without disks, and rules."""
    vms = VMS[: draw(st.integers(2, len(VMS)))]
    several = st.lists(st.sampled_from(vms), min_size=2, max_size=4, unique=True)
    score = st.fixed_dictionaries({}, optional={"score": st.sampled_from([5, 2000])})
    rules = st.lists(st.tuples(several, score), max_size=2)
    made: dict[str, Any] = {
        "cluster": {"name": "c"},
        "nodes": {n: {"addresses": [f"10.0.0.{i}"], "fencing": ["f"]} for i, n in enumerate(NODES, 1)},
        "fence_devices": {"f": {"agent": "fence_virsh", "ip": "h", "username": "u"}},
        "vms": {
            vm: {
                "uuid": f"3c9f7a40-6f2e-4d0b-9a6b-{number:012x}",
                "memory": f"{draw(st.integers(1, 4))}G",
                "vcpus": draw(st.integers(1, 3)),
                "priority": draw(st.integers(0, 2)),
                "placement": draw(_liking()),
            }
            for number, vm in enumerate(vms, 1)
        },
        "affinity": {f"near{i}": {"vms": v, **s} for i, (v, s) in enumerate(draw(rules))},
        "anti_affinity": {f"far{i}": {"vms": v, **s} for i, (v, s) in enumerate(draw(rules))},
        "start_order": {
            f"boot{i}": {"steps": [v[:1], v[1:]], "delay": draw(st.sampled_from([0, 30]))}
            for i, v in enumerate(draw(st.lists(several, max_size=2)))
        },
    }
    if draw(st.booleans()):
        for node in made["nodes"].values():
            node.update(memory=f"{draw(st.integers(5, 12))}G", cpus=draw(st.integers(1, 3)))
        made["placement"] = {"strategy": draw(st.sampled_from(["utilization", "minimal", "balanced"]))}
    return made


def _liking() -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from([{}, {"prefer": {"n1": 100}}, {"avoid": ["n3"]}, {"prefer": {"n2": 9}, "avoid": ["n1"]}])


def broken(cluster: model.Cluster, places: dict[str, str]) -> list[str]:
    """The hard rules that a placement breaks. `places` has the VMs that run."""
    found = [f"{vm.name} on {places[vm.name]}" for vm in cluster.vms if places.get(vm.name) in vm.placement.avoid]
    for rule in cluster.affinities:
        first, *others = rule.vms
        if rule.score == "INFINITY":
            found += [f"{vm} without {first}" for vm in others if vm in places and places[vm] != places.get(first)]
    for apart in cluster.anti_affinities:
        where = [places[vm] for vm in apart.vms if vm in places]
        if apart.score == "INFINITY" and len(where) != len(set(where)):
            found.append(f"{apart.name}: {where}")
    for node in cluster.nodes:
        if cluster.strategy != "default" and node.capacity is not None:
            there = [vm for vm in cluster.vms if places.get(vm.name) == node.name]
            if sum(vm.host_memory for vm in there) > node.capacity.memory + len(there) * (1 << 20):
                found.append(f"memory of {node.name}")
            if sum(vm.vcpus for vm in there) > node.capacity.vcpus:
                found.append(f"CPUs of {node.name}")
    return found


def where(told: simulate.Simulation, cluster: model.Cluster) -> dict[str, str]:
    """The node of each VM that runs; more than one node fails the test."""
    running = {vm.name: told.after.get(vm.name, frozenset()) for vm in cluster.vms}
    assert all(len(nodes) <= 1 for nodes in running.values())
    return {name: next(iter(nodes)) for name, nodes in running.items() if nodes}


def verified(cib: etree._Element) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cib.xml"
        path.write_bytes(compiler.serialize(cib))
        return scheduler.run("crm_verify", "--verbose", "--xml-file", path).stderr.decode()


@given(wishes())
@settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
def test_pacemaker_keeps_what_is_hard(wish: dict[str, Any]) -> None:
    cluster, _ = parse(toml.write(wish).encode(), Path("/nowhere"))
    assume(cluster is not None)
    assert cluster is not None
    document = compiler.compile_element(cluster, LIBRARY)
    assert schema.check(document) == ()
    assert verified(document) == ""
    staged.without_probes(document)
    up = simulate.parse(ask(etree.tostring(document)))
    assert broken(cluster, where(up, cluster)) == []
    event(f"{len(cluster.vms) - len(where(up, cluster))} of {len(cluster.vms)} VMs down")
    staged.run(document, up.after)
    for lost in NODES:
        without = etree.fromstring(etree.tostring(document))
        staged.lose(without, [lost], fenced=True)
        assert broken(cluster, where(simulate.parse(ask(etree.tostring(without))), cluster)) == []

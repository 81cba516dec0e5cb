"""How long a plan takes for many running VMs: `python -m tests.bench.big_plan [VMS] [NODES]`. Needs no cluster.

The CIB is a file with the status of a cluster that runs all of them (each probed on every node, started and monitored
on one), and Pacemaker's own tools look at it through the product's own ports. Only ssh to the nodes is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from lxml import etree

from hacluster import apply as applying
from hacluster import model
from hacluster.apply import delivery, run
from hacluster.apply.delivery import Delivery
from hacluster.apply.prepare import read_secrets
from hacluster.apply.sight import Sight
from hacluster.cib import compile as compiler
from hacluster.cib import merge
from hacluster.cib.managed import vms
from hacluster.cib.simulate import Simulation
from hacluster.cli.main import trust_the_cluster
from hacluster.plan import Foreseen, make
from tests.fileworld import FileWorld
from tests.unit.cib import clusters

KEY = "1a2b3c4d-0000-4000-8000-000000000001"


class Vault:
    """One password for all boards."""

    def read(self, scheme: str, argument: str, *, deadline: float = 20.0) -> str:
        return "s3cret"


def cluster(count: int, nodes: int, **first: Any) -> model.Cluster:
    """So many VMs on so many nodes, on two GFS2; `first` changes each tenth VM."""
    made = tuple(
        clusters.vm(
            f"vm{number:04d}",
            "ab"[number % 2],
            uuid=f"00000000-0000-4000-8000-{number:012x}",
            **(first if number % 10 == 0 else {}),
        )
        for number in range(count)
    )
    return clusters.cluster(
        nodes=clusters.nodes(nodes),
        fence_devices=tuple(clusters.bmc(f"n{number}") for number in range(1, nodes + 1)),
        storages=(clusters.gfs2("a"), clusters.gfs2("b")),
        vms=made,
    )


def blank(nodes: int) -> bytes:
    """A cluster of these nodes without a configuration; all are online."""
    cib = compiler.compile_element(clusters.cluster(nodes=clusters.nodes(nodes), vms=(), storages=(), fence_devices=()))
    for section in cib.find("configuration"):
        if section.tag != "nodes":
            section[:] = []
    cib.set("epoch", "5")
    text: bytes = etree.tostring(cib)
    return text


def running(cib: etree._Element) -> None:
    """Write into a CIB's status that everything runs: clones everywhere, the VMs and fence devices in turns."""
    states = list(cib.iterfind("status/node_state"))
    cloned = list(cib.iterfind("configuration/resources/clone/primitive"))
    single = list(cib.iterfind("configuration/resources/primitive"))
    for number, state in enumerate(states):
        for old in state.findall("lrm"):
            state.remove(old)
        lrm = etree.SubElement(etree.SubElement(state, "lrm", id=state.get("id")), "lrm_resources")
        for place, primitive in [(number, each) for each in cloned] + list(enumerate(single)):
            described = {key: primitive.get(key) for key in ("id", "class", "provider", "type") if primitive.get(key)}
            recorded = etree.SubElement(lrm, "lrm_resource", described)
            here = place % len(states) == number
            _operation(recorded, state.get("uname"), "start" if here else "monitor", "0", 0 if here else 7)
            for op in primitive.iterfind("operations/op[@name='monitor']") if here else ():
                _operation(recorded, state.get("uname"), "monitor", f"{op.get('interval').removesuffix('s')}000", 0)


def _operation(recorded: etree._Element, node: str, name: str, interval: str, code: int) -> None:
    id_ = recorded.get("id")
    key = f"1:1:{code}:{KEY}"
    values = {
        "id": f"{id_}_{'last' if interval == '0' else name}_{interval}",
        "operation_key": f"{id_}_{name}_{interval}",
        "operation": name,
        "crm-debug-origin": "do_update_resource",
        "crm_feature_set": compiler.FEATURE_SET,
        "transition-key": key,
        "transition-magic": f"0:{code};{key}",
        "exit-reason": "",
        "on_node": node,
        "call-id": "10",
        "rc-code": str(code),
        "op-status": "0",
        "interval": interval,
        "last-rc-change": "1700000000",
        "exec-time": "1200",
        "queue-time": "0",
    }
    etree.SubElement(recorded, "lrm_rsc_op", values)


class Stopwatch:
    """Stands before a port and notes when each of its calls began and ended."""

    def __init__(self, port: Any, calls: list[tuple[str, float, float]]) -> None:
        self._port = port
        self._calls = calls

    def __getattr__(self, name: str) -> Callable[..., Any]:
        inner = getattr(self._port, name)

        def timed(*args: Any, **options: Any) -> Any:
            begun = time.monotonic()
            try:
                return inner(*args, **options)
            finally:
                self._calls.append((name, begun, time.monotonic()))

        return timed


def stage(folder: Path, count: int, nodes: int) -> FileWorld:
    """A cluster to which so many VMs were applied, and which runs them."""
    world = FileWorld(folder / "cib.xml", blank(nodes), tuple(f"n{number}" for number in range(1, nodes + 1)))
    # Nothing is planned here: the scheduler's answer to a cold start of all of them is another question.
    wanted = cluster(count, nodes)
    compiled = compiler.compile_element(wanted)
    merged = merge.merge(world.live(), compiled)
    quiet = Foreseen(Simulation((), {}, {}), Simulation((), {}, {}))
    sight = Sight(world, ())
    plan = make(sight.live, merged, quiet, seen=sight.seen, nodes=())
    text = etree.tostring(compiled.find("configuration"), encoding="unicode")
    files = delivery.wanted(wanted, read_secrets(Vault(), wanted))
    deliveries = tuple(Delivery(node, files) for node in world.hosts.nodes)
    prepared = applying.Prepared(plan, sight.live, text, sight.seen, deliveries, ())
    run.deliver(world, prepared.deliveries, lambda text: None)
    run.push(world, prepared, run.note(world, prepared).name)
    cib = world.live()
    running(cib)
    world.file.write_bytes(etree.tostring(cib))
    return world


def measure(world: FileWorld, wanted: model.Cluster) -> dict[str, object]:
    """Plan once: seconds in all, and of each of Pacemaker's tools."""
    calls: list[tuple[str, float, float]] = []
    port: Any = Stopwatch(world.pacemaker, calls)
    real, world.pacemaker = world.pacemaker, port
    begun = time.monotonic()
    try:
        prepared = applying.prepare(world, Vault(), wanted)
    finally:
        world.pacemaker = real
    seconds = time.monotonic() - begun
    return {
        "seconds": round(seconds, 2),
        "tools": {name: [round(at - begun, 2), round(end - begun, 2)] for name, at, end in calls},
        "changes": len(prepared.plan.changes),
        "actions": len(prepared.plan.caused),
        "codes": sorted({problem.code for problem in prepared.problems}),
        "cib_bytes": world.file.stat().st_size,
        "vms": len(vms(prepared.before)),
    }


def main() -> None:
    """Stage, plan three kinds of change, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.big_plan", description=__doc__)
    parser.add_argument("vms", nargs="?", type=int, default=1000)
    parser.add_argument("nodes", nargs="?", type=int, default=16)
    asked = parser.parse_args()
    trust_the_cluster()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory() as folder:
        world = stage(Path(folder), asked.vms, asked.nodes)
        told = {
            "nothing": measure(world, cluster(asked.vms, asked.nodes)),
            "a tenth of the VMs told new settings": measure(world, cluster(asked.vms, asked.nodes, stop_budget=500)),
            "twenty VMs more": measure(world, cluster(asked.vms + 20, asked.nodes)),
        }
    json.dump(told, sys.stdout, indent=1)


if __name__ == "__main__":
    main()

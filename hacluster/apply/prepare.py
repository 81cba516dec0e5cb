"""Looking before applying: the live CIB, the nodes' facts and files, and the plan from them. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from hacluster.apply import delivery
from hacluster.apply.delivery import Delivery, File
from hacluster.cib import compile as compiler
from hacluster.cib import merge, simulate
from hacluster.model import Cluster
from hacluster.observe import Observation, leases, observe
from hacluster.observe.read import node_names
from hacluster.plan import Plan, make
from hacluster.ports import HostFacts, Secrets, Unknown, World
from hacluster.problems import Problem, Refused, kind

NODE_SILENT = kind(
    "HA341",
    "A node cannot be given its files",
    "Domain XML and fence secrets must lie on every node before the CIB names them, or a VM could not be started, or a "
    "node not be fenced, from there. When it is accepted, run `hactl apply` again once the node is back.",
    acceptable=True,
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, what was seen for it, and the files that the nodes lack."""

    cluster: Cluster
    compiled: etree._Element
    plan: Plan
    seen: Observation
    deliveries: tuple[Delivery, ...]
    problems: tuple[Problem, ...]

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to push and nothing to deliver."""
        return self.plan.nothing and not any(delivery.files for delivery in self.deliveries)


def prepare(world: World, secrets: Secrets, cluster: Cluster) -> Prepared:
    """Plan the cluster. Raises Refused when there is no cluster, a secret cannot be read, or the spec not compiled."""
    values = read_secrets(secrets, cluster)
    compiled = compiler.compile_element(cluster)
    raw = world.pacemaker.cib()
    spec_nodes = tuple(node.name for node in cluster.nodes)
    facts = world.hosts.facts(sorted({*spec_nodes, *node_names(raw)}))
    seen = observe(raw, world.pacemaker.monitor(), facts, world.clock.wall())
    live = etree.fromstring(raw)
    merged = merge.merge(live, compiled)
    text = merged.as_bytes()
    plan = make(
        live,
        merged,
        simulate.parse(world.pacemaker.simulate(raw)),
        simulate.parse(world.pacemaker.simulate(text)),
        seen=seen,
        nodes=spec_nodes,
        invalid=world.pacemaker.verify(text),
    )
    files = delivery.wanted(cluster, values)
    found: list[Problem] = [*plan.problems]
    deliveries = []
    for node in spec_nodes:
        lacks = _lacks(world, node, files, facts)
        if isinstance(lacks, Delivery):
            deliveries.append(lacks)
        else:
            found.append(
                NODE_SILENT(
                    f"{node} cannot be given its files: {lacks.reason}",
                    where=f"node {node}",
                    remedy=f"ssh root@{node} true; or leave it out for now: --accept {NODE_SILENT.code}",
                )
            )
    found += leases.unready(
        cluster.lock_driver,
        {name: told.leases for name, told in facts.items() if name in spec_nodes and isinstance(told, HostFacts)},
    )
    return Prepared(cluster, compiled, plan, seen, tuple(deliveries), tuple(found))


def read_secrets(secrets: Secrets, cluster: Cluster) -> Mapping[tuple[str, str], str]:
    """Every fence device's secrets, by (device, parameter). Raises Refused with all that cannot be used."""
    values: dict[tuple[str, str], str] = {}
    found: list[Problem] = []
    for device in cluster.fence_devices:
        for parameter, ref in device.secrets.items():
            where = f"fence_devices.{device.name}.{parameter}"
            try:
                values[device.name, parameter] = secrets.read(ref.scheme, ref.argument)
            except Refused as no:
                found += no.problems
            else:
                found += delivery.secret_problems(where, values[device.name, parameter])
    if found:
        raise Refused(found)
    return values


def _lacks(
    world: World, node: str, files: tuple[File, ...], facts: Mapping[str, HostFacts | Unknown]
) -> Delivery | Unknown:
    told = facts[node]
    if isinstance(told, Unknown):
        return told
    if told.domain_files is None:
        return Unknown("it could not list its domain files")
    there = world.hosts.read(node, list(_secret_paths(files)))
    if isinstance(there, Unknown):
        return there
    return delivery.lacking(node, files, told.domain_files, there)


def _secret_paths(files: tuple[File, ...]) -> Iterator[str]:
    return (file.path for file in files if file.kind == "secret")

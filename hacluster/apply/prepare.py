"""Looking before applying: the live CIB, the nodes' facts and files, and the plan from them. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lxml import etree

from hacluster import fencing_proof
from hacluster.apply import delivery
from hacluster.apply.delivery import Delivery, File
from hacluster.apply.record import Record
from hacluster.apply.sight import Sight
from hacluster.cib import compile as compiler
from hacluster.cib import merge
from hacluster.model import Cluster, SecretRef
from hacluster.observe import Observation, leases
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


NOT_THEIRS = kind(
    "HA353",
    "There is nothing of somebody else's to keep",
    "--keep names a thing that hactl owns and somebody else changed, as the plan shows it.",
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, what was seen for it, and the files that the nodes lack.

    `before` is the live CIB that it was made from. `wanted` is what the spec compiled to, as a configuration's XML;
    `last` the record of the apply before this one, as `named` in the CIB; `undoes` is the record that is taken back.
    """

    plan: Plan
    before: etree._Element
    wanted: str
    seen: Observation
    deliveries: tuple[Delivery, ...]
    problems: tuple[Problem, ...]
    files: tuple[File, ...] = ()
    last: Record | None = None
    undoes: str = ""

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to push and nothing to deliver."""
        return self.plan.nothing and not any(delivery.files for delivery in self.deliveries)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to become of the cluster: the merged CIB, the nodes that are to have these files, and what is said of it
    already. `command` is what is typed to go on."""

    merged: merge.Merged
    nodes: tuple[str, ...]
    files: tuple[File, ...]
    wanted: str
    problems: tuple[Problem, ...] = ()
    undoes: str = ""
    command: str = "hactl apply"


def prepare(world: World, secrets: Secrets, cluster: Cluster, keep: frozenset[str] = frozenset()) -> Prepared:
    """Plan the cluster. On the things in `keep`, others' word wins over the spec's.

    Raises Refused when there is no cluster, a secret cannot be read, or the spec not compiled.
    """
    values = read_secrets(secrets, cluster)
    compiled = compiler.compile_element(cluster)
    nodes = tuple(node.name for node in cluster.nodes)
    sight = Sight(world, nodes)
    merged = merge.merge(sight.live, compiled, sight.base, keep)
    if useless := sorted(keep - {each.id for each in merged.theirs if each.kind != "addition"}):
        raise Refused(
            NOT_THEIRS(
                f"nobody else has changed {', '.join(useless)} since the last apply",
                where="--keep",
                remedy="hactl plan",
                to_keep=", ".join(sorted({each.id for each in merged.theirs})) or "nothing",
            )
        )
    wanted = etree.tostring(compiled.find("configuration"), encoding="unicode")
    return plan_for(world, sight, Goal(merged, nodes, delivery.wanted(cluster, values), wanted))


def plan_for(world: World, sight: Sight, goal: Goal) -> Prepared:
    """The plan for a goal, from what was seen."""
    sight.ask(goal.merged)
    seen = sight.seen  # while the scheduler is at work
    plan = make(
        sight.live,
        goal.merged,
        sight.foreseen,
        seen=seen,
        nodes=goal.nodes,
        since=sight.since,
        command=goal.command,
    )
    found = [*sight.problems, *goal.problems, *plan.problems, *unproven(plan, sight.seen, goal.merged.cib)]
    deliveries = []
    with ThreadPoolExecutor(16) as pool:
        asked = pool.map(lambda node: _lacks(world, node, goal.files, sight.facts), goal.nodes)
        for node, lacks in zip(goal.nodes, asked, strict=True):
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
    told = {name: host.leases for name, host in sight.facts.items() if isinstance(host, HostFacts)}
    found += leases.unready(
        leases.wanted(goal.merged.cib), {name: host for name, host in told.items() if name in goal.nodes}
    )
    return Prepared(
        plan,
        sight.live,
        goal.wanted,
        sight.seen,
        tuple(deliveries),
        tuple(found),
        goal.files,
        sight.last,
        goal.undoes,
    )


def unproven(plan: Plan, seen: Observation, wanted: etree._Element) -> tuple[Problem, ...]:
    """Why no VM should be added to a cluster whose fencing nobody has proven; a warning where the spec waives it."""
    if not any(change.kind == "add" and change.noun == "VM" for change in plan.changes):
        return ()
    return fencing_proof.risks(seen.proven, waived=fencing_proof.waived(wanted))


def read_secrets(secrets: Secrets, cluster: Cluster) -> Mapping[tuple[str, str], str]:
    """Every fence device's secrets, by (device, parameter). Raises Refused with all that cannot be used."""
    return secret_values(
        secrets,
        {(device.name, name): ref for device in cluster.fence_devices for name, ref in device.secrets.items()},
    )


def secret_values(secrets: Secrets, refs: Mapping[tuple[str, str], SecretRef]) -> Mapping[tuple[str, str], str]:
    """The values of secrets. Raises Refused with all that cannot be read or used."""
    values: dict[tuple[str, str], str] = {}
    found: list[Problem] = []
    for (device, parameter), ref in refs.items():
        try:
            values[device, parameter] = secrets.read(ref.scheme, ref.argument)
        except Refused as no:
            found += no.problems
        else:
            found += delivery.secret_problems(f"fence_devices.{device}.{parameter}", values[device, parameter])
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
    secret = list(_secret_paths(files))
    there = world.hosts.read(node, secret) if secret else {}
    if isinstance(there, Unknown):
        return there
    return delivery.lacking(node, files, told.domain_files, there)


def _secret_paths(files: tuple[File, ...]) -> Iterator[str]:
    return (file.path for file in files if file.kind == "secret")

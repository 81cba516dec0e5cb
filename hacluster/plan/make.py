"""The plan: what a push would change, what Pacemaker would then do, and what each VM pays for it. Pure.

What Pacemaker is about to do anyway is told apart from what the push causes: the scheduler is asked twice, with the
CIB as it is and with the CIB as it would be. Stopping or restarting a running guest has to be accepted by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lxml import etree

from hacluster import oracle
from hacluster.cib import managed
from hacluster.cib.difference import digest
from hacluster.cib.merge import Merged
from hacluster.cib.simulate import Action, Simulation
from hacluster.observe import Observation
from hacluster.observe.read import version
from hacluster.plan import theirs
from hacluster.plan.changes import Change, describe
from hacluster.plan.prices import VmPrice, prices
from hacluster.plan.stages import Advice, Stage
from hacluster.plan.theirs import Foreign
from hacluster.problems import Problem, kind

STOPS_VM = kind(
    "HA332",
    "The change stops a running VM",
    "Pacemaker would shut the guest down and leave it stopped, or the spec no longer has it.",
    acceptable=True,
)
RESTARTS_VM = kind(
    "HA333",
    "The change restarts a running VM",
    "Pacemaker would shut the guest down and start it again: something changes that a running guest cannot take over, "
    "or something that it stands on is restarted.",
    acceptable=True,
)
FENCES_NODE = kind(
    "HA334",
    "The change makes Pacemaker fence a node",
    "The scheduler's simulation of the new configuration powers off a node that it would leave alone now.",
)
MOVE_UNDER_WAY = kind(
    "HA335",
    "A VM is being moved",
    "A configuration change in the middle of a move can make Pacemaker stop the VM on both nodes and start it again.",
)
NOT_VALID = kind("HA336", "Pacemaker would not accept the configuration", "crm_verify found the errors in the facts.")
NOT_A_MEMBER = kind(
    "HA337",
    "The spec names a node that is not in the cluster",
    "hactl never adds nodes to a running cluster by a configuration push: membership is corosync's.",
)
NOT_IN_SPEC = kind(
    "HA338",
    "The cluster has a node that the spec does not name",
    "Pacemaker may place VMs there, but it gets neither their domain XML nor a fence device.",
    severity="warning",
)
NO_QUORUM = kind(
    "HA339",
    "The partition has no quorum",
    "What a minority writes into its CIB is lost as soon as it meets the majority again.",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything there is to know before a push.

    `planned` is the live CIB's (admin_epoch, epoch), and `digest` its configuration's checksum, which the push will
    insist on; `desired` is the whole CIB that would be pushed, its version attributes as they were read. `theirs` is
    what others did to what hactl owns. `caused` and `anyway` are the scheduler's actions; `judged` says whether the
    oracle has seen them. `stages` are the steps of a better way, if there is one.
    """

    changes: tuple[Change, ...]
    theirs: tuple[Foreign, ...]
    caused: tuple[Action, ...]
    anyway: tuple[Action, ...]
    prices: tuple[VmPrice, ...]
    problems: tuple[Problem, ...]
    stages: tuple[Stage, ...]
    planned: tuple[int, int]
    digest: str
    desired: bytes
    judged: bool = False

    @property
    def nothing(self) -> bool:
        """Whether the cluster's configuration is already as the spec has it."""
        return not self.changes


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What Pacemaker's own tools say: the scheduler of the CIB as it is and as it would be, with the transition graph
    of the latter (empty where there is none), and what crm_verify finds wrong with it."""

    now: Simulation
    then: Simulation
    graph: bytes = b""
    invalid: Sequence[str] = ()


def make(
    live: etree._Element,
    merged: Merged,
    foreseen: Foreseen,
    *,
    seen: Observation,
    nodes: Sequence[str],
    since: int | None = None,
    command: str = "hactl apply",
) -> Plan:
    """The plan for pushing `merged` over `live`.

    `nodes` are the spec's. `since` is how often the CIB was changed since hactl last did, where that is known;
    `command` is what is typed to go on.
    """
    differing = describe(merged.changes, live, merged.cib)
    others = theirs.describe(merged.theirs, live, merged.cib)
    anyway = {_core(action) for action in foreseen.now.actions}
    new = tuple(a for a in foreseen.then.actions if differing and _core(a) not in anyway)
    caused = Simulation(new, {}, {})
    names = sorted({vm.name for cib in (live, merged.cib) for vm in managed.vms(cib)} | {vm.name for vm in seen.vms})
    paid = tuple(prices(names, caused, live, merged.cib))
    found = [*theirs.problems(others, theirs.last_change(live, since), command)]
    found += [*_risks(paid, seen, command), *_fences(caused), *_membership(seen, nodes, merged.cib)]
    judged = bool(differing and foreseen.graph)
    if differing:
        found += _moment(seen)
        found += [NOT_VALID(sentence, where="CIB", remedy="mend the spec") for sentence in foreseen.invalid]
    if judged:
        found += _unsettled(foreseen, names)
    advice = Advice(differing, paid, caused, live, merged.cib, seen, nodes)
    return Plan(
        changes=differing,
        theirs=others,
        caused=new,
        anyway=foreseen.now.actions,
        prices=paid,
        problems=tuple(found),
        stages=advice.stages() if differing else (),
        planned=version(live)[:2],
        digest=digest(live),
        desired=merged.as_bytes(),
        judged=judged,
    )


def _unsettled(foreseen: Foreseen, names: Sequence[str]) -> tuple[Problem, ...]:
    """The oracle's verdict on the transition that the push would begin. A VM that is nowhere needs nothing settled."""
    places = foreseen.then.before
    return oracle.check(oracle.read(foreseen.graph), places, [name for name in names if places.get(name)])


def _core(action: Action) -> tuple[str | None, ...]:
    """An action without its reason, which may be told differently for the same thing."""
    return (action.kind, action.subject, action.source, action.target)


def _risks(prices: Sequence[VmPrice], seen: Observation, command: str) -> Iterator[Problem]:
    for price in prices:
        vm = seen.vm(price.vm)
        if vm is None or not (vm.copies or vm.unknown) or price.price not in ("stop", "restart"):
            continue
        risk = STOPS_VM if price.price == "stop" else RESTARTS_VM
        yield risk(
            f"{price.vm} is {vm.state} and would be {'stopped' if price.price == 'stop' else 'restarted'}",
            where=f"vm {price.vm}",
            remedy=f"{command} --accept {risk.code}, when its guest may go down now",
            costs=str(price),
            pacemaker=price.words,
        )


def _fences(caused: Simulation) -> Iterator[Problem]:
    for name in caused.fenced():
        yield FENCES_NODE(
            f"the new configuration would fence {name}",
            where=f"node {name}",
            remedy="hactl status, and bring the node back first",
        )


def _membership(seen: Observation, nodes: Sequence[str], cib: etree._Element) -> Iterator[Problem]:
    """Nodes that the cluster and the spec do not share. A remote node joins by the push itself: it is a resource."""
    members = {node.name for node in seen.nodes}
    remote = {each.get("id") for each in cib.iterfind("configuration/resources/primitive[@type='remote']")}
    for name in sorted(set(nodes) - members - remote):
        yield NOT_A_MEMBER(
            f"{name} is not a node of this cluster",
            where=f"nodes.{name}",
            remedy=f"pcs cluster node add {name}",
            members=", ".join(sorted(members)) or "none",
        )
    for name in sorted(members - set(nodes)):
        yield NOT_IN_SPEC(
            f"{name} is a node of the cluster and not of the spec", where=f"nodes.{name}", remedy="add it"
        )


def _moment(seen: Observation) -> Iterator[Problem]:
    if not seen.cluster.quorum:
        yield NO_QUORUM("this partition has no quorum", where="cluster", remedy="hactl status")
    for claim in seen.claims:
        yield MOVE_UNDER_WAY(
            f"{claim.vm} is being moved to {claim.target}",
            where=f"vm {claim.vm}",
            remedy="wait for it, or: hactl vm move " + claim.vm + " --resume",
            owner=claim.owner or "unknown",
        )

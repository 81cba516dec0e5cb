"""The plan: what a push would change, what Pacemaker would then do, and what each VM pays for it. Pure.

What Pacemaker is about to do anyway is told apart from what the push causes: the scheduler is asked twice, with the
CIB as it is and with the CIB as it would be. Stopping or restarting a running guest has to be accepted by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lxml import etree

from hacluster.cib import managed
from hacluster.cib.merge import Merged
from hacluster.cib.simulate import Action, Price, Simulation
from hacluster.observe import Observation
from hacluster.observe.read import version
from hacluster.plan.changes import Change, describe
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
class VmPrice:
    """What a VM pays for the change: the dearest thing that Pacemaker would do to it, and all of it in words."""

    vm: str
    price: Price
    words: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything there is to know before a push.

    `planned` is the live CIB's (admin_epoch, epoch), which the push will insist on; `desired` is the whole CIB that
    would be pushed, its version attributes as they were read. `caused` and `anyway` are the scheduler's actions.
    """

    changes: tuple[Change, ...]
    caused: tuple[Action, ...]
    anyway: tuple[Action, ...]
    prices: tuple[VmPrice, ...]
    problems: tuple[Problem, ...]
    planned: tuple[int, int]
    desired: bytes

    @property
    def nothing(self) -> bool:
        """Whether the cluster's configuration is already as the spec has it."""
        return not self.changes


def make(
    live: etree._Element,
    merged: Merged,
    now: Simulation,
    then: Simulation,
    *,
    seen: Observation,
    nodes: Sequence[str],
    invalid: Sequence[str] = (),
) -> Plan:
    """The plan for pushing `merged` over `live`. `nodes` are the spec's; `invalid` is what crm_verify says."""
    differing = describe(merged.changes, live, merged.cib)
    anyway = {_core(action) for action in now.actions}
    caused = Simulation(tuple(a for a in then.actions if differing and _core(a) not in anyway), {}, {})
    names = sorted({vm.name for cib in (live, merged.cib) for vm in managed.vms(cib)} | {vm.name for vm in seen.vms})
    prices = tuple(VmPrice(n, caused.price(n), "; ".join(str(action) for action in caused.of(n))) for n in names)
    found = [*_risks(prices, seen), *_fences(caused), *_membership(seen, nodes)]
    if differing:
        found += _moment(seen)
        found += [NOT_VALID(sentence, where="CIB", remedy="mend the spec") for sentence in invalid]
    admin, epoch, _ = version(live)
    return Plan(differing, caused.actions, now.actions, prices, tuple(found), (admin, epoch), merged.as_bytes())


def _core(action: Action) -> tuple[str | None, ...]:
    """An action without its reason, which may be told differently for the same thing."""
    return (action.kind, action.subject, action.source, action.target)


def _risks(prices: Sequence[VmPrice], seen: Observation) -> Iterator[Problem]:
    for price in prices:
        vm = seen.vm(price.vm)
        if vm is None or not (vm.copies or vm.unknown) or price.price not in ("stop", "restart"):
            continue
        risk = STOPS_VM if price.price == "stop" else RESTARTS_VM
        yield risk(
            f"{price.vm} is {vm.state} and would be {'stopped' if price.price == 'stop' else 'restarted'}",
            where=f"vm {price.vm}",
            remedy=f"hactl apply --accept {risk.code}, when its guest may go down now",
            pacemaker=price.words,
        )


def _fences(caused: Simulation) -> Iterator[Problem]:
    for name in caused.fenced():
        yield FENCES_NODE(
            f"the new configuration would fence {name}",
            where=f"node {name}",
            remedy="hactl status, and bring the node back first",
        )


def _membership(seen: Observation, nodes: Sequence[str]) -> Iterator[Problem]:
    members = {node.name for node in seen.nodes}
    for name in sorted(set(nodes) - members):
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

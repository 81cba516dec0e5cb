"""What the loss of nodes would cost: for each, Pacemaker's own scheduler is asked which VMs it could not place.

No packing of our own: the scheduler weighs memory, CPUs, affinities, preferences and priorities as it would in the
outage. It is asked about a cluster in which all VMs run and some nodes have been fenced, or, where no majority is
left, are dead and cannot be. Asking once costs less than a second for some hundred VMs; nothing is walked through.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

from lxml import etree

from hacluster.cib import managed, simulate, staged
from hacluster.problems import Problem, kind

NOT_ABSORBED = kind(
    "HA190",
    "The loss of a node that the others could not make up for",
    "Pacemaker's scheduler finds no place for these VMs among the nodes that are left: no memory or CPUs, rules that "
    "leave no node, or no quorum. They stay down until a node is back.",
    severity="warning",
)
NOT_PLACED = kind(
    "HA191",
    "A VM that runs nowhere although all nodes are up",
    "Pacemaker's scheduler finds no place for it: no node has memory and CPUs left, or the rules leave none.",
)

Ask = Callable[[bytes], bytes]
"""From a CIB to what crm_simulate says of it, as XML."""

_HEARTBEAT = ("ocf", "heartbeat", "VirtualDomain")


@dataclass(frozen=True, slots=True)
class Share:
    """A node with all nodes up: the VMs on it, what they use of it and what it has, by name (cpu, host_memory …)."""

    node: str
    vms: tuple[str, ...]
    used: Mapping[str, int]
    has: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Loss:
    """What happens when `nodes` are lost together.

    `down` are the VMs that would stay down, `recovered` those of the lost nodes that start elsewhere, `displaced` those
    of `down` that had run on a node that is left: more important ones take their place.
    """

    nodes: tuple[str, ...]
    quorum: bool
    down: tuple[str, ...]
    recovered: tuple[str, ...]
    displaced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where the VMs run while all nodes are up, who runs nowhere even then, and what each loss would cost."""

    shares: tuple[Share, ...]
    unplaced: tuple[str, ...]
    losses: tuple[Loss, ...]

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "nodes": [
                {"node": s.node, "vms": list(s.vms), "used": dict(s.used), "has": dict(s.has)} for s in self.shares
            ],
            "unplaced": list(self.unplaced),
            "losses": [
                {
                    "nodes": list(loss.nodes),
                    "quorum": loss.quorum,
                    "down": list(loss.down),
                    "recovered": list(loss.recovered),
                    "displaced": list(loss.displaced),
                }
                for loss in self.losses
            ],
        }


def forecast(
    cib: etree._Element, ask: Ask, lost: int = 1, *, qdevice: bool = False, tell: Callable[[str], None] | None = None
) -> Forecast:
    """Ask about every `lost` nodes together. The CIB is not changed.

    A node without a status counts as up; a CIB with VMs that run (a live one) is taken as it is. `ask` is called from
    several threads, one for each processor here. `qdevice` says that a quorum device has a vote; `tell` hears which
    nodes are asked about. Raises ValueError when `ask` does not give crm_simulate's XML, and what `ask` raises.
    """
    nodes = tuple(n.get("uname") for n in cib.iterfind("configuration/nodes/node") if n.get("type") != "remote")
    vms = tuple(vm.name for vm in (*managed.vms(cib), *managed.vms(cib, _HEARTBEAT)) if vm.wanted)
    up = simulate.with_online_nodes(cib, nodes)
    staged.without_probes(up)
    told = simulate.parse(ask(etree.tostring(up)))
    if not any(told.before.values()):
        staged.run(up, told.after)
    where = {vm: told.after.get(vm, frozenset()) for vm in vms}
    text = etree.tostring(up)
    quorum = _quorum(len(nodes), lost, qdevice=qdevice)

    def one(gone: tuple[str, ...]) -> Loss:
        if tell is not None:
            tell(" and ".join(gone) + " lost")
        return _lose(text, ask, gone, where, quorum=quorum)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        losses = tuple(pool.map(one, combinations(nodes, lost) if lost else ()))
    return Forecast(tuple(_share(cib, node, where) for node in nodes), tuple(vm for vm in vms if not where[vm]), losses)


def findings(told: Forecast) -> Iterator[Problem]:
    """What a forecast says that somebody should know before it comes true."""
    for vm in told.unplaced:
        yield NOT_PLACED(
            f"with all nodes up, Pacemaker finds no place for {vm}",
            where=f"vms.{vm}",
            remedy="give the nodes more room, or loosen the rules that name it (a score instead of INFINITY)",
        )
    for loss in told.losses:
        if loss.down:
            lost = " and ".join(loss.nodes)
            yield NOT_ABSORBED(
                f"if {lost} {'is' if len(loss.nodes) == 1 else 'are'} lost, {_several(loss.down)} down"
                + ("" if loss.quorum else ": the nodes that are left have no quorum"),
                where=f"nodes.{loss.nodes[0]}",
                remedy="leave more room on the nodes, loosen the rules, or give those that matter a higher priority"
                if loss.quorum
                else "add nodes, or a quorum device ([cluster] qdevice), so that a majority is left",
                **({"displaced": ", ".join(loss.displaced)} if loss.displaced else {}),
            )


def _lose(up: bytes, ask: Ask, gone: tuple[str, ...], where: Mapping[str, frozenset[str]], *, quorum: bool) -> Loss:
    without = etree.fromstring(up)
    without.set("have-quorum", "1" if quorum else "0")
    staged.lose(without, gone, fenced=quorum)
    after = simulate.parse(ask(etree.tostring(without))).after
    lost = frozenset(gone)
    ran = [vm for vm, nodes in where.items() if nodes]
    down = tuple(vm for vm in ran if not after.get(vm, frozenset()) - lost)
    hit = [vm for vm in ran if where[vm] <= lost]
    return Loss(
        gone,
        quorum,
        down,
        tuple(vm for vm in hit if vm not in down),
        tuple(vm for vm in down if vm not in hit),
    )


def _quorum(nodes: int, lost: int, *, qdevice: bool) -> bool:
    """Whether those that are left have a majority of votes (of two nodes one is enough: corosync's two_node)."""
    left, votes = nodes - lost + qdevice, nodes + qdevice
    return 2 * left > votes or (nodes == 2 and lost < 2)


def _share(cib: etree._Element, node: str, where: Mapping[str, frozenset[str]]) -> Share:
    vms = tuple(vm for vm, nodes in where.items() if node in nodes)
    has = _amounts(cib.find(f"configuration/nodes/node[@uname='{node}']"))
    used = dict.fromkeys(has, 0)
    for primitive in cib.iterfind("configuration/resources//primitive"):
        if primitive.get("id") in vms:
            for name, amount in _amounts(primitive).items():
                used[name] = used.get(name, 0) + amount
    return Share(node, vms, used, has)


def _amounts(owner: etree._Element) -> dict[str, int]:
    pairs = owner.iterfind("utilization/nvpair")
    return {p.get("name"): int(p.get("value")) for p in pairs if p.get("value", "").isdecimal()}


def _several(vms: tuple[str, ...]) -> str:
    """VMs as the beginning of a sentence that ends in "down"."""
    shown = ", ".join(vms[:8]) + (f" and {len(vms) - 8} more" if len(vms) > 8 else "")
    return f"{shown} {'stays' if len(vms) == 1 else 'stay'}"

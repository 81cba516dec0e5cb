"""Where VMs run and in which order they start, as Pacemaker says it: scores, sets, orders, utilization.

A rule is one constraint, however many VMs it names: its VMs stand in sets. What Pacemaker makes of a set was measured
(docs/decisions/0014-placement-is-pacemakers.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lxml import etree

from hacluster import model, precedence
from hacluster.cib import names
from hacluster.cib.draft import Draft, element

CPU = "cpu"
MEMORY = "host_memory"
"""The names of what is counted, memory in MiB: those that ocf:heartbeat:VirtualDomain and NodeUtilization use."""

_MIB = 1 << 20


def add(draft: Draft) -> None:
    """All constraints of VMs among themselves and with nodes, and what delays steps of a start order."""
    for vm in draft.cluster.vms:
        for node, score in sorted(vm.placement.prefer.items()):
            draft.location(names.prefers(vm.name, node), vm.name, node, str(score))
        for node in sorted(vm.placement.avoid):
            draft.location(names.avoids(vm.name, node), vm.name, node, "-INFINITY")
    affinities, anti_affinities = draft.cluster.affinities, draft.cluster.anti_affinities
    before = precedence.of((vm.name for vm in draft.cluster.vms), affinities, anti_affinities)
    draft.constraints += [_together(rule) for rule in affinities]
    draft.constraints += [_apart(rule, before) for rule in anti_affinities]
    for order in draft.cluster.start_orders:
        _start_order(draft, order)


def properties(cluster: model.Cluster) -> Mapping[str, str]:
    """The cluster properties that placement needs."""
    limit = cluster.migration_limit
    return {
        **({"placement-strategy": cluster.strategy} if cluster.strategy != "default" else {}),
        **({"migration-limit": str(limit)} if limit is not None else {}),
    }


def uses(cluster: model.Cluster, vm: model.Vm) -> Mapping[str, int | None]:
    """What a VM takes of a node, for its template; None for all of it where nothing is counted."""
    if cluster.strategy == "default":
        return {CPU: None, MEMORY: None}
    return {CPU: vm.vcpus, MEMORY: -(-vm.host_memory // _MIB)}


def capacity(cluster: model.Cluster, node: model.Node) -> etree._Element | None:
    """What a node has, as the child of its <node>; None where nothing is counted."""
    if cluster.strategy == "default" or node.capacity is None:
        return None
    id_ = names.node_utilization(node.name if node.remote else node.id)
    made = etree.Element("utilization", id=id_)
    for name, value in ((CPU, node.capacity.vcpus), (MEMORY, node.capacity.memory // _MIB)):
        etree.SubElement(made, "nvpair", id=f"{id_}-{name}", name=name, value=str(value))
    return made


def _together(rule: model.Affinity) -> etree._Element:
    """Each of the others goes where the first goes, for itself: one that cannot run does not hold up the rest."""
    first, *others = rule.vms
    made = _constraint("rsc_colocation", names.affinity(rule.name), ("score", str(rule.score)))
    made.append(_set(names.affinity_set(rule.name, "others"), others, ("sequential", "false")))
    made.append(_set(names.affinity_set(rule.name, "first"), [first]))
    return made


def _apart(rule: model.AntiAffinity, before: precedence.Precedence) -> etree._Element:
    """In one set with a negative score, Pacemaker places each VM in view of those before it; of two, those of the first
    in view of those of the second. Which comes first means nothing, and has to be the same in all rules."""
    made = _constraint("rsc_colocation", names.anti_affinity(rule.name), ("score", f"-{rule.score}"))
    if rule.apart_from:
        vms = _set(names.anti_affinity_set(rule.name, "vms"), rule.vms, ("sequential", "false"))
        others = _set(names.anti_affinity_set(rule.name, "from"), rule.apart_from, ("sequential", "false"))
        made.extend([others, vms] if rule.name in before.turned else [vms, others])
    else:
        vms = sorted(rule.vms, key=before.position.__getitem__)
        made.append(_set(names.anti_affinity_set(rule.name, "vms"), vms, ("sequential", "true")))
    return made


def _start_order(draft: Draft, order: model.StartOrder) -> None:
    made = _constraint(
        "rsc_order", names.start_order(order.name), ("kind", "Mandatory" if order.mandatory else "Optional")
    )
    for number, step in enumerate(order.steps, start=1):
        made.append(_step(names.start_order_step(order.name, "step", number), step))
    draft.constraints.append(made)
    if order.delay:
        for number, (before, after) in enumerate(zip(order.steps, order.steps[1:], strict=False), start=1):
            _delay(draft, order, number, before, after)


def _delay(draft: Draft, order: model.StartOrder, number: int, before: Iterable[str], after: Iterable[str]) -> None:
    """A resource that only takes its time to start. It starts anew with the step before it (Mandatory), and the step
    after it waits for it only when both start at once (Optional): what happens to it never touches a guest.
    """
    delay = names.start_order_step(order.name, "delay", number)
    draft.resources.append(draft.library.render("delay", delay, id=delay, delay=order.delay, timeout=order.delay + 60))
    for kind, side, vms in (("Mandatory", "before", before), ("Optional", "after", after)):
        made = _constraint("rsc_order", names.start_order_step(order.name, side, number), ("kind", kind))
        sets = [
            _step(names.start_order_step(order.name, f"{side}-vms", number), vms),
            _step(names.start_order_step(order.name, f"{side}-delay", number), [delay]),
        ]
        made.extend(sets if side == "before" else reversed(sets))
        draft.constraints.append(made)


def _constraint(tag: str, id_: str, *attributes: tuple[str, str]) -> etree._Element:
    return element(tag, ("id", id_), *attributes)


def _step(id_: str, vms: Iterable[str]) -> etree._Element:
    return _set(id_, vms, ("sequential", "false"), ("require-all", "true"))


def _set(id_: str, members: Iterable[str], *attributes: tuple[str, str]) -> etree._Element:
    made = element("resource_set", ("id", id_), *attributes)
    for member in members:
        etree.SubElement(made, "resource_ref", id=member)
    return made

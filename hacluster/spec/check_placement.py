"""Can the rules on where VMs run all be kept: affinity and anti-affinity, capacities, start orders?

Only what is certain without asking anybody is said here. Whether all VMs find a place, and still do when a node is
lost, is for Pacemaker's own scheduler to answer (hacluster.capacity).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hacluster import precedence
from hacluster.model import Affinity, AntiAffinity, Capacity, host_memory
from hacluster.spec import kinds
from hacluster.spec.companions import Companions
from hacluster.spec.guest import Guest
from hacluster.spec.placement_table import DEFAULT_RATIO, DEFAULT_RESERVE
from hacluster.spec.scalars import INFINITY, Found
from hacluster.spec.sections import Table
from hacluster.spec.values import spelled_size
from hacluster.spec.wording import join, nearest, quoted

_PROPERTIES = {"placement-strategy": "strategy", "migration-limit": "migration_limit"}


def check(draft: dict[str, Any], guests: dict[str, Guest], found: Found) -> None:
    """Add what is wrong with the groups, rules, start orders and capacities."""
    for name, group in draft["groups"].items():
        if name in draft["vms"]:
            message = f"the group {name} is named like a VM"
            found.append(kinds.NAME_TWICE(message, where=group["where"], remedy="rename the group"))
    for part in ("groups", "affinity", "anti_affinity", "start_order"):
        for table in draft[part].values():
            _known(part, table, draft, found)
    for part in ("affinity", "anti_affinity"):
        for table in draft[part].values():
            _about_two(table, draft, found)
    _capacities(draft, found)
    _properties(draft, found)
    companions = Companions(
        {
            table["where"]: members(table["vms"], draft)
            for table in draft["affinity"].values()
            if table["score"] == INFINITY
        }
    )
    _circular(draft, found)
    for table in draft["anti_affinity"].values():
        if table["score"] == INFINITY:
            _apart(table, companions, draft, found)
    for together in companions.sets():
        _together(together, companions, draft, found)
    _fit(companions, guests, draft, found)


def affinities(draft: dict[str, Any]) -> tuple[Affinity, ...]:
    """The affinities, as far as they are about two VMs at least."""
    read = ((name, members(rule["vms"], draft), rule["score"]) for name, rule in draft["affinity"].items())
    return tuple(Affinity(name, vms, score) for name, vms, score in read if len(vms) > 1)


def anti_affinities(draft: dict[str, Any]) -> tuple[AntiAffinity, ...]:
    """The anti-affinities."""
    return tuple(
        AntiAffinity(name, members(rule["vms"], draft), members(rule["from"], draft), rule["score"])
        for name, rule in draft["anti_affinity"].items()
    )


def members(names: Iterable[str] | None, draft: dict[str, Any]) -> tuple[str, ...]:
    """The VMs that a list of VMs and groups stands for, each once; names that are neither are left out."""
    vms, groups = draft["vms"], draft["groups"]
    expanded = (
        vm for name in names or () for vm in ((groups[name]["vms"] or ()) if name in groups else (name,)) if vm in vms
    )
    return tuple(dict.fromkeys(expanded))


def capacity(node: Table, strategy: Table) -> Capacity | None:
    """What a node has for VMs; None where the spec does not say what it has."""
    if node["memory"] is None or node["cpus"] is None:
        return None
    reserved = strategy["reserved_memory"] if strategy["reserved_memory"] is not None else DEFAULT_RESERVE
    ratio = strategy["vcpus_per_cpu"] or DEFAULT_RATIO
    return Capacity(max(0, node["memory"] - reserved), int(node["cpus"] * ratio))


def strategy(draft: dict[str, Any]) -> str:
    """Pacemaker's placement-strategy: what the spec says, else the one that keeps capacities where there are any."""
    given = draft["placement"]["strategy"]
    limited = any(node["memory"] is not None for node in draft["nodes"].values())
    return str(given or ("balanced" if limited else "default"))


# -- names


def _known(part: str, table: Table, draft: dict[str, Any], found: Found) -> None:
    vms, groups = draft["vms"], draft["groups"]
    for where, name in _named(table):
        if name in vms or (part != "groups" and name in groups):
            continue
        inner = part == "groups" and name in groups
        meant = nearest(name, [*vms, *(() if part == "groups" else groups)])
        message = f"{name} is a group: a group has VMs only" if inner else f"there is no VM or group {quoted(name)}"
        found.append(
            kinds.UNKNOWN_VM(
                message + (f"; did you mean {meant}?" if meant and not inner else ""),
                where=where,
                remedy=f"write {meant}" if meant else "describe it: [vms.NAME], or take it out",
            )
        )


def _named(table: Table) -> Iterator[tuple[str, str]]:
    for key in ("vms", "from"):
        for i, name in enumerate(table.get(key) or ()):
            yield f"{table['where']}.{key}[{i}]", name
    for i, step in enumerate(table.get("steps") or ()):
        for name in step:
            yield f"{table['where']}.steps[{i}]", name


def _about_two(table: Table, draft: dict[str, Any], found: Found) -> None:
    if table["vms"] is None or any(p.where.startswith(f"{table['where']}.") for p in found):
        return  # what is wrong with its list has been said
    vms, others = members(table["vms"], draft), members(table.get("from"), draft)
    both = [vm for vm in vms if vm in others]
    if both:
        message = f"{', '.join(both)} would have to keep apart from itself"
        found.append(kinds.RULE_OF_ONE(message, where=f"{table['where']}.from", remedy="take it out of one of the two"))
    elif len(vms) < 2 and not others:
        message = f"the rule names {vms[0] if vms else 'no VM'} only"
        found.append(kinds.RULE_OF_ONE(message, where=f"{table['where']}.vms", remedy="name two VMs at least"))


# -- capacities


def _capacities(draft: dict[str, Any], found: Found) -> None:
    nodes, given = draft["nodes"], draft["placement"]["strategy"]
    keys = {name: {"memory", "cpus"} & node["given"] for name, node in nodes.items()}
    some = [name for name, has in keys.items() if has]
    if some:
        for name, has in keys.items():
            for key in sorted({"memory", "cpus"} - has):
                found.append(
                    kinds.CAPACITY_MISSING(
                        f"{some[0]} has a capacity, and {name} has no {key}",
                        where=f"{nodes[name]['where']}.{key}",
                        remedy=f"add {key} = … (see `lscpu` and `free -g` there), or take the capacities of all out",
                    )
                )
    elif given not in (None, "default"):
        found.append(
            kinds.CAPACITY_MISSING(
                f"the strategy {given} counts what nodes have, and no node says it",
                where="placement.strategy",
                remedy="add memory = … and cpus = … to every node, or take the strategy out",
            )
        )
    reserved = draft["placement"]["reserved_memory"]
    for node in nodes.values():
        if node["memory"] is not None and reserved is not None and node["memory"] <= reserved:
            found.append(
                kinds.CAPACITY_MISSING(
                    f"the host keeps {spelled_size(reserved)} for itself and has {spelled_size(node['memory'])}",
                    where=f"{node['where']}.memory",
                    remedy="write what the host really has, or a smaller placement.reserved_memory",
                )
            )


def _properties(draft: dict[str, Any], found: Found) -> None:
    own = (draft["cluster"]["properties"] or {}).get("rest", {})
    for name, key in _PROPERTIES.items():
        if name not in own:
            continue
        if key in draft["placement"]["given"] or (key == "strategy" and strategy(draft) != "default"):
            where = join("cluster.properties", name)
            found.append(
                kinds.SET_TWICE(
                    f"{name} is set here, and placement.{key} stands for it",
                    where=where,
                    remedy=f"write it as placement.{key} only",
                    here=own[name],
                )
            )


# -- rules


def _circular(draft: dict[str, Any], found: Found) -> None:
    apart = (rule for rule in anti_affinities(draft) if not set(rule.vms) & set(rule.apart_from))
    for rule in precedence.of(draft["vms"], affinities(draft), apart).circular:
        part = "affinity" if isinstance(rule, Affinity) else "anti_affinity"
        found.append(
            kinds.RULES_CIRCULAR(
                f"{rule.vms[0]} would be placed both before and after {', '.join(rule.vms[1:4]) or 'others'}"
                if part == "affinity"
                else "its two sides would each be placed before the other",
                where=draft[part][rule.name]["where"],
                remedy="name the same VM first in all affinities of these VMs"
                if part == "affinity"
                else "write it as one list without from, or make one rule of those that share its VMs",
            )
        )


def _apart(table: Table, companions: Companions, draft: dict[str, Any], found: Found) -> None:
    vms, others = members(table["vms"], draft), members(table.get("from"), draft)
    for one, two in _pairs(vms, others, companions):
        rules = ", ".join(companions.rules(one, two))
        found.append(
            kinds.RULES_CONTRADICT(
                f"{one} and {two} must be apart here, and together by {rules}",
                where=table["where"],
                remedy="take one of the two out of a rule, or give a rule a score, which makes it a wish",
            )
        )
        return
    if others or not draft["nodes"]:
        return
    rooms = {}
    for vm in vms:
        avoided = _avoided(companions.of(vm), draft)
        rooms[vm] = [node for node in draft["nodes"] if node not in avoided]
    left = _without_room(rooms)
    if left:
        usable = list(dict.fromkeys(node for nodes in rooms.values() for node in nodes))
        found.append(
            kinds.TOO_MANY_APART(
                f"{len(vms)} VMs must run on different nodes, and there are {len(usable)} for them",
                where=table["where"],
                remedy="give the rule a score, which makes it a wish, or add nodes",
                without=", ".join(left[:8]) + (" …" if len(left) > 8 else ""),
                nodes=", ".join(usable) or "none",
            )
        )


def _pairs(vms: tuple[str, ...], others: tuple[str, ...], companions: Companions) -> Iterator[tuple[str, str]]:
    """Two VMs that a rule keeps apart and that are companions, if there are any."""
    first: dict[str, str] = {}
    for vm in vms:
        key = companions.key(vm)
        if key in first and not others:
            yield first[key], vm
        first.setdefault(key, vm)
    for vm in others:
        if companions.key(vm) in first and first[companions.key(vm)] != vm:
            yield first[companions.key(vm)], vm


def _without_room(rooms: Mapping[str, list[str]]) -> list[str]:
    """Who gets no node when each node takes one: a largest matching, by augmenting paths."""
    holder: dict[str, str] = {}

    def place(vm: str, tried: set[str]) -> bool:
        for node in rooms[vm]:
            if node not in tried:
                tried.add(node)
                if node not in holder or place(holder[node], tried):
                    holder[node] = vm
                    return True
        return False

    return [vm for vm in rooms if not place(vm, set())]


def _avoided(vms: Iterable[str], draft: dict[str, Any]) -> set[str]:
    return {node for vm in vms for node in ((draft["vms"][vm]["placement"] or {}).get("avoid") or ())}


def _together(vms: tuple[str, ...], companions: Companions, draft: dict[str, Any], found: Found) -> None:
    avoided = _avoided(vms, draft)
    if draft["nodes"] and set(draft["nodes"]) <= avoided:
        found.append(
            kinds.NO_COMMON_NODE(
                f"{', '.join(vms[:8])} run on one node only, and every node is avoided by one of them",
                where=companions.rules(vms[0], vms[1])[0],
                remedy="leave them one node, better two, that none of them avoids",
            )
        )
        return
    for vm in vms:
        table = draft["vms"][vm]
        for node in ((table["placement"] or {}).get("prefer") or {}).get("rest", {}):
            if node in avoided - _avoided([vm], draft):
                by = next(other for other in vms if node in _avoided([other], draft))
                found.append(
                    kinds.PREFERENCE_VOID(
                        f"{vm} runs where {by} runs, and {by} avoids {node}",
                        where=join(f"{table['where']}.placement.prefer", node),
                        remedy=f"take {node} out of it",
                        rules=", ".join(companions.rules(vm, by)),
                    )
                )


def _fit(companions: Companions, guests: dict[str, Guest], draft: dict[str, Any], found: Found) -> None:
    sizes = {name: made for name, node in draft["nodes"].items() if (made := capacity(node, draft["placement"]))}
    if strategy(draft) == "default" or len(sizes) < len(draft["nodes"]):
        return
    bound = companions.sets()
    lone = [(vm,) for vm in guests if companions.of(vm) == (vm,)]
    for vms in (*bound, *lone):
        if all(vm in guests for vm in vms):
            _fit_together(
                vms, companions, guests, {n: s for n, s in sizes.items() if n not in _avoided(vms, draft)}, found
            )


def _fit_together(
    vms: tuple[str, ...],
    companions: Companions,
    guests: dict[str, Guest],
    nodes: dict[str, Capacity],
    found: Found,
) -> None:
    memory = sum(_memory(guests[vm]) for vm in vms)
    vcpus = sum(guests[vm].vcpus or 0 for vm in vms)
    if not nodes or any(node.memory >= memory and node.vcpus >= vcpus for node in nodes.values()):
        return
    largest = max(nodes, key=lambda name: (nodes[name].memory, nodes[name].vcpus))
    if len(vms) == 1:
        message, where = f"no node has room for {vms[0]}", guests[vms[0]].where
    else:
        message = f"{', '.join(vms[:8])} run on one node only, and none has room for all of them"
        where = companions.rules(vms[0], vms[1])[0]
    found.append(
        kinds.NEVER_FITS(
            message,
            where=where,
            remedy="make them smaller, or correct memory and cpus of the nodes",
            needed=f"{memory >> 20} MiB (QEMU's own counted in) and {vcpus} vcpus",
            largest=f"{largest} with {nodes[largest].memory >> 20} MiB and {nodes[largest].vcpus} vcpus",
        )
    )


def _memory(guest: Guest) -> int:
    qcow2 = sum(disk.writable and disk.format == "qcow2" for disk in guest.disks)
    return host_memory(guest.memory or 0, guest.vcpus or 0, qcow2)

"""Rules on where VMs run, start orders and capacities in the spec's words: those that hactl itself has written. Pure.

What somebody else wrote under another name means the same only by chance; it is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lxml import etree

from hacluster.cib import names
from hacluster.cib.placement import CPU, MEMORY
from hacluster.importing.view import View, pairs, seconds

Tables = dict[str, dict[str, Any]]


def rules(view: View, vms: Mapping[str, Any]) -> dict[str, Tables]:
    """The tables affinity, anti_affinity and start_order, of rules that concern `vms` only."""
    constraints = view.cib.findall("configuration/constraints/*")
    found: dict[str, Tables] = {}
    for part, id_, table in (
        ("affinity", names.affinity, _affinity),
        ("anti_affinity", names.anti_affinity, _anti_affinity),
        ("start_order", names.start_order, lambda each: _start_order(view, each)),
    ):
        found[part] = _read(constraints, id_(""), table, vms)
    return found


def capacities(view: View, nodes: Mapping[str, dict[str, Any]], vms: Mapping[str, Any]) -> dict[str, Any]:
    """The table [placement], and memory and cpus in `nodes`: where every node and every VM is counted as hactl does."""
    strategy = view.properties.get("placement-strategy", "default")
    if strategy not in ("utilization", "minimal", "balanced"):
        return {}
    rooms = {node.get("uname"): pairs(node, "utilization") for node in view.nodes if node.get("uname") in nodes}
    used = [
        pairs(p, "utilization") for p in view.cib.iterfind("configuration/resources//primitive") if p.get("id") in vms
    ]
    if not rooms or not all(_counted(each) for each in (*rooms.values(), *used)):
        return {}
    for name, room in rooms.items():
        nodes[name].update(memory=f"{room[MEMORY]}M", cpus=int(room[CPU]))
    return {"strategy": strategy, "reserved_memory": 0, "vcpus_per_cpu": 1}


def _counted(amounts: Mapping[str, str]) -> bool:
    """Whether both are given, in numbers that a host may have."""
    cpu, memory = amounts.get(CPU, ""), amounts.get(MEMORY, "")
    return bool(re.fullmatch("[1-9][0-9]{0,3}", cpu) and re.fullmatch("[1-9][0-9]{0,7}", memory))


def _read(
    constraints: list[etree._Element],
    prefix: str,
    table: Callable[[etree._Element], dict[str, Any] | None],
    vms: Mapping[str, Any],
) -> Tables:
    found: Tables = {}
    for each in constraints:
        id_ = str(each.get("id", ""))
        if id_.startswith(prefix) and all(name in vms for step in _sets(each) for name in step):
            made = table(each)
            if made is not None:
                found[id_.removeprefix(prefix)] = made
    return found


def _sets(constraint: etree._Element) -> list[list[str]]:
    return [
        [ref.get("id", "") for ref in each.iterfind("resource_ref")] for each in constraint.iterfind("resource_set")
    ]


def _score(constraint: etree._Element, sign: str) -> dict[str, Any] | None:
    """The key score, left out where it is INFINITY; None where the score is none that the rule has."""
    match = re.fullmatch(f"{sign}([1-9][0-9]{{0,6}}|INFINITY)", constraint.get("score", ""))
    if match is None:
        return None
    return {} if match[1] == "INFINITY" else {"score": int(match[1])}


def _affinity(constraint: etree._Element) -> dict[str, Any] | None:
    sets, score = _sets(constraint), _score(constraint, "")
    return None if len(sets) != 2 or score is None else {"vms": [*sets[1], *sets[0]], **score}


def _anti_affinity(constraint: etree._Element) -> dict[str, Any] | None:
    sets, score = _sets(constraint), _score(constraint, "-")
    name = str(constraint.get("id")).removeprefix(names.anti_affinity(""))
    sides = {each.get("id"): vms for each, vms in zip(constraint.iterfind("resource_set"), sets, strict=True)}
    keys = {"vms": names.anti_affinity_set(name, "vms"), "from": names.anti_affinity_set(name, "from")}
    if score is None or keys["vms"] not in sides or not set(sides) <= set(keys.values()):
        return None
    return {**{key: sides[id_] for key, id_ in keys.items() if id_ in sides}, **score}


def _start_order(view: View, constraint: etree._Element) -> dict[str, Any] | None:
    name = str(constraint.get("id")).removeprefix(names.start_order(""))
    made: dict[str, Any] = {"steps": _sets(constraint)}
    if constraint.get("kind") == "Mandatory":
        made["kind"] = "mandatory"
    pause = next((p for p in view.primitives if p.id == names.start_order_step(name, "delay", 1)), None)
    if pause is not None and (delay := seconds(pause.parameters.get("startdelay"))):
        made["delay"] = delay
    return made

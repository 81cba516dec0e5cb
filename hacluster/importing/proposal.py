"""The spec's tables that a CIB suggests, as far as the spec itself takes them. Pure.

Import does not repeat the spec's rules: it proposes, the spec judges, and what it refuses is left out, with the
spec's own sentence for the reason. So everything that remains can be compiled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from hacluster import spec
from hacluster.cib import names
from hacluster.cib.compile import compile_element
from hacluster.cib.templates import Library
from hacluster.importing import cluster, fencing, placement, storage, vms
from hacluster.importing.sources import Sources
from hacluster.importing.view import View, pairs
from hacluster.model import Cluster
from hacluster.problems import Problem, Refused, errors
from hacluster.spec.wording import join

PARTS = ("affinity", "anti_affinity", "start_order", "vms", "storage", "networks", "fence_devices")
_ROUNDS = 6
"""What hangs on something that is left out falls in the next round; VM on network or storage is the longest chain."""


@dataclass(slots=True)
class Proposal:
    """The tables, the files they name (`domains` and `secrets`, by path), and why something is not in them.

    `reasons` are by name; `problems` are what stands against the spec as it is and an admin has to mend.
    """

    tables: dict[str, Any] = field(default_factory=dict)
    domains: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def propose(view: View, sources: Sources, library: Library) -> tuple[Proposal, etree._Element]:
    """The proposal for a CIB, and the CIB that it compiles to."""
    made = Proposal()
    nodes = cluster.nodes(view, sources)
    devices = fencing.devices(view, nodes, made.secrets)
    fencing.levels(view, nodes, devices)
    mounts = storage.declared(view)
    found = vms.find(view, sources, nodes, mounts)
    made.reasons.update(found.reasons)
    made.domains.update(found.files)
    parts = {
        "cluster": cluster.head(view),
        "nodes": nodes,
        "fence_devices": devices,
        "libvirt": cluster.libvirt(view),
        "storage": {**mounts, **found.storages},
        "networks": found.networks,
        "vms": found.vms,
        "placement": placement.capacities(view, nodes, found.vms),
        **placement.rules(view, found.vms),
    }
    made.tables = {name: table for name, table in parts.items() if table or name == "nodes"}
    bare = _compiled(made, library)
    set_ = bare.find(f"configuration/crm_config/cluster_property_set[@id='{names.PROPERTY_SET}']")
    compiled = pairs(set_.getparent(), "cluster_property_set") if set_ is not None else {}
    if set_by_hand := cluster.properties(view, compiled):
        made.tables["cluster"]["properties"] = set_by_hand
    element = _compiled(made, library)
    made.domains = {path: content for path, content in made.domains.items() if _named(made, path)}
    used = {value.removeprefix("file:") for value in _strings(made.tables.get("fence_devices", {}))}
    made.secrets = {path: content for path, content in made.secrets.items() if path in used}
    return made, element


def _named(made: Proposal, path: str) -> bool:
    return any(vm.get("domain_xml") == path for vm in made.tables.get("vms", {}).values())


def _strings(tables: dict[str, dict[str, Any]]) -> Iterable[str]:
    return (value for table in tables.values() for value in table.values() if isinstance(value, str))


def _compiled(made: Proposal, library: Library) -> etree._Element:
    """The CIB of what can be compiled; all else is taken out of the tables, with the reason."""
    while True:
        described = _described(made)
        try:
            return compile_element(described, library)
        except Refused as no:
            if not _give_up(made, no.problems):
                raise


def _described(made: Proposal) -> Cluster:
    """The model of the tables; what the spec refuses in them is taken out first."""
    for _ in range(_ROUNDS):
        described, found = spec.tentative(made.tables, made.domains)
        made.problems = found
        if described is not None:
            return described
        _take_out(made, errors(found))
    for part in PARTS:
        for name in made.tables.pop(part, {}):
            made.reasons.setdefault(name, "the spec refuses it for a reason that names something else")
    described, made.problems = spec.tentative(made.tables, made.domains)
    if described is None:
        raise Refused(errors(made.problems))
    return described


def _take_out(made: Proposal, found: Iterable[Problem]) -> None:
    for problem in found:
        part, name = _place(problem.where)
        if name in made.tables.get(part, {}):
            del made.tables[part][name]
            made.reasons.setdefault(name, f"the spec refuses it ({problem.code}): {problem.message}")
    for part in PARTS:
        if part in made.tables and not made.tables[part]:
            del made.tables[part]


def _give_up(made: Proposal, found: Iterable[Problem]) -> bool:
    """Take out what cannot be compiled, part after part: a name that a template or the CIB's ids do not take."""
    for part in PARTS:
        if part in made.tables:
            for name in made.tables.pop(part):
                said = next((problem.message for problem in found), "")
                made.reasons.setdefault(name, f"it cannot be compiled beside the rest: {said}")
            return True
    return False


_QUOTED = re.compile(r'(\w+)\."((?:[^"\\]|\\.)*)"')
_BARE = re.compile(r"(\w+)\.([A-Za-z0-9_-]+)")


def _place(where: str) -> tuple[str, str]:
    """The part and the name that a finding's TOML path begins with."""
    match = _QUOTED.match(where) or _BARE.match(where)
    return (match[1], match[2]) if match and where.startswith(join(match[1], match[2])) else ("", "")

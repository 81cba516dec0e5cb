"""VMs in the spec's words. Pure.

What is under a guest stands in its domain XML, not in the CIB: without that file a VM is kept and not described.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from hacluster.cib import names
from hacluster.cib.compile import MIGRATE_MARGIN, MINIMAL_MIGRATE_TO, MINIMAL_STOP, STOP_MARGIN
from hacluster.importing import storage
from hacluster.importing.cluster import GUARDED, HEARTBEAT
from hacluster.importing.sources import Sources
from hacluster.importing.view import Primitive, View, seconds
from hacluster.spec import domainfile
from hacluster.spec.names import of_resource

SCORE = 1_000_000


@dataclass(slots=True)
class Found:
    """VMs with what they need beside them: networks, storages that only disks tell of, and domain files by path."""

    vms: dict[str, dict[str, Any]] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    storages: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def find(view: View, sources: Sources, nodes: Mapping[str, Any], mounts: Mapping[str, dict[str, Any]]) -> Found:
    """All VMs. `mounts` are the file systems; `reasons` say of each VM left out why."""
    found = Found()
    tags, places, homes = _tags(view), _places(view), _homes(view, nodes)
    described = []
    for vm in view.of(GUARDED, HEARTBEAT):
        domain = _domain(vm, sources, found)
        if domain is None:
            continue
        content, element = domain
        found.files[f"domains/{vm.id}.xml"] = content
        for bridge in _texts(element, "devices/interface/source", "bridge"):
            found.networks.setdefault(_network(bridge), {"bridge": bridge})
        agent = "hacluster" if vm.agent == GUARDED else "heartbeat"
        joined = tags.get((vm.id, agent), "")
        described.append((vm, joined))
        known = {**mounts, **found.storages}
        missing = [name for name in _storages(joined, known) if name not in known]
        home = homes.get(names.vms_on((), agent).removesuffix("nothing") + joined)
        locked = vm.parameters.get("handover") == "running" or bool(missing)
        found.storages |= storage.of_disks(element, missing, known, home, locked)
    for vm, joined in described:
        table: dict[str, Any] = {"domain_xml": f"domains/{vm.id}.xml"}
        if vm.agent == HEARTBEAT:
            table["agent"] = "heartbeat"
        if named := _storages(joined, {**mounts, **found.storages}):
            table["storage"] = named
        for name in named:
            if name not in mounts and name not in found.storages and of_resource(name) is None:
                found.storages[name] = storage.unexplained(name)
        _policy(vm, table)
        _placement(vm.id, places, nodes, table)
        found.vms[vm.id] = table
    return found


def _domain(vm: Primitive, sources: Sources, found: Found) -> tuple[bytes, etree._Element] | None:
    """The content of its domain file, if there is one that can be used; else the reason is noted."""
    if vm.wrapped != "alone":
        found.reasons[vm.id] = "it is part of a group or clone, and a VM of the spec stands alone"
        return None
    if (wrong := of_resource(vm.id)) is not None:
        found.reasons[vm.id] = wrong[1]
        return None
    config = vm.parameters.get("config", "")
    content = sources.domain(config, vm.id)
    if content is None:
        found.reasons[vm.id] = f"its domain XML is not here ({config[:200] or 'it names none'}); give it with --domains"
        return None
    sha256 = vm.parameters.get("xml_sha256")
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256.lower():
        found.reasons[vm.id] = "the domain XML that was given is not the one that the CIB names by its sha256"
        return None
    problems: list[Any] = []
    element = domainfile.parse(content, "", problems) if len(content) <= domainfile.LIMIT else None
    if element is None:
        said = problems[0].message if problems else "the file is too large"
        found.reasons[vm.id] = f"its domain XML cannot be read: {said}"
        return None
    return content, element


def _policy(vm: Primitive, table: dict[str, Any]) -> None:
    given, meta = vm.parameters, vm.meta
    migration: dict[str, Any] = {}
    if meta.get("allow-migrate", "false").lower() not in ("true", "yes", "on", "1"):
        migration["mode"] = "none" if meta.get("hacluster-move") == "none" else "cold"
    for key, name in (("bandwidth", "migration_speed"), ("downtime", "migration_downtime")):
        if re.fullmatch("[1-9][0-9]{0,6}", given.get(name, "")):
            migration[key] = int(given[name])
    if vm.agent == GUARDED:
        for key, name in (("parallel", "migration_parallel"), ("timeout", "migration_timeout")):
            if re.fullmatch("[1-9][0-9]{0,6}", given.get(name, "")):
                migration[key] = int(given[name])
        for key in ("post_copy", "auto_converge"):
            if given.get(key) == "true":
                migration[key] = True
        budget: int | None = (
            int(given["stop_budget"]) if re.fullmatch("[0-9]{1,6}", given.get("stop_budget", "")) else None
        )
    else:
        budget = _beyond(vm, "stop", MINIMAL_STOP, STOP_MARGIN)
        timeout = _beyond(vm, "migrate_to", MINIMAL_MIGRATE_TO, MIGRATE_MARGIN)
        if timeout is not None:
            migration["timeout"] = timeout
        _options(given.get("migrate_options", "").split(), migration)
    if budget is not None:
        table["stop_budget"] = budget
    if re.fullmatch("-?[1-9][0-9]{0,6}", meta.get("priority", "")):
        table["priority"] = int(meta["priority"])
    if migration:
        table["migration"] = migration


def _beyond(vm: Primitive, operation: str, least: int, margin: int) -> int | None:
    """A budget that the spec adds a margin to, from an operation's timeout; None if the least allowed is as good."""
    timeout = seconds(vm.operations.get(operation, {}).get("timeout"))
    return timeout - margin if timeout is not None and timeout > least else None


def _options(options: list[str], migration: dict[str, Any]) -> None:
    """virsh's switches, which heartbeat's agent passes on."""
    if "--auto-converge" in options:
        migration["auto_converge"] = True
    if "--postcopy" in options:
        migration["post_copy"] = True
    if "--parallel-connections" in options:
        number = options[options.index("--parallel-connections") + 1 :][:1]
        if number and re.fullmatch("[1-9][0-9]{0,2}", number[0]):
            migration["parallel"] = int(number[0])


def _placement(
    vm: str, places: Mapping[str, list[tuple[str, str]]], nodes: Mapping[str, Any], table: dict[str, Any]
) -> None:
    prefer: dict[str, int] = {}
    avoid: list[str] = []
    for node, score in places.get(vm, []):
        if node not in nodes:
            continue
        if re.fullmatch("[+]?[0-9]{1,7}", score) and int(score) <= SCORE:
            prefer[node] = int(score)
        elif score == "-INFINITY":
            avoid.append(node)
    made: dict[str, Any] = {}
    if prefer:
        made["prefer"] = prefer
    if avoid and len(set(avoid)) < len(nodes):
        made["avoid"] = [node for node in dict.fromkeys(avoid) if node not in prefer]
    if made:
        table["placement"] = made


def _places(view: View) -> dict[str, list[tuple[str, str]]]:
    """Plain preferences by resource: node and score."""
    found: dict[str, list[tuple[str, str]]] = {}
    for each in view.cib.iterfind("configuration/constraints/rsc_location"):
        if each.get("rsc") and each.get("node") and each.get("score") and not len(each):
            found.setdefault(each.get("rsc"), []).append((each.get("node"), each.get("score")))
    return found


def _tags(view: View) -> dict[tuple[str, str], str]:
    """What hactl's own tags say of a VM under an agent: the names of its storages, joined by hyphens."""
    found = {}
    for tag in view.cib.iterfind("configuration/tags/tag"):
        for agent in ("hacluster", "heartbeat"):
            prefix = names.vms_on((), agent).removesuffix("nothing")
            if tag.get("id", "").startswith(prefix):
                for member in tag.iterfind("obj_ref"):
                    found[member.get("id", ""), agent] = tag.get("id")[len(prefix) :]
    return found


def _storages(joined: str, known: Mapping[str, Any]) -> list[str]:
    """The names that were joined: known ones, and what is left between them as one."""
    if joined in ("", "nothing"):
        return []
    for name in sorted(known, key=len, reverse=True):
        before, found, after = f"-{joined}-".partition(f"-{name}-")
        if found:
            rest = [part.strip("-") for part in (before, after)]
            return [
                *(_storages(rest[0], known) if rest[0] else []),
                name,
                *(_storages(rest[1], known) if rest[1] else []),
            ]
    return [joined]


def _homes(view: View, nodes: Mapping[str, Any]) -> dict[str, str]:
    """By tag, the one node that its VMs are bound to, because they are kept off all others by the tag's constraints."""
    avoided: dict[str, set[str]] = {}
    for each in view.cib.iterfind("configuration/constraints/rsc_location"):
        node = each.get("node", "")
        if each.get("score") == "-INFINITY" and each.get("id") == names.avoids(each.get("rsc", ""), node):
            avoided.setdefault(each.get("rsc", ""), set()).add(node)
    left = {tag: set(nodes) - away for tag, away in avoided.items() if tag.startswith(_PREFIXES)}
    return {tag: next(iter(home)) for tag, home in left.items() if len(home) == 1}


_PREFIXES = tuple(names.vms_on((), agent).removesuffix("nothing") for agent in ("hacluster", "heartbeat"))


def _network(bridge: str) -> str:
    """A name for the network behind a bridge, of which the CIB knows nothing."""
    name = re.sub("[^A-Za-z0-9_-]", "_", bridge)
    return name if of_resource(name) is None else f"net_{name}"


def _texts(domain: etree._Element, path: str, attribute: str) -> list[str]:
    return [text for each in domain.findall(path) if (text := each.get(attribute))]

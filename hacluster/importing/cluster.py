"""The cluster as a whole in the spec's words: name, nodes, properties, defaults, and how libvirt is set up. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hacluster.cib import names
from hacluster.importing.sources import Sources, addresses
from hacluster.importing.view import View, seconds
from hacluster.spec.names import host_or_address, of_node
from hacluster.spec.scalars import one_line
from hacluster.spec.table import PROOF_AGE
from hacluster.spec.values import CLUSTER_NAME

NAMELESS = "cluster"
CONTROLD = ("ocf", "pacemaker", "controld")
LOCKSPACE = ("ocf", "hacluster", "lockspace")
REMOTE = ("ocf", "pacemaker", "remote")
HEARTBEAT = ("ocf", "heartbeat", "VirtualDomain")
GUARDED = ("ocf", "hacluster", "VirtualDomain")

WRITTEN_BY_PACEMAKER = frozenset({"dc-version", "cluster-infrastructure", "have-watchdog", "last-lrm-refresh"})
"""Properties that Pacemaker and its tools set by themselves."""


def head(view: View) -> dict[str, Any]:
    """The table [cluster], without properties."""
    made: dict[str, Any] = {"name": NAMELESS}
    called = view.properties.get("cluster-name", "")
    if CLUSTER_NAME.read(called, "", []) is not None:
        made["name"] = called
    if view.of(LOCKSPACE) and not view.of(CONTROLD):
        made["lock_manager"] = "external"
    for vm in view.of(HEARTBEAT, GUARDED):
        if vm.parameters.get("migration_transport") in ("tcp", "tls"):
            made["migration_transport"] = vm.parameters["migration_transport"]
    if view.properties.get(names.FENCING_PROOF) == "waived":
        made["fencing_proof"] = "waived"
    age = view.properties.get(names.FENCING_PROOF_AGE, "")
    if re.fullmatch("[1-9][0-9]{3,8}", age) and PROOF_AGE.read(int(age), "", []) is not None:
        made["fencing_proof_age"] = int(age)
    stickiness = _stickiness(view)
    if stickiness is not None:
        made["stickiness"] = stickiness
    return made


def properties(view: View, compiled: Mapping[str, str]) -> dict[str, str]:
    """The table [cluster.properties]: what somebody has set and the spec does not mean anyway (`compiled`)."""
    return {
        name: value
        for name, value in view.properties.items()
        if name not in WRITTEN_BY_PACEMAKER
        and not name.startswith(names.FENCED_PREFIX)
        and compiled.get(name) != value
        and value
        and one_line(value) is None
    }


def nodes(view: View, sources: Sources) -> dict[str, dict[str, Any]]:
    """The tables [nodes.*]: members, and remote nodes by the resources that connect to them."""
    at, dialled = addresses(sources.corosync), _migration_hosts(view)
    made: dict[str, dict[str, Any]] = {}
    for node in view.nodes:
        name = node.get("uname", "")
        if node.get("type", "member") not in ("member", "normal") or of_node(name) is not None or name in made:
            continue
        known = tuple(a for a in at.get(name, ()) if host_or_address(a) is None)
        made[name] = {"addresses": list(known or (name,))}
        if re.fullmatch("[1-9][0-9]{0,8}", node.get("id", "")):
            made[name]["id"] = int(node.get("id"))
    for connection in view.of(REMOTE):
        server, pause = connection.parameters.get("server", ""), connection.parameters.get("reconnect_interval", "")
        if of_node(connection.id) is None and connection.wrapped == "alone" and host_or_address(server) is None:
            made[connection.id] = {"addresses": [server], "remote": True}
            if (interval := seconds(pause)) is not None:
                made[connection.id]["reconnect"] = f"{interval}s"
    for name, table in made.items():
        if name in dialled:
            table["migration_host"] = dialled[name]
    return made


def libvirt(view: View) -> dict[str, Any]:
    """The table [libvirt], as the lockspace's parameters say it; empty without a lock driver."""
    given = next((each.parameters for each in view.of(LOCKSPACE)), {})
    if given.get("lock_driver") not in ("lockd", "sanlock"):
        return {}
    made = {"lock_driver": given["lock_driver"], "lockspace_dir": given.get("lockspace_dir", "")}
    if any(vm.parameters.get("handover") == "leased" for vm in view.of(GUARDED)):
        made["handover"] = "running"
    if given["lock_driver"] == "sanlock":
        made["watchdog"] = "/dev/watchdog"
    return made


def _stickiness(view: View) -> int | None:
    """What hactl's own defaults say, else anybody's."""
    sets = view.cib.findall("configuration/rsc_defaults/meta_attributes")
    sets.sort(key=lambda each: each.get("id") != names.DEFAULTS)
    for each in sets:
        text = next((p.get("value", "") for p in each.iterfind("nvpair") if p.get("name") == "resource-stickiness"), "")
        if re.fullmatch("[0-9]{1,7}", text) and int(text) <= 1_000_000:
            return int(text)
    return None


def _migration_hosts(view: View) -> dict[str, str]:
    found: dict[str, str] = {}
    for vm in view.of(GUARDED):
        for pair in vm.parameters.get("migration_hosts", "").split():
            name, _, host = pair.partition("=")
            if host and host_or_address(host) is None:
                found.setdefault(name, host)
    return found

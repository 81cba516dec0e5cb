"""Can every node be fenced, by something that still works when the node does not? And are the secrets kept?"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hacluster.problems import Problem
from hacluster.spec import kinds
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.wording import join, nearest, quoted

_ASKS_TARGET = "it asks the node itself, over ssh: a hung or cut-off node, the very one to be fenced, does not answer"
# Why each of these agents is no fencing. The names are those of fence-agents and cluster-glue.
FAKE = {
    "fence_ssh": _ASKS_TARGET,
    "external/ssh": _ASKS_TARGET,
    "ssh": _ASKS_TARGET,
    "fence_dummy": "it is a test double that only says that it fenced",
    "external/null": "it is a test double that only says that it fenced",
    "null": "it is a test double that only says that it fenced",
    "fence_null": "it is a test double that only says that it fenced",
    "fence_ack_manual": "it waits for a human to say that the node is dead",
    "fence_manual": "it waits for a human to say that the node is dead",
    "meatware": "it waits for a human to say that the node is dead",
}
STORAGE_ONLY = ("fence_scsi", "fence_mpath", "fence_brocade", "fence_cisco_mds", "fence_sanbox2")
"""Agents that take a node's disks away, by reservations or at the fabric's switch, and let it run on."""

_SECRET = re.compile(
    r"(.*[_-])?(passwd|password|passphrase|community|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|pin)"
)
REFERENCE = re.compile(r"(file|env|cmd):(.+)")

_OFF = ("false", "no", "off", "0", "n")
# Pacemaker 2.1's cluster properties (pacemaker-controld(7), pacemaker-schedulerd(7)).
PROPERTIES = frozenset(
    [
        "batch-limit",
        "cluster-delay",
        "cluster-infrastructure",
        "cluster-ipc-limit",
        "cluster-name",
        "cluster-recheck-interval",
        "concurrent-fencing",
        "dc-deadtime",
        "election-timeout",
        "enable-acl",
        "enable-startup-probes",
        "fence-reaction",
        "hacluster-fencing-proof",
        "hacluster-fencing-proof-age",
        "have-watchdog",
        "join-finalization-timeout",
        "join-integration-timeout",
        "load-threshold",
        "maintenance-mode",
        "migration-limit",
        "no-quorum-policy",
        "node-action-limit",
        "node-health-base",
        "node-health-green",
        "node-health-red",
        "node-health-strategy",
        "node-health-yellow",
        "node-pending-timeout",
        "pe-error-series-max",
        "pe-input-series-max",
        "pe-warn-series-max",
        "placement-strategy",
        "priority-fencing-delay",
        "remove-after-stop",
        "shutdown-escalation",
        "shutdown-lock",
        "shutdown-lock-limit",
        "start-failure-is-fatal",
        "startup-fencing",
        "stonith-action",
        "stonith-enabled",
        "stonith-max-attempts",
        "stonith-timeout",
        "stonith-watchdog-timeout",
        "stop-all-resources",
        "stop-orphan-actions",
        "stop-orphan-resources",
        "symmetric-cluster",
        "transition-delay",
    ]
)


def is_secret(parameter: str) -> bool:
    """Whether an agent's parameter of that name holds a secret (not a script or file that yields one)."""
    return _SECRET.fullmatch(parameter.lower()) is not None


def targets(name: str, device: Table, nodes: dict[str, Table]) -> tuple[str, ...]:
    """The nodes a device fences: those it lists, else those that it has a port for or whose levels name it."""
    if device["targets"] is not None:
        return tuple(device["targets"])
    ports = (device["ports"] or {}).get("rest", {})
    return tuple(n for n, node in nodes.items() if n in ports or any(name in level for level in node["fencing"] or ()))


def check(cluster: Table, nodes: dict[str, Table], devices: dict[str, Table], found: Found) -> None:
    """Add what is wrong with the fencing."""
    _properties((cluster["properties"] or {}).get("rest", {}), found)
    for name, device in devices.items():
        _agent(device, found)
        _secrets(name, device, found)
        if device["targets"] is None and "targets" in device["given"]:
            continue
        for i, target in enumerate(device["targets"] or ()):
            if target not in nodes:
                found.append(unknown_node(target, f"{device['where']}.targets[{i}]", nodes))
        if not targets(name, device, nodes):
            found.append(
                kinds.IDLE_DEVICE(
                    f"no node's fencing names {name}",
                    where=device["where"],
                    remedy=f'add it to a node: fencing = ["{name}"]; or remove it',
                )
            )
    if not devices:
        found.append(
            kinds.NO_FENCING(
                "the spec has no fence device",
                where="fence_devices",
                remedy='describe each host\'s BMC: [fence_devices.NAME] with agent = "fence_ipmilan"',
            )
        )
    for name, node in nodes.items():
        _node(name, node, nodes, devices, found)


def unknown_node(name: str, where: str, nodes: dict[str, Table]) -> Problem:
    """The Problem of a reference to a node that does not exist."""
    meant = nearest(name, nodes)
    return kinds.UNKNOWN_NODE(
        f"there is no node {quoted(name)}" + (f"; did you mean {meant}?" if meant else ""),
        where=where,
        remedy=f"write {meant}" if meant else "add the node, or remove the name",
        known=", ".join(nodes),
    )


def _properties(properties: dict[str, str], found: Found) -> None:
    for name, value in properties.items():
        where = join("cluster.properties", name)
        off = value.lower() in _OFF
        if name not in PROPERTIES:
            meant = nearest(name, PROPERTIES)
            found.append(
                kinds.UNKNOWN_PROPERTY(
                    f"Pacemaker has no property {quoted(name)}" + (f"; did you mean {meant}?" if meant else ""),
                    where=where,
                    remedy=f"rename it to {meant}" if meant else "remove it, unless a rule of yours reads it",
                )
            )
        elif name == "stonith-enabled" and off:
            message = "fencing is switched off for the whole cluster"
            found.append(kinds.NO_FENCING(message, where=where, remedy="remove this property"))
        elif name == "startup-fencing" and off:
            message = "nodes that were never seen would count as dead without being fenced"
            found.append(kinds.UNSAFE_PROPERTY(message, where=where, remedy="remove this property"))
        elif name == "no-quorum-policy" and value.lower() == "ignore":
            message = "a node that is cut off would go on starting VMs"
            remedy = "remove this property: hactl sets freeze"
            found.append(kinds.UNSAFE_PROPERTY(message, where=where, remedy=remedy))


def _agent(device: Table, found: Found) -> None:
    agent = (device["agent"] or "").removeprefix("stonith:")
    if agent in FAKE:
        found.append(
            kinds.FAKE_FENCING(
                f"{agent} does not fence: {FAKE[agent]}",
                where=f"{device['where']}.agent",
                remedy="use the host's BMC (fence_ipmilan, fence_redfish), a power switch or fence_sbd",
            )
        )


def _secrets(name: str, device: Table, found: Found) -> None:
    for key, value in device["rest"].items():
        if is_secret(key) and not REFERENCE.fullmatch(value):
            found.append(
                kinds.OPEN_SECRET(
                    f"the {key} stands in the spec itself",
                    where=join(device["where"], key),
                    remedy="put it into a file that only root reads, and write "
                    f'{key} = "file:/etc/hacluster/secrets/{name}"',
                )
            )


def _node(name: str, node: Table, nodes: dict[str, Table], devices: dict[str, Table], found: Found) -> None:
    levels = node["fencing"]
    if levels is None:
        return  # given wrongly, and reported
    if not levels:
        able = [d for d, device in devices.items() if name in targets(d, device, nodes)]
        if any(_cuts_storage_only([d], devices) for d in able):  # without levels Pacemaker may take any of them first
            _report_storage_only(f"the fencing of {name}", f"{node['where']}.fencing", found, last_resort=False)
        if devices and not able:
            found.append(
                kinds.NODE_UNFENCED(
                    f"no fence device can fence {name}",
                    where=f"{node['where']}.fencing",
                    remedy=f'give {name} a level: fencing = ["{next(iter(devices))}"]',
                )
            )
        return
    for i, level in enumerate(levels):
        here = f"{node['where']}.fencing[{i}]"
        for device in level:
            if device not in devices:
                meant = nearest(device, devices)
                found.append(
                    kinds.UNKNOWN_DEVICE(
                        f"there is no fence device {quoted(device)}" + (f"; did you mean {meant}?" if meant else ""),
                        where=here,
                        remedy=f"write {meant}" if meant else f"describe it: [fence_devices.{device}]",
                        known=", ".join(devices),
                    )
                )
            elif (listed := devices[device]["targets"]) is not None and name not in listed:
                found.append(
                    kinds.NOT_A_TARGET(
                        f"{name} is to be fenced by {device}, whose targets do not include {name}",
                        where=here,
                        remedy=f"add {name} to fence_devices.{device}.targets, or remove the targets",
                    )
                )
        if _cuts_storage_only(level, devices):
            _report_storage_only(f"level {i + 1} of {name}", here, found, last_resort=i > 0)
    for device, described in devices.items():
        if name in (described["targets"] or ()) and not any(device in level for level in levels):
            found.append(
                kinds.NOT_A_TARGET(
                    f"{device} names {name} as a target, but {name}'s levels do not use it",
                    where=f"{node['where']}.fencing",
                    remedy=f"add {device} to a level of {name}, or remove {name} from its targets",
                )
            )


def _cuts_storage_only(level: Iterable[str], devices: dict[str, Table]) -> bool:
    """Whether all devices of a level leave the node running; those that are not described are reported elsewhere."""
    agents = [(devices[device]["agent"] or "").removeprefix("stonith:") for device in level if device in devices]
    return bool(agents) and all(agent in STORAGE_ONLY for agent in agents)


def _report_storage_only(what: str, where: str, found: Found, *, last_resort: bool) -> None:
    report = kinds.STORAGE_LAST if last_resort else kinds.STORAGE_FENCING
    found.append(
        report(
            f"{what} cuts its disks off and leaves its guests running",
            where=where,
            remedy="use fence_sbd with a watchdog for this level"
            if last_resort
            else "cut its power first, or in the same level: its BMC, a power switch, or fence_sbd with a watchdog",
        )
    )

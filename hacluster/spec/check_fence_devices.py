"""Do a fence device's ports and delays fit the nodes? Two nodes that fence each other at once are both gone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hacluster.problems import kind
from hacluster.spec import check_fencing
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.wording import join, quoted

BAD_PORT = kind(
    "HA265",
    "A fence device's ports do not fit",
    "The ports say what the device calls each node. A wrong one switches another machine off, and success is reported.",
)
BAD_DELAY = kind(
    "HA266",
    "Delays of fencing that contradict each other",
    "pcmk_delay_max is the upper bound of the whole wait, pcmk_delay_base its fixed part.",
)
BOTH_SHOOT = kind(
    "HA267",
    "Two nodes may fence each other at the same time",
    "When their links break, each of two nodes believes that the other has failed. Pacemaker holds back the one that "
    "runs less (priority-fencing-delay, by the VMs' priorities); when both run as much, both shoot at once and are "
    "gone. A fixed delay on the device that fences the node which should survive decides it, or a random one; a quorum "
    "device removes the race.",
    severity="warning",
)

# Pacemaker parts a host map by these (pcmk_host_map), so a port cannot contain them.
_PARTS = re.compile(r"[\s;:=\\]")


def check(draft: Mapping[str, Table], found: Found) -> None:
    """Add what is wrong with ports and delays."""
    nodes, devices = draft["nodes"], draft["fence_devices"]
    for name, device in devices.items():
        _ports(name, device, nodes, found)
        _delays(device, found)
    members = {name: node for name, node in nodes.items() if not node["remote"]}
    if len(members) == 2 and not draft["cluster"]["qdevice"]:
        _race(members, devices, draft["vms"], found)


def _ports(name: str, device: Table, nodes: dict[str, Table], found: Found) -> None:
    ports: dict[str, str] = (device["ports"] or {}).get("rest", {})
    where = f"{device['where']}.ports"
    if ports and "pcmk_host_map" in device["rest"]:
        found.append(
            BAD_PORT(
                f"{name} has ports and a pcmk_host_map", where=where, remedy="remove pcmk_host_map: ports become one"
            )
        )
    targets = check_fencing.targets(name, device, nodes)
    for node, port in ports.items():
        here = join(where, node)
        if node not in nodes:
            found.append(check_fencing.unknown_node(node, here, nodes))
        elif node not in targets:
            found.append(
                BAD_PORT(
                    f"{name} does not fence {node}",
                    where=here,
                    remedy=f"add {node} to its targets, or remove the port",
                )
            )
        if _PARTS.search(port):
            found.append(
                BAD_PORT(
                    f"{quoted(port)} has white space or one of ; : = \\, which part a host map",
                    where=here,
                    remedy="give the device another name for it, or its number or UUID",
                )
            )
    shared = {port for port in ports.values() if list(ports.values()).count(port) > 1}
    for port in sorted(shared):
        several = ", ".join(node for node, each in ports.items() if each == port)
        found.append(
            BAD_PORT(
                f"{several} have the same port {quoted(port)}: fencing the one would switch off the other",
                where=where,
                remedy="look at the device which port is whose",
            )
        )


def _delays(device: Table, found: Found) -> None:
    for ours, theirs in (("delay", "pcmk_delay_base"), ("delay_max", "pcmk_delay_max")):
        if device[ours] is not None and theirs in device["rest"]:
            found.append(
                BAD_DELAY(
                    f"{ours} and {theirs} are the same thing, given twice",
                    where=f"{device['where']}.{theirs}",
                    remedy=f"remove {theirs}",
                )
            )
    if device["delay_max"] is not None and device["delay"] is not None and device["delay_max"] < device["delay"]:
        found.append(
            BAD_DELAY(
                f"at most {device['delay_max']} s of delay, and {device['delay']} s of it fixed",
                where=f"{device['where']}.delay_max",
                remedy="make delay_max the larger one",
            )
        )


def _race(nodes: dict[str, Table], devices: dict[str, Table], vms: Mapping[str, Table], found: Found) -> None:
    random = any(device["delay_max"] or "pcmk_delay_max" in device["rest"] for device in devices.values())
    mapped = any(":" in device["rest"].get("pcmk_delay_base", "") for device in devices.values())
    if random or mapped or any(vm["priority"] for vm in vms.values()):
        return
    waits = [
        {_fixed(device) for name, device in devices.items() if node in check_fencing.targets(name, device, nodes)}
        for node in nodes
    ]
    if waits[0] == waits[1] and all(waits):
        survivor = next(iter(nodes))
        found.append(
            BOTH_SHOOT(
                "nothing makes one of the two nodes shoot later when both run equally much",
                where="fence_devices",
                remedy=f'write delay = "10s" into the device that fences {survivor}, if {survivor} should survive; '
                "or give the more important VMs a priority",
            )
        )


def _fixed(device: Table) -> tuple[int, str]:
    return device["delay"] or 0, device["rest"].get("pcmk_delay_base", "")

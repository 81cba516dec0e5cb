"""Fence devices and levels in the spec's words. Pure.

A password that stands in the CIB does not go into the spec: it becomes a file of its own, to which the spec refers, and
the device is kept as it is until somebody takes it out of the residue.
"""

from __future__ import annotations

import re
from typing import Any

from hacluster.cib.fence_devices import SECRET, as_host_map
from hacluster.importing.view import Primitive, View, seconds
from hacluster.spec.check_fencing import is_secret
from hacluster.spec.names import of_resource
from hacluster.spec.table import FENCE_DEVICE

HOST_LIST, HOST_MAP, DELAY, DELAY_MAX = "pcmk_host_list", "pcmk_host_map", "pcmk_delay_base", "pcmk_delay_max"
_TAKEN = frozenset(field.name for field in FENCE_DEVICE.fields)


def devices(view: View, nodes: dict[str, dict[str, Any]], secrets: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """The tables [fence_devices.*]. Passwords are added to `secrets`, by the file that the spec refers to."""
    return {
        each.id: _device(each, nodes, secrets)
        for each in view.primitives
        if each.agent[0] == "stonith" and each.wrapped == "alone" and of_resource(each.id) is None
    }


def levels(view: View, nodes: dict[str, dict[str, Any]], devices: dict[str, dict[str, Any]]) -> None:
    """Add the levels of the fencing topology to the nodes that it names."""
    found: dict[str, dict[int, list[str]]] = {}
    for level in view.cib.iterfind("configuration/fencing-topology/fencing-level"):
        target, index = level.get("target", ""), level.get("index", "")
        named = [name.strip() for name in level.get("devices", "").split(",")]
        if target in nodes and re.fullmatch("[1-9]", index) and all(name in devices for name in named):
            found.setdefault(target, {})[int(index)] = named
    for node, by_index in found.items():
        if sorted(by_index) == list(range(1, len(by_index) + 1)):
            nodes[node]["fencing"] = [by_index[index] for index in sorted(by_index)]


def _device(device: Primitive, nodes: dict[str, dict[str, Any]], secrets: dict[str, bytes]) -> dict[str, Any]:
    made: dict[str, Any] = {"agent": device.agent[2], "targets": _targets(device, nodes)}
    ours = {HOST_LIST}
    for key, name in (("delay", DELAY), ("delay_max", DELAY_MAX)):
        if (wait := seconds(device.parameters.get(name))) is not None:
            made[key] = f"{wait}s"
            ours.add(name)
    ports = dict(entry.partition(":")[::2] for entry in device.parameters.get(HOST_MAP, "").split(";"))
    if ports.keys() <= set(made["targets"]) and as_host_map(ports) == device.parameters.get(HOST_MAP):
        made["ports"] = ports
        ours.add(HOST_MAP)
    for name, value in device.parameters.items():
        if name in _TAKEN or name in ours or not value:
            continue
        if not is_secret(name):
            made[name] = value
        elif re.fullmatch("[A-Za-z0-9_-]+", name):
            file = f"secrets/{device.id}.{name}"
            made[name] = f"file:{file}"
            if value != SECRET:
                secrets[file] = value.encode()
    return made


def _targets(device: Primitive, nodes: dict[str, dict[str, Any]]) -> list[str]:
    """The nodes that it fences, as far as it names them; all of them where its agent finds out by itself."""
    listed = re.split(r"[\s,;]+", device.parameters.get(HOST_LIST, "").strip())
    mapped = [entry.partition(":")[0] for entry in re.split(r"[\s;]+", device.parameters.get(HOST_MAP, ""))]
    named = [name for name in dict.fromkeys((*listed, *mapped)) if name in nodes]
    return named or list(nodes)

"""Looking at the cluster through the ports: everything at once, each part under its own deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lxml import etree

from hacluster.observe import read, state
from hacluster.observe.views import Observation
from hacluster.ports import Clock, HostFacts, Hosts, Pacemaker, Unknown

_RUNTIME = "/run/libvirt/qemu/{name}.xml"
# Longer than a live migration's switch-over as seen from two nodes that were not asked in the same instant.
_SECOND_LOOK = 0.7


def look(
    pacemaker: Pacemaker, hosts: Hosts, clock: Clock, *, consoles: bool = False, deadline: float = 8.0
) -> Observation:
    """The Observation of this moment. Raises Refused when no cluster answers; silent nodes are Unknown in it.

    Nodes are asked one after another's answer, not in one instant, so a VM that seems to run twice is looked at a
    second time before it is said. `consoles` also reads where the VMs' consoles are, one more question to each node.
    """
    found = _once(pacemaker, hosts, clock, deadline)
    if any(vm.state.startswith(state.TWICE) for vm in found.vms):
        clock.sleep(_SECOND_LOOK)
        found = _once(pacemaker, hosts, clock, deadline)
    if not consoles:
        return found
    known = _consoles(hosts, found)
    return replace(found, vms=tuple(replace(vm, consoles=known.get(vm.name, {})) for vm in found.vms))


def _once(pacemaker: Pacemaker, hosts: Hosts, clock: Clock, deadline: float) -> Observation:
    cib = pacemaker.cib()
    facts = hosts.facts(read.node_names(cib), deadline=deadline)
    return read.observe(cib, pacemaker.monitor(), facts, now=clock.wall())


def _consoles(hosts: Hosts, found: Observation) -> Mapping[str, Mapping[str, str]]:
    """Each running VM's console addresses, from libvirt's own record of the running domain on its node."""
    answers: dict[str, Mapping[str, str]] = {}
    for node in found.nodes:
        here = {_RUNTIME.format(name=vm.name): vm.name for vm in found.vms if vm.node == node.name}
        if not here or not isinstance(node.facts, HostFacts):
            continue
        files = hosts.read(node.name, list(here), deadline=3.0)
        if not isinstance(files, Unknown):
            answers.update({here[path]: addresses(text, node.name) for path, text in files.items() if path in here})
    return answers


def addresses(runtime: bytes, node: str) -> Mapping[str, str]:
    """Console addresses in libvirt's runtime XML of a domain: vnc and spice as host:port, a pty as node:path. Pure."""
    try:
        root = etree.fromstring(runtime)
    except etree.XMLSyntaxError:
        return {}
    found: dict[str, str] = {}
    for graphics in root.iterfind(".//devices/graphics"):
        port = graphics.get("port", "-1")
        if port not in ("-1", "0"):
            listen = graphics.get("listen") or "127.0.0.1"
            everywhere = listen in ("0.0.0.0", "::")
            found[graphics.get("type", "graphics")] = f"{node}:{port}" if everywhere else f"{listen}:{port} on {node}"
    for device in root.iterfind(".//devices/serial"):
        source = device.find("source")
        if source is None:
            continue
        if device.get("type") == "pty" and source.get("path"):
            found.setdefault("pty", f"{source.get('path')} on {node}")
        elif device.get("type") in ("file", "unix") and source.get("path"):
            found.setdefault("serial", f"{source.get('path')} on {node}")
        elif device.get("type") == "tcp":
            found.setdefault("tcp", f"{source.get('host', '127.0.0.1')}:{source.get('service')} on {node}")
    return found

"""The bridges that VMs are attached to, the same on every node.

A bridge takes its interface away from whatever used it. So the spec names the interface, and one that has addresses is
refused: it may be the one over which bootstrap came.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from hacluster import model
from hacluster.bootstrap.changes import Change, CommandChange, file_change
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.steps import Looked, Site
from hacluster.problems import Problem, kind

NO_BRIDGE = kind(
    "HA627",
    "A bridge is missing, and the spec does not say what it is made of",
    "A VM that moves must find its network on the other node, by the same name.",
)
INTERFACE_USED = kind(
    "HA628",
    "The interface for a bridge is missing, or has addresses of its own",
    "Put into a bridge, an interface loses its addresses: a node that is reached over it would be gone.",
)

INTERFACES = "/etc/network/interfaces"
_FOLDER = f"{INTERFACES}.d"


@dataclass(frozen=True, slots=True)
class Bridges:
    """The step. It writes for ifupdown, which Debian's installer sets up."""

    name: str = "bridges"
    title: str = "bridges for VMs"
    together: bool = True

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        answers = site.each(lambda host: [_bridge(host, network) for network in site.cluster.networks])
        parts = [part for looked in answers.values() for part in looked]
        return Looked(
            tuple(change for part in parts for change in part.changes),
            tuple(problem for part in parts for problem in part.problems),
        )


def _bridge(host: Host, network: model.Network) -> Looked:
    path = f"{_FOLDER}/hacluster-{network.bridge}"
    there = host.run(["test", "-d", f"/sys/class/net/{network.bridge}/bridge"]).ok
    before = host.read(path)
    if there and before is None:
        return Looked()  # an admin's own
    if network.interface is None:
        remedy = (
            f'interface = "…" below networks.{network.name}, or interface = "none" for one without; or make it by hand'
        )
        message = f"{host.name} has no bridge {network.bridge}"
        return Looked(problems=(NO_BRIDGE(message, where=f"networks.{network.name}", remedy=remedy),))
    wrong = None if there else _unfit(host, network)
    if wrong is not None:
        return Looked(problems=(wrong,))
    changes: tuple[Change, ...] = ()
    main = host.read(INTERFACES)
    if b"interfaces.d" not in (main or b""):
        after = (main or b"") + b"source /etc/network/interfaces.d/*\n"
        changes += file_change(host.name, INTERFACES, main, after)
    changes += file_change(host.name, path, before, stanza(network).encode())
    if not there:
        argv = ("ifup", network.bridge)
        changes += (CommandChange(host.name, argv, f"the bridge of {network.name}", deadline=120.0),)
    return Looked(changes)


def stanza(network: model.Network) -> str:
    """What ifupdown is told of a bridge (interfaces(5)). It needs iproute2 alone, and can be brought up twice.

    Without spanning tree, as the kernel's bridges are by default, and without a delay: a VM's frames pass at once.
    """
    lines = [
        f"auto {network.bridge}",
        f"iface {network.bridge} inet manual",
        "    pre-up ip link show dev $IFACE >/dev/null 2>&1 || ip link add name $IFACE type bridge forward_delay 0",
    ]
    if network.interface != "none":
        lines += [f"    up ip link set dev {network.interface} master $IFACE up"]
    return "\n".join([*lines, "    up ip link set dev $IFACE up", "    post-down ip link delete dev $IFACE"]) + "\n"


def _unfit(host: Host, network: model.Network) -> Problem | None:
    if network.interface in (None, "none"):
        return None
    done = host.run(["ip", "-json", "address", "show", "dev", str(network.interface)])
    where, remedy = (
        f"networks.{network.name}.interface",
        "name one that carries nothing else, or make the bridge by hand",
    )
    if not done.ok:
        return INTERFACE_USED(f"{host.name} has no interface {network.interface}", where=where, remedy=remedy)
    told = json.loads(done.out or b"[]")
    addresses = [
        each["local"] for entry in told for each in entry.get("addr_info", []) if each.get("scope") == "global"
    ]
    if not addresses:
        return None
    message = f"{network.interface} of {host.name} has addresses of its own"
    return INTERFACE_USED(message, where=where, remedy=remedy, addresses=", ".join(addresses))

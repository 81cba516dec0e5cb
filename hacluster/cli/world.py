"""Wiring: the only place where the ports get their real implementations."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from lxml import etree

from hacluster.edge.clock import SystemClock
from hacluster.edge.hosts import NodeHosts
from hacluster.edge.libvirt import NodeLibvirt
from hacluster.edge.pacemaker import PacemakerTools
from hacluster.edge.ssh import NodeRunner
from hacluster.ports import Unreachable
from hacluster.problems import Refused, kind

NODE_UNREACHABLE = kind(
    "HA604",
    "The node that hactl works through does not answer",
    "hactl asks the cluster through one node: this machine if it is one, else the one given by --node or HACTL_NODE.",
)


@dataclass(frozen=True)
class World:
    """The ports, wired to one cluster. `pacemaker`, `runner` and `clock` are ready; `hosts` is made at first use."""

    runner: NodeRunner
    pacemaker: PacemakerTools
    clock: SystemClock

    @cached_property
    def hosts(self) -> NodeHosts:
        """The nodes. How their libvirt is reached stands in the CIB, where `hactl apply` wrote it."""
        transport, addresses = migration_settings(self.pacemaker.cib())
        return NodeHosts(self.runner, NodeLibvirt(self.runner.is_local, transport, addresses))


def connect(node: str | None = None, ssh_hosts: Mapping[str, str] | None = None) -> World:
    """The world as seen through a node: the one given, else HACTL_NODE, else this machine.

    `ssh_hosts` maps node names to what ssh dials, where the spec says so. Raises Refused when the node does not answer.
    """
    through = node or os.environ.get("HACTL_NODE") or socket.gethostname().split(".")[0]
    runner = NodeRunner(ssh_hosts)
    if not runner.is_local(through):
        try:
            runner.run(through, ["true"], deadline=8.0)
        except Unreachable as error:
            raise Refused(
                NODE_UNREACHABLE(str(error), where=f"node {through}", remedy="name a node that is up with --node NODE")
            ) from error
    return World(runner, PacemakerTools(runner, through), SystemClock())


def migration_settings(cib: bytes) -> tuple[str, Mapping[str, str]]:
    """The migration transport and the nodes' migration hosts, as the VMs in the CIB have them. Pure."""
    root = etree.fromstring(cib)
    transport = "ssh"
    addresses: dict[str, str] = {}
    for nvpair in root.iterfind("./configuration/resources//instance_attributes/nvpair"):
        if nvpair.get("name") == "migration_transport":
            transport = nvpair.get("value", transport)
        elif nvpair.get("name") == "migration_hosts":
            addresses.update(pair.split("=", 1) for pair in nvpair.get("value", "").split() if "=" in pair)
    return transport, addresses

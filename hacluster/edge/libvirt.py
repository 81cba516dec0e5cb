"""libvirt's own API to the nodes' daemons: a running migration's numbers, and whether a CPU suits a guest.

libvirt's calls have no deadline of their own (a new connection to a stopped daemon is bounded by nothing), so each one
runs under `deadline.within`. Answers are for people and preflight; they are never the proof of where a VM runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

import libvirt
import structlog
from lxml import etree

from hacluster.edge.deadline import Expired, within
from hacluster.ports import Unknown

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

NUMBERS = (
    "data_total", "data_processed", "data_remaining", "memory_bps", "downtime", "time_elapsed",
    "memory_iteration", "memory_dirty_rate", "memory_page_size", "auto_converge_throttle",
)  # fmt: skip


class NodeLibvirt:
    """Kept connections to the nodes' libvirt. `transport` is ssh, tcp or tls; `hosts` maps nodes to what is dialled.

    `is_local` says whether a node is this machine, whose daemon is reached through its own socket.
    """

    def __init__(
        self, is_local: Callable[[str], bool], transport: str = "ssh", hosts: Mapping[str, str] | None = None
    ) -> None:
        self._is_local = is_local
        self._transport = transport
        self._hosts = dict(hosts or {})
        self._guard = threading.Lock()
        self._connections: dict[str, libvirt.virConnect] = {}

    def uri(self, node: str) -> str:
        """The URI of a node's libvirt, as seen from here."""
        if self._is_local(node):
            return "qemu:///system"
        host = self._hosts.get(node, node)
        return (
            f"qemu+ssh://root@{host}/system?no_tty=1"
            if self._transport == "ssh"
            else f"qemu+{self._transport}://{host}/system"
        )

    def job(self, node: str, domain: str, deadline: float) -> Mapping[str, int] | Unknown | None:
        """As Hosts.job."""

        def ask(connection: libvirt.virConnect) -> Mapping[str, int] | None:
            try:
                stats = connection.lookupByName(domain).jobStats()
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise
            if not stats.get("type"):
                return None
            return {name: int(stats[name]) for name in NUMBERS if name in stats}

        return self._ask(node, ask, deadline)

    def compare_cpu(self, node: str, domain_xml: bytes, deadline: float) -> str | Unknown:
        """As Hosts.compare_cpu."""
        domain = etree.fromstring(domain_xml)
        cpu, machine = domain.find("./cpu"), domain.find("./os/type")
        if cpu is None or cpu.find("./model") is None:
            return "identical"

        def ask(connection: libvirt.virConnect) -> str:
            words = {
                libvirt.VIR_CPU_COMPARE_INCOMPATIBLE: "incompatible",
                libvirt.VIR_CPU_COMPARE_IDENTICAL: "identical",
                libvirt.VIR_CPU_COMPARE_SUPERSET: "superset",
            }
            asked = etree.tostring(cpu, encoding="unicode", with_tail=False)
            arch, model = (None, None) if machine is None else (machine.get("arch"), machine.get("machine"))
            return words[connection.compareHypervisorCPU(None, arch, model, domain.get("type"), asked, 0)]

        return self._ask(node, ask, deadline)

    def _ask(self, node: str, ask: Callable[[libvirt.virConnect], Answer], deadline: float) -> Answer | Unknown:
        try:
            return within(deadline, lambda: ask(self._connection(node)))
        except Expired as error:
            self._forget(node)
            log.warning("libvirt did not answer", node=node, seconds=deadline)
            return Unknown(f"libvirt on {node}: {error}")
        except libvirt.libvirtError as error:
            self._forget(node)
            return Unknown(f"libvirt on {node}: {error}")

    def _connection(self, node: str) -> libvirt.virConnect:
        with self._guard:
            kept = self._connections.get(node)
        if kept is not None and kept.isAlive():
            return kept
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it prints every error on stderr
        opened = libvirt.open(self.uri(node))
        with self._guard:
            self._connections[node] = opened
        return opened

    def _forget(self, node: str) -> None:
        # Not closed: that is a call to the same daemon, and would hang as the one before it did.
        with self._guard:
            self._connections.pop(node, None)

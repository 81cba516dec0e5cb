"""The cluster that the benchmarks run on: the shipped lab's nodes, with the benchmarks' own guests.

All contenders get the same guest (4 MiB, counting) on a block disk of the same kind. The lab makes the disks of all of
them, but the spec that hactl applies names only its own: to hactl the peers' guests are a stranger's.
"""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from hacluster.lab.bed import Bed
from hacluster.model import Cluster, Vm
from hacluster.problems import Refused
from hacluster.spec import parse

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "examples" / "lab.toml"
HOME = "n1"
"""The node that the admin types on."""
GUARDED, RAW, STOCK = "guarded", "raw", "stock"
"""The guests: hactl's, the one that only virsh knows, and the one that pcs created."""
PEER_FILES = "/etc/hacluster-bench"
SPEC = "/etc/hacluster/cluster.toml"


class Failed(Exception):
    """A step that a benchmark needs did not succeed; the text says which and what it printed."""


def spec_text(names: Iterable[str]) -> str:
    """The shipped lab's cluster.toml with these guests instead of its own."""
    head = SHIPPED.read_text().partition("[vms.")[0]
    return head + "".join(_vm(number, name) for number, name in enumerate(names))


def _vm(number: int, name: str) -> str:
    return (
        f"[vms.{name}]\n"
        f'uuid = "{uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.bench.invalid")}"\n'
        'memory = "4M"\nvcpus = 1\ndomain_type = "qemu"\n'
        f'disks = [{{ path = "/dev/lab/{name}", format = "raw", storage = "luns" }}]\n'
        f'nics = [{{ network = "lan", mac = "52:54:00:01:{number >> 8:02x}:{number & 255:02x}" }}]\n'
        'stop_budget = "10s"\n\n'
    )


def cluster(names: Iterable[str]) -> Cluster:
    """The model of `spec_text`. Raises Refused with the spec's findings."""
    made, problems = parse(spec_text(names).encode(), SHIPPED.parent)
    if made is None:
        raise Refused(problems)
    return made


class Stage:
    """A lab that is up, with `guarded` applied; commands typed in its nodes."""

    def __init__(self, bed: Bed, whole: Cluster) -> None:
        self.bed = bed
        self._vms = {vm.name: vm for vm in whole.vms}
        self._hosts = {node.name: node.migration_host or node.name for node in whole.nodes}
        self._peers = False

    def vm(self, name: str) -> Vm:
        """A guest of this stage, whoever manages it."""
        return self._vms[name]

    def uri(self, node: str) -> str:
        """What virsh dials for a migration to a node: the address that hactl uses, too."""
        return f"qemu+tcp://{self._hosts[node]}/system"

    def run(self, node: str, argv: Sequence[str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """A command in a node, whatever its exit code."""
        return self.bed.exec(node, argv, timeout=timeout)

    def do(self, node: str, argv: Sequence[str], timeout: float = 120) -> str:
        """A command in a node that must succeed; what it printed. Raises Failed."""
        done = self.run(node, argv, timeout)
        if done.returncode:
            raise Failed(f"{node}$ {' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def python(self, node: str, module: str, *arguments: str, timeout: float = 300) -> str:
        """Run a module of this project in a node; what it printed. Raises Failed."""
        return self.do(node, ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", module, *arguments], timeout)

    def put(self, node: str, path: str, content: str) -> None:
        """Write a file in a node. Raises Failed."""
        script = 'mkdir -p "$(dirname "$0")" && cat >"$0"'
        done = self.bed.exec(node, ["sh", "-c", script, path], stdin=content)
        if done.returncode:
            raise Failed(f"{node}: cannot write {path}: {done.stderr}")

    def settle(self) -> None:
        """Wait until Pacemaker has nothing left to do. Raises Failed."""
        self.do(HOME, ["crm_resource", "--wait", "--timeout=600"], 630)

    def where(self, name: str) -> list[str]:
        """The nodes whose libvirt has a running copy of a guest."""
        return [
            node
            for node in self.bed.nodes()
            if self.run(node, ["virsh", "--quiet", "domstate", name]).stdout.strip() == "running"
        ]

    def boots(self, name: str) -> int:
        """How often a guest has booted, as its disk tells. Raises Failed when the disk shows a second writer."""
        report = self.bed.canary(name).check()
        if not report.clean:
            raise Failed(f"{name}: a second copy wrote: {report.findings[0].text}")
        return len(report.boots)

    def counting(self, name: str, timeout: float = 60) -> None:
        """Wait until a guest writes. Raises Failed."""
        canary = self.bed.canary(name)
        before, end = canary.last(), time.monotonic() + timeout
        while canary.last() <= before:
            if time.monotonic() > end:
                raise Failed(f"{name} does not count")
            time.sleep(0.2)

    def apply(self, names: Iterable[str]) -> None:
        """`hactl apply` of these guests. Raises Failed."""
        self.put(HOME, SPEC, spec_text(names))
        self.do(HOME, ["hactl", "apply"], 400)
        self.settle()

    def peers(self) -> None:
        """Start the guests that hactl does not manage, once; all three then run on HOME. Raises Failed."""
        if self._peers:
            return
        for node in self.bed.nodes():
            for name in (RAW, STOCK):
                self.put(node, self.file(name), self.vm(name).domain_xml.decode())
        self.do(HOME, ["virsh", "create", self.file(RAW)])
        self.do(HOME, ["pcs", *stock_resource(STOCK, self.file(STOCK)), "--wait=60"])
        self._peers = True
        self.home()

    def home(self) -> None:
        """Bring the guests to HOME, so that the next measurements begin alike. Raises Failed."""
        if self.where(GUARDED) != [HOME]:
            self.do(HOME, ["hactl", "vm", "move", GUARDED, HOME])
        if self.where(STOCK) != [HOME]:
            self.do(HOME, ["pcs", "resource", "move", STOCK, HOME])
        (here,) = self.where(RAW)
        if here != HOME:
            self.do(here, ["virsh", "migrate", "--live", RAW, self.uri(HOME)])
        self.settle()
        for name in (GUARDED, RAW, STOCK):
            self.counting(name)

    @staticmethod
    def file(name: str) -> str:
        """Where a peer's domain XML lies on every node."""
        return f"{PEER_FILES}/{name}.xml"


def stock_resource(name: str, config: str, *, disabled: bool = False) -> list[str]:
    """The pcs words that create a VM under ocf:heartbeat:VirtualDomain as the guides do.

    autoset_utilization_* is off: on (the agent's default) it would write into the CIB in the middle of a measurement.
    """
    off = [f"autoset_utilization_{what}=false" for what in ("cpu", "host_memory", "hv_memory")]
    return [
        "resource", "create", name, "ocf:heartbeat:VirtualDomain", f"config={config}", "hypervisor=qemu:///system",
        "migration_transport=tcp", "migration_network_suffix=-link1", *off,
        "op", "start", "timeout=120s", "stop", "timeout=180s", "monitor", "interval=10s", "timeout=30s",
        "migrate_to", "timeout=120s", "migrate_from", "timeout=120s", "meta", "allow-migrate=true",
        *(["--disabled"] if disabled else []),
    ]  # fmt: skip

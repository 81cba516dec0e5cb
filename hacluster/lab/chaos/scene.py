"""The cluster that chaos is made in: how one types in it, where its VMs are, when it is at rest, what an admin does.

Where a VM is comes from the observer, not from the cluster. `Guarded` and `Stock` (their own modules) say what differs
between a cluster that hactl applied and one that was set up as the guides do.
"""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from lxml import etree

from hacluster.lab.bed import Bed
from hacluster.lab.chaos import boards
from hacluster.lab.chaos.deeds import Aim, Deed, Missed, judged
from hacluster.lab.chaos.observer import Observer
from hacluster.model import Cluster
from hacluster.problems import Refused, kind

OTHER_KIND = kind(
    "HA727",
    "The lab has a cluster of the other kind",
    "Chaos with and without hactl is made in fresh labs: what one leaves would be counted as the other's.",
)

SPEC = "/etc/hacluster/cluster.toml"


class Scene(ABC):
    """A lab with its cluster. `observer` watches it from outside."""

    kind = ""

    def __init__(self, bed: Bed, cluster: Cluster, observer: Observer, tell: Callable[[str], None]) -> None:
        self.bed = bed
        self.cluster = cluster
        self.observer = observer
        self.tell = tell
        self.nodes = [node.name for node in cluster.nodes]
        self.hosts = {node.name: node.migration_host or node.addresses[-1] for node in cluster.nodes}
        self.vms = {vm.name: vm for vm in cluster.vms}
        self.helped: list[str] = []

    # ---- to be said by each kind of cluster

    @abstractmethod
    def set_up(self) -> None:
        """Make the cluster; nothing when it is there. Raises Refused."""

    def agent(self) -> str:
        """The provider of the VMs' agents in the CIB: hacluster, heartbeat, or empty while there are no VMs."""
        done = self.run(self.nodes[0], ["cibadmin", "--query", "-o", "resources"], 20)
        if done.returncode:
            return ""
        agents = etree.fromstring(done.stdout.encode()).iterfind(".//*[@type='VirtualDomain']")
        return next((str(agent.get("provider")) for agent in agents), "")

    def refuse_other(self, wanted: str) -> None:
        """Raises Refused when the lab's VMs are under another agent than the one that is asked for."""
        found = self.agent()
        if found not in ("", wanted):
            raise Refused(
                OTHER_KIND(
                    f"The VMs of the lab {self.bed.name} are under ocf:{found}:VirtualDomain.",
                    where=self.bed.name,
                    remedy=f"hactl lab down --name {self.bed.name}; hactl lab up --name {self.bed.name}",
                )
            )

    @abstractmethod
    def move(self, vm: str, node: str) -> list[str]:
        """The command that moves a VM live, as its users type it."""

    @abstractmethod
    def move_again(self, vm: str, node: str) -> list[str]:
        """The command that takes up a move whose command was killed."""

    @abstractmethod
    def power(self, vm: str, order: str) -> list[str]:
        """The command that starts or stops a VM."""

    @abstractmethod
    def config(self, vm: str) -> str:
        """Where a VM's domain XML lies on the nodes; a pattern for the shell."""

    @abstractmethod
    def clean_up(self, vm: str) -> list[str]:
        """The command after which Pacemaker tries again."""

    def rescue(self, vm: str) -> list[str]:
        """What an admin types for a VM that does not come to rest."""
        return self.clean_up(vm)

    @abstractmethod
    def doubts(self) -> dict[str, str]:
        """What is not as it should be although everything seems at rest, by VM or node; a deep and dear look."""

    @abstractmethod
    def explained(self, vm: str) -> str:
        """What the cluster's tools say about why a VM does not run; empty when they say nothing."""

    # ---- typing

    def run(self, node: str, argv: Sequence[str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A command in a node. One that cannot be begun, or hangs, has exit code 255."""
        try:
            if self.bed.power(node, "status") != "on":
                return subprocess.CompletedProcess(list(argv), 255, "", f"{node} is not on")
            return self.bed.exec(node, argv, timeout=timeout)
        except Refused as refused:
            return subprocess.CompletedProcess(list(argv), 255, "", str(refused))
        except (subprocess.TimeoutExpired, OSError) as error:
            return subprocess.CompletedProcess(list(argv), 255, "", f"{node}: {error}")

    def typed(self, node: str, argv: Sequence[str], timeout: float = 60) -> Deed:
        """A command in a node, as a deed."""
        done = self.run(node, argv, timeout)
        return judged(done.returncode, done.stdout + done.stderr)

    def sh(self, node: str, script: str, timeout: float = 60) -> Deed:
        """A shell script in a node, as a deed."""
        return self.typed(node, ["sh", "-c", script], timeout)

    # ---- aiming

    def powered(self) -> list[str]:
        """The nodes that are on."""
        return [node for node in self.nodes if self.bed.power(node, "status") == "on"]

    def prompt(self, without: str = "") -> str:
        """A node to type cluster commands on: the first one that has quorum, else one that is on. Raises Missed."""
        found = [node for node in self.powered() if node != without]
        if not found:
            raise Missed("no node is on")
        quorate = (node for node in found if self.run(node, ["crm_node", "-q"], 3).stdout.strip() == "1")
        return next(quorate, found[0])

    def home(self, aim: Aim) -> str:
        """Where the VM runs. Raises Missed when it does not."""
        found = self.observer.home(aim.vm)
        if found is None:
            raise Missed(f"{aim.vm} runs nowhere")
        return found

    def other(self, aim: Aim) -> str:
        """A powered node where the VM does not run, picked by the aim. Raises Missed."""
        here = self.observer.home(aim.vm)
        found = [node for node in self.powered() if node != here]
        if not found:
            raise Missed("no other node is on")
        return found[int(aim.pick * len(found)) % len(found)]

    def node(self, aim: Aim) -> str:
        """The node that the aim means now. Raises Missed when it is off."""
        found = self.home(aim) if aim.node == "home" else self.other(aim) if aim.node == "other" else aim.node
        if self.bed.power(found, "status") == "off":
            raise Missed(f"{found} is off")
        return found

    def switch_on(self, node: str) -> None:
        """Press the power button of a node that is off, unless its board is about to."""
        if self.bed.power(node, "status") == "off" and not boards.switching(self.bed, node):
            self.bed.power(node, "on")

    def plug(self, node: str) -> None:
        """Plug all of a node's links in; a node that is off has them plugged when it comes back."""
        if self.bed.power(node, "status") != "off":
            self.bed.link(node, True)

    # ---- the whole cluster

    def undo_all(self) -> None:
        """Undo what a run that was broken off may have left: wires, boards, daemons that stand still."""
        for node in self.nodes:
            boards.put_back(self.bed, node)
            if self.bed.power(node, "status") == "frozen":
                self.bed.power(node, "thaw")
            self.plug(node)
            self.run(node, ["pkill", "-CONT", "."], 15)

    def crm_mon(self) -> etree._Element | None:
        """Pacemaker's status as the first node that has a DC tells it."""
        for node in self.powered():
            done = self.run(node, ["crm_mon", "-1", "--output-as=xml"], 10)
            if done.returncode == 0:
                tree = etree.fromstring(done.stdout.encode())
                if tree.find("summary/current_dc[@present='true']") is not None:
                    return tree
        return None

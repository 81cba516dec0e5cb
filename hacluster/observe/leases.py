"""What is wrong with libvirt's lock driver: a node that keeps no leases, guests without theirs, leases left over. Pure.

The CIB says which leases there have to be (the lockspace agent's parameters), each node's probe which there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lxml import etree

from hacluster import lock_driver
from hacluster.model import LockDriver
from hacluster.observe.views import NodeView, Observation
from hacluster.ports import HostFacts, LeaseFacts
from hacluster.problems import Problem, kind

NOT_SET_UP = kind(
    "HA323",
    "A node's libvirt does not keep the leases that the spec asks for",
    "A lease that one node does not ask for protects nothing, so the guard starts and receives no VM there.",
)
LOST = kind(
    "HA324",
    "A node has lost its leases",
    "virtlockd died, and its locks with it. Guests run on, each under its run-lock; no VM starts or arrives on that "
    "node until libvirtd has registered with the new virtlockd, which it does only when it is started.",
)
BARE = kind(
    "HA325",
    "A VM runs without the leases of its disks",
    "The run-lock alone keeps a second copy away. libvirt takes a lease when a guest starts, arrives or is resumed, "
    "not when its daemons come back. Do not suspend and resume it: that lease outlives a QEMU that is killed, and then "
    "the VM starts nowhere.",
    severity="warning",
)
ASTRAY = kind(
    "HA326",
    "The nodes keep their leases in different directories",
    "Where two nodes do not see the same directory, a lease on the one says nothing to the other.",
)
LEFT = kind(
    "HA327",
    "A lease is left of a VM that does not run there",
    "virtlockd keeps it until it ends itself. Until then the VM can be started on no node.",
)
NO_WATCHDOG = kind(
    "HA328",
    "sanlock on a node without a watchdog",
    "When the node goes silent, sanlock gives its leases to others and relies on the watchdog having reset it by then.",
)
PAGE = "docs/lock-driver.md"


def wanted(cib: etree._Element) -> LockDriver:
    """What a CIB asks of libvirt's lock driver."""
    for primitive in cib.iterfind("./configuration/resources//primitive"):
        if (primitive.get("provider"), primitive.get("type")) == ("hacluster", "lockspace"):
            told = {p.get("name"): p.get("value", "") for p in primitive.iterfind("./instance_attributes/nvpair")}
            name = told.get("lock_driver", "")
            if name in ("lockd", "sanlock"):
                return LockDriver(name, told.get("lockspace_dir", ""), told.get("lockspace_mount", ""))
    return LockDriver()


def judge(seen: Observation) -> Iterator[Problem]:
    """All findings of an Observation; none where the CIB asks for no leases."""
    told = {node.name: node.facts.leases for node in seen.nodes if isinstance(node.facts, HostFacts)}
    yield from unready(seen.lock_driver, told)
    if seen.lock_driver.name == "none":
        return
    yield from _astray({name: leases for name, leases in told.items() if leases is not None})
    for node in seen.nodes:
        if isinstance(node.facts, HostFacts) and node.facts.leases is not None:
            yield from _node(node, node.facts.leases, seen)


def unready(driver: LockDriver, told: Mapping[str, LeaseFacts | None]) -> Iterator[Problem]:
    """The nodes whose libvirt is not set up for this driver, as far as they tell. Whoever wants none is content."""
    if driver.name == "none":
        return
    for name, leases in told.items():
        if not isinstance(leases, LeaseFacts):
            continue
        wrong = lock_driver.differences(lock_driver.settings(driver), leases.settings)
        if not wrong and leases.in_use is False:
            wrong = [f"libvirtd was started without {driver.name}"]
        if wrong:
            yield NOT_SET_UP(
                f"{name}'s libvirt does not keep the leases that the spec asks for",
                where=f"node {name}",
                remedy=f"set it as {PAGE} says; then on {name}: systemctl restart libvirtd (guests run on)",
                wrong="; ".join(wrong),
            )
        if driver.name == "sanlock" and leases.watchdog is False:
            yield NO_WATCHDOG(
                f"{name} has no watchdog device",
                where=f"node {name}",
                remedy='load its watchdog\'s driver, or choose lock_driver = "lockd"',
            )


def _astray(told: Mapping[str, LeaseFacts]) -> Iterator[Problem]:
    """An identity is written by the first start on any node; until then there is nothing to compare."""
    known = {name: leases.identity for name, leases in told.items() if leases.identity is not None}
    if len(set(known.values())) > 1:
        yield ASTRAY(
            "the nodes do not see the same directory of leases",
            where="libvirt",
            remedy="hactl status, which says where the storage with the leases is not mounted",
            **{name: f"{leases.directory} {leases.identity or '(empty)'}" for name, leases in told.items()},
        )


def _node(node: NodeView, leases: LeaseFacts, seen: Observation) -> Iterator[Problem]:
    if "virtlockd" in leases.problem:
        yield LOST(
            leases.problem.partition(";")[0],
            where=f"node {node.name}",
            remedy=f"on {node.name}: systemctl restart libvirtd (guests run on); then: {_moves(leases.bare, seen)}",
        )
    for vm in seen.vms:
        if bare := leases.bare.get(vm.uuid):
            yield BARE(
                f"{vm.name} runs on {node.name} without a lease on {', '.join(bare)}",
                where=f"vm {vm.name}",
                remedy=f"hactl vm move {vm.name}, which takes a new one on the target",
            )
    for path in leases.left:
        yield LEFT(
            f"{node.name} holds the lease of {path} and runs no VM with that disk",
            where=f"node {node.name}",
            remedy=f"move the other VMs away from {node.name}, then there: systemctl restart virtlockd libvirtd",
        )


def _moves(uuids: Iterable[str], seen: Observation) -> str:
    names = {vm.uuid: vm.name for vm in seen.vms}
    return "; ".join(f"hactl vm move {names[uuid]}" for uuid in uuids if uuid in names) or "hactl status"

"""Which barriers stand under a VM against a second copy: fencing, the run-lock, and a lock under QEMU. Pure.

A lock under QEMU counts only where other nodes see it: QEMU's image lock on a file of a cluster file system, or
libvirt's lease in a lockspace on one. On a block device both are this node's own affair, and the paused hand-over takes
their place: then the guest runs on neither side while it is switched over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hacluster.cib.managed import ManagedVm
from hacluster.lock_driver import QEMU_CONF
from hacluster.observe.leases import unready
from hacluster.observe.views import Observation, VmView
from hacluster.ports import HeldLock, HostAudit, HostDisk, HostFacts, LeaseFacts, Unknown

Reach = Literal["cluster", "node", "none", "unknown"]
Audits = Mapping[str, HostAudit | Unknown]

CLUSTER_WIDE = frozenset({"gfs2", "ocfs2", "nfs4"})
"""File systems on which a lock that one node takes is seen by all: POSIX and OFD locks go through DLM or the server."""


@dataclass(frozen=True, slots=True)
class Barriers:
    """What stands under one VM.

    `unfenceable` are the nodes that no working fence device targets, `fencing` whether Pacemaker fences at all;
    `run_lock` is None for a VM that is not guarded, else whether it is sealed where it runs and every node's hook
    stands; `image_lock` and `lease` say how far they reach; `handover` is the CIB's word: paused, running or leased.
    `storage` says what its disks are: block, missing, or the file system that a file is on; empty when nobody tells.
    """

    fencing: bool
    unfenceable: tuple[str, ...]
    run_lock: bool | None
    image_lock: Reach
    lease: Reach
    handover: str
    storage: tuple[str, ...] = ()

    @property
    def disks_locked(self) -> bool | None:
        """Whether a lock that all nodes see lies under every disk; None when it is not known."""
        if "cluster" in (self.image_lock, self.lease):
            return True
        return None if "unknown" in (self.image_lock, self.lease) else False

    @property
    def switch_over(self) -> bool | None:
        """Whether something keeps the two ends of a live move from running at once when a reply is lost.

        With handover=leased the agent looks for the leases itself, and pauses where one is missing.
        """
        return self.disks_locked if self.handover == "running" else True


def barriers(vm: VmView, configured: ManagedVm | None, seen: Observation, audits: Audits) -> Barriers:
    """The barriers of a VM; `configured` is what the CIB says of it, None for a VM that is not guarded."""
    disks = _disks(vm, audits)
    return Barriers(
        fencing=seen.cluster.stonith,
        unfenceable=unfenceable(seen),
        run_lock=_run_lock(vm, seen) if vm.agent == "hacluster" else None,
        image_lock=_image_lock(vm, disks),
        lease=_lease(vm, seen),
        handover=configured.parameters.get("handover", "paused") if configured is not None else "running",
        storage=tuple(sorted({disk.filesystem or disk.kind for disk in disks or ()})),
    )


def unfenceable(seen: Observation) -> tuple[str, ...]:
    """The nodes that no fence device that should run targets. One without a list of its own may fence any node."""
    devices = [device for device in seen.fencing if device.wanted]
    if any(not device.targets for device in devices):
        return ()
    return tuple(node.name for node in seen.nodes if not any(node.name in device.targets for device in devices))


def _run_lock(vm: VmView, seen: Observation) -> bool:
    told = [node.facts for node in seen.nodes if isinstance(node.facts, HostFacts)]
    if any(facts.hook_ok is not True for facts in told):
        return False
    held = vm.locks.get(vm.node) if vm.node is not None else None
    return vm.node is None or (isinstance(held, HeldLock) and held.mode in ("EX", "PW"))


def _disks(vm: VmView, audits: Audits) -> tuple[HostDisk, ...] | None:
    """The VM's disks as its node sees them, or any node while it runs nowhere; None when nobody tells."""
    nodes = [vm.node] if vm.node is not None else sorted(audits)
    for node in nodes:
        told = audits.get(node)
        if isinstance(told, HostAudit) and told.disks is not None:
            found = tuple(disk for disk in told.disks if disk.uuid == vm.uuid)
            if found:
                return found
    return None


def _image_lock(vm: VmView, disks: tuple[HostDisk, ...] | None) -> Reach:
    """QEMU's own lock on its images. Of a running VM it must be seen; of a stopped one its file system decides."""
    if disks is None:
        return "unknown"
    if any(disk.shareable for disk in disks):
        return "none"
    if vm.node is not None and not all(
        any(user.locked for user in disk.users if user.uuid == vm.uuid) for disk in disks
    ):
        return "none"
    return "cluster" if all(disk.kind == "file" and disk.filesystem in CLUSTER_WIDE for disk in disks) else "node"


def manager(told: LeaseFacts) -> str:
    """The lock manager that a node's libvirt is set to use; empty for none."""
    name = told.settings.get(QEMU_CONF, {}).get("lock_manager", "")
    return "" if name == "nop" else name


def _lease(vm: VmView, seen: Observation) -> Reach:
    """libvirt's lease on the VM's disks: a barrier only when every node asks for one, in a place that all share."""
    told = {node.name: node.facts.leases for node in seen.nodes if isinstance(node.facts, HostFacts)}
    known = [leases for leases in told.values() if leases is not None]
    if not known or len(known) < len(told):
        return "unknown"
    if seen.lock_driver.name != "none":
        here = told.get(vm.node or "")
        missing = here is not None and vm.uuid in here.bare
        return "none" if missing or any(unready(seen.lock_driver, told)) else "cluster"
    if len({manager(leases) for leases in known}) > 1 or not manager(known[0]):
        return "none"
    # Nobody vouches for a directory that the spec does not name.
    shared = len({leases.directory for leases in known}) == 1 and known[0].directory
    return "cluster" if shared and all(leases.filesystem in CLUSTER_WIDE for leases in known) else "node"

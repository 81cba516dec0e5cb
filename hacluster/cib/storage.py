"""Compiling storage: from the lock manager up to what a VM stands on, and what a VM's disks allow at a hand-over.

What is the same for all VMs of a storage is a clone that all of them stand on. A logical volume per VM is different:
shared on every node for a VM that moves live, exclusive beside the VM otherwise (docs/decisions/0012).
"""

from __future__ import annotations

from functools import singledispatch

from lxml import etree

from hacluster import model
from hacluster.cib import names
from hacluster.cib.draft import Draft
from hacluster.problems import Problem, kind
from hacluster.stacks import STACKS

IMPATIENT = kind(
    "HA208",
    "A VM on NFS whose agent does not wait for a dead node's locks",
    "The server keeps the locks of a node that died until its lease ends, 90 s by default and long after it has been "
    "fenced. QEMU refuses to start meanwhile. heartbeat's agent then fails at once, three times on each node, and "
    "Pacemaker tries no more; the guarded agent waits for the lock.",
    severity="warning",
)


def check(cluster: model.Cluster) -> tuple[Problem, ...]:
    """A warning for VMs that would not come back after their node's death."""
    nfs = {storage.name: storage.server for storage in cluster.storages if isinstance(storage, model.Nfs)}
    return tuple(
        IMPATIENT(
            f"{vm.name} would not start again after its node's death before somebody cleans up",
            where=f"vms.{vm.name}.agent",
            remedy=f'agent = "hacluster"; or let {nfs[on]} end leases sooner (nfsd\'s lease-time), and clean up: '
            f"pcs resource cleanup {vm.name}",
        )
        for vm in cluster.vms
        if vm.agent == "heartbeat" and (on := next((name for name in vm.storages if name in nfs), None)) is not None
    )


def lock_manager(draft: Draft) -> None:
    """The DLM, unless something else keeps the locks, and the lockspace of the run-locks upon it."""
    if draft.cluster.lock_manager == "dlm":
        draft.clone("controld", names.DLM)
    driver = draft.cluster.lock_driver
    leases = driver.name != "none"
    _after_dlm(
        draft,
        draft.clone(
            "lockspace",
            names.LOCKSPACE,
            lock_driver=driver.name if leases else None,
            lockspace_dir=driver.directory if leases else None,
            lockspace_mount=driver.mount if leases else None,
        ),
    )


@singledispatch
def add(storage: model.Storage, draft: Draft) -> str | None:
    """Compile a storage; the clone after which VMs on it can start, or None when nothing is common to all of them."""
    del storage, draft
    return None


@add.register
def _gfs2(storage: model.Gfs2, draft: Draft) -> str:
    return _file_system(draft, "gfs2", storage, _activated(draft, storage))


@add.register
def _ocfs2(storage: model.Ocfs2, draft: Draft) -> str:
    if storage.volume_group is not None:
        below = _activated(draft, storage)
    elif draft.cluster.lock_manager == "dlm":
        below = names.clone(names.DLM)
    else:
        below = None
    mounted = _file_system(draft, "ocfs2", storage, below)
    if storage.o2cb:
        daemon = names.clone(names.O2CB)
        if not draft.has(daemon):
            draft.clone("o2cb", names.O2CB)
            _after_dlm(draft, daemon)
        draft.then(daemon, mounted)
    return mounted


@add.register
def _nfs(storage: model.Nfs, draft: Draft) -> str | None:
    if storage.outside:
        return None
    server = f"[{storage.server}]" if ":" in storage.server else storage.server
    return draft.clone(
        "nfs",
        names.filesystem(storage.name),
        device=f"{server}:{storage.export}",
        mount=storage.mount,
        options=",".join((f"vers={storage.version}", *storage.options)),
    )


@add.register
def _directory(storage: model.Directory, draft: Draft) -> str:
    return draft.clone(
        "directory",
        names.filesystem(storage.name),
        source=storage.source,
        mount=storage.mount,
        options=",".join(dict.fromkeys(("bind", *storage.options))),
    )


@add.register
def _shared_lvm(storage: model.SharedLvm, draft: Draft) -> None:
    """The volumes that VMs have on it, all of them after the volume manager by one tag."""
    volumes = [
        (names.vm_volume(storage.name, volume), volume, vm)
        for vm in draft.cluster.vms
        for volume in volumes_of(storage, vm)
    ]
    if not volumes:
        return
    manager = _volume_manager(draft, storage)
    tag = etree.Element("tag", id=names.volumes_on(storage.name))
    draft.tags.append(tag)
    for primitive, volume, vm in volumes:
        values = {
            "volume_group": storage.volume_group,
            "logical_volume": volume,
            "volume_manager": storage.volume_manager,
        }
        if vm.migration.mode == "live":
            top = draft.clone("lvm-activate", primitive, **values)
            draft.then(top, vm.name)
        else:
            top = primitive
            draft.resources.append(draft.library.render("lvm-exclusive", primitive, id=primitive, **values))
            draft.before(top, vm.name)
            draft.beside(
                top, vm.name
            )  # the other way round, the volumes are placed first, in view of no rule of the VM
        etree.SubElement(tag, "obj_ref", id=top)
    draft.then(manager, names.volumes_on(storage.name))


def pin(draft: Draft, vms: str, storages: tuple[str, ...]) -> None:
    """Keep VMs, which the tag `vms` names, on the node whose own disk they have."""
    home = next((s.node for s in draft.cluster.storages if isinstance(s, model.Local) and s.name in storages), None)
    if home is not None:
        for node in draft.cluster.nodes:
            if node.name != home:
                draft.location(names.avoids(vms, node.name), vms, node.name, "-INFINITY")


def handover(cluster: model.Cluster, vm: model.Vm) -> str:
    """`running` only where QEMU's own image lock holds cluster-wide under every disk (stacks.py). Elsewhere `leased`,
    if the admin wants to rely on libvirt's leases: the agent looks for them before each move.
    """
    kinds = {storage.name: STACKS[storage.stack] for storage in cluster.storages}
    if vm.disks and all(disk.device == "file" and kinds[disk.storage].image_lock for disk in vm.disks):
        return "running"
    leased = vm.disks and all(kinds[disk.storage].leases for disk in vm.disks)
    return "leased" if leased and cluster.lock_driver.handover == "running" else "paused"


def volumes_of(storage: model.SharedLvm, vm: model.Vm) -> tuple[str, ...]:
    """The logical volumes of a storage that are the VM's disks, in their order."""
    return tuple(disk.path.rpartition("/")[2] for disk in vm.disks if disk.storage == storage.name)


def _file_system(draft: Draft, template: str, storage: model.Gfs2 | model.Ocfs2, below: str | None) -> str:
    device = f"/dev/{storage.volume_group}/{storage.logical_volume}" if storage.volume_group else storage.device
    mounted = draft.clone(
        template,
        names.filesystem(storage.name),
        device=device,
        mount=storage.mount,
        options=",".join(storage.options) or None,
    )
    if below is not None:
        draft.then(below, mounted)
    return mounted


def _activated(draft: Draft, storage: model.Gfs2 | model.Ocfs2) -> str:
    """The clone that has the storage's volume active on every node."""
    manager = _volume_manager(draft, storage)
    volume = draft.clone(
        "lvm-activate",
        names.volume(storage.name),
        volume_group=storage.volume_group,
        logical_volume=storage.logical_volume,
        volume_manager=storage.volume_manager,
    )
    draft.then(manager, volume)
    return volume


def _volume_manager(draft: Draft, storage: model.Gfs2 | model.Ocfs2 | model.SharedLvm) -> str:
    """The clone of LVM's lock daemon; one for all volume groups."""
    manager = names.clone(storage.volume_manager)
    if not draft.has(manager):
        draft.clone(storage.volume_manager, storage.volume_manager)
        _after_dlm(draft, manager)
    return manager


def _after_dlm(draft: Draft, clone: str) -> None:
    if draft.cluster.lock_manager == "dlm":
        draft.then(names.clone(names.DLM), clone)

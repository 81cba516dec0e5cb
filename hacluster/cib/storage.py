"""Compiling storage: from the lock manager up to what a VM stands on, and what a VM's disks allow at a hand-over."""

from __future__ import annotations

from hacluster import model
from hacluster.cib import names
from hacluster.cib.draft import Draft


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


def add(draft: Draft, storage: model.Storage) -> str | None:
    """Compile a storage; the clone after which VMs on it can start, or None when nothing has to be activated."""
    if isinstance(storage, model.Gfs2):
        return _gfs2(draft, storage)
    if isinstance(storage, model.Directory):
        return draft.clone(
            "directory",
            names.filesystem(storage.name),
            source=storage.source,
            mount=storage.mount,
            options=",".join(dict.fromkeys(("bind", *storage.options))),
        )
    return None


def handover(cluster: model.Cluster, vm: model.Vm) -> str:
    """`running` only where QEMU's own image lock holds cluster-wide under every disk: files on GFS2. Elsewhere
    `leased`, if the admin wants to rely on libvirt's leases: the agent looks for them before each move.
    """
    on_gfs2 = {storage.name for storage in cluster.storages if isinstance(storage, model.Gfs2)}
    if vm.disks and all(disk.device == "file" and disk.storage in on_gfs2 for disk in vm.disks):
        return "running"
    return "leased" if vm.disks and cluster.lock_driver.handover == "running" else "paused"


def _after_dlm(draft: Draft, clone: str) -> None:
    if draft.cluster.lock_manager == "dlm":
        draft.then(names.clone(names.DLM), clone)


def _gfs2(draft: Draft, storage: model.Gfs2) -> str:
    manager = names.clone(storage.volume_manager)
    if not draft.has(manager):
        draft.clone(storage.volume_manager, storage.volume_manager)
        _after_dlm(draft, manager)
    volume = draft.clone(
        "lvm-activate",
        names.volume(storage.name),
        volume_group=storage.volume_group,
        logical_volume=storage.logical_volume,
        volume_manager=storage.volume_manager,
    )
    draft.then(manager, volume)
    mounted = draft.clone(
        "gfs2",
        names.filesystem(storage.name),
        device=storage.device,
        mount=storage.mount,
        options=",".join(storage.options) or None,
    )
    draft.then(volume, mounted)
    return mounted

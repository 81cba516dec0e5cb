"""What the probe tells of libvirt's lock driver: how it is set up, whether its daemon lives, which disks have a lease.

All of it from files and /proc, but for the one file that tells whether all nodes see the same directory of leases: that
is read in a child which is given up when the storage hangs.
"""

from __future__ import annotations

import os

from hacluster.guard import proof, state
from hacluster.guard.child import in_child
from hacluster.guard.dlm import DlmError
from resource_agents import lock_driver
from resource_agents.domains import domain_files

QEMU_CONF = f"{lock_driver.CONFIG}/qemu.conf"
FILES = {
    QEMU_CONF: ("lock_manager",),
    f"{lock_driver.CONFIG}/qemu-lockd.conf": (
        "auto_disk_leases", "require_lease_for_disks", "file_lockspace_dir", "lvm_lockspace_dir", "scsi_lockspace_dir",
    ),
    f"{lock_driver.CONFIG}/qemu-sanlock.conf": (
        "auto_disk_leases", "require_lease_for_disks", "disk_lease_dir", "host_id",
    ),
    "/etc/sanlock/sanlock.conf": ("use_watchdog",),
}  # fmt: skip
STORAGE = 1.0
"""Seconds for the file on the shared storage."""


def facts(domains: str) -> dict[str, object]:
    """The facts. `domains` is the directory of the domain files."""
    record = state.read_pairs(state.LOCKSPACE) or {}
    asked = lock_driver.wanted(record)
    told = {path: _chosen(path, names) for path, names in FILES.items()}
    manager = told[QEMU_CONF].get("lock_manager", "")
    directory = _directory(manager, told)
    names = {uuid: (name, lock_driver.disks(xml)) for uuid, name, xml in domain_files(domains)}
    bare = lock_driver.bare([name for name, _ in names.values()], asked)
    return {
        "settings": told,
        "in_use": lock_driver.in_use(manager) if manager else None,
        "problem": lock_driver.problem(record),
        "daemon": lock_driver.daemon("virtlockd") or None,
        "directory": directory,
        "filesystem": list(lock_driver.mounted(directory)) if directory else None,
        "identity": _identity(directory) if directory else None,
        "bare": {uuid: list(bare[name]) for uuid, (name, _) in names.items() if name in bare},
        "left": _left(names, asked),
        "watchdog": any(name.startswith("watchdog") for name in os.listdir("/dev")),
    }


def _left(names: dict[str, tuple[str, tuple[str, ...]]], asked: dict[str, str]) -> list[str]:
    """Disks with a lease here though no QEMU of their VM lives: there was none between two looks at the leases."""
    held = lock_driver.all_leases(asked)
    present = proof.scan().by_uuid.keys() if held else set()
    held &= lock_driver.all_leases(asked)
    return sorted(
        path
        for uuid, (_, paths) in names.items()
        for path in paths
        if uuid not in present and lock_driver.lease_name(path) in held
    )


def _chosen(path: str, names: tuple[str, ...]) -> dict[str, str]:
    found = lock_driver.settings(path)
    return {name: found[name] for name in names if name in found}


def _directory(manager: str, told: dict[str, dict[str, str]]) -> str:
    """Where the configured driver keeps its leases; empty when it has no directory for them."""
    name = {"lockd": "file_lockspace_dir", "sanlock": "disk_lease_dir"}.get(manager, "")
    return told[f"{lock_driver.CONFIG}/qemu-{manager}.conf"].get(name, "") if name else ""


def _identity(directory: str) -> str | None:
    """The lease directory's own identity; empty when it has none yet, None when the storage did not answer."""

    def read() -> str:
        try:
            with open(f"{directory}/{lock_driver.IDENTITY}", encoding="ascii", errors="replace") as file:
                return file.read().strip()
        except FileNotFoundError:
            return ""

    try:
        return in_child(read, STORAGE)
    except DlmError:
        return None

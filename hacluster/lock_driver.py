"""What libvirt must be told on each node so that it keeps a lease under every disk, as the spec asks for.

The lab writes these files into its nodes, `hactl status` compares them with what a node has, and the page
docs/lock-driver.md tells an admin to write them. Pure.

Leases are named by the disk's path, which the spec has in common for all nodes. So the directories that would name
them by an LVM volume's or SCSI unit's own id (lvm_lockspace_dir, scsi_lockspace_dir) are not set: one disk must have
one name, and these need a tool's run for each disk, under libvirt's locks.
"""

from __future__ import annotations

from collections.abc import Mapping

from hacluster.model import LockDriver

QEMU_CONF = "/etc/libvirt/qemu.conf"
LOCKD_CONF = "/etc/libvirt/qemu-lockd.conf"
SANLOCK_CONF = "/etc/libvirt/qemu-sanlock.conf"
SANLOCK_DAEMON_CONF = "/etc/sanlock/sanlock.conf"

Settings = Mapping[str, str | int | None]
"""Names and values of one file; None for a name that must not be set."""


def settings(driver: LockDriver, host_id: int | None = None) -> dict[str, Settings]:
    """What each file must say, by path. `host_id` is the node's number, which sanlock needs (1 to 2000).

    The names are libvirt's own: qemu.conf, qemu-lockd.conf and qemu-sanlock.conf as libvirt 9.0 brings them.
    """
    if driver.name == "none":
        return {QEMU_CONF: {"lock_manager": None}}
    found: dict[str, Settings] = {QEMU_CONF: {"lock_manager": driver.name}}
    if driver.name == "lockd":
        found[LOCKD_CONF] = {
            "auto_disk_leases": 1,
            "require_lease_for_disks": 1,
            "file_lockspace_dir": driver.directory,
            "lvm_lockspace_dir": None,
            "scsi_lockspace_dir": None,
        }
    else:
        numbered = {"host_id": host_id} if host_id is not None else {}
        found[SANLOCK_CONF] = {
            "auto_disk_leases": 1,
            "require_lease_for_disks": 1,
            "disk_lease_dir": driver.directory,
            **numbered,
        }
        found[SANLOCK_DAEMON_CONF] = {"use_watchdog": 1}
    return found


def text(wanted: Settings) -> str:
    """The lines of a file that say this."""
    return "".join(
        f"{name} = {value}\n" if isinstance(value, int) else f'{name} = "{value}"\n'
        for name, value in wanted.items()
        if value is not None
    )


def differences(wanted: Mapping[str, Settings], told: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What a node's files say otherwise, a phrase each. `told` are its files' settings as text, by path."""
    found = []
    for path, names in wanted.items():
        for name, value in names.items():
            is_now = told.get(path, {}).get(name)
            if is_now != (None if value is None else str(value)):
                said = "not set" if is_now is None else is_now
                found.append(f"{path}: {name} is {said}, {'and must not be set' if value is None else f'not {value}'}")
    return found

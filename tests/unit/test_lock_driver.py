"""What libvirt's files must say for each lock driver, and what a node has that says otherwise."""

from __future__ import annotations

from hacluster.lock_driver import (
    LOCKD_CONF,
    QEMU_CONF,
    SANLOCK_CONF,
    SANLOCK_DAEMON_CONF,
    differences,
    settings,
    text,
)
from hacluster.model import LockDriver

LOCKD = LockDriver("lockd", "/vm/leases", "/vm")
SANLOCK = LockDriver("sanlock", "/vm/leases", "/vm", watchdog="/dev/watchdog")


def test_lockd_locks_every_disk_by_its_path_in_one_directory() -> None:
    wanted = settings(LOCKD, 1)
    assert text(wanted[QEMU_CONF]) == 'lock_manager = "lockd"\n'
    assert text(wanted[LOCKD_CONF]) == (
        'auto_disk_leases = 1\nrequire_lease_for_disks = 1\nfile_lockspace_dir = "/vm/leases"\n'
    )


def test_sanlock_has_the_nodes_number_and_keeps_its_watchdog() -> None:
    wanted = settings(SANLOCK, 3)
    assert text(wanted[QEMU_CONF]) == 'lock_manager = "sanlock"\n'
    assert text(wanted[SANLOCK_CONF]) == (
        'auto_disk_leases = 1\nrequire_lease_for_disks = 1\ndisk_lease_dir = "/vm/leases"\nhost_id = 3\n'
    )
    assert text(wanted[SANLOCK_DAEMON_CONF]) == "use_watchdog = 1\n"


def test_without_a_driver_none_may_be_set() -> None:
    wanted = settings(LockDriver())
    assert text(wanted[QEMU_CONF]) == ""
    assert differences(wanted, {QEMU_CONF: {"user": "root"}}) == []
    assert differences(wanted, {QEMU_CONF: {"lock_manager": "lockd"}}) == [
        "/etc/libvirt/qemu.conf: lock_manager is lockd, and must not be set"
    ]


def test_each_difference_is_told() -> None:
    told = {LOCKD_CONF: {"auto_disk_leases": "0", "file_lockspace_dir": "/vm/leases", "lvm_lockspace_dir": "/vm/lvm"}}
    assert differences(settings(LOCKD), told) == [
        "/etc/libvirt/qemu.conf: lock_manager is not set, not lockd",
        "/etc/libvirt/qemu-lockd.conf: auto_disk_leases is 0, not 1",
        "/etc/libvirt/qemu-lockd.conf: require_lease_for_disks is not set, not 1",
        "/etc/libvirt/qemu-lockd.conf: lvm_lockspace_dir is /vm/lvm, and must not be set",
    ]

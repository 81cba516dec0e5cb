"""The spec's table [libvirt]: which lock driver keeps leases, where, and what it relies on."""

from __future__ import annotations

import pytest

from tests.unit.spec.example import SMALL, VM, cluster, findings, only

LOCKD = '[libvirt]\nlock_driver = "lockd"\nlockspace_dir = "/vm/leases"\n'
ON_BLOCK = VM.replace("/vm/web.img", "/dev/luns/web")


def test_without_the_table_libvirt_keeps_no_leases() -> None:
    assert cluster(SMALL + VM).lock_driver.name == "none"


def test_every_vm_stands_on_the_storage_of_its_leases() -> None:
    assert [vm.storages for vm in cluster(SMALL + ON_BLOCK).vms] == [("luns",)]
    made = cluster(SMALL + ON_BLOCK + LOCKD)
    assert [vm.storages for vm in made.vms] == [("luns", "s")]
    assert (made.lock_driver.directory, made.lock_driver.mount) == ("/vm/leases", "/vm")
    assert made.lock_driver.handover == "paused"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param('lock_driver = "lockd"', ("HA111", "libvirt.lockspace_dir"), id="no directory"),
        pytest.param(
            'lock_driver = "lockd"\nlockspace_dir = "/var/lib/libvirt/lockd"',
            ("HA154", "libvirt.lockspace_dir"),
            id="a directory of this host alone",
        ),
        pytest.param(
            'lock_driver = "lockd"\nlockspace_dir = "/dev/luns/leases"',
            ("HA154", "libvirt.lockspace_dir"),
            id="a directory of devices",
        ),
        pytest.param('lockspace_dir = "/vm/leases"', ("HA113", "libvirt.lockspace_dir"), id="leases that nobody keeps"),
        pytest.param('handover = "running"', ("HA113", "libvirt.handover"), id="running without a lease"),
        pytest.param(
            'lock_driver = "sanlock"\nlockspace_dir = "/vm/l"\nwatchdog = "/dev/watchdog"\nhandover = "running"',
            ("HA113", "libvirt.handover"),
            id="running with sanlock, whose leases were never seen to cover a move",
        ),
        pytest.param(
            'lock_driver = "sanlock"\nlockspace_dir = "/vm/leases"',
            ("HA155", "libvirt.watchdog"),
            id="sanlock without a watchdog",
        ),
    ],
)
def test_one_mistake_one_finding(given: str, expected: tuple[str, str]) -> None:
    assert findings(SMALL + VM + f"[libvirt]\n{given}\n") == [expected]


def test_a_wrong_word_is_said_once() -> None:
    problem = only(SMALL + VM + LOCKD.replace('"lockd"', '"lockdd"'))
    assert (problem.code, problem.where) == ("HA113", "libvirt.lock_driver")
    assert "lockd" in problem.remedy


def test_the_remedy_names_a_shared_directory() -> None:
    problem = only(SMALL + VM + LOCKD.replace("/vm/leases", "/tmp/leases"))
    assert problem.remedy == 'write lockspace_dir = "/vm/leases"'

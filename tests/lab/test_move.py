"""A VM changes its node: live, refused, failed, recovered. On block disks, where nothing but the guard protects it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hacluster import claim
from hacluster.claim import Claim
from hacluster.lab.bed import Bed
from tests.lab.admin import Admin

pytestmark = [pytest.mark.lab, pytest.mark.root]


@pytest.fixture(scope="module")
def cluster(bed: Bed) -> Admin:
    """The shipped spec, applied."""
    admin = Admin(bed)
    admin.do("apply")
    return admin


@pytest.fixture
def admin(cluster: Admin) -> Iterator[Admin]:
    """The cluster at rest, with web running; afterwards no disk may show a second writer."""
    cluster.settled("web", "db", "mail")
    yield cluster
    for vm in ("web", "db", "mail"):
        cluster.boots(vm)


def test_a_live_move_goes_on_counting_and_leaves_nothing_behind(admin: Admin) -> None:
    source, target, boots = admin.where("web"), admin.elsewhere("web"), admin.boots("web")
    said = admin.do("vm", "move", "web", target)
    assert f"web moved live from {source} to {target}" in said
    assert admin.where("web") == target
    assert admin.vm("web")["locks"][target]["mode"] == "EX"
    assert admin.vm("web")["locks"][source] is None
    assert admin.counts("web")
    assert admin.boots("web") == boots, "the guest was restarted"
    assert admin.claims() == ""


def test_without_a_node_the_best_one_is_chosen(admin: Admin) -> None:
    source = admin.where("mail")
    admin.do("vm", "move", "mail")
    assert admin.where("mail") != source


@pytest.mark.parametrize("way", ["create", "migrate"])
def test_virsh_by_hand_is_refused_with_what_to_type_instead(admin: Admin, way: str) -> None:
    here, other, boots = admin.where("web"), admin.elsewhere("web"), admin.boots("web")
    if way == "create":
        done = admin.sh(other, "virsh create /etc/hacluster/domains/web.*.xml")
    else:
        done = admin.sh(here, f"virsh migrate --live web qemu+tcp://10.99.1.1{other[1:]}/system")
    assert done.returncode != 0
    assert f"hactl vm move web {other}" in done.stderr
    assert admin.where("web") == here
    assert admin.counts("web")
    assert admin.boots("web") == boots


def test_a_missing_bridge_is_found_before_anything_changes(admin: Admin) -> None:
    target, epoch = admin.elsewhere("web"), admin.epoch()
    admin.ok(target, "ip link set br0 name br9")
    try:
        said = admin.refused("vm", "move", "web", target, code="HA415")
    finally:
        admin.ok(target, "ip link set br9 name br0 && ip link set br0 up")
    assert "br0" in said
    assert admin.epoch() == epoch


def test_too_little_memory_is_found_before_anything_changes(admin: Admin) -> None:
    target, epoch = admin.elsewhere("web"), admin.epoch()
    scarce = "sed 's/^MemAvailable:.*/MemAvailable: 20480 kB/' /proc/meminfo >/tmp/meminfo"
    admin.ok(target, f"{scarce} && mount --bind /tmp/meminfo /proc/meminfo")
    try:
        said = admin.refused("vm", "move", "web", target, code="HA416")
    finally:
        admin.ok(target, "umount /proc/meminfo")
    assert "20 MiB free" in said
    assert admin.epoch() == epoch


def test_a_second_operator_is_told_who_and_can_take_over(admin: Admin) -> None:
    source, target, boots = admin.where("web"), admin.elsewhere("web"), admin.boots("web")
    hers = Claim("web", source, target, "alice@n2", 4711, int(time.time()))
    done = admin.bed.exec(
        "n1", ["cibadmin", "--create", "--scope", "constraints", "--xml-pipe"], stdin=claim.to_xml(hers).decode()
    )
    assert done.returncode == 0, done.stderr
    said = admin.refused("vm", "move", "web", target, code="HA411")
    assert "alice@n2" in said
    assert "4711" in said
    assert f"web moved live from {source} to {target}" in admin.do("vm", "move", "web", target, "--resume")
    assert admin.boots("web") == boots
    assert admin.claims() == ""


def test_of_two_who_begin_at_once_one_moves_it(admin: Admin) -> None:
    target = admin.elsewhere("web")
    script = (
        f"hactl vm move web {target} >/tmp/a 2>&1 & hactl vm move web {target} >/tmp/b 2>&1; echo $?; wait %1; echo $?"
    )
    codes = admin.sh("n1", script, 120).stdout.split()
    said = admin.ok("n1", "cat /tmp/a /tmp/b")
    assert sorted(codes) == ["0", "1"], said
    assert "HA411" in said or "HA406" in said, said
    assert admin.where("web") == target


def test_a_failed_migration_leaves_the_guest_running_and_says_why(admin: Admin) -> None:
    source, target, boots = admin.where("web"), admin.elsewhere("web"), admin.boots("web")
    admin.ok(target, "mv /dev/lab/web /dev/lab/away")
    try:
        said = admin.refused("vm", "move", "web", target, code="HA430")
    finally:
        admin.ok(target, "mv /dev/lab/away /dev/lab/web")
    assert "/dev/lab/web" in said, "the cause is not named"
    assert admin.where("web") == source
    assert admin.counts("web")
    assert admin.boots("web") == boots
    assert admin.claims() == ""
    assert not admin.vm("web")["pacemaker"]["blocked"]
    admin.settled("web")
    admin.do("vm", "move", "web", target)


def test_stop_proves_absence_and_start_seals(admin: Admin) -> None:
    assert "no node has a copy" in admin.do("vm", "stop", "db")
    stopped = admin.vm("db")
    assert stopped["copies"] == []
    assert all(lock is None for lock in stopped["locks"].values())
    assert "db runs on" in admin.do("vm", "start", "db")
    assert admin.counts("db")


def test_a_dead_node_is_fenced_and_its_vm_runs_once_elsewhere(admin: Admin) -> None:
    victim, boots = admin.where("web"), admin.boots("web")
    admin.home = next(node for node in admin.bed.nodes() if node != victim)
    try:
        admin.bed.power(victim, "off")
        assert admin.until(lambda: len(admin.vm("web")["copies"]) == 1 and admin.where("web") != victim, 90)
        assert admin.counts("web")
        assert admin.boots("web") == boots + 1
        # Fenced, not only missed: the fence device was asked, and its reboot brings the node back.
        assert f"reboot of {victim}" in admin.ok(admin.home, f"stonith_admin --history {victim}")
        assert admin.until(lambda: admin.bed.power(victim, "status") == "on", 60)
    finally:
        admin.bed.power(victim, "on")
        admin.settled("web", "db", "mail", timeout=120)
        admin.home = "n1"

"""Moves that somebody ends, goes on with, or makes cold; and guests that change memory faster than a line carries it.

A lab of its own: it has one guest more, of 256 MiB, that changes 64 MiB of them all the time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster import claim
from hacluster.claim import Claim, How
from hacluster.lab import guest
from hacluster.lab.bed import Bed
from hacluster.spec import load
from tests.lab.admin import Admin
from tests.lab.conftest import SPEC, lab_name, skip_without_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

BUSY = """
[vms.busy]
uuid = "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a0b1"
memory = "256M"
vcpus = 1
domain_type = "qemu"
disks = [{ path = "/dev/lab/busy", format = "raw", storage = "luns" }]
nics = [{ network = "lan", mac = "52:54:00:00:00:0b" }]
stop_budget = "10s"
serial = "/var/log/hacluster/busy.serial"
migration = { bandwidth = 32, timeout = 25 }
"""
SPIN = 8000
"""How long the guest rests after each page that it changes: so short that it changes all 64 MiB anew while a line of
32 MiB/s carries them once, and so long that in the 10 ms of a second that a guest slowed by 99 % has it changes
1 MiB."""
VMS = ("web", "db", "mail", "busy")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """The shipped cluster and the busy guest, running."""
    skip_without_lab()
    spec = tmp_path_factory.mktemp("spec") / "cluster.toml"
    spec.write_text(SPEC.read_text() + BUSY)
    lab = Bed(lab_name("e"), load(spec))
    try:
        lab.up(spec=spec.read_bytes())
        _make_busy(lab, spec.parent)
        admin = Admin(lab)
        admin.do("apply")
        yield admin
    finally:
        assert lab.down() == []


def _make_busy(lab: Bed, folder: Path) -> None:
    with lab.disks()["busy"].open("r+b") as disk:
        disk.write(guest.assemble(folder, spin=SPIN))


@pytest.fixture
def admin(cluster: Admin) -> Iterator[Admin]:
    """The cluster at rest; afterwards no disk may show a second writer, and no claim may be left."""
    cluster.settled(*VMS)
    yield cluster
    assert cluster.claims() == ""
    for vm in VMS:
        cluster.boots(vm)


def left_behind(admin: Admin, source: str, target: str, since: float, how: How = "live") -> None:
    """The claim of somebody whose hactl is gone, as if made before anything that has happened since."""
    hers = Claim("web", source, target, "alice@n2", 4711, int(since), how)
    argv = ["cibadmin", "--create", "--scope", "constraints", "--xml-pipe"]
    done = admin.bed.exec("n1", argv, stdin=claim.to_xml(hers).decode())
    assert done.returncode == 0, done.stderr


def half_moved_cold(admin: Admin) -> tuple[str, str]:
    """A cold move of web whose hactl died in the moment after its push; its source and its target."""
    source, target = admin.where("web"), admin.elsewhere("web")
    left_behind(admin, source, target, time.time(), "cold")
    admin.ok("n1", "pcs resource disable web")
    assert admin.until(lambda: admin.vm("web")["copies"] == [], 40)
    return source, target


def began(admin: Admin, vm: str, target: str, on: str) -> None:
    """Somebody begins a move in the background; it copies when this returns."""
    admin.ok(on, f"hactl vm move {vm} {target} >/tmp/said 2>&1 & echo $! >/tmp/mover")
    assert admin.until(lambda: "migrating" in admin.ok(on, "cat /tmp/said"), 40), admin.ok(on, "cat /tmp/said")


def test_a_cold_move_boots_the_guest_on_the_target_and_leaves_nothing_behind(admin: Admin) -> None:
    source, target, boots = admin.where("web"), admin.elsewhere("web"), admin.boots("web")
    assert "nothing was changed" in admin.do("vm", "move", "web", target, "--cold", "--dry-run")
    assert f"web moved cold from {source} to {target}" in admin.do("vm", "move", "web", target, "--cold")
    assert admin.where("web") == target
    assert admin.vm("web")["locks"][target]["mode"] == "EX"
    assert admin.counts("web")
    assert admin.boots("web") == boots + 1
    assert "target-role" not in admin.ok("n1", "cibadmin --query --scope resources")


def test_a_cold_move_whose_hactl_died_is_told_and_goes_on(admin: Admin) -> None:
    _, target = half_moved_cold(admin)
    assert "--resume" in admin.refused("vm", "start", "web", code="HA411")
    assert f"cold, to {target}, by alice@n2" in admin.do("vm", "show", "web")
    assert "moved cold" in admin.do("vm", "move", "web", "--resume")
    assert admin.where("web") == target


def test_a_cold_move_whose_hactl_died_can_be_taken_back(admin: Admin) -> None:
    source, _ = half_moved_cold(admin)
    assert f"started again on {source}" in admin.do("vm", "move", "web", "--abort")
    assert admin.where("web") == source
    assert admin.vm("web")["wanted"]


def test_whoever_interrupts_a_cold_move_is_told_how_to_go_on(admin: Admin) -> None:
    target = admin.elsewhere("web")
    script = (
        f"hactl vm move web {target} --cold >/tmp/said 2>&1 & p=$!; "
        "until grep -q 'shutting down' /tmp/said; do sleep 0.05; done; kill $p; wait $p; echo $?; cat /tmp/said"
    )
    said = admin.sh("n1", script).stdout
    assert said.startswith("1\n"), said
    assert "HA444" in said, said
    assert "--resume" in said, said
    assert "--abort" in said, said
    admin.do("vm", "move", "web", "--resume")
    assert admin.where("web") == target


def test_after_the_hand_over_a_move_can_only_go_on(admin: Admin) -> None:
    source, target, since = admin.where("web"), admin.elsewhere("web"), time.time()
    admin.do("vm", "move", "web", target)
    left_behind(admin, source, target, since)
    assert "--resume" in admin.refused("vm", "move", "web", "--abort", code="HA446")
    admin.do("vm", "move", "web", "--resume")
    assert admin.where("web") == target


def test_the_same_pair_again_while_the_configuration_changes_is_still_a_live_move(admin: Admin) -> None:
    source, target, boots = admin.where("web"), admin.elsewhere("web"), admin.boots("web")
    admin.do("vm", "move", "web", target)
    admin.do("vm", "move", "web", source)
    # One change while the memory is copied aborts Pacemaker's transition; slowly, so that it comes in time.
    change = "until virsh domjobinfo web | grep -q Unbounded; do sleep 0.02; done; crm_attribute --name told --update 1"
    admin.ok(source, f"virsh migrate-setspeed web 1; ({change}; touch /tmp/changed) >/dev/null 2>&1 &")
    assert "moved live" in admin.do("vm", "move", "web", target)
    admin.ok(source, "rm /tmp/changed; crm_attribute --name told --delete")
    assert admin.boots("web") == boots


def test_a_dead_operators_copy_is_ended_from_another_node(admin: Admin) -> None:
    source, target, boots = admin.where("busy"), admin.elsewhere("busy"), admin.boots("busy")
    began(admin, "busy", target, on="n2")
    assert "HA445" in admin.refused("vm", "move", "busy", "--abort", code="HA445"), "its owner lives"
    admin.ok("n2", "kill -9 $(cat /tmp/mover)")
    assert f"sealed, on {source}" in admin.do("vm", "move", "busy", "--abort", on="n3")
    assert admin.where("busy") == source
    assert not admin.vm("busy")["pacemaker"]["blocked"]
    assert admin.counts("busy")
    assert admin.boots("busy") == boots


def test_a_living_operators_copy_is_ended_with_consent_and_he_is_told(admin: Admin) -> None:
    source, target, boots = admin.where("busy"), admin.elsewhere("busy"), admin.boots("busy")
    began(admin, "busy", target, on="n2")
    admin.do("vm", "move", "busy", "--abort", "--accept", "HA445", on="n3")
    assert admin.where("busy") == source
    assert admin.until(lambda: "HA430" in admin.ok("n2", "cat /tmp/said"), 40)
    assert "--abort" in admin.ok("n2", "cat /tmp/said")
    assert admin.boots("busy") == boots


def test_a_guest_that_outruns_its_migration_stays_and_the_reason_is_told(admin: Admin) -> None:
    source, target, boots = admin.where("busy"), admin.elsewhere("busy"), admin.boots("busy")
    said = admin.refused("vm", "move", "busy", target, code="HA430")
    assert "as fast as it is copied" in said
    assert "did not end within 25 s" in said
    assert "auto_converge" in said
    assert admin.where("busy") == source
    assert admin.vm("busy")["locks"][source]["mode"] == "EX"
    assert admin.counts("busy")
    assert admin.boots("busy") == boots


def test_the_same_guest_slowed_down_arrives(admin: Admin) -> None:
    admin.ok("n1", "pcs resource update busy auto_converge=true migration_timeout=150")
    admin.settled("busy")
    target, boots = admin.elsewhere("busy"), admin.boots("busy")
    assert "moved live" in admin.do("vm", "move", "busy", target)
    assert admin.where("busy") == target
    assert admin.counts("busy")
    assert admin.boots("busy") == boots

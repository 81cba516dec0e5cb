"""`hactl verify` and `hactl lock` on a real cluster: each finding is made true once by hand, named, and mended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from hacluster import claim
from hacluster.claim import Claim
from hacluster.lab.bed import Bed
from tests.lab.admin import Admin
from tests.lab.conftest import cluster as shipped
from tests.lab.conftest import fresh_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

WEB = next(vm for vm in shipped().vms if vm.name == "web")
XML = f"/etc/hacluster/domains/web.{hashlib.sha256(WEB.domain_xml).hexdigest()[:16]}.xml"
STRANGE = "11111111-2222-4333-8444-555555555555"
GUARD = """/usr/bin/python3 -IS -c '
import sys
sys.path.insert(0, "/usr/lib/hacluster")
from hacluster.guard.lock import RunLock
RunLock("{uuid}").seal(5)'"""
STRANGER = (
    f"qemu-system-x86_64 -S -nodefaults -display none -daemonize -pidfile /run/stranger -uuid {STRANGE} "
    "-drive if=none,id=d,file=/dev/lab/web,format=raw,readonly=on,file.locking=off"
)
SOCKETS = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd-tcp.socket"
OURS = "/usr/lib/hacluster/resource_agents/codes.py"


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A lab of its own: what is broken here must not meet other tests."""
    yield from fresh_lab("v")


@pytest.fixture(scope="module")
def admin(bed: Bed) -> Admin:
    one = Admin(bed)
    one.do("apply")
    one.settled("web", "db", "mail")
    return one


def verified(admin: Admin) -> tuple[int, dict[str, str]]:
    """The exit code, and the findings: message by code."""
    done = admin.hactl("verify", "--json")
    told = json.loads(done.stdout)
    assert told["format"] == 1
    return done.returncode, {problem["code"]: problem["message"] for problem in told["problems"]}


def clean(admin: Admin) -> bool:
    return verified(admin) == (0, {})


@pytest.fixture(autouse=True)
def nothing_is_left(admin: Admin) -> Iterator[None]:
    """Each test begins with a cluster in which nothing is wrong, and leaves one."""
    assert admin.until(lambda: clean(admin), 40), verified(admin)
    yield


@dataclass(frozen=True)
class Wrong:
    """Something by hand on a node that has no copy of web, what is said of it, and how it is mended."""

    code: str
    says: str
    do: str
    undo: str


DEFINED = Wrong("HA319", "web is defined", f"virsh define {XML}", "virsh undefine web")
AUTOSTART = Wrong("HA501", "starts web when its libvirt starts", "virsh autostart web", "virsh autostart --disable web")
GUESTS = Wrong(
    "HA502", "libvirt-guests is enabled", "systemctl enable libvirt-guests", "systemctl disable libvirt-guests"
)
NO_LIBVIRT = Wrong(
    "HA318", "does not answer", f"systemctl stop {SOCKETS} libvirtd", f"systemctl start {SOCKETS} libvirtd"
)
HOOK = Wrong(
    "HA317",
    "hook is missing, not executable, or not ours",
    "chmod -x /etc/libvirt/hooks/qemu.d/hacluster",
    "chmod +x /etc/libvirt/hooks/qemu.d/hacluster",
)
CODE = Wrong("HA504", "do not have the same guard", f"echo '#' >> {OURS}", f"sed -i '$d' {OURS}")
BAN = Wrong(
    "HA320", "cli-ban-web", "crm_resource --ban -r web -N $(hostname)", "crm_resource --clear -r web -N $(hostname)"
)
UNMANAGED = Wrong(
    "HA512",
    "does not act on db",
    "crm_resource -r db --meta -p is-managed -v false",
    "crm_resource -r db --meta -d is-managed",
)
NO_DEVICE = Wrong(
    "HA507",
    "no fence device targets n2",
    "crm_resource -r ipmi-n2 --meta -p target-role -v Stopped",
    "crm_resource -r ipmi-n2 --meta -d target-role",
)
MAINTENANCE = Wrong(
    "HA312",
    "maintenance-mode is set",
    "crm_attribute -n maintenance-mode -v true",
    "crm_attribute -n maintenance-mode -D",
)
NO_FENCING = Wrong(
    "HA310",
    "stonith-enabled is false",
    "crm_attribute -n stonith-enabled -v false",
    "crm_attribute -n stonith-enabled -v true",
)
CLONE = Wrong("HA508", "has web's disk /dev/lab/web open", STRANGER, "kill $(cat /run/stranger); rm -f /run/stranger")
DRIVER = Wrong(
    "HA517",
    "lock_manager settings differ",
    "echo 'lock_manager = \"lockd\"' >> /etc/libvirt/qemu.conf",
    "sed -i '/^lock_manager/d' /etc/libvirt/qemu.conf",
)
# Maintenance comes first where a sweep or a monitor would act on what is wrong before it is looked at.
AT_ONCE = {
    "a node": (DEFINED, AUTOSTART, GUESTS, CODE, CLONE, DRIVER),
    "the cluster": (BAN, UNMANAGED, NO_DEVICE, NO_FENCING),
    "without libvirtd": (MAINTENANCE, HOOK, DEFINED, AUTOSTART, NO_LIBVIRT),
}


def test_a_healthy_cluster_passes_and_shows_what_stands_under_each_vm(admin: Admin) -> None:
    assert "nothing is wrong" in admin.do("verify")
    told = json.loads(admin.do("verify", "--json"))
    lun = {"fencing": True, "run_lock": True, "image_lock": "node", "lease": "none", "handover": "paused"}
    block, file = {**lun, "storage": ["block"]}, {**lun, "storage": ["ext4"]}
    assert {vm["name"]: vm["barriers"] for vm in told["vms"]} == {"db": block, "mail": file, "web": block}


@pytest.mark.parametrize("what", AT_ONCE)
def test_everything_that_is_wrong_is_named_at_once(admin: Admin, what: str) -> None:
    node, wrongs = admin.elsewhere("web"), AT_ONCE[what]
    begun = []
    try:
        for wrong in wrongs:
            admin.ok(node, wrong.do)
            begun.append(wrong)
        code, found = verified(admin)
    finally:
        for wrong in reversed(begun):
            admin.ok(node, wrong.undo)
    assert code == 1
    assert {wrong.code: wrong.says in found.get(wrong.code, "") for wrong in wrongs} == {
        wrong.code: True for wrong in wrongs
    }, found


def test_a_changed_domain_xml_is_named_and_its_remedy_mends_it(admin: Admin) -> None:
    node = admin.elsewhere("web")
    admin.ok(node, f"echo >> {XML}")
    told = json.loads(admin.hactl("verify", "--json").stdout)
    (found,) = told["problems"]
    assert (found["code"], found["message"]) == ("HA503", f"{node}'s domain XML of web was changed")
    admin.ok("n1", found["remedy"])


def test_a_copy_that_was_started_past_the_hook_is_a_second_copy(admin: Admin) -> None:
    home, other = admin.where("web"), admin.elsewhere("web")
    hook = "/etc/libvirt/hooks/qemu.d/hacluster"
    admin.ok("n1", MAINTENANCE.do)
    admin.ok(other, f"mv {hook} /root/hook && systemctl restart libvirtd && virsh create --paused {XML}")
    try:
        code, found = verified(admin)
    finally:
        admin.ok(other, f"virsh destroy web; mv /root/hook {hook} && systemctl restart libvirtd")
        admin.ok("n1", MAINTENANCE.undo)
    assert code == 1
    assert {"HA302", "HA317", "HA312"} <= set(found), found
    assert home in found["HA302"]
    assert other in found["HA302"]
    admin.settled("web")


def test_a_claim_whose_owner_is_gone_is_named_at_once(admin: Admin) -> None:
    home = admin.where("db")
    mine = Claim("db", home, home, "root@n1", 999999, int(admin.ok("n1", "date +%s")))
    admin.bed.exec("n1", ["cibadmin", "--create", "-o", "constraints", "--xml-pipe"], stdin=claim.to_xml(mine).decode())
    try:
        found = verified(admin)[1]
    finally:
        admin.ok("n1", "cibadmin --delete --xpath \"//rsc_location[@id='hactl-move-db']\"")
    assert "the hactl that moves db" in found["HA305"]


def test_a_lock_that_stays_is_listed_and_cleared_with_proof(admin: Admin) -> None:
    node = admin.elsewhere("web")
    admin.do("vm", "stop", "web")
    # In maintenance no monitor runs, and so no sweep that would give these locks back before we do.
    admin.ok("n1", f"{MAINTENANCE.do}; crm_resource --wait")
    try:
        for uuid in (WEB.uuid, STRANGE):
            admin.ok(node, GUARD.format(uuid=uuid))
        found = verified(admin)[1]
        assert f"{node} holds the run-lock of web (EX) and has no copy of it" in found["HA509"]
        assert STRANGE in found["HA511"]
        assert {(row["node"], row["mode"], row["copy"]) for row in locks(admin, WEB.uuid)} == {(node, "EX", "no copy")}
        assert "nothing was done" in admin.do("lock", "clear", "web", "--dry-run")
        assert len(locks(admin, WEB.uuid)) == 1
        cleared = admin.do("lock", "clear", "web")
        assert f"{node} gave the run-lock of web back (EX)" in cleared
        assert "no node holds its run-lock" in cleared
        admin.do("lock", "clear", STRANGE, "--node", node)
        assert locks(admin, WEB.uuid) == locks(admin, STRANGE) == []
        assert "no node holds" in admin.do("lock", "clear", "web")
    finally:
        admin.ok("n1", MAINTENANCE.undo)
    admin.do("vm", "start", "web")


def locks(admin: Admin, uuid: str) -> list[dict[str, Any]]:
    told = json.loads(admin.do("lock", "list", "--json"))
    return [row for row in told["locks"] if row["uuid"] == uuid]


def test_a_lock_is_not_cleared_without_proof(admin: Admin) -> None:
    home, other = admin.where("web"), next(node for node in ("n2", "n3") if node != admin.where("web"))
    assert f"{home} has a copy of web" in admin.refused("lock", "clear", "web", code="HA532")
    assert locks(admin, WEB.uuid)[0]["value_block"] == "admits nobody"
    refusals: list[tuple[str, str, Callable[[], object]]] = [
        ("systemctl stop ssh", "HA531", lambda: admin.ok(other, "systemctl start ssh")),
        (f"systemctl stop {SOCKETS} libvirtd", "HA533", lambda: admin.ok(other, f"systemctl start {SOCKETS} libvirtd")),
    ]
    for act, code, undo in refusals:
        admin.ok(other, act)
        try:
            said = admin.refused("lock", "clear", "web", "--node", other, code=code)
        finally:
            undo()
        assert "→" in said
    assert admin.counts("web")


def test_the_canaries_saw_one_writer(admin: Admin) -> None:
    for name in ("web", "db"):
        assert admin.bed.canary(name).check().clean

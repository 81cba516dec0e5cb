"""Plans that are written down, what others did meanwhile, and taking back what was applied: on a real cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hacluster.lab.bed import Bed
from tests.lab.admin import Admin
from tests.lab.conftest import SPEC, fresh_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

CHANGED, PLAN = "/root/changed.toml", "/root/plan.json"
VMS = ("web", "db", "mail")


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    yield from fresh_lab("p")


@pytest.fixture(scope="module")
def admin(bed: Bed) -> Admin:
    """The cluster as the shipped spec has it, from a plan's file."""
    admin = Admin(bed)
    admin.do("plan", "--out", PLAN)
    assert "configuration pushed and verified" in admin.do("apply", PLAN)
    admin.settled(*VMS)
    return admin


def bigger(admin: Admin, vm: str, size: str) -> str:
    """The shipped spec with another size of memory for one VM, on n1."""
    head, mark, tail = SPEC.read_text().partition(f"[vms.{vm}]")
    text = head + mark + tail.replace('memory = "4M"', f'memory = "{size}"', 1)
    admin.ok("n1", f"cat > {CHANGED} <<'END'\n{text}\nEND")
    return CHANGED


def test_a_plans_file_does_what_it_said_and_then_nothing_is_left(admin: Admin) -> None:
    assert admin.do("plan").strip() == "nothing to do"
    assert admin.ok("n1", f"stat -c %a {PLAN}").strip() == "600"
    password = admin.ok("n1", "cat /var/lib/pacemaker/lrm/secrets/ipmi-n1/password").strip()
    assert password not in admin.ok("n1", f"cat {PLAN}")


def test_the_same_file_a_second_time_is_stale_and_says_since_what(admin: Admin) -> None:
    said = admin.refused("apply", PLAN, code="HA342")
    assert "add fence device ipmi-n1" in said


def test_a_foreign_change_between_plan_and_apply_is_named_and_kept(admin: Admin) -> None:
    admin.do("plan", bigger(admin, "web", "8M"), "--out", PLAN)
    admin.ok("n2", "pcs property set cluster-recheck-interval=11min")
    said = admin.refused("apply", PLAN, code="HA342")
    assert "cluster-recheck-interval" in said
    assert "changed_by cibadmin, on n2" in said
    assert "11min" in admin.ok("n3", "cibadmin --query --scope crm_config")


def test_what_somebody_made_of_a_vm_of_ours_is_told_with_his_name(admin: Admin) -> None:
    admin.ok("n3", "pcs resource update web op monitor interval=10s timeout=77s")
    said = admin.refused("apply", code="HA350")
    assert "applied 30s, now 77s, wanted 30s" in said
    assert "root" in said
    assert "on n3" in said
    admin.do("apply", "--keep", "web")
    assert "77s" in admin.ok("n1", "cibadmin --query --scope resources")
    admin.do("apply", "--accept", "HA350")
    assert "77s" not in admin.ok("n1", "cibadmin --query --scope resources")
    assert admin.do("plan").strip() == "nothing to do"


def test_an_undo_brings_the_old_definition_back_to_every_node_and_no_guest_goes_down(admin: Admin) -> None:
    boots = admin.boots("web")
    admin.do("apply")
    old = admin.ok("n3", "ls /etc/hacluster/domains")
    plan = admin.do("plan", bigger(admin, "web", "8M"))
    assert "hactl vm stop web && hactl vm start web" in plan, "it runs on with its old definition"
    assert "\npcs resource update web config=" in admin.do("plan", CHANGED, "--as-pcs")
    admin.do("apply", CHANGED)
    assert admin.ok("n3", "ls /etc/hacluster/domains") != old
    dry = admin.do("undo", "--dry-run")
    assert "web: reload" in dry
    admin.do("undo")
    assert admin.ok("n3", "ls /etc/hacluster/domains") == old
    assert admin.do("plan").strip() == "nothing to do"
    admin.do("undo")
    assert admin.do("plan", CHANGED).strip() == "nothing to do"
    admin.do("undo", on="n2")
    assert admin.do("plan").strip() == "nothing to do"
    assert admin.boots("web") == boots
    assert admin.counts("web")
    told = json.loads(admin.do("undo", "--list", "--json"))["changes"]
    assert [bool(change["undoes"]) for change in told[:4]] == [True, True, True, False]


def test_undoing_the_arrival_of_a_vm_has_to_be_accepted(admin: Admin) -> None:
    text = SPEC.read_text()
    begin = text.index("[vms.db]")
    end = text.find("[vms.", begin + 1)
    admin.ok("n1", f"cat > {CHANGED} <<'END'\n{text[:begin] + (text[end:] if end > 0 else '')}\nEND")
    said = admin.do("plan", CHANGED, "--accept", "HA332")
    assert "hactl vm stop db" in said
    admin.do("apply", CHANGED, "--accept", "HA332")
    admin.do("undo")
    admin.settled(*VMS)
    admin.do("undo", "--accept", "HA332")
    admin.refused("apply", CHANGED, "--keep", "web", code="HA353")
    admin.do("apply")
    admin.settled(*VMS)
    admin.refused("undo", code="HA332")

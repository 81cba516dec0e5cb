"""Fence devices asked, proven and caught lying, on a lab of their own: nodes are switched off and on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hacluster.fencing_proof import PREFIX
from hacluster.lab.chaos import boards
from tests.lab.admin import Admin
from tests.lab.conftest import fresh_lab

pytestmark = pytest.mark.lab

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


@pytest.fixture(scope="module")
def admin() -> Iterator[Admin]:
    """The shipped spec applied on a new lab."""
    for bed in fresh_lab("f"):
        admin = Admin(bed)
        admin.do("apply")
        yield admin


def standing(admin: Admin, node: str) -> object:
    told = json.loads(admin.hactl("status", "--json").stdout)
    return next(each["standing"] for each in told["fencing_proven"] if each["node"] == node)


def test_every_board_is_asked_from_every_node_that_may_use_it(admin: Admin) -> None:
    told = json.loads(admin.do("fence", "test", "--json"))
    asked = {(each["device"], each["target"], each["from"]): each["answer"] for each in told["answers"]}
    pairs = [(target, node) for target in ("n1", "n2", "n3") for node in ("n1", "n2", "n3") if node != target]
    assert asked == {(f"ipmi-{target}", target, node): "on" for target, node in pairs}

    admin.ok("n2", "mv /var/lib/pacemaker/lrm/secrets/ipmi-n3/password /root/")
    try:
        said = admin.refused("fence", "test", "n3", code="HA543")
    finally:
        admin.ok("n2", "mv /root/password /var/lib/pacemaker/lrm/secrets/ipmi-n3/")
    assert "on from n1" in said
    assert "from_n2 its secrets store has no password for ipmi-n3" in said


def test_a_node_with_vms_is_not_fenced_for_a_test(admin: Admin) -> None:
    before = admin.ok("n3", BOOT_ID)
    assert "n3 is not in standby" in admin.refused("fence", "test", "--really", "n3", code="HA545")
    assert (admin.ok("n3", BOOT_ID), standing(admin, "n3")) == (before, "never")


def test_a_drained_node_is_fenced_and_proven_by_its_boot_id(admin: Admin) -> None:
    before = admin.ok("n3", BOOT_ID)
    admin.ok("n1", "pcs node standby n3 && crm_resource --wait")
    told = json.loads(admin.do("fence", "test", "--really", "n3", "--json"))
    after = admin.ok("n3", BOOT_ID)
    assert (told["proven"], told["online"], told["devices"]) == (True, True, ["ipmi-n3"])
    assert (told["boots"]["before"], told["boots"]["after"]) == (before.strip(), after.strip())
    assert before != after
    assert (standing(admin, "n3"), standing(admin, "n1")) == ("proven", "never")
    assert all(admin.boots(name) == 1 for name in ("web", "db", "mail"))


def test_a_board_that_lies_is_caught_and_remembered(admin: Admin) -> None:
    """On the node that the test before has drained; its board was honest then."""
    admin.ok("n1", "pcs node standby n3 && crm_resource --wait")
    before = admin.ok("n3", BOOT_ID)
    put_back = boards.replace(admin.bed, "n3", boards.LYING)
    try:
        admin.refused("fence", "test", "--really", "n3", code="HA542")
    finally:
        put_back()
    assert admin.ok("n3", BOOT_ID) == before
    assert standing(admin, "n3") == "lied"
    assert f'name="{PREFIX}n3" value="lied ' in admin.ok("n2", "cibadmin --query --scope crm_config")

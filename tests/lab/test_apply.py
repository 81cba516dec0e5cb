"""From one file to VMs that run, and from one file to the next: apply on a real cluster, with other admins about."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator

import pytest

from hacluster.lab.bed import Bed
from tests.lab.admin import Admin
from tests.lab.conftest import SPEC, fresh_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

CHANGED = "/root/changed.toml"
VMS = ("web", "db", "mail")


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A lab of its own: these tests begin with an empty configuration and leave foreign things in it."""
    yield from fresh_lab("a")


@pytest.fixture(scope="module")
def first(bed: Bed) -> tuple[Admin, str, str]:
    """The plan and the apply on the blank cluster, as they were printed."""
    admin = Admin(bed)
    return admin, admin.do("plan"), admin.do("apply")


@pytest.fixture
def admin(first: tuple[Admin, str, str]) -> Admin:
    """The cluster as the shipped spec has it, at rest."""
    first[0].do("apply", "--accept", "HA332", "--accept", "HA333")
    first[0].settled(*VMS)
    return first[0]


def write(admin: Admin, text: str, path: str = CHANGED) -> str:
    for node in admin.bed.nodes():
        admin.ok(node, f"cat > {path} <<'END'\n{text}\nEND")
    return path


def without(vm: str) -> str:
    """The shipped spec less one VM."""
    text = SPEC.read_text()
    begin = text.index(f"[vms.{vm}]")
    end = text.find("[vms.", begin + 1)
    found = text[:begin] + (text[end:] if end > 0 else "")
    assert set(tomllib.loads(found)["vms"]) == set(VMS) - {vm}
    return found


def bigger(vm: str) -> str:
    """The shipped spec with twice the memory for one VM."""
    head, mark, tail = SPEC.read_text().partition(f"[vms.{vm}]")
    return head + mark + tail.replace('memory = "4M"', 'memory = "8M"', 1)


def domain_files(admin: Admin, node: str) -> list[str]:
    return admin.ok(node, "ls /etc/hacluster/domains").split()


def test_the_plan_for_a_blank_cluster_names_everything_and_changes_nothing(first: tuple[Admin, str, str]) -> None:
    plan = first[1]
    for line in ("+ VM web", "+ fence device ipmi-n1", "> domain XML web to n1, n2, n3", "web starts on", "web: start"):
        assert line in plan, plan


def test_apply_from_nothing_ends_with_every_vm_running_once_and_sealed(first: tuple[Admin, str, str]) -> None:
    admin, _, said = first
    assert "configuration pushed and verified" in said
    for vm in VMS:
        told = admin.vm(vm)
        assert told["state"] == f"running on {told['node']}"
        assert told["locks"][told["node"]]["mode"] == "EX"
    assert admin.hactl("status").returncode == 0


def test_every_node_has_the_files_and_the_secrets_and_nobody_else_can_read_them(admin: Admin) -> None:
    secret = "/var/lib/pacemaker/lrm/secrets/ipmi-n1/password"
    for node in admin.bed.nodes():
        for name in domain_files(admin, node):
            text = admin.ok(node, f"cat /etc/hacluster/domains/{name}")
            assert name.split(".")[1] == hashlib.sha256(text.encode()).hexdigest()[:16]
        assert len(domain_files(admin, node)) == len(VMS)
        modes = admin.ok(node, f"stat -c %a {secret} {secret}.sign /etc/hacluster/domains/*").split()
        assert set(modes) == {"600"}
        admin.ok(node, "cibsecret check ipmi-n1 password")
    password = admin.ok("n1", f"cat {secret}").strip()
    assert password not in admin.ok("n1", "cibadmin --query")
    assert password not in admin.ok("n1", "cat /var/log/hacluster/hactl.log")


def test_a_second_apply_says_nothing_to_do_and_pushes_nothing(admin: Admin) -> None:
    before = admin.epoch()
    assert admin.do("apply").strip() == "nothing to do"
    assert admin.do("plan").strip() == "nothing to do"
    assert admin.epoch() == before


def test_a_change_of_somebody_else_between_plan_and_apply_is_refused_and_kept(admin: Admin) -> None:
    spec = write(admin, bigger("web"))
    planned = json.loads(admin.hactl("plan", spec, "--json").stdout)["planned"]
    admin.ok("n2", "pcs property set cluster-recheck-interval=11min")
    said = admin.refused("apply", spec, "--planned", str(planned), code="HA342")
    assert "hactl plan" in said
    assert "11min" in admin.ok("n3", "cibadmin --query --scope crm_config")
    admin.ok("n2", "pcs property unset cluster-recheck-interval")


def test_a_change_during_the_apply_itself_is_refused_and_kept(admin: Admin) -> None:
    """The delivery of the files is made slow enough for somebody to be faster."""
    spec = write(admin, bigger("db"))
    slow = '#!/bin/sh\\ncase "$*" in *-ISc*) sleep 6;; esac\\nexec /usr/bin/timeout "$@"\\n'
    admin.ok("n3", f"printf '{slow}' > /usr/local/sbin/timeout; chmod 755 /usr/local/sbin/timeout")
    try:
        admin.ok("n2", "(sleep 4; pcs property set cluster-recheck-interval=12min) >/dev/null 2>&1 &")
        said = admin.refused("apply", spec, code="HA342")
    finally:
        admin.ok("n3", "rm /usr/local/sbin/timeout")
    assert "changed_by cibadmin" in said
    assert "on n2" in said
    assert "12min" in admin.ok("n1", "cibadmin --query --scope crm_config")
    assert "8M" not in admin.ok("n1", "cibadmin --query")
    admin.ok("n2", "pcs property unset cluster-recheck-interval")


def test_what_the_spec_does_not_own_is_kept_and_shown(admin: Admin) -> None:
    admin.ok("n2", "pcs resource create foreign ocf:pacemaker:Dummy --wait=30")
    spec = write(admin, bigger("mail"))
    admin.do("apply", spec)
    assert "foreign" in admin.do("status")
    assert admin.ok("n1", "crm_resource --resource foreign --locate").strip()
    assert admin.do("plan", spec).strip() == "nothing to do"
    admin.ok("n2", "pcs resource delete foreign")


def test_another_domain_xml_is_given_to_all_nodes_and_the_running_guest_is_not_touched(admin: Admin) -> None:
    boots, old = admin.boots("web"), set(domain_files(admin, "n1"))
    plan = admin.do("plan", write(admin, bigger("web")))
    assert "web: reload" in plan
    admin.do("apply", CHANGED)
    for node in admin.bed.nodes():
        now = domain_files(admin, node)
        assert len([name for name in now if name.startswith("web.")]) == 1, "the old file is pruned"
        assert set(now) != old
    assert admin.boots("web") == boots
    assert admin.counts("web")


def test_removing_a_running_vm_has_to_be_accepted_by_name(admin: Admin) -> None:
    spec = write(admin, without("db"))
    before = admin.epoch()
    said = admin.refused("apply", spec, code="HA332")
    assert "db: stop" in said
    assert admin.epoch() == before
    admin.do("apply", spec, "--accept", "HA332")
    told = json.loads(admin.hactl("status", "--json").stdout)
    assert [vm["name"] for vm in told["vms"]] == ["mail", "web"]
    for node in admin.bed.nodes():
        assert not admin.ok(node, "pgrep -f '[g]uest=db,' || true").strip()
        assert not [name for name in domain_files(admin, node) if name.startswith("db.")]


def test_a_node_that_cannot_be_given_its_files_stops_the_apply_before_the_push(admin: Admin) -> None:
    spec, before = write(admin, bigger("web")), admin.epoch()
    admin.ok("n3", "systemctl stop ssh 2>/dev/null || systemctl stop sshd")
    try:
        said = admin.refused("apply", spec, code="HA341")
    finally:
        admin.ok("n3", "systemctl start ssh 2>/dev/null || systemctl start sshd")
    assert "n3" in said
    assert admin.epoch() == before


def test_a_dry_run_is_the_plan_and_changes_nothing(admin: Admin) -> None:
    spec, before = write(admin, bigger("web")), admin.epoch()
    assert "web: reload" in admin.do("apply", spec, "--dry-run")
    assert admin.epoch() == before


def test_a_killed_apply_leaves_the_old_configuration_whole(admin: Admin) -> None:
    """Killed while the files are being delivered; the next apply does the rest."""
    spec, before = write(admin, bigger("web")), admin.epoch()
    admin.sh("n1", f"timeout -s KILL 1.2 hactl apply {spec}")
    assert admin.epoch() in (before, before + 1)
    admin.do("apply", spec)
    assert admin.do("apply", spec).strip() == "nothing to do"
    admin.settled(*VMS)


def test_status_shows_a_silent_node_as_unknown_and_then_the_recovery(admin: Admin) -> None:
    admin.bed.power("n3", "freeze")
    try:
        done = admin.hactl("status", "--json", timeout=30)
        told = json.loads(done.stdout)
        n3 = next(node for node in told["nodes"] if node["name"] == "n3")
        assert not n3["answers"]
        there = [vm for vm in told["vms"] if vm["node"] is None]
        assert all("n3" in vm["unknown"] for vm in there)
        assert (done.returncode == 1) == any(p["severity"] == "error" for p in told["problems"])
    finally:
        admin.settled(*VMS, timeout=120)


def test_refusals_come_without_a_cluster_too(admin: Admin) -> None:
    admin.ok("n3", "pcs cluster stop --force", timeout=120)
    try:
        done = admin.hactl("status", on="n3")
        assert done.returncode == 1
        assert "HA606" in done.stderr
        assert admin.hactl("status", "--node", "n1", on="n3").returncode in (0, 1)
        assert "n1" in admin.hactl("status", "--node", "n1", on="n3").stdout
    finally:
        admin.ok("n3", "pcs cluster start", timeout=60)
        admin.settled(*VMS, timeout=120)

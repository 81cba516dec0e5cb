"""libvirt's leases (lockd, in a directory that all nodes see) under block disks, and the death of their daemon.

Decision 0009 says what libvirt was seen to do; these tests are where it was seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from hacluster.guard import VERSION
from hacluster.lab.bed import Bed
from hacluster.model import Cluster
from hacluster.spec import parse
from tests.lab.admin import Admin
from tests.lab.conftest import SPEC, lab_name, skip_without_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

TEXT = SPEC.read_text() + '\n[libvirt]\nlock_driver = "lockd"\nlockspace_dir = "/vmfs/leases"\nhandover = "running"\n'
VMS = ("web", "db", "mail")
HOOK = "/etc/libvirt/hooks/qemu.d/hacluster"
KILL = "kill -9 $(cat /run/virtlockd.pid)"
MONITOR = "OCF_ROOT=/usr/lib/ocf /usr/lib/ocf/resource.d/hacluster/lockspace monitor"
NOT_SET_UP, LOST, BARE, LEFT, TWICE = "HA323", "HA324", "HA325", "HA327", "HA301"


def made() -> Cluster:
    cluster, problems = parse(TEXT.encode(), SPEC.parent)
    assert cluster is not None, problems
    return cluster


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """The shipped lab with the lock driver."""
    skip_without_lab()
    lab = Bed(lab_name("ld"), made())
    try:
        lab.up(spec=TEXT.encode())
        yield lab
    finally:
        assert lab.down() == []


class Leases(Admin):
    """The admin of this cluster, who also looks at leases."""

    def facts(self, node: str) -> dict[str, object]:
        """What a node's probe says of libvirt's lock driver."""
        return dict(json.loads(self.ok(node, "/usr/lib/hacluster/probe"))["lock_driver"])

    def leases(self) -> dict[str, list[str]]:
        """Each VM with the nodes whose virtlockd has its disk's lease open, straight from /proc."""
        look = "ls -l /proc/$(cat /run/virtlockd.pid)/fd"
        shown = {node: self.sh(node, look).stdout for node in self.bed.nodes()}
        names = {vm.name: hashlib.sha256(vm.disks[0].path.encode()).hexdigest() for vm in made().vms}
        return {
            vm: [node for node, text in shown.items() if f"/vmfs/leases/{name}" in text] for vm, name in names.items()
        }

    def holders(self, vm: str) -> list[str]:
        """The nodes that have a VM's lease."""
        return self.leases()[vm]

    def status(self) -> dict[str, Any]:
        """`hactl status --json`, whatever it finds."""
        done = self.hactl("status", "--json")
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout))

    def codes(self) -> set[str]:
        """The codes of what `hactl status` finds wrong."""
        return {problem["code"] for problem in self.status()["problems"]}

    def announces(self, node: str, wanted: bool) -> bool:
        """Whether after a monitor of its lockspace the node says that guarded VMs may come, or else that they may not.

        What it says travels through the cluster; so the answer is waited for.
        """
        self.ok(node, MONITOR)
        query = f"attrd_updater -Q -n hacluster-guard -N {node}"
        return self.until(lambda: (f'value="{VERSION}"' in self.sh(node, query).stdout) == wanted, 10)

    def cover(self) -> None:
        """Move each guest that runs without its lease: to another node, where it gets one."""
        for vm in self.status()["vms"]:
            if vm["node"] not in self.holders(vm["name"]):
                self.do("vm", "move", vm["name"])

    def agent(self, node: str, vm: str, action: str, timeout: int) -> str:
        """An operation of a VM's agent by hand, with `timeout` seconds; what it gave as its reason."""
        each = next(each for each in made().vms if each.name == vm)
        checksum = hashlib.sha256(each.domain_xml).hexdigest()
        given = {
            "uuid": each.uuid,
            "config": self.definition(vm),
            "xml_sha256": checksum,
            "CRM_meta_timeout": str(timeout * 1000),
        }
        environment = " ".join(f"OCF_RESKEY_{name}={value}" for name, value in given.items())
        run = f"OCF_RESOURCE_INSTANCE={vm} {environment} /usr/lib/ocf/resource.d/hacluster/VirtualDomain {action}"
        return self.sh(node, run).stderr

    def definition(self, vm: str) -> str:
        """The path of a VM's domain XML on every node."""
        each = next(each for each in made().vms if each.name == vm)
        return f"/etc/hacluster/domains/{vm}.{hashlib.sha256(each.domain_xml).hexdigest()[:16]}.xml"


@pytest.fixture(scope="module")
def admin(bed: Bed) -> Leases:
    """A cluster that ran without leases and is given them, as the page says: no guest is restarted by that."""
    admin = Leases(bed)
    for node in bed.nodes():
        admin.ok(node, "sed -i.leases /lock_manager/d /etc/libvirt/qemu.conf; systemctl restart libvirtd")
    bed.exec("n1", ["tee", "/root/before.toml"], stdin=SPEC.read_text())
    admin.do("apply", "/root/before.toml")
    admin.settled(*VMS)
    boots = {vm: admin.boots(vm) for vm in VMS}
    admin.ok("n1", "mkdir -m 700 /vmfs/leases")
    for node in bed.nodes():
        admin.ok(node, "mv /etc/libvirt/qemu.conf.leases /etc/libvirt/qemu.conf; systemctl restart libvirtd")
    admin.do("apply")
    told = "grep -q lock_driver=lockd /run/hacluster/lockspace"
    assert admin.until(lambda: all(admin.sh(node, told).returncode == 0 for node in bed.nodes()), 40)
    admin.cover()
    assert {vm: admin.boots(vm) for vm in VMS} == boots
    return admin


@pytest.fixture
def whole(admin: Leases) -> Leases:
    """All VMs run, each with its lease on its own node and nowhere else, and nothing is wrong."""
    admin.settled(*VMS)
    told = admin.status()
    assert told["problems"] == []
    assert admin.leases() == {vm["name"]: [vm["node"]] for vm in told["vms"]}
    return admin


def test_a_move_under_leases_lets_the_target_go_on_at_once(whole: Leases) -> None:
    source, target, boots = whole.where("db"), whole.elsewhere("db"), whole.boots("db")
    assert "moved live" in whole.do("vm", "move", "db", target)
    said = whole.ok(source, "journalctl -t 'hacluster(db)' -o cat --no-pager | grep 'gate open' | tail -1")
    assert said.strip().endswith("to be handed over running")
    assert whole.holders("db") == [target]
    assert whole.counts("db")
    assert whole.boots("db") == boots


def test_orderly_restarts_cost_nothing(whole: Leases) -> None:
    node, boots = whole.where("db"), whole.boots("db")
    whole.ok(node, "systemctl reload virtlockd")
    assert whole.announces(node, True)
    whole.ok(node, "systemctl restart libvirtd")
    assert whole.until(lambda: whole.sh(node, "virsh -q list").returncode == 0, 20)
    assert whole.announces(node, True)
    assert whole.codes() == set()
    assert whole.holders("db") == [node]
    assert whole.counts("db")
    assert whole.boots("db") == boots


def test_nothing_is_applied_while_a_node_is_not_set_up(whole: Leases) -> None:
    node = whole.elsewhere("db")
    whole.ok(node, "sed -i.whole /lock_manager/d /etc/libvirt/qemu.conf")
    try:
        assert "lock_manager is not set, not lockd" in whole.refused("plan", code=NOT_SET_UP)
    finally:
        whole.ok(node, "mv /etc/libvirt/qemu.conf.whole /etc/libvirt/qemu.conf")


def test_where_the_hook_is_off_the_lease_stands(whole: Leases) -> None:
    other = whole.elsewhere("db")
    whole.ok(other, f"chmod -x {HOOK}")
    try:
        done = whole.sh(other, f"virsh create {whole.definition('db')}")
        assert done.returncode != 0
        assert "is locked" in done.stderr
    finally:
        whole.ok(other, f"chmod +x {HOOK}")
    assert whole.announces(other, True)


def test_where_virtlockd_is_dead_the_run_lock_stands_and_the_node_takes_nothing_in(whole: Leases) -> None:
    node, boots = whole.where("db"), whole.boots("db")
    other, third = (each for each in whole.bed.nodes() if each != node)
    if whole.where("web") == node:
        whole.do("vm", "move", "web", other)
    whole.ok(node, KILL)
    assert whole.holders("db") == []
    assert whole.announces(node, False)
    assert {LOST, BARE} <= whole.codes()
    assert whole.vm("db")["locks"][node]["mode"] == "EX"
    assert whole.counts("db")

    by_hand = whole.sh(other, f"virsh create {whole.definition('db')}")
    assert "hacluster: db may not start" in by_hand.stderr
    assert "its run-lock is" in whole.agent(other, "db", "start", 8)
    whole.ok(third, f"chmod -x {HOOK}")
    assert "db is not started" in whole.agent(third, "db", "start", 8)
    whole.ok(third, f"chmod +x {HOOK}")
    assert whole.announces(third, True)

    assert "virtlockd" in whole.refused("vm", "move", "web", node, code="HA418")
    whole.do("vm", "stop", "web")
    assert f"web is not started: virtlockd on {node}" in whole.agent(node, "web", "start", 8)
    assert whole.vm("web")["locks"][node] is None
    whole.do("vm", "start", "web")

    whole.ok(node, "systemctl restart libvirtd")
    assert whole.until(lambda: whole.announces(node, True), 20)
    assert LOST not in whole.codes()
    assert whole.holders("db") == [], "libvirt brings back no lease of a guest that runs"
    assert BARE in whole.codes()
    whole.do("vm", "move", "db", other)
    said = whole.ok(node, "journalctl -t 'hacluster(db)' -o cat --no-pager | grep 'gate open' | tail -1")
    assert said.strip().endswith("to be handed over paused")
    assert whole.holders("db") == [other]
    assert whole.boots("db") == boots
    whole.cover()
    whole.do("vm", "cleanup", "web")  # Pacemaker may have tried it on that node first


def test_a_lease_that_a_resume_brought_back_outlives_its_guest(whole: Leases) -> None:
    node = whole.where("mail")
    whole.ok(node, f"{KILL}; systemctl restart libvirtd; sleep 1; virsh suspend mail && virsh resume mail")
    assert whole.holders("mail") == [node]
    whole.ok(node, "kill -9 $(pgrep -f '[g]uest=mail,')")
    assert whole.until(lambda: whole.facts(node)["left"] == ["/vmfs/mail.img"], 20)
    assert LEFT in whole.codes()
    whole.ok(node, "systemctl restart virtlockd libvirtd")
    assert whole.until(lambda: whole.facts(node)["left"] == [], 20)
    whole.do("vm", "cleanup", "mail")
    whole.settled("mail")
    whole.cover()


def test_with_hook_and_lease_both_gone_a_second_copy_runs(whole: Leases) -> None:
    """The tests above can fail: without the two barriers libvirt starts it."""
    node, other = whole.where("web"), whole.elsewhere("web")
    whole.ok(node, KILL)
    whole.ok(other, f"chmod -x {HOOK}; virsh create {whole.definition('web')}")
    assert TWICE in whole.codes()
    whole.ok(other, "virsh destroy web")

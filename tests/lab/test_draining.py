"""A node goes down under its VMs: by systemd, by hactl, and where nothing can be moved; and the survey of the hosts.

Each node of the lab runs a real systemd, so that its shutdown is the real order of things.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hacluster.lab.bed import Bed
from tests.lab.admin import Admin
from tests.lab.conftest import fresh_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

NODE, OTHERS = "n3", ("n1", "n2")
VMS = ("web", "db", "mail")
DRAIN = """/usr/bin/python3 -IS -c '
import sys
sys.path.insert(0, "/usr/lib/hacluster")
from resource_agents.draining import drain
sys.exit(drain())'"""
"""What the unit runs, in a node that is not going down."""
SPEC = "/etc/hacluster/cluster.toml"


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A lab of its own: its nodes go down."""
    yield from fresh_lab("d")


@pytest.fixture(scope="module")
def admin(bed: Bed) -> Admin:
    one = Admin(bed)
    one.do("apply")
    return one


@pytest.fixture(autouse=True)
def web_runs_on_the_node(admin: Admin) -> None:
    """Each test begins with all in order, and web on the node that goes down."""
    admin.settled(*VMS)
    # A cluster that was stopped under its guests has to find the lockspace and the guard where they were.
    assert admin.until(lambda: guarded(admin), 60)
    if admin.where("web") != NODE:
        admin.do("vm", "move", "web", NODE)
    admin.ok(NODE, "rm -f /etc/hacluster/drain.conf")


def guarded(admin: Admin) -> bool:
    told = json.loads(admin.do("status", "--json"))
    return all(node["guard"] for node in told["nodes"])


def power_off(admin: Admin) -> None:
    """As an admin does it, and as the machine then is."""
    # Without logind systemctl says so, and asks systemd itself.
    admin.sh(NODE, "systemctl --no-block poweroff")
    assert admin.until(lambda: admin.bed.power(NODE, "status") == "off", 150)


def power_on(admin: Admin) -> str:
    """The node comes back; what its drain said before it went."""
    admin.bed.power(NODE, "on")
    assert admin.until(lambda: NODE in admin.bed.online(admin.home), 90)
    return admin.ok(NODE, "journalctl --boot=-1 --no-pager --output=cat --unit=hacluster-drain")


def test_a_shutdown_moves_the_vms_live_before_the_node_is_gone(admin: Admin) -> None:
    boots, counted = admin.boots("web"), admin.bed.canary("web").last()
    power_off(admin)
    assert admin.where("web") in OTHERS
    assert admin.counts("web") and admin.bed.canary("web").last() > counted
    assert admin.boots("web") == boots  # and one writer all the time
    assert "of type" not in admin.ok(admin.home, f"stonith_admin --history {NODE} || true")
    said = power_on(admin)
    assert f"{NODE} is empty" in said and "web gone" in said
    # That standby ends with the boot it was made in: the node takes VMs again by itself.
    admin.settled(*VMS)


def test_a_guest_that_can_neither_move_nor_shut_down_does_not_hold_the_machine(admin: Admin) -> None:
    boots = admin.boots("web")
    admin.ok(NODE, "printf 'budget=4\\ngrace=4\\n' > /etc/hacluster/drain.conf")
    admin.ok(NODE, "ip route add blackhole 10.99.1.11/32; ip route add blackhole 10.99.1.12/32")
    admin.ok(NODE, "kill -STOP $(cat /run/libvirt/qemu/web.pid)")
    power_off(admin)
    said = power_on(admin)
    assert "could not be moved away" in said and "web did not shut down in time and is destroyed" in said
    admin.settled(*VMS)
    assert admin.boots("web") == boots + 1


@pytest.mark.parametrize(
    ("before", "reason", "after"),
    [
        (
            f"pcs node maintenance {NODE}",
            "this node is in maintenance mode",
            f"pcs node unmaintenance {NODE}",
        ),
        (
            "pcs property set maintenance-mode=true && sleep 2 && systemctl stop pacemaker corosync",
            "the cluster is stopped here",
            "pcs property set maintenance-mode=",
        ),
    ],
    ids=["maintenance", "cluster stopped"],
)
def test_where_pacemaker_does_not_act_guests_are_shut_down_in_order(
    admin: Admin, before: str, reason: str, after: str
) -> None:
    boots = admin.boots("web")
    admin.ok(NODE, before, 120)
    done = admin.sh(NODE, DRAIN, 200)
    admin.ok(NODE, "systemctl start corosync pacemaker")
    assert admin.until(lambda: NODE in admin.bed.online(admin.home), 90)
    admin.ok(admin.home, after, 120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert reason in done.stdout and "shutting down" in done.stdout and "web gone" in done.stdout
    assert "destroyed" not in done.stdout
    admin.settled(*VMS)
    assert admin.boots("web") == boots + 1


def test_without_room_elsewhere_a_drain_stops_and_hactl_refuses_first(admin: Admin) -> None:
    admin.ok(admin.home, f"pcs node standby {' '.join(OTHERS)} --wait=90", 120)
    boots, epoch = admin.boots("web"), admin.epoch()
    said = admin.refused("node", "drain", NODE, code="HA481")
    assert all(f"{vm} would be stopped" in said for vm in VMS)
    assert admin.epoch() == epoch
    done = admin.sh(NODE, DRAIN, 200)
    assert done.returncode == 0 and f"{NODE} is empty" in done.stdout, done.stdout + done.stderr
    admin.ok(NODE, f"crm_attribute --node {NODE} --name standby --delete --lifetime reboot")
    admin.ok(admin.home, f"pcs node unstandby {' '.join(OTHERS)}")
    admin.settled(*VMS)
    assert admin.boots("web") == boots + 1


def test_a_unit_that_is_stopped_alone_moves_nothing(admin: Admin) -> None:
    admin.ok(NODE, "systemctl restart hacluster-drain")
    assert admin.where("web") == NODE


def test_hactl_empties_a_node_and_takes_it_back(admin: Admin) -> None:
    boots = admin.boots("web")
    planned = json.loads(admin.do("node", "drain", NODE, "--dry-run", "--json"))
    assert ("web", "migrate") in {(going["vm"], going["how"]) for going in planned["going"]}
    assert admin.where("web") == NODE
    drained = json.loads(admin.do("node", "drain", NODE, "--json"))
    assert drained["arrived"]["web"] in OTHERS and drained["restarted"] == []
    assert json.loads(admin.do("node", "drain", NODE, "--json"))["arrived"] == {}  # it is empty already
    admin.do("node", "resume", NODE)
    assert admin.boots("web") == boots
    admin.ok(admin.home, "pcs property set maintenance-mode=true")
    admin.refused("node", "drain", NODE, code="HA421")
    admin.ok(admin.home, "pcs property set maintenance-mode=")


def test_the_survey_of_the_hosts(admin: Admin) -> None:
    well = json.loads(admin.do("check", "--hosts", SPEC, "--json"))
    # What the lab has not got: world-wide names of its disks, and a time service.
    assert {problem["code"] for problem in well["problems"]} == {"HA653", "HA660"}
    assert {peer["libvirt"]["ok"] for host in well["hosts"].values() for peer in host["peers"].values()} == {True}
    admin.ok("n2", "ip link set eth1 mtu 1400")
    admin.ok("n1", "cp /etc/ssh/ssh_known_hosts /root/known; grep -v ^n2 /root/known > /etc/ssh/ssh_known_hosts")
    admin.ok("n1", "mkdir -p /etc/cron.d; echo '@reboot root virsh start web' > /etc/cron.d/vms")
    admin.ok("n2", "systemctl disable hacluster-drain")
    done = admin.hactl("check", "--hosts", SPEC, "--json", on="n2")
    admin.ok("n2", "ip link set eth1 mtu 1500; systemctl enable hacluster-drain")
    admin.ok("n1", "cp /root/known /etc/ssh/ssh_known_hosts; rm /etc/cron.d/vms")
    found = {(problem["code"], problem["where"]) for problem in json.loads(done.stdout)["problems"]}
    assert done.returncode == 1
    assert found >= {
        ("HA657", "n1 → n2"), ("HA657", "n3 → n2"), ("HA643", "n1 → n2"), ("HA662", "node n1"), ("HA518", "node n2"),
    }  # fmt: skip

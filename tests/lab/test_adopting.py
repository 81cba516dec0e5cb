"""Running VMs come under the guarded agent and back under heartbeat's: their guests count on in the same process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hacluster.lab.bed import Bed
from tests.lab.admin import Admin
from tests.lab.conftest import fresh_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

HEARTBEAT, GUARDED = "/tmp/heartbeat.toml", "/etc/hacluster/cluster.toml"
PROVIDER = "cibadmin -Q --xpath \"//primitive[@id='web']\" | grep -o 'provider=\"[a-z]*\"'"


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A lab of its own: the tests of the lab itself, which come after these, begin with an empty configuration."""
    yield from fresh_lab("ad")


@pytest.fixture
def admin(bed: Bed) -> Iterator[Admin]:
    """The shipped spec applied, and one beside it that has web under heartbeat's agent; web is guarded afterwards."""
    admin = Admin(bed)
    admin.do("apply", GUARDED, "--accept", "HA333")
    admin.settled("web", "db", "mail")
    admin.ok(
        "n1", f"sed 's/^.vms.web.$/&\\nagent = \"heartbeat\"/' {GUARDED} > {HEARTBEAT}; grep -c heartbeat {HEARTBEAT}"
    )
    yield admin
    admin.sh("n1", "pcs property set maintenance-mode=false; pcs resource manage web; pcs resource cleanup web")
    if "heartbeat" in admin.sh("n1", PROVIDER).stdout:
        admin.hactl("vm", "adopt", "web")
    admin.sh("n1", "rm -rf /tmp/imported")


def process(admin: Admin, name: str) -> str:
    """The node and the process that a VM's guest runs in."""
    node = admin.where(name)
    return f"{node} {admin.ok(node, f'pgrep -f guest=[{name[0]}]{name[1:]},')}".strip()


def test_there_and_back_the_guest_counts_on(admin: Admin) -> None:
    before, boots = process(admin, "web"), admin.boots("web")
    told = admin.do("vm", "release", "web", "--spec", HEARTBEAT)
    assert "in the same process" in told
    assert "heartbeat" in admin.ok("n1", PROVIDER)
    assert process(admin, "web") == before
    assert "nothing to do" in admin.do("plan", HEARTBEAT)
    # heartbeat's agent is on its own now: it moves the guest, and the hook lets it.
    target = admin.elsewhere("web")
    admin.ok("n1", f"pcs resource move web {target}", 90)
    assert admin.where("web") == target
    assert admin.boots("web") == boots
    moved = process(admin, "web")
    assert "in the same process" in admin.do("vm", "adopt", "web")
    assert "hacluster" in admin.ok("n1", PROVIDER)
    admin.settled("web")
    assert process(admin, "web") == moved
    assert admin.boots("web") == boots, "the guest has not noticed anything"
    assert admin.counts("web")
    assert "nothing to do" in admin.do("plan")
    assert "hactl-adopts" not in admin.ok("n1", "cibadmin -Q")
    other = admin.elsewhere("web")
    xml = admin.ok(other, "ls /etc/hacluster/domains/web.*.xml").strip()
    assert admin.sh(other, f"virsh create {xml}").returncode != 0, "the guard stands"


def test_under_heartbeats_agent_it_stops_and_starts(admin: Admin) -> None:
    admin.do("vm", "release", "web", "--spec", HEARTBEAT)
    boots = admin.boots("web")
    admin.ok("n1", "pcs resource disable web --wait=60 && pcs resource enable web --wait=60", 150)
    assert admin.counts("web")
    assert admin.boots("web") == boots + 1
    admin.do("vm", "adopt", "web")
    admin.settled("web")
    assert admin.boots("web") == boots + 1


def test_what_was_broken_off_goes_on(admin: Admin) -> None:
    admin.do("vm", "release", "web", "--spec", HEARTBEAT)
    before, boots = process(admin, "web"), admin.boots("web")
    admin.ok(
        "n1",
        "hactl vm adopt web & p=$!; until cibadmin -Q | grep -q hactl-adopts; do sleep 0.1; done; kill -9 $p; wait",
    )
    assert process(admin, "web") == before, "in maintenance nothing happens to it"
    assert admin.counts("web")
    admin.do("vm", "adopt", "web")
    admin.settled("web")
    assert (process(admin, "web"), admin.boots("web")) == (before, boots)
    assert "nothing to do" in admin.do("vm", "adopt", "web")


def test_a_cluster_of_somebody_elses_is_imported_then_adopted(admin: Admin) -> None:
    """Import changes nothing, although the VM is not as hactl would write it; adopting takes it out of the residue."""
    admin.do("vm", "release", "web", "--spec", HEARTBEAT)
    admin.ok("n1", "pcs resource update web op monitor interval=10s timeout=77s", 60)
    boots = admin.boots("web")
    told = admin.do("import", "-o", "/tmp/imported")
    assert "timeout 77 s" in told
    admin.ok(
        "n1",
        "cd /tmp/imported/secrets 2>/dev/null || mkdir -p /tmp/imported/secrets && cd /tmp/imported/secrets"
        " && for n in n1 n2 n3; do cp /etc/hacluster/secrets/ipmi-$n ipmi-$n.password; done",
    )
    spec = "/tmp/imported/cluster.toml"
    assert "~ " not in admin.do("plan", spec)
    admin.ok("n1", f"sed -i '/^agent = \"heartbeat\"$/d' {spec}")
    assert "in the same process" in admin.do("vm", "adopt", "web", "--spec", spec)
    assert 'id="web"' not in admin.ok("n1", "cat /tmp/imported/residue.xml")
    admin.settled("web")
    assert admin.boots("web") == boots
    assert "web" not in admin.do("plan", spec).partition("what it costs")[0]


def test_what_stands_against_it_is_said_before_anything_changes(admin: Admin) -> None:
    epoch = admin.epoch()
    admin.refused("vm", "release", "web", code="HA290")
    admin.refused("vm", "adopt", "nobody", code="HA401")
    assert "nothing to do" in admin.do("vm", "adopt", "web")
    assert admin.epoch() == epoch
    admin.ok("n1", "pcs property set maintenance-mode=true")
    epoch = admin.epoch()
    admin.refused("vm", "release", "web", "--spec", HEARTBEAT, code="HA294")
    assert admin.epoch() == epoch

"""The guard on a real cluster: what Pacemaker, libvirt and operators do, on block disks that nothing else protects."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hacluster.lab.bed import Bed
from hacluster.lab.canary import Canary

from .conftest import cluster, fresh_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

WEB = next(vm for vm in cluster().vms if vm.name == "web")
SUM = hashlib.sha256(WEB.domain_xml).hexdigest()
XML = f"/etc/hacluster/domains/web.{SUM[:16]}.xml"
HOSTS = {node.name: node.migration_host for node in cluster().nodes}
PAUSE = 1500
"""Milliseconds: measured 150 to 300 on an idle machine of two cores; a test asserts the order of magnitude."""
AGENT = (
    "OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=web OCF_RESKEY_CRM_meta_timeout={timeout} "
    f"OCF_RESKEY_uuid={WEB.uuid} OCF_RESKEY_config={XML} OCF_RESKEY_xml_sha256={SUM} OCF_RESKEY_stop_budget=3 "
    "/usr/lib/ocf/resource.d/hacluster/VirtualDomain {action}"
)


def attributes(owner: str, kind: str, **values: str) -> str:
    pairs = "".join(f'<nvpair id="{owner}-{kind}-{k}" name="{k}" value="{v}"/>' for k, v in values.items())
    return f'<{kind} id="{owner}-{kind}">{pairs}</{kind}>'


def operations(owner: str, **timeouts: str) -> str:
    """Operations as `name=timeout` or `name=timeout interval` or `name=timeout on-fail`."""
    rows = ""
    for name, text in timeouts.items():
        timeout, _, more = text.partition(" ")
        interval, fail = (more, "") if more[:1].isdigit() else ("0", f' on-fail="{more}"' if more else "")
        rows += f'<op id="{owner}-{name}" name="{name}" interval="{interval}" timeout="{timeout}"{fail}/>'
    return f"<operations>{rows}</operations>"


def resources(passwords: dict[str, str]) -> str:
    """A CIB by hand: fencing, the lockspace, one template and one VM of it."""
    fencing = "".join(
        f'<primitive id="{device.name}" class="stonith" type="fence_ipmilan">'
        + attributes(
            device.name, "instance_attributes",
            ip=device.parameters["ip"], username="admin", password=passwords[device.name],
            lanplus="1", cipher="3", privlvl="operator", pcmk_host_list=device.targets[0],
        ) + "</primitive>"
        for device in cluster().fence_devices
    )  # fmt: skip
    return (
        f"<resources>{fencing}"
        '<clone id="hacluster-lockspace-clone"><primitive id="hacluster-lockspace" class="ocf" provider="hacluster" '
        'type="lockspace">'
        + operations("hacluster-lockspace", start="60s", stop="30s block", monitor="30s 5s")
        + '</primitive></clone><template id="vm-on-luns" class="ocf" provider="hacluster" type="VirtualDomain">'
        + attributes(
            "vm-on-luns",
            "instance_attributes",
            migration_transport="tcp",
            handover="paused",
            migration_hosts=" ".join(f"{name}={host}" for name, host in HOSTS.items()),
        )
        + attributes("vm-on-luns", "meta_attributes", **{"allow-migrate": "true", "resource-stickiness": "1000"})
        + operations(
            "vm-on-luns", start="60s", stop="60s", monitor="20s 3s", migrate_to="60s block", migrate_from="60s"
        )
        + '</template><primitive id="web" template="vm-on-luns">'
        + attributes("web", "instance_attributes", uuid=WEB.uuid, config=XML, xml_sha256=SUM, stop_budget="5")
        + "</primitive></resources>"
    )


CONSTRAINTS = (
    '<constraints><rsc_order id="o" first="hacluster-lockspace-clone" then="vm-on-luns"/>'
    '<rsc_colocation id="c" rsc="vm-on-luns" with-rsc="hacluster-lockspace-clone" score="INFINITY"/></constraints>'
)


class Lab:
    """The cluster with one guarded VM, asked in the terms of these tests."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.canary = Canary(Path(bed.run / "disks" / "web.web.img"))

    def run(self, node: str, script: str, timeout: float = 90) -> tuple[int, str]:
        done = self.bed.exec(node, ["bash", "-c", script], timeout=timeout)
        return done.returncode, done.stdout + done.stderr

    def ok(self, node: str, script: str, timeout: float = 90) -> str:
        code, text = self.run(node, script, timeout)
        assert code == 0, text
        return text

    def agent(self, node: str, action: str, timeout: int = 20) -> tuple[int, str]:
        """The agent by hand: exit code, and what it said."""
        return self.run(node, AGENT.format(action=action, timeout=timeout * 1000))

    def facts(self, node: str) -> dict[str, object]:
        return dict(json.loads(self.ok(node, "/usr/lib/hacluster/probe")))

    def copies(self) -> list[str]:
        """The nodes that have a QEMU of it."""
        powered = [node for node in self.bed.nodes() if self.bed.power(node, "status") == "on"]
        return [node for node in powered if self.run(node, "pgrep -f '[g]uest=web'")[0] == 0]

    def sealed(self) -> list[str]:
        """The nodes that hold its lock in EX, by their own record."""
        found = []
        for node in self.bed.nodes():
            locks = self.facts(node)["locks"]
            assert isinstance(locks, list)
            found += [node for lock in locks if (lock["uuid"], lock["mode"]) == (WEB.uuid, "EX")]
        return found

    def elsewhere(self, node: str) -> str:
        return next(other for other in self.bed.nodes() if other != node)

    def home(self) -> str:
        """The one node where it runs, once it does."""
        wait(lambda: len(self.copies()) == 1 and self.counts())
        return self.copies()[0]

    def counts(self, seconds: float = 4) -> bool:
        """Whether the guest writes another record within this time."""
        before, end = self.canary.last(), time.monotonic() + seconds
        while time.monotonic() < end:
            if self.canary.last() > before:
                return True
            time.sleep(0.1)
        return False

    def boots(self) -> int:
        """How often the guest has booted, wherever."""
        return len(self.canary.check().boots)

    def forget_failures(self, home: str) -> None:
        """Clear what failed without harm to the guest: its home comes last.

        While another node still remembers an earlier move to here and this one does not, Pacemaker takes the move
        for unfinished and restarts the guest ("Forcing recovery ... can no longer migrate").
        """
        for node in sorted(self.bed.nodes(), key=lambda name: name == home):
            self.ok("n1", f"crm_resource --refresh -r web -N {node}; crm_resource --wait")

    def pause_pacemaker(self) -> None:
        """Maintenance mode, once it is in force."""
        self.ok("n1", "crm_attribute -n maintenance-mode -v true")
        wait(lambda: "unmanaged" in self.ok("n1", "crm_mon -1r"))

    def resume_pacemaker(self) -> None:
        """Let Pacemaker look again, and act."""
        self.ok("n1", "crm_attribute -n maintenance-mode -D; crm_resource --refresh -r web; crm_resource --wait")

    def move(self, target: str) -> None:
        """By Pacemaker's own means."""
        self.ok("n1", f"crm_resource --move -r web -N {target} && crm_resource --wait; crm_resource --clear -r web")


def wait(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.3)


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A lab of its own: these tests write their own small configuration."""
    yield from fresh_lab("g")


@pytest.fixture(scope="module")
def lab(bed: Bed) -> Lab:
    lab = Lab(bed)
    for node in bed.nodes():
        laid = bed.exec(
            node,
            ["sh", "-c", f"mkdir -p /etc/hacluster/domains && umask 77 && cat > {XML}"],
            stdin=WEB.domain_xml.decode(),
        )
        assert laid.returncode == 0, laid.stderr
    names = [device.name for device in cluster().fence_devices]
    passwords = {name: lab.ok("n1", f"cat /etc/hacluster/secrets/{name}").strip() for name in names}
    for part, text in (("resources", resources(passwords)), ("constraints", CONSTRAINTS)):
        done = bed.exec("n1", ["cibadmin", "--replace", "-o", part, "--xml-pipe"], stdin=text)
        assert done.returncode == 0, done.stderr
    return lab


@pytest.fixture(autouse=True)
def clean_disk(lab: Lab) -> Iterator[None]:
    """Whatever a test did, the disk knows of one writer at a time, and one copy is sealed where it runs."""
    yield
    home = lab.home()
    assert lab.sealed() == [home]
    report = lab.canary.check()
    assert report.clean, report.findings


def test_pacemaker_starts_it_once_and_it_is_sealed_there(lab: Lab) -> None:
    home = lab.home()
    facts = lab.facts(home)
    assert facts["presence"] == {WEB.uuid: "PRESENT"}
    hook = facts["hook"]
    assert isinstance(hook, dict)
    assert (hook["installed"], hook["executable"], hook["expected"]) == (True, True, True)
    assert lab.agent(home, "monitor")[0] == 0
    assert lab.agent(lab.elsewhere(home), "monitor")[0] == 7


def test_a_second_start_by_hand_is_refused_with_the_next_command(lab: Lab) -> None:
    home = lab.home()
    other = lab.elsewhere(home)
    code, text = lab.run(other, f"virsh create {XML}")
    assert code != 0
    assert f"hacluster: web may not start on {other}" in text
    assert f"hactl vm move web {other}" in text
    assert lab.copies() == [home]
    assert lab.counts()


def test_a_migration_by_hand_is_refused_and_the_guest_goes_on(lab: Lab) -> None:
    home = lab.home()
    other = lab.elsewhere(home)
    code, text = lab.run(home, f"virsh migrate --live web qemu+tcp://{HOSTS[other]}/system")
    assert code != 0
    assert f"hacluster: web is not moved by hand; to move it to {other}, type: hactl vm move web {other}" in text
    assert lab.copies() == [home]
    assert lab.counts()


def test_a_second_start_by_the_agent_waits_and_names_the_holder(lab: Lab) -> None:
    home = lab.home()
    code, text = lab.agent(lab.elsewhere(home), "start", timeout=10)
    assert code == 1
    assert f"its run-lock is held by {home} (EX)" in text.splitlines()[-1]


def test_another_domain_xml_than_the_cibs_is_not_started(lab: Lab) -> None:
    other = lab.elsewhere(lab.home())
    lab.ok(other, f"echo >> {XML}")
    try:
        code, text = lab.agent(other, "start", timeout=10)
        assert (code, "is not the domain XML that the CIB names" in text) == (2, True)
    finally:
        lab.bed.exec(other, ["sh", "-c", f"cat > {XML}"], stdin=WEB.domain_xml.decode())


def test_a_move_hands_it_over_with_a_short_pause(lab: Lab) -> None:
    home = lab.home()
    target = lab.elsewhere(home)
    with lab.canary.watch() as watcher:
        lab.move(target)
        time.sleep(1)
    assert lab.copies() == [target]
    assert lab.sealed() == [target]
    assert watcher.result.gap_ms < PAUSE


def test_a_move_that_fails_leaves_it_sealed_where_it_was(lab: Lab) -> None:
    home = lab.home()
    target = lab.elsewhere(home)
    lab.ok(target, "mv /dev/lab/web /dev/lab/away")
    try:
        lab.run("n1", f"crm_resource --move -r web -N {target}; crm_resource --wait; crm_resource --clear -r web")
    finally:
        lab.ok(target, "mv /dev/lab/away /dev/lab/web")
    assert lab.copies() == [home]
    assert lab.sealed() == [home]
    assert lab.counts()
    reason = lab.facts(home)["failures"]
    before = lab.ok(home, "pgrep -f '[g]uest=web'")
    lab.forget_failures(home)
    assert lab.ok(home, "pgrep -f '[g]uest=web'") == before, "it was not restarted"
    assert isinstance(reason, dict)
    assert f"web stays on {home}, sealed; its move to {target} failed" in reason[WEB.uuid]["sentence"]


def test_a_killed_qemu_comes_back(lab: Lab) -> None:
    home = lab.home()
    boots = lab.boots()
    lab.ok(home, "kill -9 $(pgrep -f '[g]uest=web')")
    wait(lambda: lab.boots() > boots, 150)
    lab.forget_failures(lab.home())


def test_with_libvirtd_stopped_a_monitor_still_sees_it_and_a_stop_still_proves_its_end(lab: Lab) -> None:
    home = lab.home()
    lab.pause_pacemaker()
    try:
        lab.ok(home, "pkill -STOP -x libvirtd")
        assert lab.agent(home, "monitor")[0] == 0
        assert lab.agent(home, "stop", timeout=30)[0] == 0
        assert lab.copies() == []
        assert lab.agent(home, "monitor", timeout=5)[0] == 1, "unknown is never 7"
    finally:
        lab.run(home, "pkill -CONT -x libvirtd")
        lab.resume_pacemaker()


def test_a_hook_that_lost_its_run_bit_withdraws_the_node(lab: Lab) -> None:
    other = lab.elsewhere(lab.home())
    value = f"attrd_updater -n hacluster-guard -Q -N {other}"
    assert 'value="1"' in lab.ok(other, value)
    lab.ok(other, "chmod -x /etc/libvirt/hooks/qemu.d/hacluster")
    try:
        wait(lambda: 'value="1"' not in lab.run(other, value)[1])
        code, text = lab.agent(other, "start", timeout=10)
        assert (code, "libvirt skips it" in text) == (5, True)
    finally:
        lab.ok(other, "chmod +x /etc/libvirt/hooks/qemu.d/hacluster")
    wait(lambda: 'value="1"' in lab.run(other, value)[1])


def test_the_lockspace_is_not_left_while_a_guest_needs_it(lab: Lab) -> None:
    home = lab.home()
    code, text = lab.run(home, "OCF_ROOT=/usr/lib/ocf /usr/lib/ocf/resource.d/hacluster/lockspace stop")
    assert (code, "web runs here" in text) == (1, True)


def test_a_guest_that_powers_itself_off_gives_its_lock_back_by_the_sweep(lab: Lab) -> None:
    home = lab.home()
    lab.pause_pacemaker()
    try:
        lab.ok(home, "virsh destroy web")
        wait(lambda: lab.sealed() == [], 20)
    finally:
        lab.resume_pacemaker()


def test_after_a_power_cut_it_runs_elsewhere_once_the_node_is_fenced(lab: Lab) -> None:
    home = lab.home()
    other = lab.elsewhere(home)
    before = lab.canary.last()
    lab.bed.power(home, "off")
    wait(lambda: lab.copies() not in ([], [home]) and lab.counts(), 90)
    assert lab.canary.last() > before
    wait(lambda: f"{home} member" in lab.ok(other, "crm_node -l"), 90)
    assert "reboot" in lab.ok(other, f"stonith_admin --history {home}")
    lab.ok(other, "crm_resource --wait")

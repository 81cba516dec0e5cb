"""The agent as others judge it: resource-agents' own tester and Pacemaker's tools; and when libvirtd is not there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.lab import guest
from hacluster.lab.bed import Bed
from resource_agents.codes import metadata

from .conftest import fresh_lab
from .test_differential import SERVICE, TARGET, Stage, make_stages, until

pytestmark = [pytest.mark.lab, pytest.mark.root]

RESTART = f"systemctl stop {SERVICE}; sleep 1; systemctl start libvirtd"
"""As an upgrade of the package does it: for a while nobody listens, not even systemd."""


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A lab of its own, without any resource: the run-locks' lockspace is joined by hand."""
    yield from fresh_lab("da")


@pytest.fixture(scope="module")
def joined(bed: Bed) -> Stage:
    return make_stages(bed)["ours"]


@pytest.fixture
def stage(joined: Stage) -> Iterator[Stage]:
    """The guest running at home."""
    joined.begin()
    yield joined
    joined.end()


def test_ocf_tester_passes(joined: Stage) -> None:
    joined.put(joined.xml)
    sha256 = hashlib.sha256(joined.xml.encode()).hexdigest()
    given = {"uuid": joined.uuid, "config": joined.config, "xml_sha256": sha256, "stop_budget": "5"}
    options = " ".join(f"-o {name}={value}" for name, value in given.items())
    code, text = joined.run(f"ocf-tester -n {joined.name} {options} {joined.agent}", timeout=180)
    assert (code, text.splitlines()[-1]) == (0, f"{joined.agent} passed all tests"), text


def test_pacemaker_reads_the_metadata(joined: Stage) -> None:
    told = joined.ok("crm_resource --show-metadata ocf:hacluster:VirtualDomain")
    assert told.strip() == metadata("VirtualDomain").strip()
    assert "migration_parallel" in joined.ok("pcs resource describe ocf:hacluster:VirtualDomain")


def test_while_libvirtd_restarts_no_monitor_calls_the_guest_dead(stage: Stage) -> None:
    stage.ok(f"for i in 1 2 3; do {RESTART}; sleep 1; done >/dev/null 2>&1 & echo $! > /tmp/restarts")
    answers = []
    while stage.run("kill -0 $(cat /tmp/restarts)")[0] == 0:
        answers.append(stage.answer("monitor"))
    assert set(answers) == {"0"}
    assert len(stage.pids()) == 1


def test_a_stop_while_libvirtd_restarts_ends_the_guest_and_says_so(stage: Stage) -> None:
    stage.ok(f"(sleep 0.2; {RESTART}) >/dev/null 2>&1 &")
    assert stage.answer("stop") == "0"
    assert stage.answer("monitor") == "7"


@pytest.mark.parametrize(
    "policy",
    [
        {"migration_parallel": "3", "migration_speed": "50", "migration_downtime": "200"},
        {"handover": "running", "post_copy": "true", "auto_converge": "true"},
    ],
    ids=["parallel", "post-copy"],
)
def test_a_move_follows_the_policy(stage: Stage, policy: dict[str, str]) -> None:
    argv = "/tmp/virsh-argv"
    watch = f"until pgrep -af '^virsh .*migrate ' > {argv}; do :; done"
    stage.ok(f'timeout 30 bash -c "{watch}" >/dev/null 2>&1 & sleep 0.3')
    stage.ok(stage.command("migrate_to", {"CRM_meta_migrate_target": TARGET, **policy}, seconds=60))
    arrive = stage.command("migrate_from", {"CRM_meta_migrate_source": stage.home, **policy}, seconds=60)
    stage.ok(arrive, TARGET)
    said = stage.ok(f"cat {argv}")
    expected = "--parallel --parallel-connections 3 --bandwidth 50" if "migration_parallel" in policy else "--postcopy "
    assert expected in said
    assert (stage.pids(), len(stage.pids(TARGET))) == ([], 1)
    assert stage.answer("monitor", TARGET) == "0"


def test_what_is_refused_is_not_started(stage: Stage) -> None:
    """Also when the parameter was set while the guest ran: its stop goes on all the same."""
    refused = {"snapshot": "/var/lib/libvirt/snapshots"}
    for action in ("validate-all", "start"):
        code, text = stage.run(stage.command(action, refused))
        assert (code, "snapshot is not taken: a saved memory fits" in text) == (6, True)
    assert stage.run(stage.command("monitor", refused))[0] == 0
    assert stage.run(stage.command("stop", refused))[0] == 0
    until(lambda: not stage.pids())


def test_a_start_waits_for_the_monitor_scripts(stage: Stage) -> None:
    stage.end()
    stage.put(stage.xml)
    stage.ok("printf '#!/bin/sh\\ntest -e /tmp/ready\\n' > /tmp/service; chmod 755 /tmp/service; rm -f /tmp/ready")
    stage.ok("(sleep 3; touch /tmp/ready) >/dev/null 2>&1 &")
    scripts = {"monitor_scripts": "/tmp/service", "CRM_meta_interval": "10000"}
    stage.ok(stage.command("start", scripts))
    stage.ok("rm /tmp/ready")  # it was there when the start ended
    code, text = stage.run(stage.command("monitor", scripts))
    assert (code, "its monitor script says no: /tmp/service ended with 1" in text) == (1, True)


POST_COPY = {"handover": "running", "post_copy": "true", "migration_speed": "32"}


@pytest.fixture
def busy(bed: Bed, tmp_path: Path) -> Iterator[Stage]:
    """A guest of 256 MiB that changes its memory faster than 32 MiB/s can carry. No lock covers the lab's block disk:
    these moves end, well or badly, without its source running on."""
    stage = make_stages(bed)["ours"]
    with bed.disks()[stage.name].open("r+b") as disk:
        disk.write(guest.assemble(tmp_path, spin=1000))
    stage.become(re.sub(r"(<memory[^>]*>)\d+", r"\g<1>262144", stage.xml))
    stage.begin()
    canary = bed.canary(stage.name)
    before = canary.last()
    until(lambda: canary.last() > before)
    yield stage
    stage.end()
    assert canary.check().clean


def test_a_guest_that_never_converges_moves_by_post_copy(busy: Stage, bed: Bed) -> None:
    canary = bed.canary(busy.name)
    boots = len(canary.check().boots)
    busy.ok(busy.command("migrate_to", {"CRM_meta_migrate_target": TARGET, **POST_COPY}, seconds=120))
    busy.ok(busy.command("migrate_from", {"CRM_meta_migrate_source": busy.home, **POST_COPY}, seconds=60), TARGET)
    assert (busy.pids(), len(busy.pids(TARGET))) == ([], 1)
    assert busy.answer("monitor", TARGET) == "0"
    before = canary.last()
    until(lambda: canary.last() > before)
    assert len(canary.check().boots) == boots, "it was not restarted"


def test_a_post_copy_that_breaks_off_leaves_nothing_that_could_run(busy: Stage) -> None:
    status = f"/run/libvirt/qemu/{busy.name}.xml"
    move = busy.command("migrate_to", {"CRM_meta_migrate_target": TARGET, **POST_COPY}, seconds=120)
    busy.ok(f"({move}; echo $? >>/tmp/said) >/tmp/said 2>&1 &")
    busy.ok(f'timeout 60 bash -c "until grep -q post-copy {status}; do :; done"')
    for pid in busy.pids(TARGET):
        busy.ok(f"kill -KILL {pid}", TARGET)
    until(lambda: busy.ok("tail -n 1 /tmp/said").strip() == "1", 60)
    assert f"{busy.name} lost its memory in a post-copy move" in busy.ok("cat /tmp/said")
    assert (busy.pids(), busy.pids(TARGET)) == ([], [])
    assert busy.answer("monitor") == "7"
    busy.ok(busy.command("start"))
    assert busy.answer("monitor") == "0"

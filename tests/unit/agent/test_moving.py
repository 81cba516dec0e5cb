"""What follows from a migration, whatever virsh said; and how the destination is named."""

from __future__ import annotations

import pytest

from hacluster.guard.proof import ABSENT, PRESENT, UNKNOWN
from resource_agents.codes import Failed
from resource_agents.hook import nonce_of
from resource_agents.moving import ARRIVED, BOTH, LOST, STAYED, UNCLEAR, destination, mark_move, migrate_to, outcome
from resource_agents.policy import arguments
from resource_agents.vm import Deadline, Vm

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
NONCE = "0123456789abcdef"


@pytest.mark.parametrize(
    ("source", "running", "target", "expected"),
    [
        (ABSENT, False, True, ARRIVED),
        (ABSENT, False, False, LOST),
        (ABSENT, False, None, UNCLEAR),
        (PRESENT, True, False, STAYED),
        (PRESENT, False, False, STAYED),
        (PRESENT, True, None, STAYED),
        (PRESENT, False, None, UNCLEAR),
        (PRESENT, True, True, BOTH),
        (PRESENT, False, True, BOTH),
        (UNKNOWN, False, True, UNCLEAR),
        (UNKNOWN, False, False, UNCLEAR),
        (UNKNOWN, False, None, UNCLEAR),
    ],
)
def test_where_the_vm_is(source: str, running: bool, target: bool | None, expected: str) -> None:
    assert outcome(source, running, target) == expected


@pytest.mark.parametrize(
    "xml",
    [
        f"<domain><name>web</name><uuid>{UUID}</uuid></domain>",
        f"<domain><name>web</name><uuid>{UUID}</uuid><metadata/></domain>",
        f"<domain><name>web</name><uuid>{UUID}</uuid><metadata><a:b xmlns:a='x'/></metadata></domain>",
        mark_move(f"<domain><name>web</name><uuid>{UUID}</uuid></domain>", "f" * 16, True),
    ],
    ids=["no metadata", "empty metadata", "somebody else's metadata", "an earlier move's"],
)
def test_the_nonce_travels_in_the_metadata(xml: str) -> None:
    from xml.etree import ElementTree

    marked = mark_move(xml, NONCE, False)
    assert nonce_of(marked) == NONCE
    assert marked.count("<hacluster:move ") == 1
    assert "paused='no'" in marked
    assert ElementTree.fromstring(marked).findtext("uuid") == UUID


@pytest.mark.parametrize(
    "xml", ["", "<domain/>", "<hacluster:move nonce='short'/>", "<hacluster:move nonce='", "x" * 50]
)
def test_no_nonce_is_no_nonce(xml: str) -> None:
    assert nonce_of(xml) == ""


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ("qemu+ssh://root@n2/system?no_tty=1", [])),
        ({"migration_transport": "tcp"}, ("qemu+tcp://n2/system", [])),
        ({"migration_transport": "tls", "migration_hosts": "n1=n1-mig"}, ("qemu+tls://n2/system", [])),
        (
            {"migration_transport": "tcp", "migration_hosts": "n1=10.99.1.11 n2=10.99.1.12"},
            ("qemu+tcp://10.99.1.12/system", ["--migrateuri", "tcp://10.99.1.12"]),
        ),
    ],
)
def test_the_destination(parameters: dict[str, str], expected: tuple[str, list[str]]) -> None:
    values = {f"OCF_RESKEY_{name}": value for name, value in parameters.items()}
    values |= {"OCF_RESKEY_uuid": UUID, "OCF_RESKEY_CRM_meta_migrate_target": "n2"}
    assert destination(Vm(values)) == expected


COMMON = ["--live", "--abort-on-error"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["--suspend"]),
        ({"handover": "running"}, []),
        ({"auto_converge": "true"}, ["--suspend", "--auto-converge"]),
        ({"migration_speed": "100"}, ["--suspend", "--bandwidth", "100"]),
        ({"migration_speed": "0", "migration_parallel": "0"}, ["--suspend"]),
        ({"migration_parallel": "4"}, ["--suspend", "--parallel", "--parallel-connections", "4"]),
        ({"handover": "running", "post_copy": "yes"}, ["--postcopy", "--postcopy-after-precopy"]),
        ({"post_copy": "yes"}, ["--suspend"]),
    ],
    ids=["default", "running", "auto-converge", "speed", "zeros", "parallel", "post-copy", "post-copy without a lock"],
)
def test_the_policy_as_virsh_takes_it(parameters: dict[str, str], expected: list[str]) -> None:
    values = {f"OCF_RESKEY_{name}": value for name, value in parameters.items()}
    assert arguments(Vm(values | {"OCF_RESKEY_uuid": UUID})) == COMMON + expected


def test_a_timeout_that_leaves_no_time_for_the_copy_is_told_before_anything_is_done() -> None:
    given = {"uuid": UUID, "CRM_meta_migrate_target": "n2", "CRM_meta_timeout": "15000", "CRM_meta_on_node": "n1"}
    vm = Vm({"OCF_RESOURCE_INSTANCE": "web", **{f"OCF_RESKEY_{name}": value for name, value in given.items()}})
    with pytest.raises(Failed, match=r"the timeout of migrate_to \(15 s\) is too short"):
        migrate_to(vm, Deadline(vm.timeout))

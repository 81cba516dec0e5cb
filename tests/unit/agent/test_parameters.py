"""What the agent takes and what it refuses; and that a stop or monitor goes on, whatever it was given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from resource_agents import parameters
from resource_agents.codes import ERR_CONFIGURED, ERR_INSTALLED, Failed
from resource_agents.vm import Vm

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
GOOD = {"uuid": UUID, "config": "/etc/hacluster/domains/web.xml", "xml_sha256": "0f" * 32}
HEARTBEAT = Path("/usr/lib/ocf/resource.d/heartbeat/VirtualDomain")


def vm(**given: str) -> Vm:
    return Vm({"OCF_RESOURCE_INSTANCE": "web", **{f"OCF_RESKEY_{k}": v for k, v in {**GOOD, **given}.items()}})


def refusal(**given: str) -> Failed:
    with pytest.raises(Failed) as caught:
        parameters.check(vm(**given))
    return caught.value


def test_what_is_good_passes() -> None:
    parameters.check(vm())
    parameters.check(
        vm(
            stop_budget="90s",
            shutdown_mode="acpi,agent",
            migration_transport="tls",
            handover="running",
            post_copy="1",
            force_stop="no",
            migration_speed="0",
        )
    )


@pytest.mark.skipif(not HEARTBEAT.exists(), reason="resource-agents is not installed")
def test_every_parameter_of_heartbeats_is_taken_or_refused() -> None:
    theirs = set(re.findall(r'<parameter name="(\w+)"', HEARTBEAT.read_text()))
    ours = (Path(parameters.__file__).parent / "metadata" / "VirtualDomain.xml").read_text()
    assert len(theirs) > 25
    assert theirs - set(re.findall(r'<parameter name="(\w+)"', ours)) == set(parameters.REFUSED)


@pytest.mark.parametrize("name", sorted(parameters.REFUSED))
def test_what_is_not_taken_is_refused_with_the_reason(name: str) -> None:
    failed = refusal(**{name: "true"})
    assert failed.code == ERR_CONFIGURED
    assert failed.sentence == f"{name} is not taken: {parameters.REFUSED[name]}"
    parameters.check(vm(**{name: "false"}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"handover": "fast"}, "handover=fast is none of paused, running, leased"),
        ({"migration_transport": "rdma"}, "migration_transport=rdma is none of ssh, tcp, tls"),
        ({"force_stop": "maybe"}, "force_stop=maybe is neither true nor false"),
        ({"stop_budget": "soon"}, "stop_budget=soon is not a whole number"),
        ({"migration_parallel": "-1"}, "migration_parallel=-1 is not a whole number"),
        ({"config": "web.xml"}, "config=web.xml is not an absolute path"),
        ({"xml_sha256": ""}, "xml_sha256= is not a SHA-256 checksum in hexadecimal"),
        ({"xml_sha256": "g" * 64}, f"xml_sha256={'g' * 64} is not a SHA-256 checksum in hexadecimal"),
        ({"shutdown_mode": "signal"}, "shutdown_mode=signal is none of acpi, agent"),
        ({"monitor_scripts": "check"}, "monitor_scripts: check is not an absolute path"),
        ({"handover": "running", "post_copy": "1", "migration_parallel": "2"}, "exclude each other"),
        ({"post_copy": "1"}, "it needs handover=running"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(given: dict[str, str], said: str) -> None:
    failed = refusal(**given)
    assert failed.code == ERR_CONFIGURED
    assert said in failed.sentence


def test_everything_that_is_wrong_is_said_at_once() -> None:
    sentence = refusal(snapshot="/var/lib", stop_budget="x", handover="y").sentence
    assert [word in sentence for word in ("snapshot", "stop_budget", "handover")] == [True] * 3


def test_a_script_that_is_not_there_is_this_nodes_fault(tmp_path: Path) -> None:
    assert refusal(monitor_scripts=str(tmp_path / "check")).code == ERR_INSTALLED


def test_a_stop_is_not_failed_by_a_parameter() -> None:
    given = vm(stop_budget="soon", migration_timeout="x", force_stop="maybe", CRM_meta_timeout="y", snapshot="/x")
    assert (given.stop_budget, given.migration_timeout, given.force_stop, given.timeout) == (120, 600, False, 60)


def test_a_forced_stop_asks_nobody() -> None:
    assert vm(force_stop="true", stop_budget="90").stop_budget == 0

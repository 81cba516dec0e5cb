"""What stands against bringing a running VM under another agent: each finding from one fact that is otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hacluster import model
from hacluster.adopting import findings
from hacluster.adopting.findings import Question, check, home, process, sealed
from hacluster.cib.simulate import Action
from hacluster.observe import Observation, observe
from hacluster.observe.views import CloneView
from hacluster.ports import Domain, HeldLock, HostFacts, Qemu, Unknown
from tests.unit.observe.test_read import UUID, cib, facts, monitor, node, resource

VM = model.Vm("web", UUID, b"<domain/>", 1 << 30, 1, (), (), ())
HEARTBEAT = cib().replace(
    b'<template id="t" class="ocf" provider="hacluster" type="VirtualDomain"/>',
    b'<template id="t" class="ocf" provider="heartbeat" type="VirtualDomain"/>',
)
RUNS = replace(facts("n1", runs=True, mode=None), qemus=(Qemu(UUID, 77, 1234, "R"),))
WELL: Mapping[str, HostFacts | Unknown] = {"n1": RUNS, "n2": facts("n2")}
LOCKSPACE = CloneView("hacluster-lockspace-clone", "ocf:hacluster:lockspace", {"n1": "started", "n2": "started"})


def looked(
    told: Mapping[str, HostFacts | Unknown] = WELL,
    raw: bytes = HEARTBEAT,
    shown: bytes | None = None,
    lockspace: CloneView | None = LOCKSPACE,
) -> Observation:
    seen = observe(raw, shown or monitor(), told, now=1000.0)
    return replace(seen, clones=(*seen.clones, lockspace) if lockspace else seen.clones)


def codes(seen: Observation, vm: model.Vm = VM, wanted: str = "hacluster", **asked: Any) -> list[str]:
    question = Question(
        vm, asked.pop("view", seen.vm("web")), "heartbeat", asked.pop("marked", False), asked.pop("off", False)
    )
    return [problem.code for problem in check((question,), seen, wanted, asked.pop("idle", True))]


def told(**n1: Any) -> Mapping[str, HostFacts | Unknown]:
    return {**WELL, "n1": replace(RUNS, **n1)}


def test_nothing_stands_against_a_vm_that_runs_once_in_a_quiet_cluster() -> None:
    assert codes(looked()) == []
    assert codes(looked(lockspace=None), replace(VM, agent="heartbeat"), "heartbeat") == []


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (looked({**WELL, "n2": Unknown("it hangs")}), "HA291"),
        (looked({**WELL, "n2": facts("n2", runs=True)}), "HA291"),
        (looked({"n1": facts("n1"), "n2": facts("n2")}), "HA290"),
        (looked({"n1": facts("n1"), "n2": replace(RUNS, node="n2")}), "HA291"),
        (looked(told(domains=(Domain("other", UUID, "running"),))), "HA292"),
        (looked(told(domains=())), "HA292"),
        (looked(told(domains=(Domain("web", UUID, "crashed"),))), "HA290"),
        (looked(told(hook_ok=False)), "HA293"),
        (looked(lockspace=None), "HA293"),
        (looked(lockspace=replace(LOCKSPACE, on={"n1": "started", "n2": "failed"})), "HA293"),
        (looked(raw=HEARTBEAT.replace(b'have-quorum="1"', b'have-quorum="0"')), "HA294"),
        (looked(shown=monitor(nodes=node("n1") + node("n2", unclean=True))), "HA294"),
        (looked(shown=monitor(resource("web", failed="true"))), "HA294"),
    ],
)
def test_one_thing_otherwise_one_finding(seen: Observation, code: str) -> None:
    assert set(codes(seen)) == {code}


def test_what_the_command_line_or_the_cib_says() -> None:
    assert codes(looked(), view=None) == ["HA290"]
    assert codes(looked(), replace(VM, agent="heartbeat")) == ["HA290"]
    assert codes(looked(), idle=False) == ["HA294"]
    assert codes(looked(), off=True) == ["HA294"]
    assert codes(looked(), marked=True) == [], "what was broken off goes on"


def test_all_findings_come_at_once() -> None:
    seen = looked({"n1": replace(RUNS, hook_ok=False, domains=()), "n2": Unknown("it hangs")}, lockspace=None)
    assert set(codes(seen, idle=False)) == {"HA291", "HA292", "HA293", "HA294"}


def test_home_process_and_seal_are_the_nodes_own_words() -> None:
    seen = looked()
    assert (home(VM, seen), process(VM, seen), sealed(VM, seen)) == ("n1", (77, 1234), False)
    assert sealed(VM, looked(told(locks=(HeldLock(UUID, "EX"),))))
    assert not sealed(VM, looked(told(locks=(HeldLock(UUID, "PW"),))))
    both = {**told(locks=(HeldLock(UUID, "EX"),)), "n2": replace(facts("n2"), locks=(HeldLock(UUID, "EX"),))}
    assert not sealed(VM, looked(both)), "a second holder is no seal"
    assert home(VM, looked({**WELL, "n2": facts("n2", runs=True)})) is None


def test_a_scheduler_that_would_act_is_a_finding() -> None:
    assert findings.acts((), "now") == ()
    (found,) = findings.acts((Action("start", "web", target="n2"),), "managed again")
    assert (found.code, "web starts on n2" in found.message) == ("HA295", True)

"""Preflight: each way in which a move must be refused, and all of them at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lxml import etree

from hacluster.cib.managed import ManagedVm
from hacluster.claim import Claim
from hacluster.ports import LeaseFacts, Unknown
from hacluster.preflight import Question, check, memory_of, nearest
from tests.unit.move.worlds import CONFIG, UUID, Facts, at_source, at_target, host

DOMAIN = etree.fromstring(
    "<domain><memory unit='MiB'>512</memory><devices>"
    "<interface type='bridge'><source bridge='br0'/></interface></devices></domain>"
)
WEB = ManagedVm("web", "vm-on-luns", {"uuid": UUID, "config": CONFIG}, {"allow-migrate": "true"})
GOOD = Question(
    vm=WEB,
    source="n1",
    target="n2",
    nodes={"n1": "online", "n2": "online", "n3": "online"},
    quorate=True,
    managed=True,
    facts=at_source(),
    claim=None,
    constraints=(),
    fenceable=frozenset({"n1", "n2", "n3"}),
    needs=("images-clone",),
    up_on_target=frozenset({"images-clone"}),
    domain=DOMAIN,
    cpu="superset",
    now=1_790_000_100.0,
)


LOST = LeaseFacts({}, True, "virtlockd on n2 does not run, and …; …", "/vm/leases", "gfs2", "1", {}, (), None)


def with_target(**changes: object) -> Facts:
    return {**at_source(), "n2": replace(host("n2"), **changes)}  # type: ignore[arg-type]  # any field of HostFacts


def codes(asked: Question) -> list[str]:
    return [problem.code for problem in check(asked)]


def test_a_good_move_has_no_findings() -> None:
    assert codes(GOOD) == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param(replace(GOOD, facts={**at_source(), "n3": Unknown("no answer")}), "HA408", id="a node is silent"),
        pytest.param(replace(GOOD, facts={"n1": host("n1"), "n2": host("n2")}), "HA403", id="runs nowhere"),
        pytest.param(
            replace(GOOD, facts={**at_source(), "n1": host("n1", "PRESENT", "EX", "paused")}), "HA403", id="paused"
        ),
        pytest.param(replace(GOOD, facts=at_source("PW")), "HA405", id="gate left open"),
        pytest.param(replace(GOOD, facts={**at_source(), "n1": host("n1", "PRESENT")}), "HA405", id="no lock"),
        pytest.param(replace(GOOD, facts={**at_source(), "n2": host("n2", "PRESENT")}), "HA404", id="two copies"),
        pytest.param(replace(GOOD, source="n2", facts=at_target()), "HA406", id="already there"),
        pytest.param(replace(GOOD, nodes={"n1": "online", "n2": "standby"}), "HA407", id="target in standby"),
        pytest.param(replace(GOOD, nodes={"n1": "online"}), "HA407", id="target unknown to Pacemaker"),
        pytest.param(replace(GOOD, quorate=False), "HA409", id="no quorum"),
        pytest.param(replace(GOOD, quorate=None), "HA409", id="quorum unknown"),
        pytest.param(replace(GOOD, fenceable=frozenset({"n1"})), "HA410", id="target cannot be fenced"),
        pytest.param(replace(GOOD, fenceable=frozenset({"n2"})), "HA410", id="source cannot be fenced"),
        pytest.param(replace(GOOD, constraints=("cli-ban-web-on-n2",)), "HA412", id="leftover ban"),
        pytest.param(replace(GOOD, vm=replace(WEB, meta={})), "HA413", id="not live"),
        pytest.param(
            replace(GOOD, vm=replace(WEB, meta={"hacluster-move": "none"}), cold=True), "HA413", id="not at all"
        ),
        pytest.param(replace(GOOD, up_on_target=frozenset()), "HA414", id="storage down"),
        pytest.param(replace(GOOD, facts=with_target(bridges=("virbr0",))), "HA415", id="no bridge"),
        pytest.param(replace(GOOD, facts=with_target(mem_available=512 << 20)), "HA416", id="no memory"),
        pytest.param(replace(GOOD, facts=with_target(domain_files=())), "HA417", id="no definition"),
        pytest.param(replace(GOOD, facts=with_target(hook_ok=False)), "HA418", id="hook missing"),
        pytest.param(replace(GOOD, facts=with_target(hook_ok=None)), "HA418", id="hook not known"),
        pytest.param(replace(GOOD, facts=with_target(libvirt_answers=False)), "HA418", id="libvirt silent"),
        pytest.param(replace(GOOD, facts=with_target(guard_version="2")), "HA418", id="guard versions differ"),
        pytest.param(replace(GOOD, facts=with_target(leases=LOST)), "HA418", id="virtlockd is dead"),
        pytest.param(replace(GOOD, cpu="incompatible"), "HA420", id="cpu"),
        pytest.param(replace(GOOD, cpu=Unknown("no answer")), "HA420", id="cpu not known"),
        pytest.param(replace(GOOD, managed=False), "HA421", id="unmanaged"),
    ],
)
def test_each_finding_alone(asked: Question, code: str) -> None:
    assert codes(asked) == [code]


def test_a_silent_libvirt_is_not_blamed_on_the_cpu_model() -> None:
    (silent,) = check(replace(GOOD, cpu=Unknown("no answer")))
    assert "version" in silent.remedy
    assert "model" not in silent.remedy


def test_a_cold_move_needs_nothing_that_only_a_migration_needs() -> None:
    with_device = etree.fromstring("<domain><memory>1024</memory><devices><hostdev/></devices></domain>")
    old = {**at_source(), "n1": replace(host("n1", "PRESENT", "EX"), guard_version="0", hook_ok=False)}
    asked = replace(GOOD, vm=replace(WEB, meta={}), domain=with_device, facts=old, cold=True)
    assert codes(asked) == []
    assert codes(replace(asked, facts=with_target(hook_ok=False))) == ["HA418"]
    assert codes(replace(asked, facts=with_target(mem_available=1 << 20))) == ["HA416"]
    assert codes(replace(asked, facts=at_source("PW"))) == ["HA405"]


def test_a_host_device_forbids_a_live_move() -> None:
    with_device = etree.fromstring("<domain><memory>1024</memory><devices><hostdev/></devices></domain>")
    assert codes(replace(GOOD, domain=with_device)) == ["HA419"]


def test_a_second_operator_is_told_who_since_when_and_how_far() -> None:
    claim = Claim("web", "n1", "n3", "alice@n1", 4711, 1_790_000_000)
    (refusal,) = check(replace(GOOD, claim=claim, progress="42 %", mover="gone"))
    assert refusal.code == "HA411"
    assert "--resume" in refusal.remedy
    assert "--abort" in refusal.remedy
    assert dict(refusal.facts) == {"by": "alice@n1", "pid": "4711 (gone)", "began": "100 s ago", "progress": "42 %"}


def test_the_two_ends_of_a_move_are_not_reported_as_two_copies() -> None:
    claim = Claim("web", "n1", "n2", "alice@n1", 4711, 1_790_000_000)
    under_way = {**at_source("PW"), "n2": host("n2", "PRESENT", "CR", "paused")}
    assert codes(replace(GOOD, claim=claim, facts=under_way)) == ["HA411"]
    assert codes(replace(GOOD, claim=claim, facts=at_source("PW"))) == ["HA411"], "an open gate is the move's affair"
    assert codes(replace(GOOD, claim=claim, source="n2", facts=at_target("EX", "paused"))) == ["HA411"]
    third = {**under_way, "n3": host("n3", "PRESENT")}
    assert codes(replace(GOOD, claim=claim, facts=third)) == ["HA411", "HA404"]


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("standby", "pcs node unstandby n2"),
        ("maintenance", "pcs node unmaintenance n2"),
        ("OFFLINE", "pcs cluster start n2"),
        ("UNCLEAN", "hactl status"),
    ],
)
def test_a_node_that_is_not_ready_is_woken_as_its_state_needs(word: str, remedy: str) -> None:
    (problem,) = check(replace(GOOD, nodes={"n1": "online", "n2": word}))
    assert problem.remedy == remedy


def test_the_nearest_name_is_found_whatever_its_case() -> None:
    assert nearest("N1", ["n1", "n2"], "hactl status") == "did you mean n1? hactl status shows all"
    assert nearest("zebra", ["n1", "n2"], "hactl status") == "hactl status"


def test_no_remedy_starts_a_resource_behind_pacemakers_back() -> None:
    (problem,) = check(replace(GOOD, up_on_target=frozenset()))
    assert "debug" not in problem.remedy


def test_all_findings_come_at_once_and_each_has_a_next_command() -> None:
    worst = replace(
        GOOD,
        quorate=False,
        constraints=("cli-prefer-web",),
        fenceable=frozenset(),
        up_on_target=frozenset(),
        facts=with_target(bridges=(), mem_available=1 << 20, hook_ok=False),
    )
    found = check(worst)
    assert {p.code for p in found} == {"HA409", "HA410", "HA412", "HA414", "HA415", "HA416", "HA418"}
    assert all(p.remedy and p.where for p in found)


@pytest.mark.parametrize(
    ("xml", "size"),
    [
        ("<memory>4096</memory>", 4 << 20),
        ("<memory unit='GiB'>2</memory>", 2 << 30),
        ("<memory unit='b'>7</memory>", 7),
    ],
)
def test_memory_has_units(xml: str, size: int) -> None:
    assert memory_of(etree.fromstring(f"<domain>{xml}</domain>")) == size

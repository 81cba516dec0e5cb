"""That the contenders are alike, and that what is said of a move is what happened."""

from __future__ import annotations

import tomllib

import pytest
from lxml import etree

from tests.bench import __main__ as command
from tests.bench import monitor, moves
from tests.bench.apply_cost import Stopwatch
from tests.bench.moves import Move
from tests.bench.push import FLEET
from tests.bench.stage import GUARDED, RAW, STOCK, cluster, spec_text, stock_resource


def test_all_three_guests_differ_in_nothing_but_their_identity() -> None:
    made = cluster([GUARDED, RAW, STOCK])
    told = []
    for vm in made.vms:
        text = vm.domain_xml.decode().replace(vm.uuid, "UUID").replace(vm.nics[0].mac, "MAC")
        text = text.replace(f"<name>{vm.name}<", "<name>NAME<").replace(f'/{vm.name}"', '/NAME"')
        told.append(text)
    assert len(told) == 3
    assert len(set(told)) == 1


def test_the_guests_of_hundred_vms_are_a_valid_spec() -> None:
    made = cluster([GUARDED, *FLEET])
    assert len(made.vms) == 101
    assert len({vm.uuid for vm in made.vms}) == 101


def test_a_guest_keeps_its_identity_whatever_stands_beside_it() -> None:
    alone, among = cluster([GUARDED]).vms[0], cluster([GUARDED, RAW]).vms[0]
    assert alone == among


def test_hactl_is_not_told_of_the_peers() -> None:
    assert set(tomllib.loads(spec_text([GUARDED]))["vms"]) == {GUARDED}


def test_pcs_gets_a_vm_that_can_move_live_over_the_same_network() -> None:
    words = stock_resource("x", "/x.xml", disabled=True)
    assert {"allow-migrate=true", "migration_network_suffix=-link1", "--disabled"} <= set(words)


@pytest.mark.parametrize(
    ("places", "restarted", "outcome"),
    [
        (["n2"], False, "moved live"),
        (["n2"], True, "restarted there"),
        (["n1"], False, "stayed"),
        (["n1"], True, "restarted here"),
        (["n3"], True, "restarted elsewhere"),
        ([], False, "gone"),
        (["n1", "n2"], False, "runs twice"),
    ],
)
def test_what_became_of_a_guest(places: list[str], restarted: bool, outcome: str) -> None:
    assert moves._outcome(places, "n1", "n2", restarted) == outcome


@pytest.mark.parametrize(
    ("exit_code", "outcome", "truthful"),
    [(0, "moved live", True), (0, "restarted there", False), (1, "stayed", True), (1, "moved live", False)],
)
def test_an_exit_code_is_true_when_zero_means_moved_live(exit_code: int, outcome: str, truthful: bool) -> None:
    assert Move("x", 1.0, exit_code, outcome, 100, 60, (), 0, 600.0).truthful is truthful


def test_an_agent_gets_its_parameters_as_pacemaker_passes_them() -> None:
    cib = etree.fromstring(
        '<cib><primitive id="web" class="ocf" provider="heartbeat" type="VirtualDomain"><instance_attributes id="i">'
        '<nvpair id="a" name="config" value="/x.xml"/></instance_attributes></primitive></cib>'
    )
    told = monitor.parameters(cib, "web")
    assert told["OCF_RESOURCE_INSTANCE"] == "web"
    assert told["OCF_RESOURCE_PROVIDER"] == "heartbeat"
    assert told["OCF_RESKEY_config"] == "/x.xml"


def test_a_stopwatch_adds_up_calls_and_passes_on_what_they_return() -> None:
    spent: dict[str, float] = {}
    watch = Stopwatch("some text", "port", spent)
    assert watch.upper() == "SOME TEXT"
    first = spent["port.upper"]
    watch.upper()
    assert spent["port.upper"] > first


@pytest.mark.parametrize("argv", [["--rounds", "0"], ["--rounds", "-1"], ["--only", "all"]])
def test_what_makes_no_sense_is_a_usage_error(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.arguments(argv)
    assert ended.value.code == 2

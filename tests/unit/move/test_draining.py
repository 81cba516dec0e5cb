"""hactl empties a node and takes it back, on simulated machines; and what it refuses before it changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from lxml import etree

from hacluster import capacity, draining
from hacluster.draining import Drained, Going, Plan
from hacluster.ports import World
from hacluster.problems import Refused
from tests.scenarios.player import Player
from tests.scenarios.scenario import Scenario


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch) -> Iterator[Player]:
    """web runs on n1. What a further loss would cost is asked in threads, which simulated time does not know."""
    monkeypatch.setattr(capacity, "forecast", lambda *_arguments, **_options: capacity.Forecast((), (), ()))
    one = Player(Scenario("draining", start={"web": "n1"}, steps=()))
    one.prepare()
    try:
        yield one
    finally:
        one.world.close()


def typed(player: Player, work: Callable[[World], object]) -> object:
    """What an operator on n3 gets: the answer, or the codes of the refusal."""
    ports = player.world.ports("n3")

    def do() -> object:
        try:
            return work(ports)
        except Refused as no:
            return sorted({problem.code for problem in no.problems})

    process = player.world.operator("hactl node drain", do)
    player.world.run(200.0, lambda: process.ended)
    return process.result


def test_a_node_is_emptied_live_and_taken_back(player: Player) -> None:
    planned = typed(player, lambda world: draining.plan(world, "n1"))
    assert isinstance(planned, Plan) and planned.findings == ()
    assert [(going.vm, going.how) for going in planned.going] == [("web", "migrate")]
    done = typed(player, lambda world: draining.drain(world, "n1", tell=lambda _text: None))
    assert isinstance(done, Drained)
    assert done.arrived == {"web": planned.going[0].target} and done.restarted == ()
    back = typed(player, lambda world: draining.returning(world, "n1"))
    assert back == () or back == (Going("web", "migrate", "n1"),)
    assert isinstance(typed(player, lambda world: draining.resume(world, "n1", tell=lambda _text: None)), float)


@pytest.mark.parametrize(
    ("before", "node", "codes"),
    [
        ((), "n9", ["HA402"]),
        (("property set maintenance-mode=true",), "n1", ["HA421", "HA485"]),
        (("resource unmanage web",), "n1", ["HA485"]),
        (("node standby n2", "node standby n3"), "n1", ["HA481"]),
    ],
    ids=["unknown node", "maintenance", "unmanaged", "no room"],
)
def test_all_that_stands_against_it_is_said_and_nothing_is_changed(
    player: Player, before: tuple[str, ...], node: str, codes: list[str]
) -> None:
    for words in before:
        player.world.type("n3", "pcs", *words.split())
    player.world.run(60.0)
    assert typed(player, lambda world: draining.drain(world, node, tell=lambda _text: None)) == codes
    cib = etree.fromstring(typed(player, lambda world: world.pacemaker.cib()))
    assert cib.find("./configuration/nodes/node[@uname='n1']//nvpair[@name='standby']") is None


def test_a_cib_with_a_node_in_standby_is_a_copy() -> None:
    cib = etree.fromstring("<cib><configuration><nodes><node uname='n1'/></nodes></configuration></cib>")
    there = draining.with_standby(cib, "n1")
    assert there.find(".//nvpair[@name='standby']").get("value") == "on" and cib.find(".//nvpair") is None
    assert draining.with_standby(there, "n1", on=False).find(".//nvpair") is None

"""crm_simulate's own output in, actions with their price and plain words out."""

from __future__ import annotations

import pytest
from lxml import etree

from hacluster.cib.simulate import Action, Price, feature_set_newer, parse, with_online_nodes

# The shape of Pacemaker 2.1.5's output, shortened.
OUTPUT = """<pacemaker-result api-version="2.25" request="crm_simulate">
  <cluster_status>
    <nodes><node name="n1"/><node name="n3"/></nodes>
    <resources>
      <clone id="dlm-clone">
        <resource id="dlm" role="Started" active="true"><node name="n1" id="1" cached="true"/></resource>
        <resource id="dlm" role="Started" active="true"><node name="n3" id="3" cached="true"/></resource>
        <resource id="dlm" role="Stopped" active="false"/>
      </clone>
      <resource id="web" role="Started" active="true"><node name="n3" id="3" cached="true"/></resource>
      <resource id="db" role="Stopped" active="false"/>
    </resources>
  </cluster_status>
  <actions>%s</actions>
  <status code="0" message="OK"/>
</pacemaker-result>"""


def one(action: str) -> Action:
    (found,) = parse((OUTPUT % action).encode()).actions
    return found


@pytest.mark.parametrize(
    ("element", "action", "price", "words"),
    [
        (
            '<rsc_action action="start" resource="dlm:2" node="n2"/>',
            Action("start", "dlm:2", None, "n2"),
            "start",
            "dlm starts on n2",
        ),
        (
            '<rsc_action action="stop" resource="web" node="n3" reason="node availability"/>',
            Action("stop", "web", "n3", None, "node availability"),
            "stop",
            "web stops on n3 (node availability)",
        ),
        (
            '<rsc_action action="migrate" resource="web" source="n3" dest="n1"/>',
            Action("migrate", "web", "n3", "n1"),
            "migrate",
            "web moves live from n3 to n1",
        ),
        (
            '<rsc_action action="move" resource="web" source="n3" dest="n1"/>',
            Action("move", "web", "n3", "n1"),
            "restart",
            "web is stopped on n3 and started on n1",
        ),
        (
            '<rsc_action action="restart" resource="web" source="n3" reason="resource definition change"/>',
            Action("restart", "web", "n3", "n3", "resource definition change"),
            "restart",
            "web is restarted on n3 (resource definition change)",
        ),
        (
            '<rsc_action action="recover" resource="web" node="n3"/>',
            Action("recover", "web", "n3", "n3"),
            "restart",
            "web has failed on n3 and is started again on n3",
        ),
        (
            '<rsc_action action="reload" resource="web" node="n3"/>',
            Action("reload", "web", "n3", "n3"),
            "reload",
            "web is told its new settings on n3; what runs goes on as it is",
        ),
        (
            '<rsc_action action="start" resource="db" node="n1" blocked="true"/>',
            Action("start", "db", None, "n1", blocked=True),
            "start",
            "db starts on n1, but cannot now",
        ),
        (
            '<rsc_action action="something-new" resource="web" node="n3"/>',
            Action("something-new", "web", "n3", "n3"),
            "restart",
            "web: something-new",
        ),
    ],
)
def test_an_action_has_a_place_a_price_and_a_sentence(element: str, action: Action, price: Price, words: str) -> None:
    found = one(element)
    assert found == action
    assert found.price == price
    assert str(found) == words


def test_a_fenced_node_is_told_as_such() -> None:
    fence = '<node_action task="Fence (reboot)" node="n3" reason="dlm:2 failed there"/>'
    simulation = parse((OUTPUT % fence).encode())
    assert simulation.fenced() == ("n3",)
    assert simulation.sentences() == ("node n3 is fenced (dlm:2 failed there)",)
    assert simulation.after["web"] == frozenset()


def test_where_everything_is_before_and_after() -> None:
    actions = (
        '<rsc_action action="stop" resource="dlm:1" node="n3"/>'
        '<rsc_action action="migrate" resource="web" source="n3" dest="n1"/>'
        '<rsc_action action="start" resource="db" node="n1" blocked="true"/>'
    )
    simulation = parse((OUTPUT % actions).encode())
    assert simulation.before == {"dlm": {"n1", "n3"}, "web": {"n3"}, "db": frozenset()}
    assert simulation.after == {"dlm": {"n1"}, "web": {"n1"}, "db": frozenset()}


@pytest.mark.parametrize(
    ("actions", "price"),
    [
        ("", "none"),
        ('<rsc_action action="start" resource="other" node="n1"/>', "none"),
        ('<rsc_action action="start" resource="web" node="n1" blocked="true"/>', "none"),
        ('<rsc_action action="reload" resource="web" node="n1"/>', "reload"),
        (
            '<rsc_action action="reload" resource="web" node="n1"/>'
            '<rsc_action action="move" resource="web" source="n3" dest="n1"/>',
            "restart",
        ),
    ],
)
def test_a_vm_pays_for_the_dearest_thing_that_happens_to_it(actions: str, price: Price) -> None:
    assert parse((OUTPUT % actions).encode()).price("web") == price


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"Current cluster status:",
        b"<transition_graph/>",
        b'<pacemaker-result><status code="65" message="Invalid data given"/></pacemaker-result>',
    ],
)
def test_what_is_no_result_is_never_read_as_nothing_to_do(output: bytes) -> None:
    with pytest.raises(ValueError, match="crm_simulate"):
        parse(output)


CIB = etree.fromstring(
    '<cib><configuration><nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes></configuration>'
    '<status><node_state id="1" uname="n1" crmd="offline"/></status></cib>'
)


def test_nodes_without_a_status_come_online_and_the_others_keep_theirs() -> None:
    filled = with_online_nodes(CIB, ["n1", "n2", "stranger"])
    assert [(s.get("id"), s.get("uname"), s.get("crmd")) for s in filled.iter("node_state")] == [
        ("1", "n1", "offline"),
        ("2", "n2", "online"),
    ]
    assert filled.get("have-quorum") == "1"
    assert CIB.get("have-quorum") is None


@pytest.mark.parametrize(
    ("cib", "installed", "newer"),
    [
        ("3.16.1", "3.16.1", False),
        ("3.16.2", "3.16.1", True),
        ("3.9", "3.16.1", False),
        ("4", "3.16.1", True),
        (None, "3.16.1", False),
    ],
)
def test_a_newer_feature_set_is_seen_before_the_tools_abort_on_it(cib: str | None, installed: str, newer: bool) -> None:
    element = etree.Element("cib", {} if cib is None else {"crm_feature_set": cib})
    assert feature_set_newer(element, installed) is newer

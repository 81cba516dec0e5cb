"""Pacemaker's own scheduler on each step of an adoption: nothing happens to the guest, and nothing would without the
mark only because of the mark. The way it must not be done is asked, too."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
from lxml import etree

from hacluster.adopting.marks import marked, runs_under, unmarked
from tests import scheduler
from tests.unit.adopting.test_findings import VM

pytestmark = scheduler.needs_tools

_OP = (
    '<lrm_rsc_op id="web_{id}" operation_key="web_{name}_{interval}" operation="{name}" crm_feature_set="3.16.1"'
    ' transition-key="3:1:{want}:aaaaaaaa-0000-4000-8000-000000000000" call-id="{call}" rc-code="{code}" op-status="0"'
    ' transition-magic="0:{code};3:1:{want}:aaaaaaaa-0000-4000-8000-000000000000" interval="{interval}"'
    ' op-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8"/>'  # that of no parameters, which this web has
)
STARTED = _OP.format(id="last_0", name="start", interval=0, want=0, call=10, code=0)
WATCHED = _OP.format(id="monitor_10000", name="monitor", interval=10000, want=0, call=11, code=0)
FOUND = _OP.format(id="last_0", name="monitor", interval=0, want=7, call=20, code=0)
ABSENT = _OP.format(id="last_0", name="monitor", interval=0, want=7, call=9, code=7)


def cib(agent: str, remembered: str, *on_n1: str, elsewhere: tuple[str, ...] = (ABSENT,)) -> etree._Element:
    """Three nodes of which n1 runs web; what each of them remembers is the agent `remembered`'s."""
    states = "".join(
        f'<node_state id="{n}" uname="n{n}" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="{n}">'
        f"<lrm_resources>{_remembers(remembered, on_n1 if n == 1 else elsewhere)}</lrm_resources></lrm></node_state>"
        for n in (1, 2, 3)
    )
    nodes = "".join(f'<node id="{n}" uname="n{n}"/>' for n in (1, 2, 3))
    return etree.fromstring(
        '<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="9" num_updates="0" admin_epoch="0"'
        ' have-quorum="1" dc-uuid="1"><configuration><crm_config><cluster_property_set id="o">'
        '<nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>'
        f"<nodes>{nodes}</nodes><resources>"
        f'<primitive id="web" class="ocf" provider="{agent}" type="VirtualDomain"><meta_attributes id="m">'
        '<nvpair id="m1" name="allow-migrate" value="true"/></meta_attributes><operations>'
        '<op id="w" name="monitor" interval="10s" timeout="30s"/></operations></primitive></resources><constraints/>'
        f"</configuration><status>{states}</status></cib>"
    )


def _remembers(agent: str, operations: tuple[str, ...]) -> str:
    if not operations:
        return ""
    head = f'<lrm_resource id="web" type="VirtualDomain" class="ocf" provider="{agent}">'
    return f"{head}{''.join(operations)}</lrm_resource>"


@pytest.mark.parametrize(("agent", "other"), [("hacluster", "heartbeat"), ("heartbeat", "hacluster")])
def test_in_every_step_the_guest_is_left_alone(tmp_path: Path, agent: str, other: str) -> None:
    pushed = marked(cib(agent, other, STARTED, WATCHED), (VM,))
    forgotten = marked(cib(agent, other, STARTED, WATCHED, elsewhere=()), (VM,))
    unknown = marked(cib(agent, other, elsewhere=()), (VM,))
    looked_at = marked(cib(agent, agent, FOUND), (VM,))
    for step in (pushed, forgotten, unknown, looked_at, unmarked(looked_at, (VM,))):
        outcome = scheduler.ask(step, tmp_path)
        assert outcome.simulation.actions == (), etree.tostring(step)
        assert outcome.findings("web") == []


def test_without_the_mark_it_is_restarted_or_started_twice_over(tmp_path: Path) -> None:
    bare = scheduler.ask(cib("hacluster", "heartbeat", STARTED, WATCHED), tmp_path).simulation
    assert [action.kind for action in bare.of("web")] == ["restart"]
    # With all forgotten Pacemaker takes the VM for stopped: what keeps it from starting a second one is the mark.
    blank = cib("hacluster", "heartbeat", elsewhere=())
    for state in blank.iterfind("status/node_state"):
        resource = etree.SubElement(state.find("lrm/lrm_resources"), "lrm_resource", id="web", type="VirtualDomain")
        resource.set("class", "ocf")
        resource.set("provider", "hacluster")
        resource.append(etree.fromstring(ABSENT))
    assert [action.kind for action in scheduler.ask(blank, tmp_path).simulation.of("web")] == ["start"]
    assert scheduler.ask(marked(blank, (VM,)), tmp_path).simulation.actions == ()


def test_the_mark_is_set_once_and_taken_away_without_a_trace() -> None:
    before = cib("heartbeat", "heartbeat", STARTED)
    once = marked(before, (VM,))
    assert etree.tostring(marked(once, (VM,))) == etree.tostring(once)
    assert etree.tostring(unmarked(once, (VM,))) == etree.tostring(before)
    assert etree.tostring(unmarked(before, (VM,))) == etree.tostring(before)


def test_hactls_hands_off_are_told_from_an_operators() -> None:
    plain = cib("heartbeat", "heartbeat")
    assert runs_under(plain, "web") == ("heartbeat", False, False)
    assert runs_under(marked(plain, (VM,)), "web") == ("heartbeat", True, False)
    assert runs_under(plain, "nobody") == ("", False, False)
    for name, value in (("is-managed", "false"), ("maintenance", "true")):
        theirs = deepcopy(plain)
        etree.SubElement(theirs.find(".//meta_attributes"), "nvpair", id="x", name=name, value=value)
        assert runs_under(theirs, "web") == ("heartbeat", False, True)

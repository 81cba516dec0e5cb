"""A resource's recorded operations: what failed, what is new, and what the scheduler will see after a move."""

from __future__ import annotations

import pytest
from lxml import etree

from hacluster import history
from hacluster.history import Operation


def record(name: str, code: int, call: int, *, expected: int | None = None, status: int = 0, reason: str = "") -> str:
    wanted = code if expected is None else expected
    return (
        f'<lrm_rsc_op id="web_last_{call}" operation="{name}" operation_key="web_{name}_0" interval="0" '
        f'call-id="{call}" '
        f'rc-code="{code}" op-status="{status}" transition-key="1:2:{wanted}:aaaa" exit-reason="{reason}" '
        f'transition-magic="{status}:{code};1:2:{wanted}:aaaa" op-digest="d1"/>'
    )


def cib(**nodes: str) -> etree._Element:
    states = "".join(
        f'<node_state uname="{node}"><lrm><lrm_resources><lrm_resource id="web">{ops}</lrm_resource>'
        f'<lrm_resource id="web2"/></lrm_resources></lrm></node_state>'
        for node, ops in nodes.items()
    )
    return etree.fromstring(f"<cib><status>{states}</status></cib>")


@pytest.mark.parametrize(
    ("operation", "failed"),
    [
        (Operation("n1", "start", 0, 0, 1), False),
        (Operation("n1", "start", 1, 0, 1), True),
        (Operation("n1", "monitor", 7, 0, 1), False),
        (Operation("n1", "monitor", 1, 0, 1), True),
        (Operation("n1", "stop", 0, 2, 1), True),
        (Operation("n1", "migrate_to", 193, -1, -1), False),
    ],
)
def test_what_counts_as_a_failure(operation: Operation, failed: bool) -> None:
    assert operation.failed is failed


def test_records_are_read_by_node_oldest_first() -> None:
    found = history.operations(cib(n1=record("stop", 0, 9) + record("start", 0, 3), n2=""), "web")
    assert {node: [op.name for op in ops] for node, ops in found.items()} == {"n1": ["start", "stop"]}


def test_only_what_was_not_there_before_is_new() -> None:
    before = history.operations(cib(n1=record("start", 0, 3)), "web")
    now = history.operations(
        cib(n1=record("start", 0, 3) + record("migrate_to", 0, 4), n2=record("start", 0, 3)), "web"
    )
    assert {(op.node, op.name) for op in history.since(before, now)} == {("n1", "migrate_to"), ("n2", "start")}


def test_the_newest_of_the_new_failures_is_told() -> None:
    old, no_room = Operation("n1", "start", 1, 0, 3, changed=5), "no space left on device"
    now = {
        "n1": (old, Operation("n1", "migrate_to", 1, 0, 4, changed=10)),
        "n2": (Operation("n2", "start", 1, 0, 7, changed=12, reason=no_room), Operation("n2", "stop", 0, 0, 8)),
        "n3": (Operation("n3", "start", 1, 0, 2, changed=11),),
    }
    assert history.last_failure({"n1": (old,)}, now) == f"start on n2: {no_room}"
    assert history.last_failure({}, {"n1": now["n1"][1:]}) == "migrate_to on n1: no reason recorded"
    assert history.last_failure(now, now) == "none recorded"


def test_a_mark_tells_what_was_there_without_asking_a_clock() -> None:
    then = history.operations(cib(n1=record("start", 0, 3), n2=record("migrate_from", 0, 7)), "web")
    later = cib(
        n1=record("start", 0, 3) + record("migrate_to", 0, 4), n2=record("stop", 0, 7), n3=record("start", 0, 3)
    )
    now = history.operations(later, "web")
    known = history.marked(now, history.mark(then))
    assert {(op.node, op.name) for op in history.since(known, now)} == {
        ("n1", "migrate_to"),
        ("n2", "stop"),  # another operation under the same call-id: the node was rebooted meanwhile
        ("n3", "start"),
    }


def test_only_an_arrival_of_the_same_pair_is_stale() -> None:
    def arrived(source: str) -> str:
        return record("migrate_from", 0, 7).replace("<lrm_rsc_op", f'<lrm_rsc_op migrate_source="{source}"')

    now = history.operations(cib(n1=arrived("n2"), n2=arrived("n1"), n3=arrived("n1")), "web")
    assert history.stale_arrivals(now, "n1", "n2") == ("n2",)
    assert history.stale_arrivals(now, "n3", "n2") == ()


@pytest.mark.parametrize("expected", [0, 7])
def test_after_a_move_the_record_says_started_there_and_stopped_here(expected: int) -> None:
    """Also when the source's own record is a probe's, which found the VM where it expected none."""
    live = cib(n1=record("monitor", 0, 5, expected=expected), n2=record("monitor", 7, 2))
    after = etree.fromstring(history.moved(live, "web", "n1", "n2"))
    found = history.operations(after, "web")
    assert [(op.node, op.name, op.failed) for ops in found.values() for op in ops] == [
        ("n1", "stop", False),
        ("n2", "start", False),
    ]
    (started,) = after.iterfind(".//node_state[@uname='n2']//lrm_rsc_op")
    assert started.get("transition-key") == "0:0:0:aaaa", "the scheduler would take it for a failure"
    assert started.get("op-digest") == "d1", "the scheduler would see changed parameters"


def test_after_a_move_its_records_are_later_than_all_that_is_recorded() -> None:
    """Pacemaker takes a stop of the same second for earlier than a migration to that node, which then counts."""
    live = cib(n1=record("migrate_from", 0, 62), n2=record("monitor", 7, 2), n3=record("migrate_to", 0, 70))
    for op in live.iter("lrm_rsc_op"):
        op.set("last-rc-change", "1795192679")
    after = etree.fromstring(history.moved(live, "web", "n1", "n2"))
    (old,) = after.iterfind(".//node_state[@uname='n3']//lrm_rsc_op")
    for node in ("n1", "n2"):
        (new,) = after.iterfind(f".//node_state[@uname='{node}']//lrm_rsc_op")
        for name in ("last-rc-change", "call-id"):
            assert int(new.get(name)) > int(old.get(name))

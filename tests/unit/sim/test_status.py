"""The status section is written as Pacemaker 2.1.5 writes it, and the product's own reader understands it."""

from __future__ import annotations

import pytest
from lxml import etree

from hacluster import history
from hacluster.sim import status
from hacluster.sim.status import Ran


@pytest.fixture
def cib() -> etree._Element:
    cib = etree.fromstring("<cib><configuration><nodes><node id='1' uname='n1'/></nodes></configuration></cib>")
    status.member(cib, "n1")
    return cib


def ran(name: str, code: int | None, call: int = 20, **more: object) -> Ran:
    values: dict[str, object] = {"node": "n1", "resource": "web", "name": name, "call": call, "order": call, "when": 9}
    return Ran(**{**values, "code": code, **more})  # type: ignore[arg-type]  # a test names the fields it means


def idents(cib: etree._Element) -> dict[str, str]:
    return {op.get("id"): op.get("exit-reason") for op in cib.iter("lrm_rsc_op")}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (ran("start", 0), {"web_last_0": ""}),
        (ran("start", None), {"web_last_0": ""}),
        (ran("start", 1, reason="no lock"), {"web_last_failure_0": "no lock", "web_last_0": "no lock"}),
        (ran("monitor", 7, expected=7), {"web_last_0": ""}),
        (ran("monitor", 0, interval=10000), {"web_monitor_10000": ""}),
        (ran("monitor", 7, interval=10000, reason="gone"), {"web_last_failure_0": "gone"}),
        (ran("migrate_to", 0, source="n1", target="n2"), {"web_migrate_to_0": ""}),
        (ran("migrate_to", 1, source="n1", target="n2", reason="no seat"), {"web_migrate_to_0": ""}),
    ],
    ids=["start", "pending", "failed start", "probe", "monitor", "failed monitor", "migrate_to", "failed migrate_to"],
)
def test_ids_and_reasons(cib: etree._Element, operation: Ran, expected: dict[str, str]) -> None:
    status.record(cib, operation)
    assert idents(cib) == expected


def test_the_product_reads_it(cib: etree._Element) -> None:
    status.record(cib, ran("migrate_to", 1, source="n1", target="n2", timed_out=True))
    (operation,) = history.operations(cib, "web")["n1"]
    assert (operation.name, operation.failed, operation.call, operation.changed) == ("migrate_to", True, 20, 9)


def test_a_fenced_node_remembers_nothing_and_a_lost_one_is_unclean(cib: etree._Element) -> None:
    status.record(cib, ran("start", 0))
    status.lost(cib, "n1")
    assert status.unclean(cib, "n1")
    assert idents(cib)
    status.down(cib, "n1")
    assert not status.unclean(cib, "n1")
    assert not idents(cib)


def test_refresh_forgets_history_and_failures(cib: etree._Element) -> None:
    status.record(cib, ran("start", 1))
    status.set_attribute(cib, "n1", "fail-count-web", "2")
    status.forget(cib, "n1", "web")
    assert not idents(cib)
    assert status.attribute(cib, "n1", "fail-count-web") is None

"""What the sweep tells Pacemaker to look at again, and how often. The XML is as crm_mon 2.1.5 prints it."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hacluster.guard import state
from resource_agents import reconcile

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"


def cluster(resource: str) -> ElementTree.Element:
    nodes = "".join(f'<node name="{name}" online="{online}"/>' for name, online in
                    (("n1", "true"), ("n2", "true"), ("n3", "false")))  # fmt: skip
    return ElementTree.fromstring(
        f"<pacemaker-result><nodes>{nodes}</nodes><resources>{resource}</resources></pacemaker-result>"
    )


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ('<resource id="web" managed="true" blocked="false"><node name="n1"/></resource>', ""),
        ('<resource id="web" managed="false" blocked="true"><node name="n1"/></resource>', reconcile.BLOCKED),
        ('<resource id="web" managed="true" blocked="false"><node name="n2"/></resource>', reconcile.UNKNOWN),
        ('<resource id="web" managed="true" blocked="false"/>', reconcile.UNKNOWN),
        ('<resource id="web" managed="false" blocked="false"/>', ""),
        ('<resource id="db" managed="true" blocked="true"/>', ""),
    ],
    ids=["as it is", "blocked", "elsewhere", "stopped", "unmanaged", "another VM"],
)
def test_what_pacemaker_has_wrong(resource: str, expected: str) -> None:
    assert reconcile.oddity(cluster(resource), "web", "n1") == expected


def test_the_home_of_a_blocked_vm_forgets_last_and_nodes_that_are_away_not_at_all() -> None:
    assert reconcile.order(cluster(""), "n1", reconcile.BLOCKED) == ["n2", "n1"]
    assert reconcile.order(cluster(""), "n1", reconcile.UNKNOWN) == ["n1"]


def test_only_what_lasts_is_acted_on_and_ever_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(state, "RUN", str(tmp_path))
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    acted = []
    for _ in range(1000):
        if reconcile.due(UUID, reconcile.BLOCKED):
            acted.append(now[0] - 1000)
        now[0] += 20
    assert acted[:4] == [60, 180, 420, 900]
    assert max(later - earlier for earlier, later in itertools.pairwise(acted)) <= 3600
    assert not reconcile.due(UUID, "")
    assert not reconcile.due(UUID, reconcile.BLOCKED), "the account has begun anew"

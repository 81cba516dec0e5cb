"""A claim and a target-role in one push: a compare-and-set, tried again only while the configuration is the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from lxml import etree

from hacluster import claim as claims
from hacluster import claiming
from hacluster.claim import Claim
from hacluster.ports import Conflict, World
from hacluster.problems import Refused

CLAIM = Claim("web", "n1", "n2", "root@n1", 4711, 1_790_000_000, "cold")


def cib(epoch: int = 5, updates: int = 1, *, meta: str = "") -> bytes:
    return (
        f'<cib admin_epoch="0" epoch="{epoch}" num_updates="{updates}"><configuration><resources>'
        f'<group id="g"><primitive id="web">{meta}</primitive></group><primitive id="web2"/></resources>'
        "<constraints/></configuration><status/></cib>"
    ).encode()


class Cluster:
    """A Pacemaker whose CIB is another at each reading, and that refuses the first pushes."""

    def __init__(self, *cibs: bytes, conflicts: int = 0) -> None:
        self.cibs = list(cibs)
        self.conflicts = conflicts
        self.pushed: list[etree._Element] = []

    def cib(self) -> bytes:
        return self.cibs.pop(0) if len(self.cibs) > 1 else self.cibs[0]

    def replace(self, pushed: bytes) -> None:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict
        self.pushed.append(etree.fromstring(pushed))

    @property
    def world(self) -> World:
        return cast(World, SimpleNamespace(pacemaker=self, clock=SimpleNamespace(sleep=lambda _: None)))


def put(root: etree._Element) -> None:
    claims.put(root, CLAIM, "Stopped")


def test_a_change_of_the_status_alone_is_pushed_again() -> None:
    cluster = Cluster(cib(), cib(updates=2), conflicts=1)
    assert claiming.push(cluster.world, ("0", "5"), put) is True
    (pushed,) = cluster.pushed
    assert pushed.get("num_updates") == "2"
    assert claims.find(pushed, "web") == CLAIM


def test_a_change_of_the_configuration_is_judged_anew() -> None:
    cluster = Cluster(cib(), cib(epoch=6), conflicts=1)
    assert claiming.push(cluster.world, ("0", "5"), put) is False
    assert cluster.pushed == []


def test_a_cluster_that_never_holds_still_is_left_alone() -> None:
    with pytest.raises(Refused) as no:
        claiming.push(Cluster(cib(), conflicts=99).world, ("0", "5"), put)
    assert [problem.code for problem in no.value.problems] == ["HA449"]


@pytest.mark.parametrize(
    "meta",
    ["", '<meta_attributes id="m"><nvpair id="x" name="target-role" value="Started"/></meta_attributes>'],
)
def test_the_role_is_set_once_and_only_on_the_vm(meta: str) -> None:
    root = etree.fromstring(cib(meta=meta))
    claims.put(root, CLAIM, "Stopped")
    assert [pair.get("value") for pair in root.iter("nvpair")] == ["Stopped"]
    assert root.find(".//nvpair[@name='target-role']").getparent().getparent().get("id") == "web"
    turned = Claim("web", "n1", "n1", "bob@n3", 4712, 1_790_000_009, "back")
    claims.put(root, turned, None)
    assert list(root.iter("nvpair")) == []
    assert claims.find(root, "web") == turned
    assert len(root.find(".//constraints")) == 1

"""The claim: one constraint says who moves what, from where, where to and since when."""

from __future__ import annotations

import pytest
from lxml import etree

from hacluster import claim
from hacluster.claim import Claim


def cib_with(*constraints: bytes) -> etree._Element:
    body = b"".join(constraints)
    return etree.fromstring(b"<cib><configuration><constraints>" + body + b"</constraints></configuration></cib>")


@pytest.mark.parametrize("owner", ["root@n1", 'o\'brien & sons <x> "q" = % +@host', "grün@überall"])
def test_what_is_written_is_read_again(owner: str) -> None:
    mine = Claim("web", "n1", "n2", owner, 4711, 1_790_000_000, "cold", "n1:12start.13monitor;n2:")
    assert claim.find(cib_with(claim.to_xml(mine)), "web") == mine


def test_another_vm_has_no_claim() -> None:
    mine = Claim("web", "n1", "n2", "root@n1", 4711, 1_790_000_000)
    assert claim.find(cib_with(claim.to_xml(mine)), "we") is None


def test_a_constraint_written_by_hand_is_a_claim_without_an_owner() -> None:
    by_hand = b'<rsc_location id="hactl-move-web" rsc="web" node="n3" score="INFINITY"/>'
    assert claim.find(cib_with(by_hand), "web") == Claim("web", "", "n3")


def test_the_second_expression_can_never_hold() -> None:
    rule = etree.fromstring(claim.to_xml(Claim("web", "n1", "n2", "root@n1", 1, 2))).find("rule")
    attributes = [expression.get("attribute") for expression in rule]
    assert rule.get("boolean-op") == "or"
    assert attributes == ["#uname", "hactl-claim"]


def test_no_part_of_a_claim_is_called_like_another_vms_claim() -> None:
    """The schema refuses an id that is there twice: one of these moves could not begin, in words that help nobody."""
    names = ["web", "web.", *(f"web{sign}{part}" for sign in "-._" for part in ("rule", "target", "claim"))]
    made = [etree.fromstring(claim.to_xml(Claim(name, "n1", "n2"))) for name in names]
    idents = [part.get("id") for one in made for part in one.iter()]
    assert sorted(set(idents)) == sorted(idents)

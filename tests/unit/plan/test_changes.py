"""A merge's differences in, what an admin is told of them out."""

import pytest
from lxml import etree

from hacluster.cib import difference
from hacluster.plan.changes import HIDDEN, Change, Setting, describe

CIB = etree.fromstring(
    """<cib><configuration><crm_config/><nodes/><resources>
    <primitive id="f" class="stonith" type="fence_ipmilan"/>
    <primitive id="web" class="ocf" provider="hacluster" type="VirtualDomain"/>
    <template id="t" class="ocf" provider="heartbeat" type="VirtualDomain"/><primitive id="old" template="t"/>
    <primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2"/><clone id="c"/>
    </resources><constraints><rsc_location id="l"/></constraints>
    <fencing-topology><fencing-level id="v"/></fencing-topology>
    <rsc_defaults><meta_attributes id="d"/></rsc_defaults></configuration></cib>"""
)
EMPTY = etree.fromstring("<cib><configuration/></cib>")


@pytest.mark.parametrize(
    ("section", "ident", "noun"),
    [
        ("resources", "f", "fence device"),
        ("resources", "web", "VM"),
        ("resources", "old", "VM"),
        ("resources", "ip", "resource"),
        ("resources", "c", "clone"),
        ("resources", "t", "template"),
        ("constraints", "l", "location"),
        ("fencing-topology", "v", "fencing level"),
        ("rsc_defaults", "d", "defaults"),
        ("crm_config", "no-quorum-policy", "property"),
    ],
)
def test_things_are_called_what_an_admin_calls_them(section: str, ident: str, noun: str) -> None:
    assert describe([difference.Change("add", section, ident)], EMPTY, CIB) == (Change("add", noun, ident),)
    assert describe([difference.Change("remove", section, ident)], CIB, EMPTY) == (Change("remove", noun, ident),)


def test_a_change_is_told_with_old_and_new() -> None:
    change = difference.Change(
        "change", "resources", "web", (("config", "a.xml", "b.xml"), ("stop timeout", "60s", "-"))
    )
    assert describe([change], CIB, CIB) == (
        Change("change", "VM", "web", (Setting("config", "a.xml", "b.xml"), Setting("stop timeout", "60s", "-"))),
    )


@pytest.mark.parametrize(
    ("fact", "shown"),
    [
        (("password", "old", "new"), (HIDDEN, HIDDEN)),
        (("passwd", "old", "lrm://"), (HIDDEN, "lrm://")),
        (("odd", "plain", "lrm://"), (HIDDEN, "lrm://")),
        (("password", "-", "lrm://"), ("-", "lrm://")),
        (("login", "me", "you"), ("me", "you")),
    ],
)
def test_no_secret_is_shown_neither_one_that_goes_nor_one_that_stays(
    fact: tuple[str, str, str], shown: tuple[str, str]
) -> None:
    [change] = describe([difference.Change("change", "resources", "f", (fact,))], CIB, CIB)
    assert change.settings == (Setting(fact[0], *shown),)


def test_a_property_whose_name_says_secret_is_hidden_too() -> None:
    found = difference.Change("change", "crm_config", "my-password", (("value", "a", "b"),))
    assert describe([found], CIB, CIB)[0].settings == (Setting("value", HIDDEN, HIDDEN),)

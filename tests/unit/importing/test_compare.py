"""What two CIBs say, not how they are written."""

from __future__ import annotations

import pytest
from lxml import etree

from hacluster.cib.compare import Difference, differences, settings


def cib(*resources: str, constraints: str = "") -> etree._Element:
    return etree.fromstring(
        f"<cib><configuration><crm_config/><resources>{''.join(resources)}</resources>"
        f"<constraints>{constraints}</constraints></configuration></cib>"
    )


WEB = (
    '<primitive id="web" class="ocf" type="x"><instance_attributes id="i"><nvpair id="a" name="one" value="1"/>'
    '<nvpair id="b" name="two" value="2"/></instance_attributes>'
    '<operations><op id="m" name="monitor" interval="10s" timeout="60"/></operations></primitive>'
)


@pytest.mark.parametrize(
    "other",
    [
        WEB.replace('id="i"', 'id="other"').replace('id="a"', 'id="c"'),
        WEB.replace('class="ocf" type="x"', 'type="x" class="ocf"'),
        WEB.replace('interval="10s"', 'interval="10000ms"').replace('"60"', '"1min"'),
        WEB.replace("<operations>", '<meta_attributes id="empty"/><operations>'),
        WEB.replace('timeout="60"', 'timeout="60" enabled="true"'),
        WEB.replace("<operations>", "<!-- a word --><operations>"),
    ],
)
def test_spelling_does_not_count(other: str) -> None:
    assert other != WEB
    assert differences(cib(WEB), cib(other)) == ()


@pytest.mark.parametrize(
    "other",
    [
        WEB.replace('value="1"', 'value="3"'),
        WEB.replace('name="two"', 'name="tow"'),
        WEB.replace('type="x"', 'type="y"'),
        WEB.replace('interval="10s"', 'interval="11s"'),
        WEB.replace('timeout="60"', 'timeout="60" on-fail="fence"'),
        WEB.replace('timeout="60"', 'timeout="60" enabled="false"'),
        WEB.replace('<nvpair id="b" name="two" value="2"/>', ""),
        WEB.replace('<instance_attributes id="i">', '<instance_attributes id="i" score="5">'),
    ],
)
def test_every_value_counts(other: str) -> None:
    assert other != WEB
    assert differences(cib(WEB), cib(other)) == (Difference("changed", "resources", "web"),)


def test_the_order_of_a_group_counts_and_that_of_resources_does_not() -> None:
    a, b = '<primitive id="a"/>', '<primitive id="b"/>'
    assert differences(cib(a, b), cib(b, a)) == ()
    assert differences(cib(f'<group id="g">{a}{b}</group>'), cib(f'<group id="g">{b}{a}</group>')) != ()


def test_a_set_that_something_refers_to_keeps_its_id() -> None:
    user = '<primitive id="db" class="ocf" type="x"><instance_attributes id-ref="i"/></primitive>'
    assert differences(cib(WEB, user), cib(WEB.replace('id="i"', 'id="j"'), user)) != ()


def test_an_order_that_is_spelled_out_is_the_same_order() -> None:
    short = '<rsc_order id="o" first="a" then="b"/>'
    assert differences(cib(constraints=short), cib(constraints=short.replace("/>", ' kind="Mandatory"/>'))) == ()
    assert differences(cib(constraints=short), cib(constraints=short.replace("/>", ' kind="Optional"/>'))) != ()


def test_what_only_one_has_is_named() -> None:
    assert differences(cib(WEB), cib()) == (Difference("first", "resources", "web"),)
    assert differences(cib(), cib(WEB)) == (Difference("second", "resources", "web"),)
    assert differences(cib(WEB, WEB), cib(WEB)) != (), "twice is not once"


def test_a_difference_is_told_by_its_value_and_a_password_is_not_told() -> None:
    first, second = (
        etree.fromstring(WEB.replace('name="two"', 'name="passwd"').replace('"2"', v)) for v in ('"x"', '"y"')
    )
    assert settings(first, second) == ()
    assert settings(etree.fromstring(WEB), etree.fromstring(WEB.replace('"1"', '"9"'))) == ("one 1 → 9",)

"""What becomes of a thing that we, and somebody else, may have changed since it was last applied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from hacluster.cib.difference import canonical, same
from hacluster.cib.threeway import Combination, Theirs


def vm(values: dict[str, str] | None, meta: dict[str, str] | None = None) -> etree._Element | None:
    """A primitive with these parameters and meta attributes; None for one that is not there."""
    if values is None:
        return None
    pairs = "".join(f'<nvpair id="web-i-{k}" name="{k}" value="{v}"/>' for k, v in values.items())
    more = "".join(f'<nvpair id="web-m-{k}" name="{k}" value="{v}"/>' for k, v in (meta or {}).items())
    found: etree._Element = etree.fromstring(
        f'<primitive id="web"><instance_attributes id="web-i">{pairs}</instance_attributes>'
        + (f'<meta_attributes id="web-m">{more}</meta_attributes>' if meta is not None else "")
        + '<operations><op id="web-stop-0s" name="stop" interval="0s" timeout="60s"/></operations></primitive>'
    )
    return found


def combine(
    base: etree._Element | None,
    live: etree._Element | None,
    wanted: etree._Element | None,
    **how: bool,
) -> tuple[etree._Element | None, list[Theirs]]:
    combination = Combination("resources", "web", **how)
    return combination.element(base, live, wanted), combination.theirs


def value(element: etree._Element | None, name: str) -> str | None:
    assert element is not None
    found = element.xpath(f"instance_attributes/nvpair[@name='{name}']/@value")
    return str(found[0]) if found else None


A, B, C = {"x": "a"}, {"x": "b"}, {"x": "c"}


@pytest.mark.parametrize(
    ("base", "live", "wanted", "becomes", "kind"),
    [
        (A, A, B, "b", None),
        (A, B, B, "b", None),
        (A, B, A, "a", "drift"),
        (A, B, C, "c", "conflict"),
        ({}, A, {}, "a", "addition"),
        ({}, A, B, "b", "conflict"),
        (A, {}, A, "a", "drift"),
        (A, {}, B, "b", "conflict"),
        (A, A, {}, None, None),
        (A, B, {}, None, "conflict"),
        ({}, {}, A, "a", None),
    ],
)
def test_one_value(
    base: dict[str, str], live: dict[str, str], wanted: dict[str, str], becomes: str | None, kind: str | None
) -> None:
    result, theirs = combine(vm(base), vm(live), vm(wanted))
    assert value(result, "x") == becomes
    assert [found.kind for found in theirs] == [kind] * (kind is not None)
    if kind is not None:
        assert (theirs[0].name, theirs[0].live) == ("x", live.get("x", "-"))
    kept, told = combine(vm(base), vm(live), vm(wanted), keep=True)
    assert value(kept, "x") == (live.get("x") if kind is not None else becomes)
    assert all(found.kept for found in told)


@pytest.mark.parametrize(
    ("base", "live", "wanted", "there", "kind"),
    [
        (A, None, A, True, "drift"),
        (A, None, B, True, "conflict"),
        (A, None, None, False, None),
        (A, A, None, False, None),
        (A, B, None, False, "conflict"),
        (None, None, A, True, None),
    ],
)
def test_the_thing_as_a_whole(
    base: dict[str, str] | None, live: dict[str, str] | None, wanted: dict[str, str] | None, there: bool, kind: str
) -> None:
    result, theirs = combine(vm(base), vm(live), vm(wanted))
    assert (result is not None) == there
    assert [found.kind for found in theirs] == [kind] * (kind is not None)
    if kind is not None:
        result, _ = combine(vm(base), vm(live), vm(wanted), keep=True)
        assert (result is not None) == (live is not None)


def test_an_operation_is_told_by_its_name_whatever_its_id() -> None:
    changed = vm(A)
    assert changed is not None
    op = changed.find("operations/op")
    op.set("id", "web-stop-interval-0s")
    op.set("timeout", "5s")
    result, theirs = combine(vm(A), changed, vm(A))
    assert [(t.name, t.base, t.live, t.wanted) for t in theirs] == [("stop timeout", "60s", "5s", "60s")]
    assert result is not None
    assert result.find("operations/op").get("timeout") == "60s"
    assert len(result.findall("operations/op")) == 1


def test_what_operators_set_at_run_time_is_neither_told_nor_touched() -> None:
    stopped = vm(A, {"target-role": "Stopped"})
    result, theirs = combine(vm(A), stopped, vm(B))
    assert theirs == []
    assert result is not None
    assert result.xpath("meta_attributes/nvpair/@value") == ["Stopped"]
    assert combine(vm(A), stopped, None) == (None, [])


def test_the_order_of_what_is_ordered_is_a_value_too() -> None:
    def order(*ids: str) -> etree._Element:
        refs = "".join(f'<resource_ref id="{id_}"/>' for id_ in ids)
        return etree.fromstring(f'<rsc_order id="o"><resource_set id="s">{refs}</resource_set></rsc_order>')

    def members(found: etree._Element | None) -> list[str]:
        return [] if found is None else found.xpath(".//resource_ref/@id")

    result, theirs = combine(order("a", "b"), order("b", "a", "x"), order("a", "b", "y"))
    assert members(result) == ["a", "b", "y", "x"]
    assert [(t.kind, t.name) for t in theirs] == [("drift", "order"), ("addition", "member x")]
    result, _ = combine(order("a", "b"), order("b", "a", "x"), order("a", "b", "y"), keep=True)
    assert members(result) == ["b", "a", "x", "y"]
    assert combine(order("a", "b"), order("a", "b"), order("b", "a"))[1] == []


def test_when_something_is_taken_back_what_it_did_not_touch_is_none_of_its_business() -> None:
    """As undo asks: `base` is what the apply led to, `wanted` what was there before it."""
    result, theirs = combine(
        vm({"x": "a", "y": "1"}), vm({"x": "a", "y": "2", "z": "3"}), vm({"x": "b", "y": "1"}), touching=True
    )
    assert [value(result, name) for name in "xyz"] == ["b", "2", "3"]
    assert theirs == []
    _, theirs = combine(vm(A), vm(C), vm(B), touching=True)
    assert [found.kind for found in theirs] == ["conflict"]


values = st.dictionaries(st.sampled_from("xyz"), st.sampled_from("abc"))
states = st.none() | values


@given(values, values)
def test_law_what_nobody_else_touched_becomes_what_is_wanted(base: dict[str, str], wanted: dict[str, str]) -> None:
    result, theirs = combine(vm(base), vm(base), vm(wanted))
    assert theirs == []
    assert result is not None
    assert canonical(result) == canonical(vm(wanted))


@given(values, states)
def test_law_nothing_wanted_of_us_keeps_every_word_of_theirs(base: dict[str, str], live: dict[str, str] | None) -> None:
    result, _ = combine(vm(base), vm(live), vm(base), keep=True)
    assert (result is None) == (live is None)
    assert result is None or same(result, vm(live))


@given(states, states, states)
def test_law_whatever_of_theirs_is_lost_was_told(
    base: dict[str, str] | None, live: dict[str, str] | None, wanted: dict[str, str] | None
) -> None:
    """Every value of theirs that is neither what was applied nor what comes out has been named."""
    result, theirs = combine(vm(base), vm(live), vm(wanted))
    told = {found.name for found in theirs}
    for name in "xyz":
        was, is_ = (base or {}).get(name), (live or {}).get(name)
        after = value(result, name) if result is not None else None
        if is_ not in (was, after):
            assert name in told or "" in told

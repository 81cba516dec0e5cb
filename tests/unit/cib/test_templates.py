"""Templates: typed holes in attribute values, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from hacluster.cib.templates import Library, shipped_directory
from hacluster.problems import Refused

NVPAIR = (
    '<primitive id="${name:id}"><meta_attributes id="m">'
    '<nvpair id="n" name="n" value="%s"/>'
    "</meta_attributes></primitive>"
)


def library(tmp_path: Path, text: str) -> Library:
    (tmp_path / "thing.xml").write_text(text)
    return Library([tmp_path])


def codes(refused: pytest.ExceptionInfo[Refused]) -> list[str]:
    return [problem.code for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("hole", "value", "filled"),
    [
        ("${v:path}", "/dev/vg/lv", "/dev/vg/lv"),
        ("${v:seconds}", 90, "90s"),
        ("${v:integer}", -5, "-5"),
        ("${v:score}", "-INFINITY", "-INFINITY"),
        ("${v:options}", "noatime,ro", "noatime,ro"),
        ("${v:text}", "n1=10.0.0.1 n2=10.0.0.2", "n1=10.0.0.1 n2=10.0.0.2"),
        ("a-${v:id}-b", "web", "a-web-b"),
    ],
)
def test_a_hole_takes_a_value_of_its_type(tmp_path: Path, hole: str, value: str | int, filled: str) -> None:
    element = library(tmp_path, NVPAIR % hole).render("thing", "x", name="x", v=value)
    assert element.find(".//nvpair").get("value") == filled


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("path", "relative"),
        ("path", "/kvm/../etc"),
        ("path", "/line\nbreak"),
        ("seconds", "90s"),
        ("seconds", -1),
        ("integer", "1.5"),
        ("id", "1web"),
        ("id", "a b"),
        ("options", "a,,b"),
        ("hex", "XYZ"),
        ("uuid", "not-a-uuid"),
        ("text", ""),
        ("score", "high"),
        ("name", "-x"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(tmp_path: Path, type_: str, value: str | int) -> None:
    with pytest.raises(Refused) as refused:
        library(tmp_path, NVPAIR % f"${{v:{type_}}}").render("thing", "x", name="x", v=value)
    assert codes(refused) == ["HA212"]


def test_a_value_never_becomes_markup(tmp_path: Path) -> None:
    attack = '"/><nvpair id="evil" name="stonith-enabled" value="false'
    element = library(tmp_path, NVPAIR % "${v:text}").render("thing", "x", name="x", v=attack)
    assert len(etree.fromstring(etree.tostring(element)).findall(".//nvpair")) == 1


def test_an_absent_optional_value_leaves_its_nvpair_and_an_empty_set_out(tmp_path: Path) -> None:
    element = library(tmp_path, NVPAIR % "${v:text?}").render("thing", "x", name="x", v=None)
    assert [child.tag for child in element.iter()] == ["primitive"]


def test_an_absent_value_that_is_needed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        library(tmp_path, NVPAIR % "${v:text}").render("thing", "x", name="x", v=None)
    assert codes(refused) == ["HA212"]


@pytest.mark.parametrize("hole", ["${nobody:text}", "${v:nothing}", "${v}", "${v:text!}"])
def test_all_holes_that_nobody_can_fill_are_named_at_once(tmp_path: Path, hole: str) -> None:
    with pytest.raises(Refused) as refused:
        library(tmp_path, NVPAIR % f"{hole} {hole}").render("thing", "x", name="x", v="v")
    assert codes(refused) == ["HA211", "HA211"]


def test_an_operators_file_is_read_instead_of_the_shipped_one(tmp_path: Path) -> None:
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    for directory, timeout in ((own, "999s"), (shipped, "60s")):
        directory.mkdir()
        (directory / "thing.xml").write_text(f'<op id="x" timeout="{timeout}"/>')
    both = Library([own, shipped])
    assert both.render("thing", "x").get("timeout") == "999s"
    assert both.get("thing").source == own / "thing.xml"
    assert both.names() == ("thing",)


def test_an_operators_file_cannot_change_the_id_that_constraints_name(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        library(tmp_path, '<clone id="mine"/>').render("thing", "dlm-clone")
    assert codes(refused) == ["HA213"]


@pytest.mark.parametrize(("name", "code"), [("absent", "HA214"), ("thing", "HA210")])
def test_a_template_that_cannot_be_had_is_refused(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        library(tmp_path, "<clone>").get(name)
    assert codes(refused) == [code]


def test_entities_and_comments_bring_nothing_in(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    text = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{tmp_path}/secret">]><a id="x"><!-- said -->&e;</a>'
    assert b"secret" not in etree.tostring(library(tmp_path, text).render("thing", "x"))


@pytest.mark.parametrize("name", Library([shipped_directory()]).names())
def test_every_shipped_template_says_what_it_is_for(name: str) -> None:
    template = Library([shipped_directory()]).get(name)
    assert template.purpose.endswith((".", ";"))
    assert len(template.purpose) > len("A fence device")

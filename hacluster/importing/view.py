"""A CIB's resources as import looks at them: each primitive with its agent, parameters and place. Pure.

Only what is said plainly is seen: parameters in a rule, from a template or by reference are not, and what has them
differs from what the spec compiles to, so that it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from hacluster.cib import compare, durations, names


@dataclass(frozen=True, slots=True)
class Primitive:
    """One primitive. `top` is the id of the element that stands in <resources>, `wrapped` says in what: `alone` in
    nothing, `clone` in a clone of its own, else `more`."""

    id: str
    agent: tuple[str, str, str]
    parameters: Mapping[str, str]
    meta: Mapping[str, str]
    operations: Mapping[str, Mapping[str, str]]
    top: str
    wrapped: str


@dataclass(frozen=True, slots=True)
class View:
    """A CIB, read once."""

    cib: etree._Element
    primitives: tuple[Primitive, ...]
    properties: Mapping[str, str]
    nodes: tuple[etree._Element, ...]

    def of(self, *types: tuple[str, str, str]) -> tuple[Primitive, ...]:
        """The primitives of these agents."""
        return tuple(each for each in self.primitives if each.agent in types)


def view(cib: etree._Element) -> View:
    """Look at a CIB."""
    found = []
    for top in cib.iterfind("configuration/resources/*"):
        if not isinstance(top.tag, str) or top.tag == "template":
            continue
        for each in top.iter("primitive"):
            wrapped = "alone" if each is top else "clone" if top.tag == "clone" and each.getparent() is top else "more"
            found.append(_primitive(each, top.get("id", ""), wrapped))
    properties: dict[str, str] = {}
    for section, element in compare.sections(cib):
        if section == "crm_config" and element.tag == "nvpair":
            properties.setdefault(element.get("name", ""), element.get("value", ""))
    return View(cib, tuple(found), properties, tuple(cib.iterfind("configuration/nodes/node")))


def pairs(owner: etree._Element, kind: str) -> dict[str, str]:
    """The names and values of an element's sets of a kind."""
    return {
        pair.get("name", ""): pair.get("value", "")
        for pair in owner.iterfind(f"{kind}/nvpair")
        if pair.get("name") is not None
    }


def seconds(text: str | None) -> int | None:
    """A time such as 90, 90s or 2m in whole seconds; None when it is none."""
    found = durations.seconds(text or "")
    return None if found is None or found != int(found) else int(found)


def stem(primitive: str, suffix: str) -> str:
    """The storage's name in an id that hactl derived (`X` of `X-fs`), or the id itself."""
    derived = {"fs": names.filesystem(""), "lv": names.volume("")}[suffix]
    return primitive.removesuffix(derived) or primitive


def _primitive(element: etree._Element, top: str, wrapped: str) -> Primitive:
    return Primitive(
        id=element.get("id", ""),
        agent=(element.get("class", ""), element.get("provider", ""), element.get("type", "")),
        parameters=pairs(element, "instance_attributes"),
        meta=pairs(element, "meta_attributes"),
        operations={op.get("name", ""): dict(op.attrib) for op in element.iterfind("operations/op")},
        top=top,
        wrapped=wrapped,
    )

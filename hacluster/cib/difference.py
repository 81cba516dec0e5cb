"""What two configurations say differently: the comparison that plan, undo and the pcs commands share. Pure.

What says nothing is passed over: blank text, comments, the order of attributes and of name-value pairs, and the ids of
pairs and operations, which their owner and their name stand for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.cib import names

_UNORDERED = frozenset(
    {"instance_attributes", "meta_attributes", "utilization", "operations", "primitive", "clone", "tag"}
)
_NAMED = frozenset({"nvpair", "op"})

_OURS = frozenset({names.MANIFEST, names.APPLIED})


@dataclass(frozen=True, slots=True)
class Change:
    """One difference that a push would make.

    `adopt` is a thing that is already as we want it and becomes ours. `id` is an element's id, or a property's name.
    `facts` say what changes: attribute paths with their old and new value, "-" for none.
    """

    kind: Literal["add", "change", "remove", "adopt"]
    section: str
    id: str
    facts: tuple[tuple[str, str, str], ...] = ()


def changes(old: etree._Element, new: etree._Element) -> tuple[Change, ...]:
    """All differences between two whole CIBs' configurations, nodes included; hactl's own notes in it are left out."""
    found = list(_properties(old, new))
    for name in dict.fromkeys(str(s.tag) for cib in (old, new) for s in cib.iterfind("configuration/*")):
        if name != "crm_config":
            found += _section(name, old, new)
    return tuple(found)


def _properties(old: etree._Element, new: etree._Element) -> Iterator[Change]:
    before, after = properties(old), properties(new)
    for name in (name for name in dict.fromkeys((*before, *after)) if name not in _OURS):
        was, is_ = before.get(name), after.get(name)
        if was != is_:
            kind: Literal["add", "change", "remove"] = "add" if was is None else "remove" if is_ is None else "change"
            yield Change(kind, "crm_config", name, (("value", was or "-", is_ or "-"),))


def properties(cib: etree._Element) -> dict[str, str]:
    """The cluster properties of a CIB; of one that is set twice, the first."""
    found: dict[str, str] = {}
    for pair in cib.iterfind("configuration/crm_config/cluster_property_set/nvpair"):
        found.setdefault(pair.get("name", ""), pair.get("value", ""))
    return found


def _section(name: str, old: etree._Element, new: etree._Element) -> Iterator[Change]:
    before, after = ({e.get("id"): e for e in elements(cib.find(f"configuration/{name}"))} for cib in (old, new))
    for id_, element in before.items():
        if id_ not in after:
            yield Change("remove", name, str(id_))
        elif not same(element, after[id_]):
            yield Change("change", name, str(id_), differences(element, after[id_]))
    for id_ in after:
        if id_ not in before:
            yield Change("add", name, str(id_))


def elements(parent: etree._Element | None) -> list[etree._Element]:
    """The child elements, without comments; none of nothing."""
    return [] if parent is None else [e for e in parent if isinstance(e.tag, str)]


def same(one: etree._Element, other: etree._Element) -> bool:
    """Whether two elements say the same."""
    return canonical(one) == canonical(other)


def canonical(element: etree._Element) -> tuple[object, ...]:
    """What an element says, without what says nothing."""
    children = [canonical(child) for child in elements(element)]
    if element.tag in _UNORDERED:
        children.sort(key=repr)
    known = element.tag in _NAMED and element.get("name") is not None
    attributes = ((key, value) for key, value in element.attrib.items() if not (known and key == "id"))
    return (element.tag, tuple(sorted(attributes)), tuple(children))


def differences(old: etree._Element, new: etree._Element) -> tuple[tuple[str, str, str], ...]:
    """The values that differ: what an admin would call them, the old value and the new one."""
    before, after = dict(values(old)), dict(values(new))
    return tuple(
        (name, before.get(name, "-"), after.get(name, "-"))
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    )


def values(element: etree._Element, inside: str = "") -> Iterator[tuple[str, str]]:
    """Every value in an element, under the name that an admin would give it."""
    if element.tag == "nvpair":
        yield inside + element.get("name", element.get("id", "")), element.get("value", "")
        return
    if element.tag in ("obj_ref", "resource_ref"):
        yield f"member {element.get('id')}", "yes"
        return
    named = f"{element.get('name')} " if element.tag == "op" else ""
    for attribute, value in element.attrib.items():
        if attribute not in ("id", "name"):
            yield f"{inside}{named}{attribute}", value
    for child in elements(element):
        yield from values(child, f"{child.get('id')} " if child.tag == "primitive" else inside)


def configuration(cib: etree._Element) -> etree._Element:
    """A copy of a CIB's configuration without the note of what was applied, which every apply changes."""
    copy = deepcopy(cib.find("configuration"))
    for pair in copy.findall(f"crm_config/cluster_property_set/nvpair[@name='{names.APPLIED}']"):
        pair.getparent().remove(pair)
    return copy


def digest(cib: etree._Element) -> str:
    """A checksum of a CIB's configuration, the same for the same elements however they are written down."""
    whole = etree.tostring(cib.find("configuration"))
    plain = etree.fromstring(whole, etree.XMLParser(remove_blank_text=True, remove_comments=True))
    return hashlib.sha256(etree.tostring(plain, method="c14n")).hexdigest()

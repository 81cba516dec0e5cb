"""Do two CIBs mean the same to Pacemaker? What differs is listed, element by element.

Compared is the configuration without what says nothing: the order of attributes, of parameters and of what stands
beside each other (not inside a group or a set, where it counts), the ids of parameters and of their sets unless
something refers to them, comments, empty sets, defaults that are spelled out, and one time in two spellings. Left out
is hactl's own list of what it owns, which Pacemaker does not read. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lxml import etree

from hacluster.cib import durations, names

Meaning = tuple[Any, ...]
"""Tag, attributes, what is inside, text."""

_NAMELESS = frozenset(
    {"nvpair", "instance_attributes", "meta_attributes", "utilization", "op", "cluster_property_set", "rule"}
    | {"expression", "rsc_expression", "op_expression", "date_expression", "date_spec", "duration"}
    | {"resource_set", "obj_ref_list"}
)
"""Elements whose ids name nothing outside: Pacemaker keys their content by name."""
_ORDERED = frozenset({"group", "resource_set"})
_SETS = frozenset({"instance_attributes", "meta_attributes", "utilization", "operations"})
_DEFAULTS = {
    ("rsc_order", "kind", "Mandatory"),
    ("op", "enabled", "true"),
    ("resource_set", "sequential", "true"),
    ("node", "type", "member"),
    ("node", "type", "normal"),
}
_SCORES = {"+INFINITY": "INFINITY", "1000000": "INFINITY", "+1000000": "INFINITY", "-1000000": "-INFINITY"}
_SECRET = re.compile("pass|secret|token|community|private", re.IGNORECASE)
_TIMED = frozenset({"timeout", "interval", "start-delay"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One element that the two CIBs do not have in common.

    `kind` says where it is: in the first only, in the second only, or in both with another meaning.
    """

    kind: Literal["first", "second", "changed"]
    section: str
    id: str

    def __str__(self) -> str:
        words = {"first": "only in the first", "second": "only in the second", "changed": "differs"}
        return f"{self.section} {self.id}: {words[self.kind]}"


def differences(first: etree._Element, second: etree._Element) -> tuple[Difference, ...]:
    """What the configurations of two CIBs do not have in common; nothing if they mean the same."""
    one, two = Counter(_entries(first)), Counter(_entries(second))
    left, right = one - two, two - one
    keys = dict.fromkeys((section, id_) for section, id_, _ in (*left, *right))
    mine = {(section, id_) for section, id_, _ in left}
    theirs = {(section, id_) for section, id_, _ in right}
    return tuple(
        Difference("changed" if key in mine and key in theirs else "first" if key in mine else "second", key[0], key[1])
        for key in keys
    )


def referred(*cibs: etree._Element) -> frozenset[str]:
    """The ids of sets, rules and parameters that something else in these CIBs names (`id-ref`)."""
    return frozenset(
        value
        for cib in cibs
        for each in cib.iter(etree.Element)
        if (value := each.get("id-ref") or each.get("$id-ref"))
    )


def meaning(element: etree._Element, kept: frozenset[str] = frozenset()) -> Meaning:
    """What an element says. `kept` are ids that count although they name parameters or sets."""
    children = [meaning(child, kept) for child in element if isinstance(child.tag, str) and not _empty(child, kept)]
    if element.tag not in _ORDERED:
        children.sort()
    attributes = sorted(_attributes(element, kept))
    text = "" if children else (element.text or "").strip()
    return (str(element.tag), tuple(attributes), tuple(children), text)


def sections(cib: etree._Element) -> Iterator[tuple[str, etree._Element]]:
    """Every element that stands directly in a section of the configuration, with the section's name.

    Cluster properties, which a set shares among owners, come one by one; hactl's own notes are left out.
    """
    for section in cib.iterfind("configuration/*"):
        if not isinstance(section.tag, str):
            continue
        for each in section:
            if not isinstance(each.tag, str):
                continue
            if plain_properties(each):
                for pair in each:
                    if pair.get("name") not in (names.MANIFEST, names.APPLIED):
                        yield "crm_config", pair
            else:
                yield str(section.tag), each


def plain_properties(element: etree._Element) -> bool:
    """Whether it is a set of cluster properties that holds always, as nearly all do: nothing but names and values."""
    return (
        element.tag == "cluster_property_set"
        and set(element.attrib) <= {"id"}
        and all(pair.tag == "nvpair" and pair.get("name") and not len(pair) for pair in element)
    )


def key(section: str, element: etree._Element) -> str:
    """What an element of a section is called: its id, a property's name."""
    if section == "crm_config" and element.tag == "nvpair":
        return names.manifest_property(element.get("name", ""))
    return element.get("id") or str(element.tag)


def _entries(cib: etree._Element) -> Iterator[tuple[str, str, Meaning]]:
    kept = referred(cib)
    for section, element in sections(cib):
        yield section, key(section, element), meaning(element, kept)


def _attributes(element: etree._Element, kept: frozenset[str]) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        if name == "id" and element.tag in _NAMELESS and value not in kept:
            continue
        if (element.tag, name, value) in _DEFAULTS:
            continue
        if name == "score":
            yield name, _SCORES.get(value, value)
        elif name in _TIMED and element.tag == "op":
            time = durations.seconds(value)
            yield name, value if time is None else f"{time:g} s"
        else:
            yield name, value


def _empty(element: etree._Element, kept: frozenset[str]) -> bool:
    """A set without content, which says nothing (one that refers to another has its content there)."""
    return (
        element.tag in _SETS
        and not any(isinstance(child.tag, str) for child in element)
        and set(element.attrib) <= {"id"}
        and element.get("id") not in kept
    )


def settings(first: etree._Element, second: etree._Element) -> tuple[str, ...]:
    """How two elements of one id differ, in words: each value that the first has and the second has otherwise."""
    before, after = dict(_values(first)), dict(_values(second))
    return tuple(
        f"{name} {before.get(name, 'nothing')} → {after.get(name, 'nothing')}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    )


def _values(element: etree._Element, inside: str = "") -> Iterator[tuple[str, str]]:
    """The values in an element, each by a path that an admin understands."""
    if element.tag == "nvpair":
        name = inside + element.get("name", "")
        yield name, "(hidden)" if _SECRET.search(name) else element.get("value", "")
        return
    here = f"{element.get('name')} " if element.tag == "op" else ""
    for attribute, value in _attributes(element, frozenset()):
        if attribute not in ("id", "name"):
            yield f"{inside}{here}{attribute}", value
    for child in element:
        if isinstance(child.tag, str) and not _empty(child, frozenset()):
            deeper = f"{child.get('id')} " if child.tag in ("primitive", "obj_ref") else here
            yield from _values(child, deeper)
            if child.tag == "obj_ref":
                yield f"member {child.get('id')}", "yes"

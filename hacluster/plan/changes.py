"""What differs between two configurations, in the words of the field rather than of XML. Pure.

Compared is what an admin thinks in: resources, constraints, levels and properties by their id, each as a flat list of
named settings. How the XML is laid out, and the ids of the nvpairs in it, make no difference here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.cib import names

_SECRET = re.compile(r"pass|secret|token|community|private", re.IGNORECASE)
_HIDDEN = "(hidden)"
# What stands in the CIB for a value in Pacemaker's secrets store.
_STORED = "lrm://"
_NOUNS = {
    "clone": "clone",
    "group": "group",
    "bundle": "bundle",
    "template": "template",
    "rsc_location": "location",
    "rsc_order": "order",
    "rsc_colocation": "colocation",
    "rsc_ticket": "ticket constraint",
    "fencing-level": "fencing level",
    "meta_attributes": "defaults",
    "tag": "tag",
    "alert": "alert",
    "node": "node",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that changes. `old` is None where it is new, `new` None where it goes."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One thing of the configuration that is added, changed or removed. `noun` is what an admin calls it."""

    kind: Literal["add", "change", "remove"]
    noun: str
    ident: str
    settings: tuple[Setting, ...] = ()


def changes(live: etree._Element, desired: etree._Element) -> tuple[Change, ...]:
    """What a push of `desired` (a whole CIB) would change in `live`; in the order of the desired CIB, removals last."""
    before, after = dict(_things(live)), dict(_things(desired))
    found: list[Change] = []
    for key, (noun, settings) in after.items():
        old = before.get(key, (noun, {}))[1]
        differing = tuple(_differences(old, settings))
        if key not in before:
            found.append(Change("add", noun, key[1], differing))
        elif differing:
            found.append(Change("change", noun, key[1], differing))
    found += [Change("remove", noun, key[1]) for key, (noun, _) in before.items() if key not in after]
    return tuple(found)


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Setting]:
    for name in dict.fromkeys((*new, *old)):
        was, will = old.get(name), new.get(name)
        if was != will:
            secret = _SECRET.search(name) is not None or _STORED in (was, will)
            yield Setting(name, _shown(was, secret), _shown(will, secret))


def _shown(value: str | None, secret: bool) -> str | None:
    return value if not secret or value in (None, _STORED) else _HIDDEN


Key = tuple[str, str]
Thing = tuple[str, Mapping[str, str]]


def _things(cib: etree._Element) -> Iterator[tuple[Key, Thing]]:
    """Everything of a configuration that has a name: ((section, id), (noun, settings))."""
    for section in cib.iterfind("./configuration/*"):
        if section.tag == "crm_config":
            yield from _properties(section)
        elif section.tag != "nodes":
            for element in section.iterchildren(tag=etree.Element):
                yield (str(section.tag), element.get("id", "")), (_noun(element, cib), dict(_settings(element)))


def _properties(section: etree._Element) -> Iterator[tuple[Key, Thing]]:
    for nvpair in section.iterfind("./cluster_property_set/nvpair"):
        name = nvpair.get("name", "")
        if name == names.MANIFEST:
            yield ("crm_config", name), ("list of what hactl owns", {"ids": nvpair.get("value", "")})
        else:
            yield ("crm_config", name), ("property", {"value": nvpair.get("value", "")})


def _noun(element: etree._Element, cib: etree._Element) -> str:
    if element.tag != "primitive":
        return _NOUNS.get(str(element.tag), str(element.tag))
    described = element
    if element.get("template"):
        templates = cib.iterfind("./configuration/resources/template")
        described = next((t for t in templates if t.get("id") == element.get("template")), element)
    if described.get("class") == "stonith":
        return "fence device"
    return "VM" if described.get("type") == "VirtualDomain" else "resource"


def _settings(element: etree._Element, prefix: str = "") -> Iterator[tuple[str, str]]:
    """An element as named values: attributes, parameters, meta attributes, operations, rules, and what it contains."""
    for name, value in element.attrib.items():
        if name != "id":
            yield f"{prefix}{name}", value
    for child in element.iterchildren(tag=etree.Element):
        tag = str(child.tag)
        if tag == "nvpair":
            yield f"{prefix}{child.get('name', '')}", child.get("value", "")
        elif tag == "instance_attributes":
            yield from _settings(child, prefix)
        elif tag == "meta_attributes":
            yield from _settings(child, f"{prefix}meta ")
        elif tag == "operations":
            for op in child.iterchildren("op"):
                about = f"{prefix}{op.get('name', '')} {op.get('interval', '0s')} "
                yield from ((about + n, v) for n, v in op.attrib.items() if n not in ("id", "name", "interval"))
        else:
            yield from _settings(child, f"{prefix}{child.get('id') or tag} ")

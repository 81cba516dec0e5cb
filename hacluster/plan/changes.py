"""What a push changes, in the words of the field: merge finds differences, this names them and hides secrets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.cib import difference

HIDDEN = "(hidden)"
_SECRET = re.compile(r"pass|secret|token|community|private", re.IGNORECASE)
# What stands in the CIB for a value in Pacemaker's secrets store, and merge's word for no value: neither is a secret.
_HARMLESS = ("lrm://", "-")
_NOUNS = {
    "rsc_location": "location",
    "rsc_order": "order",
    "rsc_colocation": "colocation",
    "fencing-level": "fencing level",
    "meta_attributes": "defaults",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that changes; "-" stands for none."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is added, changed, removed, or adopted: it is already right, and hactl's from now on.

    `noun` is what an admin calls it.
    """

    kind: Literal["add", "change", "remove", "adopt"]
    noun: str
    ident: str
    settings: tuple[Setting, ...] = ()


def describe(found: Iterable[difference.Change], live: etree._Element, desired: etree._Element) -> tuple[Change, ...]:
    """Differences from `live` to `desired` (both whole CIBs), in their order."""
    return tuple(
        Change(
            kind=change.kind,
            noun=noun(change.section, change.id, live if change.kind == "remove" else desired),
            ident=change.id,
            settings=tuple(_setting(change, *fact) for fact in change.facts),
        )
        for change in found
    )


def _setting(change: difference.Change, name: str, old: str, new: str) -> Setting:
    # Also a value that moves into the store was a secret, whatever its parameter is called.
    secret = "lrm://" in (old, new)
    return Setting(name, *(shown(change.section, change.id, name, value, secret) for value in (old, new)))


def shown(section: str, ident: str, name: str, value: str, secret: bool = False) -> str:
    """A value as it may be shown: a secret is hidden."""
    named = f"{ident} {name}" if section == "crm_config" else name
    hidden = (secret or _SECRET.search(named) is not None) and value not in _HARMLESS
    return HIDDEN if hidden else value


def noun(section: str, ident: str, cib: etree._Element) -> str:
    """What an admin calls a thing of a CIB."""
    if section == "crm_config":
        return "property"
    found = cib.find(f"./configuration/{section}")
    element = next((e for e in found if e.get("id") == ident), None) if found is not None else None
    if element is None:
        return section
    if element.tag != "primitive":
        return _NOUNS.get(str(element.tag), str(element.tag))
    template = f"./configuration/resources/template[@id='{element.get('template', '')}']"
    described = element if element.get("type") else cib.find(template)
    kind = (described.get("class"), described.get("type")) if described is not None else (None, None)
    return "fence device" if kind[0] == "stonith" else "VM" if kind[1] == "VirtualDomain" else "resource"

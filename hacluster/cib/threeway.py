"""Three states of one element put together: as it was last applied, as it is, and as it is wanted. Pure.

Value by value: what nobody else touched becomes what is wanted. What somebody else added stays. What somebody else
changed or took away is told, as drift (we want it as it was) or as a conflict (we want it otherwise, too), and becomes
what is wanted unless it is to be kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.cib.difference import elements, same, values

# Set by people and tools while the cluster runs (pcs resource disable, unmanage, maintenance), never by the spec.
RUNTIME_META = frozenset({"target-role", "is-managed", "maintenance"})

_ORDERED = frozenset({"resource_set", "group", "rsc_order", "rsc_colocation", "rsc_ticket"})

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Theirs:
    """What somebody else did to a thing of ours. `name` is the value's name, empty for the thing as a whole.

    `base` is what was last applied, `live` what is there, `wanted` what the spec says; "-" stands for none.
    `kept` says that it stays as it is.
    """

    kind: Literal["drift", "conflict", "addition"]
    section: str
    id: str
    name: str
    base: str
    live: str
    wanted: str
    kept: bool


class Combination:
    """One thing's three states. `theirs` is what somebody else did to it.

    `keep` lets what others did win. With `touching`, a value that `base` and `wanted` agree on is none of our business:
    it stays whatever somebody made of it, and is not told.
    """

    def __init__(self, section: str, id_: str, *, keep: bool = False, touching: bool = False) -> None:
        self._section = section
        self._id = id_
        self._keep = keep
        self._touching = touching
        self.theirs: list[Theirs] = []

    def value(self, name: str, base: str | None, live: str | None, wanted: str | None) -> str | None:
        """What becomes of one value; None stands for none."""
        if live in (wanted, base):
            return wanted
        if self._stays(name, base, live, wanted, base == wanted):
            return live
        return wanted

    def element(
        self,
        base: etree._Element | None,
        live: etree._Element | None,
        wanted: etree._Element | None,
        name: str = "",
    ) -> etree._Element | None:
        """What becomes of an element, a new one; None when it is not to be there."""
        if live is not None and wanted is not None:
            return self._both(base, live, wanted, name)
        if live is None:
            if wanted is None:
                return None
            if base is None or not self._stays(name, _said(base), None, _said(wanted), same(base, wanted)):
                return _copy(wanted)
            return None
        if _is_runtime(live):
            return _copy(live)
        if live.tag == "meta_attributes" and any(_is_runtime(pair) for pair in elements(live)):
            return self._both(base, live, etree.Element(live.tag, id=live.get("id")), name)
        if base is not None and same(_at_rest(base), _at_rest(live)):
            return None
        stays = self._stays(name, _said(base), _said(live), None, base is None)
        return _copy(live) if stays else None

    def _stays(self, name: str, base: str | None, live: str | None, wanted: str | None, ours_is_old: bool) -> bool:
        """Whether what somebody else made of a value stays; it is noted."""
        if ours_is_old and (self._touching or base is None):
            kind: Literal["drift", "conflict", "addition"] = "addition" if base is None else "drift"
            stays = True
        else:
            kind, stays = "drift" if ours_is_old else "conflict", self._keep
        if not (self._touching and ours_is_old):
            was, is_, to_be = ("-" if value is None else value for value in (base, live, wanted))
            self.theirs.append(Theirs(kind, self._section, self._id, name.strip(), was, is_, to_be, stays))
        return stays

    def _both(
        self, base: etree._Element | None, live: etree._Element, wanted: etree._Element, name: str
    ) -> etree._Element:
        if live.tag != wanted.tag:
            stays = self._stays(name, _said(base), _said(live), _said(wanted), base is not None and same(base, wanted))
            return _copy(live if stays else wanted)
        if _is_runtime(live):
            return _copy(live)
        result = etree.Element(wanted.tag)
        before = base.attrib if base is not None and base.tag == wanted.tag else {}
        named = live.tag in ("nvpair", "op")
        for key in dict.fromkeys((*wanted.attrib, *live.attrib)):
            if key == "id" and named:
                found = live.get("id")
            else:
                label = _label(name, live, key)
                found = self.value(label, before.get(key), live.get(key), wanted.get(key))
            if found is not None:
                result.set(key, found)
        result.extend(self._children(base, live, wanted, name))
        return result

    def _children(
        self, base: etree._Element | None, live: etree._Element, wanted: etree._Element, name: str
    ) -> Iterable[etree._Element]:
        states = [_keyed(parent) for parent in (base, live, wanted)]
        for key in self._order(states, wanted, name):
            one, two, three = (state.get(key) for state in states)
            shown = next(e for e in (two, three) if e is not None)
            found = self.element(one, two, three, _inside(name, shown))
            if found is not None:
                yield found

    def _order(self, states: list[dict[Key, etree._Element]], parent: etree._Element, name: str) -> list[Key]:
        """The children's order: what is wanted, then what is only live. Where the order says something, and others
        changed it, that is a value like any other."""
        base, live, wanted = (list(state) for state in states)
        ours, theirs = [*wanted, *(k for k in live if k not in wanted)], [*live, *(k for k in wanted if k not in live)]
        if parent.tag not in _ORDERED:
            return ours
        common = set(live) & set(wanted) & (set(base) or set(live))
        was, is_, to_be = (" ".join(key[-1] for key in keys if key in common) for keys in (base or live, live, wanted))
        return ours if self.value(f"{name}order", was, is_, to_be) == to_be else theirs


def _keyed(parent: etree._Element | None) -> dict[Key, etree._Element]:
    """Child elements by what they are: pairs by name, operations by name (and interval where there are several), all
    others by id, or by their number where they have none."""
    children = elements(parent)
    operations = [e.get("name", "") for e in children if e.tag == "op"]
    keyed: dict[Key, etree._Element] = {}
    for child in children:
        tag, ident = str(child.tag), child.get("id")
        if tag == "nvpair" and child.get("name") is not None:
            key: Key = (tag, child.get("name"))
        elif tag == "op":
            several = operations.count(child.get("name", "")) > 1
            key = (tag, child.get("name", ""), *((child.get("interval", ""), child.get("role", "")) if several else ()))
        else:
            key = (tag, ident) if ident is not None else (tag, f"#{sum(known[0] == tag for known in keyed)}")
        keyed.setdefault(key, child)
    return keyed


def _inside(name: str, child: etree._Element) -> str:
    """The prefix for what a child holds: an operation by its name, a resource in a clone or group by its id."""
    if child.tag == "op":
        return f"{name}{child.get('name')} "
    if child.tag in ("primitive", "group"):
        return f"{child.get('id')} "
    if child.tag == "nvpair":
        return f"{name}{child.get('name', child.get('id', ''))} "
    return f"{name}member {child.get('id')} " if child.tag in ("obj_ref", "resource_ref") else name


def _label(name: str, element: etree._Element, key: str) -> str:
    return name.strip() if element.tag == "nvpair" and key == "value" else f"{name}{key}"


def _said(element: etree._Element | None) -> str | None:
    """An element in a few words: its one value, or all of them."""
    if element is None:
        return None
    told = list(values(element))
    if element.tag in ("nvpair", "obj_ref") and told:
        return told[0][1]
    return ", ".join(f"{name} {value}" for name, value in told[:6]) + (" …" if len(told) > 6 else "") or "there"


def _is_runtime(element: etree._Element) -> bool:
    """Of a resource; what stands in the defaults of all resources is the spec's."""
    holders = [str(holder.tag) for holder in element.iterancestors()][:2]
    runtime = element.tag == "nvpair" and element.get("name") in RUNTIME_META
    return runtime and holders[:1] == ["meta_attributes"] and holders[1:] != ["rsc_defaults"]


def _at_rest(element: etree._Element) -> etree._Element:
    """A copy without what operators set at run time."""
    copy = _copy(element)
    for pair in [p for p in copy.iter("nvpair") if _is_runtime(p)]:
        pairs = pair.getparent()
        pairs.remove(pair)
        if not len(pairs) and pairs is not copy:
            pairs.getparent().remove(pairs)
    return copy


def _copy(element: etree._Element) -> etree._Element:
    copy = deepcopy(element)
    copy.tail = None
    return copy

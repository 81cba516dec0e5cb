"""The desired CIB put into the live one: what hactl owns is replaced, all else stays where it is, byte for byte.

Ownership stands in the live CIB itself (`hacluster-owned`, see docs/decisions): the ids that the last apply wrote. The
result keeps the live version attributes, so that pushing it is a compare-and-set; it keeps <nodes> and <status>; and it
keeps what operators set on owned resources at run time. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.cib import compare, names
from hacluster.problems import Problem, Refused, kind

NOT_OURS = kind(
    "HA240",
    "The cluster has something else under an id that hactl wants",
    "hactl changes and removes only what it has written itself. What somebody else made has to be taken away, renamed, "
    "or written into the spec exactly as it is.",
)
STILL_NEEDED = kind(
    "HA241",
    "Something that hactl does not own refers to what would be removed",
    "Pacemaker refuses a configuration with a constraint or tag that points at nothing.",
)
NOT_A_CIB = kind("HA242", "Not a CIB", "The document is not the XML that `cibadmin --query` prints.")

# Set by people and tools while the cluster runs (pcs resource disable, unmanage, maintenance), never by the spec.
RUNTIME_META = frozenset({"target-role", "is-managed", "maintenance"})

SECTIONS = ("resources", "constraints", "fencing-topology", "tags", "rsc_defaults")
_REFERENCES = ("rsc", "with-rsc", "first", "then", "template", "id-ref")


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


@dataclass(frozen=True, slots=True)
class Merged:
    """The live CIB with the desired configuration in it, and what that changes. No changes: `cib` is the live one."""

    cib: etree._Element
    changes: tuple[Change, ...]

    def as_bytes(self) -> bytes:
        """The document to push."""
        return bytes(etree.tostring(self.cib, encoding="UTF-8", xml_declaration=True))


def merge(live: bytes | etree._Element, desired: bytes | etree._Element) -> Merged:
    """Put `desired` (from compile) into `live`. Neither is changed.

    Raises Refused: HA240 for an id that exists, is not ours and differs; HA241 when something foreign needs what would
    be removed; HA242 when a document is no CIB.
    """
    old, new = _parse(live), _parse(desired)
    merging = _Merging(deepcopy(old), new, owned(old))
    merging.properties()
    for section in SECTIONS:
        merging.section(section)
    problems = [*merging.problems, *merging.dangling()]
    if problems:
        raise Refused(problems)
    merging.manifest()
    if not merging.changes:
        return Merged(deepcopy(old), ())
    etree.indent(merging.cib, space="  ")
    return Merged(merging.cib, tuple(merging.changes))


def owned(cib: etree._Element) -> frozenset[str]:
    """What hactl owns in a CIB, by its manifest: ids, and `property:NAME`. Nothing where there is no manifest."""
    pair = cib.find(f"configuration/crm_config/cluster_property_set/nvpair[@name='{names.MANIFEST}']")
    return frozenset(pair.get("value", "").split()) if pair is not None else frozenset()


def _kept(desired: etree._Element) -> frozenset[str]:
    """What a desired CIB has from its residue: it says itself that this is not hactl's. It stays what it is."""
    mine = owned(desired)
    if not mine:
        return frozenset()
    return frozenset(compare.key(section, each) for section, each in compare.sections(desired)) - mine


class _Merging:
    def __init__(self, cib: etree._Element, desired: etree._Element, ours: frozenset[str]) -> None:
        self.cib = cib
        self.desired = desired
        self.ours = ours
        self.kept = _kept(desired)
        self.changes: list[Change] = []
        self.problems: list[Problem] = []
        self.removed: set[str] = set()

    def _section(self, name: str) -> etree._Element:
        """The live CIB's section, made when it is not there."""
        configuration = self.cib.find("configuration")
        found = configuration.find(name)
        return found if found is not None else etree.SubElement(configuration, name)

    # -- cluster properties: nvpairs in a set that we share with Pacemaker, pcs and the admin

    def properties(self) -> None:
        wanted = self.desired.find(f"configuration/crm_config/cluster_property_set[@id='{names.PROPERTY_SET}']")
        config = self._section("crm_config")
        for name, pair in {p.get("name"): p for p in wanted if p.get("name")}.items():
            if names.manifest_property(name) in self.kept:
                continue
            present = next((p for p in config.iterfind("cluster_property_set/nvpair") if p.get("name") == name), None)
            mine = names.manifest_property(name) in self.ours
            if present is None:
                self._property_set(config).append(_copy(pair))
                self._changed("add", "crm_config", name, (("value", "-", pair.get("value")),))
            elif present.get("value") == pair.get("value"):
                if not mine:
                    self._changed("adopt", "crm_config", name)
            elif mine:
                self._changed("change", "crm_config", name, (("value", present.get("value"), pair.get("value")),))
                present.set("value", pair.get("value"))
            else:
                self.problems.append(
                    NOT_OURS(
                        f"the cluster property {name} is {present.get('value')} and was not set by hactl",
                        where=name,
                        remedy=f"set it in the spec's [cluster.properties], or: pcs property unset {name}",
                        wanted=pair.get("value"),
                    )
                )
        kept = {names.manifest_property(p.get("name")) for p in wanted} | self.kept
        for pair in list(config.iterfind("cluster_property_set/nvpair")):
            entry = names.manifest_property(pair.get("name"))
            if entry in self.ours and entry not in kept:
                self._changed("remove", "crm_config", pair.get("name"), (("value", pair.get("value"), "-"),))
                pair.getparent().remove(pair)

    def _property_set(self, config: etree._Element) -> etree._Element:
        found = config.find(f"cluster_property_set[@id='{names.PROPERTY_SET}']")
        return found if found is not None else etree.SubElement(config, "cluster_property_set", id=names.PROPERTY_SET)

    # -- sections whose children have ids

    def section(self, name: str) -> None:
        there = _elements(self.desired.find(f"configuration/{name}"))
        wanted = {e.get("id"): e for e in there if e.get("id") not in self.kept}
        live = {e.get("id"): e for e in _elements(self.cib.find(f"configuration/{name}"))}
        anywhere = {
            e.get("id"): e
            for e in self.cib.iterfind("configuration//*[@id]")
            if e.tag not in ("node", "obj_ref", "resource_ref")
        }
        for id_, element in wanted.items():
            present = live.get(id_)
            if present is None and id_ in anywhere:
                self._refuse(id_, anywhere[id_])
            elif present is None:
                self._section(name).append(_copy(element))
                self._changed("add", name, id_)
            else:
                self._replace(name, present, element)
        for id_, present in live.items():
            if id_ in self.ours and id_ not in wanted and id_ not in self.kept:
                present.getparent().remove(present)
                self.removed |= {id_} | {e.get("id") for e in present.iter("primitive", "group")}
                self._changed("remove", name, id_)

    def _replace(self, section: str, present: etree._Element, element: etree._Element) -> None:
        replacement = _copy(element)
        if section == "resources":
            _keep_runtime_meta(present, replacement)
        same = _canonical(present) == _canonical(replacement)
        if present.get("id") not in self.ours:
            if same:
                self._changed("adopt", section, present.get("id"))
            else:
                self._refuse(present.get("id"), present)
        elif not same:
            replacement.tail = present.tail
            self._changed("change", section, present.get("id"), _differences(present, replacement))
            present.getparent().replace(present, replacement)

    def _refuse(self, id_: str, present: etree._Element) -> None:
        self.problems.append(
            NOT_OURS(
                f"the cluster has a {present.tag} with the id {id_} that hactl did not write",
                where=id_,
                remedy="rename yours in the spec, or take the cluster's away with pcs",
            )
        )

    # -- the whole

    def dangling(self) -> Iterator[Problem]:
        """References to what was removed, from elements that stay."""
        if not self.removed:
            return
        for element in self.cib.iterfind("configuration//*"):
            if not isinstance(element.tag, str):
                continue
            named = {element.get(attribute) for attribute in _REFERENCES}
            if element.tag in ("obj_ref", "resource_ref"):
                named.add(element.get("id"))
            for id_ in sorted(self.removed & named):
                holder = next((e for e in element.iterancestors() if e.get("id")), element)
                owner = element.get("id") if element.get("id") not in (None, id_) else holder.get("id")
                command = "pcs tag remove" if holder.tag == "tag" else "pcs constraint delete"
                yield STILL_NEEDED(
                    f"the {element.tag} {owner} refers to {id_}, which the spec no longer has",
                    where=str(owner),
                    remedy=f"{command} {owner}",
                    removed=id_,
                )

    def manifest(self) -> None:
        """What is ours from now on. It is a change of its own only where nothing else changed."""
        path = f"cluster_property_set[@id='{names.MANIFEST_SET}']"
        config = self._section("crm_config")
        wanted = self.desired.find(f"configuration/crm_config/{path}")
        present = config.find(path)
        if present is None:
            config.append(_copy(wanted))
        else:
            config.replace(present, _copy(wanted))
        if not self.changes and self.ours != owned(self.desired):
            gone = " ".join(sorted(self.ours - owned(self.desired))) or "-"
            self._changed("change", "crm_config", names.MANIFEST, (("no longer there", gone, "-"),))

    def _changed(
        self,
        kind_: Literal["add", "change", "remove", "adopt"],
        section: str,
        id_: str,
        facts: tuple[tuple[str, str, str], ...] = (),
    ) -> None:
        self.changes.append(Change(kind_, section, id_, facts))


def _parse(cib: bytes | etree._Element) -> etree._Element:
    if isinstance(cib, bytes):
        try:
            cib = etree.fromstring(cib)
        except etree.XMLSyntaxError as error:
            raise Refused(NOT_A_CIB(str(error), remedy="cibadmin --query")) from error
    if cib.tag != "cib" or cib.find("configuration") is None:
        raise Refused(NOT_A_CIB(f"its root element is {cib.tag}", remedy="cibadmin --query"))
    return cib


def _elements(section: etree._Element | None) -> list[etree._Element]:
    return [] if section is None else [e for e in section if isinstance(e.tag, str)]


def _copy(element: etree._Element) -> etree._Element:
    copy = deepcopy(element)
    copy.tail = None
    return copy


def _keep_runtime_meta(present: etree._Element, replacement: etree._Element) -> None:
    """Carry over what operators set at run time, for the resource itself and for what it contains."""
    theirs = {e.get("id"): e for e in present.iter("primitive", "clone", "group")}
    for resource in replacement.iter("primitive", "clone", "group"):
        old = theirs.get(resource.get("id"))
        if old is None:
            continue
        for pair in [p for p in old.iterfind("meta_attributes/nvpair") if p.get("name") in RUNTIME_META]:
            into = resource.find(f"meta_attributes[@id='{pair.getparent().get('id')}']")
            if into is None:
                into = etree.Element("meta_attributes", dict(pair.getparent().attrib))
                resource.insert(_after_attributes(resource), into)
            for mine in [p for p in into if p.get("name") == pair.get("name")]:
                into.remove(mine)
            into.append(_copy(pair))


def _after_attributes(resource: etree._Element) -> int:
    return sum(1 for e in resource if e.tag in ("instance_attributes", "meta_attributes"))


def _canonical(element: etree._Element) -> tuple[object, ...]:
    """What an element says, without what says nothing: blank text, comments, the order of attributes and nvpairs."""
    children = [_canonical(child) for child in _elements(element)]
    if element.tag in _UNORDERED:
        children.sort(key=repr)
    return (element.tag, tuple(sorted(element.attrib.items())), tuple(children))


_UNORDERED = frozenset(
    {"instance_attributes", "meta_attributes", "utilization", "operations", "primitive", "clone", "tag"}
)


def _differences(old: etree._Element, new: etree._Element) -> tuple[tuple[str, str, str], ...]:
    """The values that differ: what an admin would call them, the old value and the new one."""
    before, after = dict(_values(old)), dict(_values(new))
    return tuple(
        (name, before.get(name, "-"), after.get(name, "-"))
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    )


def _values(element: etree._Element, inside: str = "") -> Iterator[tuple[str, str]]:
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
    for child in _elements(element):
        yield from _values(child, f"{child.get('id')} " if child.tag == "primitive" else inside)

"""The desired CIB put into the live one: what hactl owns is replaced, all else stays where it is, byte for byte.

Ownership stands in the live CIB itself (`hacluster-owned`, see docs/decisions): the ids that the last apply wrote. The
result keeps the live version attributes, so that pushing it is a compare-and-set; it keeps <status>, and <nodes> but
for what they have for VMs; and it keeps what operators set on owned resources at run time. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.cib import capacities, compare, names
from hacluster.cib.difference import Change, changes, differences, elements, same
from hacluster.cib.threeway import Combination, Theirs
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

SECTIONS = ("resources", "constraints", "fencing-topology", "tags", "rsc_defaults")
_REFERENCES = ("rsc", "with-rsc", "first", "then", "template", "id-ref")


@dataclass(frozen=True, slots=True)
class Merged:
    """The live CIB with the desired configuration in it, and what that changes. No changes: `cib` is the live one.

    `theirs` is what others did to what hactl owns since it was last applied.
    """

    cib: etree._Element
    changes: tuple[Change, ...]
    theirs: tuple[Theirs, ...] = ()

    def as_bytes(self) -> bytes:
        """The document to push."""
        return bytes(etree.tostring(self.cib, encoding="UTF-8", xml_declaration=True))


def merge(
    live: bytes | etree._Element,
    desired: bytes | etree._Element,
    base: etree._Element | None = None,
    keep: frozenset[str] = frozenset(),
    taking: frozenset[str] = frozenset(),
) -> Merged:
    """Put `desired` (from compile) into `live`. None is changed.

    `base` is what was desired when it was last applied; None says that nobody knows, and then everything that differs
    counts as a change of ours. `keep` are the ids of owned things (or names of owned properties) on which others' word
    wins over ours. `taking` are ids that become ours, whatever they are.

    Raises Refused: HA240 for an id that exists, is not ours and differs; HA241 when something foreign needs what would
    be removed; HA242 when a document is no CIB.
    """
    old, new = _parse(live), _parse(desired)
    merging = _Merging(_dense(old), new, owned(old) | taking, base, keep)
    merging.properties()
    for section in SECTIONS:
        merging.section(section)
    merging.capacities()
    there = {e.get("id") for e in merging.cib.iterfind("configuration/resources//*[@id]")}
    problems = [*merging.problems, *dangling(merging.cib, merging.removed - there)]
    if problems:
        raise Refused(problems)
    merging.manifest()
    if not merging.changes:
        return Merged(deepcopy(old), (), tuple(merging.theirs))
    etree.indent(merging.cib.find("configuration"), space="  ", level=1)
    return Merged(merging.cib, tuple(merging.changes), tuple(merging.theirs))


def restated(live: etree._Element, desired: etree._Element) -> Merged:
    """A merge that was made before, told again: `desired` is the whole CIB that it led to."""
    found = list(changes(live, desired))
    touched = {change.id for change in found}
    now = {entry: entry.removeprefix(names.manifest_property("")) for entry in owned(desired) - owned(live)}
    places = {e.get("id"): section for section in SECTIONS for e in elements(live.find(f"configuration/{section}"))}
    for entry, name in sorted(now.items()):
        if name not in touched and (entry != name or name in places):
            found.append(Change("adopt", "crm_config" if entry != name else places[name], name))
    if not found and (gone := owned(live) - owned(desired)):
        found.append(_left_behind(gone))
    return Merged(desired, tuple(found))


def _left_behind(gone: Collection[str]) -> Change:
    facts = (("no longer there", " ".join(sorted(gone)) or "-", "-"),)
    return Change("change", "crm_config", names.MANIFEST, facts)


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
    def __init__(
        self,
        cib: etree._Element,
        desired: etree._Element,
        ours: frozenset[str],
        base: etree._Element | None,
        keep: frozenset[str],
    ) -> None:
        self.cib = cib
        self.desired = desired
        self.ours = ours
        self.base = base
        self.keep = keep
        self.kept = _kept(desired)
        # As the live CIB has it: what one section loses does not make room in another.
        self.anywhere = {
            e.get("id"): e
            for e in cib.iterfind("configuration//*[@id]")
            if e.tag not in ("node", "obj_ref", "resource_ref")
        }
        self.changes: list[Change] = []
        self.theirs: list[Theirs] = []
        self.problems: list[Problem] = []
        self.removed: set[str] = set()
        self.left: set[str] = set()

    def _section(self, name: str) -> etree._Element:
        """The live CIB's section, made when it is not there."""
        configuration = self.cib.find("configuration")
        found = configuration.find(name)
        return found if found is not None else etree.SubElement(configuration, name)

    def _combination(self, section: str, id_: str) -> Combination:
        return Combination(section, id_, keep=id_ in self.keep)

    # -- cluster properties: nvpairs in a set that we share with Pacemaker, pcs and the admin

    def properties(self) -> None:
        wanted = _own_properties(self.desired)
        before = _own_properties(self.base)
        config = self._section("crm_config")
        for name in dict.fromkeys((*wanted, *self._owned_properties())):
            if names.manifest_property(name) in self.kept:
                continue
            present = next((p for p in config.iterfind("cluster_property_set/nvpair") if p.get("name") == name), None)
            self._property(config, name, before, present, wanted.get(name))

    def _owned_properties(self) -> list[str]:
        prefix = names.manifest_property("")
        return sorted(entry.removeprefix(prefix) for entry in self.ours if entry.startswith(prefix))

    def _property(
        self,
        config: etree._Element,
        name: str,
        before: dict[str, etree._Element],
        present: etree._Element | None,
        pair: etree._Element | None,
    ) -> None:
        live = None if present is None else present.get("value")
        wanted = None if pair is None else pair.get("value")
        if names.manifest_property(name) not in self.ours:
            self._foreign_property(config, name, live, pair)
            return
        combination = self._combination("crm_config", name)
        base = before[name].get("value") if name in before else live
        value = combination.value("value", base, live, wanted)
        self.theirs += combination.theirs
        if value != wanted:
            self.left.add(names.manifest_property(name))
        if value == live:
            return
        facts = (("value", live or "-", value or "-"),)
        if value is None and present is not None:
            present.getparent().remove(present)
            self._changed("remove", "crm_config", name, facts)
        elif present is not None:
            present.set("value", value)
            self._changed("change", "crm_config", name, facts)
        elif pair is not None:
            self._property_set(config).append(_copy(pair))
            self._changed("add", "crm_config", name, facts)

    def _foreign_property(
        self, config: etree._Element, name: str, live: str | None, pair: etree._Element | None
    ) -> None:
        if pair is None or live == pair.get("value"):
            if pair is not None:
                self._changed("adopt", "crm_config", name)
        elif live is None:
            self._property_set(config).append(_copy(pair))
            self._changed("add", "crm_config", name, (("value", "-", pair.get("value")),))
        else:
            self.problems.append(
                NOT_OURS(
                    f"the cluster property {name} is {live} and was not set by hactl",
                    where=name,
                    remedy=f"set it in the spec's [cluster.properties], or: pcs property unset {name}",
                    wanted=pair.get("value"),
                )
            )

    def _property_set(self, config: etree._Element) -> etree._Element:
        found = config.find(f"cluster_property_set[@id='{names.PROPERTY_SET}']")
        return found if found is not None else etree.SubElement(config, "cluster_property_set", id=names.PROPERTY_SET)

    # -- sections whose children have ids

    def section(self, name: str) -> None:
        wanted = {id_: e for id_, e in _by_id(self.desired, name).items() if id_ not in self.kept}
        live = _by_id(self.cib, name)
        before = _by_id(self.base, name) if self.base is not None else {}
        going = {id_ for id_ in live if id_ in self.ours and id_ not in wanted and id_ not in self.kept}
        for id_, element in wanted.items():
            present = live.get(id_)
            if present is None and id_ in self.anywhere and not going.intersection(_around(self.anywhere[id_])):
                self._refuse(id_, self.anywhere[id_])
            elif present is not None and id_ not in self.ours:
                self._foreign(name, present, element)
            else:
                self._combine(name, id_, before.get(id_, present), present, element)
        for id_ in [each for each in live if each in going]:
            self._combine(name, id_, before.get(id_, live[id_]), live[id_], None)

    def _foreign(self, section: str, present: etree._Element, element: etree._Element) -> None:
        """Something of that id that is not ours: adopted when it says what we want, run-time settings aside."""
        ours = Combination(section, "").element(present, present, element)
        if ours is not None and same(present, ours):
            self._changed("adopt", section, present.get("id"))
        else:
            self._refuse(present.get("id"), present)

    def _combine(
        self,
        section: str,
        id_: str,
        base: etree._Element | None,
        present: etree._Element | None,
        element: etree._Element | None,
    ) -> None:
        if present is not None and element is not None and _text(present) == _text(element):
            return  # as nearly all of a thousand VMs: letter by letter what is wanted
        combination = self._combination(section, id_)
        result = combination.element(base, present, element)
        self.theirs += combination.theirs
        if result is None:
            if present is not None:
                present.getparent().remove(present)
                self.removed |= {id_} | {e.get("id") for e in present.iter("primitive", "group")}
                self._changed("remove", section, id_)
            return
        if element is None:
            self.left.add(id_)
        if present is None:
            self._section(section).append(result)
            self._changed("add", section, id_)
        elif not same(present, result):
            result.tail = present.tail
            self._changed("change", section, id_, differences(present, result))
            present.getparent().replace(present, result)

    def _refuse(self, id_: str, present: etree._Element) -> None:
        self.problems.append(
            NOT_OURS(
                f"the cluster has a {present.tag} with the id {id_} that hactl did not write",
                where=id_,
                remedy="rename yours in the spec, or take the cluster's away with pcs",
            )
        )

    # -- what nodes have: all of <nodes> that the spec decides

    def capacities(self) -> None:
        rooms = capacities.differences(self.cib, self.desired)
        capacities.put(self.cib, rooms)
        for id_ in dict.fromkeys(room.id for room in rooms):
            facts = tuple((room.name, room.old or "-", room.new) for room in rooms if room.id == id_)
            self._changed("change", "nodes", id_, facts)

    # -- the whole

    def manifest(self) -> None:
        """What is ours from now on. It is a change of its own only where nothing else changed."""
        config = self._section("crm_config")
        own = config.find(f"cluster_property_set[@id='{names.MANIFEST_SET}']")
        wanted = self.desired.find(f"configuration/crm_config/cluster_property_set[@id='{names.MANIFEST_SET}']")
        if own is None:
            own = etree.SubElement(config, "cluster_property_set", id=names.MANIFEST_SET)
        for pair in own.findall(f"nvpair[@name='{names.MANIFEST}']"):
            own.remove(pair)
        pair = _copy(wanted.find(f"nvpair[@name='{names.MANIFEST}']"))
        now = owned(self.desired) | self.left
        pair.set("value", " ".join(sorted(now)))
        own.insert(0, pair)
        if not self.changes and self.ours != now:
            self.changes.append(_left_behind(self.ours - now))

    def _changed(
        self,
        kind_: Literal["add", "change", "remove", "adopt"],
        section: str,
        id_: str,
        facts: tuple[tuple[str, str, str], ...] = (),
    ) -> None:
        self.changes.append(Change(kind_, section, id_, facts))


def _around(element: etree._Element) -> set[str]:
    """The ids of what an element stands in: a primitive may leave its clone, or come into one, under its own id."""
    return {each.get("id") for each in element.iterancestors() if each.get("id")}


def dangling(cib: etree._Element, removed: Collection[str]) -> Iterator[Problem]:
    """References to what was removed, from elements that stay."""
    if not removed:
        return
    for element in cib.iterfind("configuration//*"):
        if not isinstance(element.tag, str):
            continue
        named = {element.get(attribute) for attribute in _REFERENCES}
        if element.tag in ("obj_ref", "resource_ref"):
            named.add(element.get("id"))
        for id_ in sorted(named.intersection(removed)):
            holder = next((e for e in element.iterancestors() if e.get("id")), element)
            owner = element.get("id") if element.get("id") not in (None, id_) else holder.get("id")
            command = "pcs tag remove" if holder.tag == "tag" else "pcs constraint delete"
            yield STILL_NEEDED(
                f"the {element.tag} {owner} refers to {id_}, which would go",
                where=str(owner),
                remedy=f"{command} {owner}",
                removed=id_,
            )


def _by_id(cib: etree._Element, section: str) -> dict[str, etree._Element]:
    return {e.get("id"): e for e in elements(cib.find(f"configuration/{section}"))}


def _own_properties(cib: etree._Element | None) -> dict[str, etree._Element]:
    """The properties that a compiled CIB sets."""
    path = f"configuration/crm_config/cluster_property_set[@id='{names.PROPERTY_SET}']/nvpair"
    return {p.get("name"): p for p in cib.iterfind(path) if p.get("name")} if cib is not None else {}


def _parse(cib: bytes | etree._Element) -> etree._Element:
    if isinstance(cib, bytes):
        try:
            cib = etree.fromstring(cib)
        except etree.XMLSyntaxError as error:
            raise Refused(NOT_A_CIB(str(error), remedy="cibadmin --query")) from error
    if cib.tag != "cib" or cib.find("configuration") is None:
        raise Refused(NOT_A_CIB(f"its root element is {cib.tag}", remedy="cibadmin --query"))
    return cib


def _dense(cib: etree._Element) -> etree._Element:
    """A copy without blank space."""
    return etree.fromstring(etree.tostring(cib), etree.XMLParser(remove_blank_text=True, huge_tree=True))


def _text(element: etree._Element) -> bytes:
    text: bytes = etree.tostring(element, with_tail=False)
    return text


def _copy(element: etree._Element) -> etree._Element:
    copy = deepcopy(element)
    copy.tail = None
    return copy

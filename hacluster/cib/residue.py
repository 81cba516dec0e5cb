"""The residue: what a cluster has and its spec cannot say, or says otherwise, laid over what the spec compiles to.

Import writes it (docs/decisions/0016). It has two parts. *Kept* are elements of the cluster's CIB, verbatim: they
stand in the compiled CIB in the place of the spec's own, hactl does not own them, and a push leaves the cluster's as
they are. *Withheld* are ids that the spec would compile and the cluster does not have: they are left out. What is taken
out of the residue becomes the spec's business with the next plan. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass

from lxml import etree

from hacluster.cib import compare, names

ROOT = "hacluster-residue"
FORMAT = "1"
_HEAD = """ Written by hactl import; the spec names this file. What stands below "kept" is the cluster's own, verbatim:
     hactl does not change it, whatever the spec says of it. What "withheld" names the spec would add, and the cluster
     does not have. Take an entry out, and hactl plan shows what the spec makes of it. """


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of a CIB's section by what it is called (an id, or `property:NAME`)."""

    section: str
    key: str


@dataclass(frozen=True, slots=True)
class Residue:
    """What is kept, as elements with their section, and what is withheld."""

    kept: tuple[tuple[Entry, etree._Element], ...]
    withheld: frozenset[Entry]

    def without(self, entries: Iterable[Entry]) -> Residue:
        """The residue once these entries are left to the spec."""
        gone = frozenset(entries)
        return Residue(tuple(each for each in self.kept if each[0] not in gone), self.withheld - gone)

    def as_bytes(self) -> bytes:
        """The file."""
        root = etree.Element(ROOT, format=FORMAT)
        root.append(etree.Comment(_HEAD))
        withheld = etree.SubElement(root, "withheld")
        for entry in sorted(self.withheld, key=lambda each: (each.section, each.key)):
            etree.SubElement(withheld, "entry", section=entry.section, id=entry.key)
        kept = etree.SubElement(root, "kept")
        for entry, element in self.kept:
            _add(kept, entry.section, element)
        etree.indent(root, space="  ")
        return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def parse(content: bytes) -> Residue:
    """Read the file. It has been checked before (spec.residue_file)."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True, remove_comments=True)
    root = etree.fromstring(content, parser)
    kept = []
    # A section's elements are told apart as those of a CIB are.
    for section, element in compare.sections(_as_cib(root.find("kept"))):
        kept.append((Entry(section, compare.key(section, element)), element))
    withheld = {Entry(each.get("section", ""), each.get("id", "")) for each in root.iterfind("withheld/entry")}
    return Residue(tuple(kept), frozenset(withheld))


def between(compiled: etree._Element, cib: etree._Element) -> Residue:
    """What has to be kept and withheld so that `compiled` means what `cib` does."""
    refers = compare.referred(cib)
    ours = Counter(
        (section, compare.key(section, each), compare.meaning(each, refers))
        for section, each in compare.sections(compiled)
    )
    theirs = [
        (Entry(s, compare.key(s, each)), compare.meaning(each, refers), each) for s, each in compare.sections(cib)
    ]
    shared, kept = [], []
    for entry, says, element in theirs:
        if ours[entry.section, entry.key, says] > 0:
            ours[entry.section, entry.key, says] -= 1
            shared.append((entry, element))
        else:
            kept.append((entry, element))
    kept += _colliding(compiled, shared, kept)
    here = {entry for entry, _ in kept}
    absent = {Entry(section, key) for (section, key, _), count in ours.items() if count > 0}
    return Residue(tuple(kept), frozenset(absent - here))


def lay_over(compiled: etree._Element, residue: Residue) -> etree._Element:
    """The compiled CIB with the residue's elements in it and without what is withheld. Its list of what hactl owns
    says so. `compiled` is not changed."""
    made = deepcopy(compiled)
    configuration = made.find("configuration")
    away = residue.withheld | {entry for entry, _ in residue.kept}
    for section, element in list(compare.sections(made)):
        if Entry(section, compare.key(section, element)) in away:
            element.getparent().remove(element)
    for entry, element in residue.kept:
        _add(configuration, entry.section, element)
    owned = made.find(f"configuration/crm_config/cluster_property_set/nvpair[@name='{names.MANIFEST}']")
    if owned is not None:
        gone = {entry.key for entry in away}
        owned.set("value", " ".join(id_ for id_ in owned.get("value", "").split() if id_ not in gone))
    return made


def for_vms(compiled: etree._Element, residue: Residue, vms: Iterable[str]) -> frozenset[Entry]:
    """The entries that keep these VMs from being the spec's: they themselves, their tags, and those constraints of
    theirs that would refer to nothing that is not there. `compiled` is the CIB without the residue.
    """
    wanted = set(vms)
    here = {entry for entry, _ in residue.kept} | residue.withheld
    mine = {Entry(section, compare.key(section, each)): each for section, each in compare.sections(compiled)}
    tags = {
        entry: each
        for entry, each in mine.items()
        if entry.section == "tags" and any(member.get("id") in wanted for member in each)
    }
    found = {Entry("resources", vm) for vm in wanted} | set(tags)
    about = wanted | {entry.key for entry in tags}
    there = {entry.key for entry in mine if entry not in residue.withheld} | {entry.key for entry, _ in residue.kept}
    for entry, each in mine.items():
        named = {each.get(name) for name in ("rsc", "with-rsc", "first", "then") if each.get(name)}
        if entry.section == "constraints" and named & about and named <= about | there:
            found.add(entry)
    return frozenset(found & here)


def _colliding(
    compiled: etree._Element, shared: list[tuple[Entry, etree._Element]], kept: list[tuple[Entry, etree._Element]]
) -> Iterator[tuple[Entry, etree._Element]]:
    """Shared elements whose compiled form has inner ids that something kept has as well: they are kept, too."""
    taken = {id_ for _, element in kept for id_ in _ids(element)}
    if not taken:
        return
    inner: dict[Entry, set[str]] = {}
    for section, element in compare.sections(compiled):
        inner.setdefault(Entry(section, compare.key(section, element)), set()).update(_ids(element))
    for entry, element in shared:
        if inner.get(entry, set()) & taken:
            yield entry, element


def _ids(element: etree._Element) -> Iterator[str]:
    """The ids that an element gives. References repeat others', and those of nodes have a space of their own."""
    for each in element.iter(etree.Element):
        if each.tag not in ("node", "obj_ref", "resource_ref") and (id_ := each.get("id")):
            yield id_


def _add(parent: etree._Element, section: str, element: etree._Element) -> None:
    """Put an element into its section below `parent`; a cluster property into the set that it comes from."""
    into = parent.find(section)
    if into is None:
        into = etree.SubElement(parent, section)
    if section == "crm_config" and element.tag == "nvpair":
        id_ = element.getparent().get("id", names.PROPERTY_SET)
        found = next((each for each in into if each.get("id") == id_), None)
        into = etree.SubElement(into, "cluster_property_set", id=id_) if found is None else found
    copy = deepcopy(element)
    copy.tail = None
    into.append(copy)


def _as_cib(kept: etree._Element | None) -> etree._Element:
    cib = etree.Element("cib")
    configuration = etree.SubElement(cib, "configuration")
    configuration.extend(list(kept) if kept is not None else [])
    return cib

"""The result of an import: the spec's text, the residue, and for every element of the CIB who has it and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.cib import compare
from hacluster.cib.residue import Entry, Residue, between, lay_over
from hacluster.cib.templates import Library
from hacluster.importing import toml
from hacluster.importing.proposal import Proposal, propose
from hacluster.importing.sources import Sources, addresses
from hacluster.importing.storage import UNKNOWN_DIRECTORY, UNKNOWN_SERVER
from hacluster.importing.view import view
from hacluster.problems import Problem, Refused, kind

NOT_THE_SAME = kind(
    "HA283",
    "What was imported does not mean what the CIB means",
    "The spec and its residue were compiled again and compared with the CIB. hactl writes nothing that would change "
    "the cluster with the next plan.",
)

SPEC, RESIDUE = "cluster.toml", "residue.xml"
_SHOWN = 3
_LONGEST = 120
_NO_WORD = {
    "nodes": "nodes are corosync's and the cluster's own; their attributes are set with pcs",
    "op_defaults": "the spec writes each operation's own settings",
    "acls": "the spec has no access rules",
    "alerts": "the spec has no alerts",
    "crm_config": "the spec does not say this, or Pacemaker writes it by itself",
    "tags": "the spec has no tags of its own",
}


@dataclass(frozen=True, slots=True)
class Fate:
    """One element: `owned` is compiled from the spec, `kept` stands in the residue verbatim, `withheld` would be
    compiled from the spec and is not in the cluster."""

    entry: Entry
    tag: str
    fate: Literal["owned", "kept", "withheld"]
    why: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made. `files` are all files to write, by their path below the spec's folder; `private` says which
    of them may hold a password. `problems` are what `hactl check` has against the spec as it stands."""

    files: Mapping[str, bytes]
    private: frozenset[str]
    fates: tuple[Fate, ...]
    problems: tuple[Problem, ...]

    def count(self, fate: str) -> int:
        """How many elements have that fate."""
        return sum(each.fate == fate for each in self.fates)


def import_cib(
    cib: etree._Element,
    sources: Sources,
    library: Library | None = None,
    *,
    origin: str = "a CIB",
    spec: str = SPEC,
    residue: str = RESIDUE,
) -> Imported:
    """Import a CIB that has been read (cib.reading) and has today's schema. `spec` and `residue` are the files' names.

    Raises Refused with HA283 when the result would not mean the same.
    """
    seen = view(cib)
    proposal, compiled = propose(seen, sources, library or Library())
    left = between(compiled, cib)
    differing = compare.differences(lay_over(compiled, left), cib)
    if differing:
        raise Refused(
            NOT_THE_SAME(
                f"{len(differing)} elements differ: {'; '.join(str(each) for each in differing[:_SHOWN])}"[:300],
                where=origin,
                remedy="report this with the CIB; without passwords, if you can",
            )
        )
    files: dict[str, bytes] = {**proposal.domains, **proposal.secrets}
    if left.kept or left.withheld:
        proposal.tables["cluster"]["residue"] = residue
        files[residue] = left.as_bytes()
    fates = tuple(_fates(compiled, cib, left, proposal.reasons))
    files[spec] = toml.write(proposal.tables, _head(origin, fates), _notes(proposal, sources)).encode()
    return Imported(files, frozenset({residue, *proposal.secrets}), fates, proposal.problems)


def _fates(compiled: etree._Element, cib: etree._Element, left: Residue, reasons: Mapping[str, str]) -> Iterator[Fate]:
    kept = {id(element) for _, element in left.kept}
    why = _Why(compiled, cib, left, reasons)
    for section, element in compare.sections(cib):
        entry = Entry(section, compare.key(section, element))
        if id(element) in kept:
            yield Fate(entry, str(element.tag), "kept", why(entry, element))
        else:
            yield Fate(entry, str(element.tag), "owned", "")
    for entry in sorted(left.withheld, key=lambda each: (each.section, each.key)):
        yield Fate(entry, str(why.mine[entry].tag), "withheld", "hactl would add it; the cluster does not have it")


class _Why:
    """Why an element is kept: the first reason that applies."""

    def __init__(
        self, compiled: etree._Element, cib: etree._Element, left: Residue, reasons: Mapping[str, str]
    ) -> None:
        self.mine = {Entry(section, compare.key(section, each)): each for section, each in compare.sections(compiled)}
        self.refers = compare.referred(cib)
        self.twins = {self._unnamed(self.mine[entry]): entry.key for entry in left.withheld if entry in self.mine}
        self.reasons = reasons
        self.kept = {entry.key for entry, _ in left.kept if entry.section in ("resources", "tags")}

    def __call__(self, entry: Entry, element: etree._Element) -> str:
        if entry in self.mine:
            told = compare.settings(element, self.mine[entry])
            more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
            shown = "; ".join(each[:_LONGEST] for each in told[:_SHOWN])
            return f"the spec would write it otherwise: {shown}{more}" if told else "an id in it is taken"
        if (twin := self.twins.get(self._unnamed(element))) is not None:
            return f"it says what hactl would call {twin}"
        inner = [name for each in element.iter("primitive") if (name := each.get("id", "")) in self.reasons]
        for name in (entry.key, *inner):
            if name in self.reasons:
                return self.reasons[name]
        if entry.section in ("constraints", "tags"):
            about = {value for each in element.iter(etree.Element) for value in each.attrib.values()} & self.kept
            about.discard(entry.key)
            if about:
                return f"it is about {', '.join(sorted(about)[:_SHOWN])}, which is kept"
        return _NO_WORD.get(entry.section, f"the spec has no word for this {element.tag}")

    def _unnamed(self, element: etree._Element) -> compare.Meaning:
        tag, attributes, *rest = compare.meaning(element, self.refers)
        return (tag, tuple(pair for pair in attributes if pair[0] != "id"), *rest)


def _head(origin: str, fates: tuple[Fate, ...]) -> list[str]:
    counts = {fate: sum(each.fate == fate for each in fates) for fate in ("owned", "kept", "withheld")}
    return [
        f"Imported by hactl import from {origin}.",
        f"Of the cluster's configuration {counts['owned']} elements are this file's, {counts['kept']} are kept as they",
        f"are in the residue, and {counts['withheld']} that hactl would add are withheld. As it stands, hactl plan",
        "changes nothing.",
    ]


def _notes(proposal: Proposal, sources: Sources) -> dict[str, list[str]]:
    notes: dict[str, list[str]] = {}
    known = addresses(sources.corosync)
    guessed = [name for name in proposal.tables["nodes"] if name not in known]
    if guessed:
        notes["nodes"] = [
            "The addresses are not in the CIB: for each host that has only its name below, write one address for each",
            "Corosync link, in link order (/etc/corosync/corosync.conf).",
        ]
    for name, table in proposal.tables.get("storage", {}).items():
        if table["type"] == "gfs2":
            device = f"/dev/{table['volume_group']}/{table['logical_volume']}"
            notes[f"storage.{name}"] = [
                "Not in the CIB: lock_table and journals, which the file system itself knows:",
                f"`tunegfs2 -l {device}` and `gfs2_edit -p journals {device}`.",
            ]
        elif table.get("server") == UNKNOWN_SERVER:
            notes[f"storage.{name}"] = [
                "Not in the CIB: whose export it is, and by which version; each node mounts it."
            ]
        elif table.get("directory", "").startswith(f"{UNKNOWN_DIRECTORY}/"):
            notes[f"storage.{name}"] = ["VMs stand on it, and none of their disks says where its devices lie."]
    for name, device in proposal.tables.get("fence_devices", {}).items():
        lacking = [v for v in device.values() if isinstance(v, str) and v.startswith("file:secrets/")]
        lacking = [v.removeprefix("file:") for v in lacking if v.removeprefix("file:") not in proposal.secrets]
        if lacking:
            notes[f"fence_devices.{name}"] = [
                "The password is in Pacemaker's secrets store (`cibsecret get`); write it into",
                f"{', '.join(lacking)}, readable by root only.",
            ]
    if proposal.tables["cluster"]["name"] == "cluster":
        notes["cluster"] = [
            "The CIB does not say the cluster's name: write corosync's (cluster_name in corosync.conf)."
        ]
    if "reserved_memory" in proposal.tables.get("placement", {}):
        notes["placement"] = [
            "The nodes' memory and CPUs are what Pacemaker has for VMs: nothing is kept back of these."
        ]
    if proposal.tables.get("libvirt", {}).get("watchdog"):
        notes["libvirt"] = ["Not in the CIB: the watchdog's device."]
    return notes

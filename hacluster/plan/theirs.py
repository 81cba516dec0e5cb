"""What others did to what hactl owns, as an admin reads it, and the findings from it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.cib import threeway
from hacluster.plan.changes import noun, shown
from hacluster.problems import Problem, kind

DRIFTED = kind(
    "HA350",
    "Somebody else changed what hactl owns",
    "What the last apply wrote is not there any more, and the spec still wants it. Applying would set it back, which "
    "whoever changed it may not expect. With --accept it is overwritten; with --keep ID it stays, and the next plan "
    "tells of it again.",
    acceptable=True,
)
CONFLICT = kind(
    "HA351",
    "Somebody else changed what is to be changed",
    "The value is neither what the last apply wrote nor what is wanted now, by the spec or by an undo. With --accept "
    "what is wanted is set; with --keep ID the other one stays, and the next plan tells of it again.",
    acceptable=True,
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """One thing that somebody else did to something of ours. `name` is empty when it is about the thing as a whole.

    `applied` is what hactl wrote, `live` what is there, `wanted` what the spec says; "-" stands for none. `kept` says
    that it stays.
    """

    kind: Literal["drift", "conflict", "addition"]
    noun: str
    ident: str
    name: str
    applied: str
    live: str
    wanted: str
    kept: bool


def describe(found: Iterable[threeway.Theirs], live: etree._Element, desired: etree._Element) -> tuple[Foreign, ...]:
    """The merge's findings in the words of the field, secrets hidden."""
    return tuple(_described(each, live, desired) for each in found)


def _described(each: threeway.Theirs, live: etree._Element, desired: etree._Element) -> Foreign:
    here = live if each.live != "-" else desired
    base, now, wanted = (
        shown(each.section, each.id, each.name, value) for value in (each.base, each.live, each.wanted)
    )
    return Foreign(each.kind, noun(each.section, each.id, here), each.id, each.name, base, now, wanted, each.kept)


def problems(found: Sequence[Foreign], who: str, command: str) -> Iterator[Problem]:
    """A finding for each thing that would be overwritten. `who` says who changed the CIB last, as far as it tells;
    `command` is what is typed to go on (hactl apply, hactl undo)."""
    for code, what in (("drift", DRIFTED), ("conflict", CONFLICT)):
        things = dict.fromkeys((each.noun, each.ident) for each in found if each.kind == code and not each.kept)
        for noun_, ident in things:
            mine = [f for f in found if f.kind == code and not f.kept and (f.noun, f.ident) == (noun_, ident)]
            told = [f"{f.name or 'as a whole'}: applied {f.applied}, now {f.live}, wanted {f.wanted}" for f in mine[:8]]
            yield what(
                f"somebody else changed {', '.join(f.name or 'it' for f in mine[:4])} of the {noun_} {ident}"
                + (", and something else is wanted, too" if code == "conflict" else ""),
                where=ident,
                remedy=f"to set what is wanted: {command} --accept {what.code}; "
                f"to leave theirs: {command} --keep {ident}",
                values="; ".join(told),
                changed_by=who,
            )


def last_change(live: etree._Element, since: int | None) -> str:
    """Who changed the CIB last, and how many changes there were since ours (None: not known)."""
    told = [live.get("update-user"), live.get("update-client") and f"with {live.get('update-client')}"]
    told += [live.get("update-origin") and f"on {live.get('update-origin')}", live.get("cib-last-written")]
    who = " ".join(word for word in told if word) or "unknown"
    return who if since is None or since <= 1 else f"unknown; {since} changes since, the last by {who}"

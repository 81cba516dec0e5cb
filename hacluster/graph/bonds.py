"""The bonds between resources: all constraints from one to another as one thing with a reason. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from hacluster.lint import Facts, Subject
from hacluster.lint.facts import is_on
from hacluster.lint.relations import INFINITY, Relations


@dataclass(frozen=True, slots=True, order=True)
class Bond:
    """What binds `upper` to `lower` (primitives): `upper` waits for it, or runs beside it, or must keep off it.

    `waits` and `beside` are "must", "may" (advice, or of one direction only) or "". `apart` says the same of staying
    away. `lacks` says in words what is missing where `upper` lies on `lower`. `why` are the constraints' ids; a group's
    own order is called by the group's id.
    """

    upper: str
    lower: str
    waits: str = ""
    beside: str = ""
    apart: str = ""
    lacks: str = ""
    why: tuple[str, ...] = ()


class _Collected:
    """Bonds in the making, by the pair that they bind."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], dict[str, str]] = {}
        self.why: dict[tuple[str, str], list[str]] = {}

    def add(self, uppers: Iterable[str], lowers: Iterable[str], what: str, weight: str, why: str) -> None:
        below = list(lowers)
        for upper in uppers:
            for lower in below:
                if upper != lower:
                    pair = self.found.setdefault((upper, lower), {})
                    pair[what] = "must" if "must" in (pair.get(what), weight) else weight
                    self.why.setdefault((upper, lower), []).append(why)

    def turn_round(self) -> None:
        """What runs beside a thing that waits for it is below that thing: a volume goes where its VM is placed."""
        for (upper, lower), what in list(self.found.items()):
            other = self.found.get((lower, upper), {})
            if "waits" in other and "beside" not in other and set(what) == {"beside"}:
                other |= self.found.pop((upper, lower))
                self.why[lower, upper] += self.why.pop((upper, lower))


def bonds(subject: Subject) -> tuple[Bond, ...]:
    """Every bond of a cluster, and those that are missing below a VM."""
    relations, collected = subject.relations, _Collected()
    for order in relations.orders:
        if order.kind != "Serialize" and order.starts:
            collected.add(
                _ends(order.then, relations, first=True),
                _ends(order.first, relations, first=False),
                "waits",
                "must" if order.mandatory else "may",
                order.id,
            )
    for each in relations.colocations:
        if each.score:
            collected.add(
                _ends(each.dependent, relations, first=True),
                _ends(each.primary, relations, first=False),
                "beside" if each.score > 0 else "apart",
                "must" if abs(each.score) == INFINITY else "may",
                each.id,
            )
    for upper, lower, what, group in _groups(subject.facts):
        collected.add([upper], [lower], what, "must", group)
    collected.turn_round()
    lacks = dict(_lacking(subject))
    nothing: dict[str, str] = {}
    return tuple(
        Bond(
            upper,
            lower,
            waits=what.get("waits", ""),
            beside=what.get("beside", ""),
            apart=what.get("apart", ""),
            lacks=lacks.get((upper, lower), ""),
            why=tuple(dict.fromkeys(collected.why.get((upper, lower), ()))),
        )
        for (upper, lower), what in (dict.fromkeys(lacks, nothing) | collected.found).items()
    )


def _ends(names: Iterable[str], relations: Relations, *, first: bool) -> tuple[str, ...]:
    """The primitives that a constraint really binds: of a group its first member, or its last."""
    found: list[str] = []
    for name in names:
        members = relations.primitives(name)
        element = relations.facts.by_id.get(name)
        inner = element if element is None or element.tag == "group" else element.find("group")
        if inner is not None and members:
            members = (members[0],) if first else (members[-1],)
        found += members
    return tuple(dict.fromkeys(found))


def _groups(facts: Facts) -> Iterator[tuple[str, str, str, str]]:
    for group in facts.root.iterfind("configuration/resources//group"):
        members = [member.get("id", "") for member in group.iterfind("primitive")]
        meta = facts.attributes(group, "meta_attributes")
        for lower, upper in pairwise(members):
            for attribute, what in (("ordered", "waits"), ("collocated", "beside")):
                if is_on(meta.get(attribute, "true")):
                    yield upper, lower, what, group.get("id", "")


def _lacking(subject: Subject) -> Iterator[tuple[tuple[str, str], str]]:
    """Where a VM lies on storage, by its paths, and does not wait for it or may run without it: the pair, and words."""
    for vm, held in subject.standing.items():
        before, relations = subject.relations.before(vm), subject.relations
        words = [
            *(() if any(each.id in before for each in held) else ("does not wait for it",)),
            *(() if any(relations.together(vm, each.id) for each in held) else ("may run without it",)),
        ]
        if held and words:
            yield (vm, held[0].id), f"lies on it, and {' and '.join(words)}"

"""What a CIB's constraints bind to what: order, colocation and location, between primitives. Pure.

Groups, clones, templates, tags and resource sets are followed, so that a rule asks one question: does this VM wait for
that file system, and run only where it is? A constraint between many and many stays one node of the graph, for a set of
a thousand VMs would otherwise be a million edges.
"""

from __future__ import annotations

import graphlib
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from lxml import etree

from hacluster.lint.facts import Facts, is_on
from hacluster.lint.words import pattern_of

INFINITY = float("inf")
Graph = Mapping[str, tuple[str, ...]]
_HUB = "constraint "


@dataclass(frozen=True, slots=True)
class Order:
    """`then` after `first`: ids as they stand in the constraint. `mandatory` also says that it holds for stops."""

    id: str
    first: tuple[str, ...]
    then: tuple[str, ...]
    kind: str
    symmetrical: bool
    starts: bool

    @property
    def mandatory(self) -> bool:
        """Whether `then` never starts without `first`, and always stops before it."""
        return self.kind == "Mandatory" and self.symmetrical and self.starts


@dataclass(frozen=True, slots=True)
class Colocation:
    """`dependent` runs where `primary` does, by a score (INFINITY: only there)."""

    id: str
    dependent: tuple[str, ...]
    primary: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class Location:
    """A preference of resources for a node; `node` is None where a rule decides, which nobody can foresee here."""

    id: str
    resources: tuple[str, ...]
    node: str | None
    score: float


class Relations:
    """The constraints of a CIB."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._constraints = facts.root.find("configuration/constraints")
        self._members: dict[str, tuple[str, ...]] = {}

    def _each(self, tag: str) -> Iterator[etree._Element]:
        return iter(()) if self._constraints is None else self._constraints.iterfind(tag)

    @cached_property
    def orders(self) -> tuple[Order, ...]:
        """Every order, those within a set pair by pair."""
        return tuple(order for element in self._each("rsc_order") for order in _orders(element))

    @cached_property
    def colocations(self) -> tuple[Colocation, ...]:
        """Every colocation, those within a set pair by pair."""
        return tuple(made for element in self._each("rsc_colocation") for made in _colocations(element))

    @cached_property
    def locations(self) -> tuple[Location, ...]:
        """Every location, one for each rule."""
        return tuple(made for element in self._each("rsc_location") for made in self._locations(element))

    def primitives(self, name: str) -> tuple[str, ...]:
        """The primitives that a name in a constraint means; none when nothing has that name."""
        if name not in self._members:
            element = self.facts.by_id.get(name)
            named = [name]
            if element is not None and element.tag == "tag":
                named = [ref.get("id", "") for ref in element.iterfind("obj_ref")]
            self._members[name] = tuple(dict.fromkeys(p for each in named for p in self._contained(each)))
        return self._members[name]

    def before(self, primitive: str) -> frozenset[str]:
        """Every primitive that has to be up before this one may start."""
        return frozenset(_reach(self._predecessors, primitive))

    def beside(self, primitive: str) -> frozenset[str]:
        """Every primitive without which this one may not run on a node."""
        return frozenset(_reach(self._companions, primitive))

    def together(self, primitive: str, other: str) -> bool:
        """Whether the two run on one node or not at all, whichever of them is placed first. A clone that is bound to
        one resource would leave others' nodes: that is no way to stand on it."""
        alone = (resource := self.facts.resource.get(other)) is not None and resource.clone is None
        return other in self.beside(primitive) or (alone and primitive in self.beside(other))

    def allowed(self, primitive: str) -> frozenset[str] | None:
        """The nodes where location constraints let it run; None when a rule decides that cannot be foreseen."""
        banned: set[str] = set()
        welcome: set[str] = set()
        for location in self._locations_of.get(primitive, ()):
            if location.node is None:
                return None
            (banned if location.score == -INFINITY else welcome).add(location.node.casefold())
        opt_in = not is_on(self.facts.properties.get("symmetric-cluster", "true"))
        # Pacemaker does not tell upper from lower case in nodes' names.
        return frozenset(
            node
            for node in self.facts.nodes
            if node.casefold() not in banned and (not opt_in or node.casefold() in welcome)
        )

    def loop(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """One ring of primitives that wait for each other, and the constraints in it; None when there is none."""
        ring = _ring(self._predecessors)
        if ring is None:
            return None
        return (
            tuple(name for name in ring if not name.startswith(_HUB)),
            tuple(dict.fromkeys(name.split(" ")[1] for name in ring if name.startswith(_HUB))),
        )

    @cached_property
    def _locations_of(self) -> Mapping[str, list[Location]]:
        found: dict[str, list[Location]] = {}
        for location in self.locations:
            for name in location.resources:
                for primitive in self.primitives(name):
                    found.setdefault(primitive, []).append(location)
        return found

    @cached_property
    def _predecessors(self) -> Graph:
        links = [(order.id, order.then, order.first) for order in self.orders if order.mandatory]
        return self._graph(links, self._group_pairs("ordered"))

    @cached_property
    def _companions(self) -> Graph:
        links = [(each.id, each.dependent, each.primary) for each in self.colocations if each.score == INFINITY]
        return self._graph(links, self._group_pairs("collocated"))

    def _graph(
        self, links: Iterable[tuple[str, tuple[str, ...], tuple[str, ...]]], pairs: Iterable[tuple[str, str]]
    ) -> Graph:
        edges: dict[str, list[str]] = {}
        for number, (ident, sources, targets) in enumerate(links):
            hub = f"{_HUB}{ident} {number}"
            for name in sources:
                for primitive in self.primitives(name):
                    edges.setdefault(primitive, []).append(hub)
            edges[hub] = [primitive for name in targets for primitive in self.primitives(name)]
        for later, earlier in pairs:
            edges.setdefault(later, []).append(earlier)
        return {name: tuple(dict.fromkeys(targets)) for name, targets in edges.items()}

    def _group_pairs(self, attribute: str) -> Iterator[tuple[str, str]]:
        """A group's members, each with the one before it."""
        for group in self.facts.root.iterfind("configuration/resources//group"):
            if is_on(self.facts.attributes(group, "meta_attributes").get(attribute, "true")):
                members = [member.get("id", "") for member in group.iterfind("primitive")]
                yield from zip(members[1:], members, strict=False)

    def _contained(self, name: str) -> Iterator[str]:
        element = self.facts.by_id.get(name)
        if element is None:
            return
        if element.tag == "primitive":
            yield name
        elif element.tag == "template":
            yield from (resource.id for resource in self.facts.resources if resource.template == name)
        elif element.tag in ("group", "clone", "master", "bundle"):
            yield from (member.get("id", "") for member in element.iter("primitive"))

    def _locations(self, element: etree._Element) -> Iterator[Location]:
        names = tuple(ref.get("id", "") for ref in element.iterfind("resource_set/resource_ref"))
        if element.get("rsc"):
            names = (element.get("rsc", ""),)
        elif element.get("rsc-pattern"):
            names = tuple(self._matching(element.get("rsc-pattern", "")))
        ident = element.get("id", "")
        if element.get("role", "Started").casefold() not in ("started", "stopped"):
            return  # it says where the resource may be promoted, not where it may run
        if element.get("node"):
            yield Location(ident, names, element.get("node"), score(element.get("score", "0")))
        for rule in element.iterfind("rule"):
            if rule.get("role", "Started").casefold() in ("started", "stopped"):
                yield Location(ident, names, _node_of(rule), score(rule.get("score", "0")))

    def _matching(self, pattern: str) -> Iterator[str]:
        wanted = pattern_of(pattern)
        if wanted is None:
            return
        for each in self.facts.root.iterfind("configuration/resources//*[@id]"):
            if each.tag in ("primitive", "group", "clone", "master") and wanted.search(each.get("id")):
                yield each.get("id")


def score(text: str) -> float:
    """A score: a number, or INFINITY with its sign; 0 for what is neither."""
    bare = text.lstrip("+-").upper()
    if bare in ("INFINITY", "INF"):
        return -INFINITY if text.startswith("-") else INFINITY
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return INFINITY if number >= 1_000_000 else -INFINITY if number <= -1_000_000 else number


def _node_of(rule: etree._Element) -> str | None:
    """The node that a rule of the one expression `#uname eq NODE` means."""
    parts = list(rule)
    if len(parts) == 1 and parts[0].tag == "expression":
        only = parts[0]
        if (only.get("attribute"), only.get("operation")) == ("#uname", "eq"):
            return str(only.get("value"))
    return None


def _sets(element: etree._Element) -> list[tuple[tuple[str, ...], bool, etree._Element]]:
    return [
        (
            tuple(ref.get("id", "") for ref in each.iterfind("resource_ref")),
            is_on(each.get("sequential", "true")),
            each,
        )
        for each in element.iterfind("resource_set")
    ]


def _orders(element: etree._Element) -> Iterator[Order]:
    ident = element.get("id", "")
    kind = element.get("kind")
    if kind is None:  # older schemas have a score: 0 is advice
        kind = "Mandatory" if score(element.get("score", "INFINITY")) > 0 else "Optional"
    symmetrical = is_on(element.get("symmetrical", "true"))
    if element.get("first") is not None:
        first, then = element.get("first", ""), element.get("then", "")
        action = element.get("first-action", "start")
        starts = _starts(action, element.get("then-action", action))
        yield Order(ident, (first,), (then,), kind, symmetrical, starts)
        return
    earlier: tuple[tuple[str, ...], str] | None = None
    for names, sequential, each in _sets(element):
        action = each.get("action", "start")
        if sequential:
            for one, next_one in itertools.pairwise(names):
                yield Order(ident, (one,), (next_one,), kind, symmetrical, _starts(action, action))
        if earlier is not None:
            yield Order(ident, earlier[0], names, kind, symmetrical, _starts(earlier[1], action))
        earlier = (names, action)


def _starts(first: str, then: str) -> bool:
    return then == "start" and first in ("start", "promote")


def _colocations(element: etree._Element) -> Iterator[Colocation]:
    ident = element.get("id", "")
    weight = score(element.get("score", "0"))
    if element.get("rsc") is not None:
        yield Colocation(ident, (element.get("rsc", ""),), (element.get("with-rsc", ""),), weight)
        return
    earlier: tuple[str, ...] | None = None
    for names, sequential, each in _sets(element):
        inside = score(each.get("score", element.get("score", "0")))
        if sequential:  # each with the one before it
            for one, next_one in itertools.pairwise(names):
                yield Colocation(ident, (next_one,), (one,), inside)
        if earlier is not None:  # but a set with the set after it
            yield Colocation(ident, earlier, names, weight)
        earlier = names


def _reach(graph: Graph, start: str) -> Iterator[str]:
    seen = {start}
    waiting = deque([start])
    while waiting:
        for name in graph.get(waiting.popleft(), ()):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
                if not name.startswith(_HUB):
                    yield name


def _ring(graph: Graph) -> list[str] | None:
    """A ring in the graph of what comes before what, each name before the next; the first is repeated at the end."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        ring: list[str] = error.args[1]
        return ring
    return None

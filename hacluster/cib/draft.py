"""A CIB in the making: the nouns that were rendered from templates, and the relations between them.

Each part of compiling (storage, fencing, VMs) adds to one draft, so that two storages that stand on one lock manager
get it once. Nothing here knows what a noun is for.
"""

from __future__ import annotations

from lxml import etree

from hacluster import model
from hacluster.cib import names
from hacluster.cib.templates import Library, Value


class Draft:
    """Resources, constraints, fencing levels and tags, each in the order they came up; and what they are made from."""

    def __init__(self, cluster: model.Cluster, library: Library) -> None:
        self.cluster = cluster
        self.library = library
        self.resources: list[etree._Element] = []
        self.constraints: list[etree._Element] = []
        self.levels: list[etree._Element] = []
        self.tags: list[etree._Element] = []
        self._clones: set[str] = set()

    def made(self) -> tuple[etree._Element, ...]:
        """All of it."""
        return (*self.resources, *self.constraints, *self.levels, *self.tags)

    def then(self, first: str, then: str) -> None:
        """`then` starts after `first`, and only where it runs; it stops before it."""
        self.before(first, then)
        self.beside(then, first)

    def before(self, first: str, then: str) -> None:
        """`then` starts after `first`, and stops before it."""
        self.constraints.append(
            etree.Element("rsc_order", id=names.order(first, then), first=first, then=then, kind="Mandatory")
        )

    def beside(self, resource: str, other: str) -> None:
        """`resource` runs only where `other` runs, which is placed first."""
        self.constraints.append(
            element(
                "rsc_colocation",
                ("id", names.colocation(resource, other)),
                ("rsc", resource),
                ("with-rsc", other),
                ("score", "INFINITY"),
            )
        )

    def location(self, id_: str, resource: str, node: str, score: str) -> None:
        """A score of one resource for one node."""
        self.constraints.append(etree.Element("rsc_location", id=id_, rsc=resource, node=node, score=score))

    def has(self, clone: str) -> bool:
        """Whether that clone has been made."""
        return clone in self._clones

    def clone(self, template: str, primitive: str, **values: Value) -> str:
        """The clone of that template, made when it is first needed; its id."""
        id_ = names.clone(primitive)
        if not self.has(id_):
            self._clones.add(id_)
            self.resources.append(self.library.render(template, id_, id=primitive, **values))
        return id_


def element(tag: str, *attributes: tuple[str, str]) -> etree._Element:
    """An element whose attributes keep this order, also those whose names are no Python names."""
    made = etree.Element(tag)
    for name, value in attributes:
        made.set(name, value)
    return made


def nvpair(nvset: etree._Element, name: str, value: str) -> None:
    """Set a name in a set: the value that is there is replaced in place, a new one is added at the end."""
    for pair in nvset.iterchildren("nvpair"):
        if pair.get("name") == name:
            pair.set("value", value)
            return
    etree.SubElement(nvset, "nvpair", id=f"{nvset.get('id')}-{name}", name=name, value=value)

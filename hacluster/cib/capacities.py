"""What nodes have for VMs, in a CIB: the one thing of <nodes> that the spec decides. Pure.

A push never changes <nodes> (docs/decisions/0014-placement-is-pacemakers.md): these values are set one by one, before
the push where they grow, and after it where they shrink.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

from hacluster.cib import names


@dataclass(frozen=True, slots=True)
class Room:
    """One value of a node (by its name and id) that is to change; `old` is None where it has none."""

    node: str
    id: str
    name: str
    old: str | None
    new: str

    @property
    def grows(self) -> bool:
        """Whether more fits afterwards than before, so that setting it takes nothing away from anybody."""
        return self.old is None or not self.old.isdecimal() or int(self.new) > int(self.old)


def differences(live: etree._Element, desired: etree._Element) -> tuple[Room, ...]:
    """The values of `desired` that the nodes of `live` have not. A node that is not in both is passed over."""
    found = []
    for node in desired.iterfind("configuration/nodes/node"):
        here = _node(live, node.get("uname"))
        if here is None:
            continue
        has = {pair.get("name"): pair.get("value") for pair in here.iterfind("utilization/nvpair")}
        for pair in node.iterfind("utilization/nvpair"):
            name, value = pair.get("name"), pair.get("value")
            if has.get(name) != value:
                found.append(Room(node.get("uname"), here.get("id"), name, has.get(name), value))
    return tuple(found)


def put(cib: etree._Element, rooms: Iterable[Room]) -> None:
    """Set values as crm_attribute does. Changes the CIB."""
    for room in rooms:
        node = _node(cib, room.node)
        if node is None:
            continue
        pair = node.find(f"utilization/nvpair[@name='{room.name}']")
        if pair is None:
            held = node.find("utilization")
            if held is None:
                held = etree.SubElement(node, "utilization", id=names.node_utilization(room.id))
            pair = etree.SubElement(held, "nvpair", id=f"{held.get('id')}-{room.name}", name=room.name)
        pair.set("value", room.new)


def _node(cib: etree._Element, name: str) -> etree._Element | None:
    return next((n for n in cib.iterfind("configuration/nodes/node") if n.get("uname") == name), None)

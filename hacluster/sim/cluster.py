"""Corosync and fencing: who hears whom, which parts that makes, each part's CIB, and boards that may lie.

A part of the cluster is a set of nodes that all hear each other. Each has a CIB of its own; when parts meet again the
one with quorum wins, and whoever comes from elsewhere begins with an empty history, to be probed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.sim import status
from hacluster.sim.libvirt import Libvirt
from hacluster.sim.machine import Machine
from hacluster.sim.payload import Payload
from hacluster.sim.timeline import Timeline

TOKEN, FENCING, BOOTING = 1.0, 2.0, 20.0
"""Seconds: until a silent node counts as lost; a board takes to act; a machine takes to come back."""
Board = Literal["works", "lies", "dead"]


@dataclass
class Part:
    """Nodes that hear each other, and what they hold for true."""

    members: frozenset[str]
    cib: etree._Element

    def changed(self, configuration: bool = False) -> None:
        """Count up the version, as each change of a CIB does."""
        name = "epoch" if configuration else "num_updates"
        self.cib.set(name, str(int(self.cib.get(name, "0")) + 1))
        if configuration:
            self.cib.set("num_updates", "0")


class Cluster:
    """Membership of all nodes. `poke` is called when something has changed that the scheduler must see."""

    def __init__(
        self, cib: bytes, machines: Mapping[str, Machine], daemons: Mapping[str, Libvirt], timeline: Timeline
    ) -> None:
        self.machines = machines
        self.daemons = daemons
        self.timeline = timeline
        self.boards: dict[str, Board] = dict.fromkeys(machines, "works")
        self.cut: set[frozenset[str]] = set()
        self.up: set[str] = set()
        self.payload: Payload | None = None
        self.poke: Callable[[], None] = lambda: None
        self.joined: Callable[[str], None] = lambda node: None
        self.fenced: list[str] = []
        root = etree.fromstring(cib)
        stale = root.find("status")
        if stale is not None:
            root.remove(stale)
        etree.SubElement(root, "status")
        root.set("epoch", "1")
        self.parts = [Part(frozenset(), root)]

    # ---- who hears whom

    def linked(self, one: str, other: str) -> bool:
        """Whether two powered nodes hear each other."""
        powered = self.machines[one].powered and self.machines[other].powered
        return powered and (one == other or frozenset((one, other)) not in self.cut)

    def part(self, node: str) -> Part | None:
        """The part a node is in; None when no cluster runs there."""
        return next((part for part in self.parts if node in part.members), None)

    def quorate(self, node: str) -> bool:
        """Whether a node's part has quorum."""
        part = self.part(node)
        return part is not None and part.cib.get("have-quorum") == "1"

    def isolate(self, nodes: Sequence[str]) -> None:
        """Cut all links between these nodes and the others."""
        self.cut |= {frozenset((a, b)) for a in nodes for b in self.machines if b not in nodes}
        self._after(TOKEN, self.reform)

    def heal(self) -> None:
        """Put all links back."""
        self.cut.clear()
        self._after(TOKEN, self.reform)

    def reform(self) -> None:
        """Make the parts anew from who hears whom."""
        left, formed = set(self.up), []
        while left:
            seed = min(left)
            members = frozenset(node for node in left if self.linked(seed, node))
            left -= members | {seed}
            formed.append(self._part(members))
        self.parts = formed or [Part(frozenset(), self.parts[0].cib)]
        self._tell_lock_manager()
        self.poke()

    def _part(self, members: frozenset[str]) -> Part:
        def rank(part: Part) -> tuple[bool, int, int]:
            return part.cib.get("have-quorum") == "1", len(part.members & members), int(part.cib.get("epoch"))

        parents = [part for part in self.parts if part.members & members] or self.parts
        parent = max(parents, key=rank)
        part = Part(members, deepcopy(parent.cib))
        part.cib.set("have-quorum", "1" if 2 * len(members) > len(self.machines) else "0")
        for node in self.machines:
            if node in members and node not in parent.members:
                status.member(part.cib, node)
            elif node not in members and status.online(part.cib, node):
                status.lost(part.cib, node)
        part.cib.set("dc-uuid", str(part.cib.find(f"./configuration/nodes/node[@uname='{min(members)}']").get("id")))
        part.changed()
        return part

    def _tell_lock_manager(self) -> None:
        """The lock manager stops while somebody is missing whose fencing is due."""
        assert self.payload is not None
        quorate = next((part for part in self.parts if part.cib.get("have-quorum") == "1"), None)
        for node in self.machines:
            if quorate is None or (node not in quorate.members and node in self.payload.fabric.joined):
                self.payload.fabric.die(node)
            elif node in quorate.members and self.machines[node].powered:
                self.payload.fabric.dead.discard(node)

    # ---- power

    def power_cut(self, node: str) -> None:
        """A machine loses its power at this instant."""
        assert self.payload is not None
        self.daemons[node].power_cut()
        self.payload.fabric.die(node)
        self.machines[node].power_off()
        self.up.discard(node)
        self._after(TOKEN, self.reform)

    def power_on(self, node: str) -> None:
        """A machine boots and joins the cluster; nothing when it is on."""
        if self.machines[node].powered:
            return
        self.machines[node].power_on()
        self.daemons[node].begin()
        self._after(0.5, lambda: self._join(node))

    def _join(self, node: str) -> None:
        if self.machines[node].powered:
            self.up.add(node)
            self.reform()
            self.joined(node)

    def fence(self, node: str) -> bool:
        """Have a node's board switch it off and on; whether the board says that it did. Takes FENCING seconds."""
        assert self.payload is not None
        self.timeline.sleep(FENCING)
        board = self.boards[node]
        if board == "dead":
            self.timeline.sleep(5 * FENCING)
            return False
        if board == "works":
            if self.machines[node].powered:
                self.power_cut(node)
            self._after(BOOTING, lambda: self.power_on(node))
        for part in self.parts:
            if node not in part.members:
                status.down(part.cib, node)
                part.changed()
        self.payload.fabric.fence(node)
        self.machines[node].in_lockspace = False
        self.fenced.append(node)
        self.poke()
        return True

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        def later() -> None:
            self.timeline.sleep(seconds)
            act()

        self.timeline.spawn("later", later)

    # ---- node attributes, as attrd_updater keeps them

    def attributes(self, node: str, arguments: Sequence[str]) -> tuple[int, str]:
        """attrd_updater on a node: its exit code and what it prints."""
        part = self.part(node)
        if part is None:
            return 102, ""
        given = dict(zip(arguments, [*arguments[1:], ""], strict=True))
        name, whose = given["-n"], given.get("-N") or node
        if "-Q" in arguments:
            value = status.attribute(part.cib, whose, name) if whose in part.members else None
            return (6, "") if value is None else (0, f'name="{name}" host="{whose}" value="{value}"\n')
        status.set_attribute(part.cib, node, name, given.get("-U"))
        part.changed()
        self.poke()
        return 0, ""

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
SLOW = 90.0
"""Seconds that a slow board takes."""
Board = Literal["works", "lies", "dead", "slow"]
CLUSTER_LINK, MOVING_LINK = 0, 1
"""Each node has two links: people and probes use the first, moves the second, Corosync whatever is left."""


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
    """Membership of all nodes. `poke` is called when something has changed that the scheduler must see.

    `cut` has the ways (from, to, link) on which nothing gets through, `mute` nodes whose Corosync a signal has stopped.
    """

    def __init__(
        self, cib: bytes, machines: Mapping[str, Machine], daemons: Mapping[str, Libvirt], timeline: Timeline
    ) -> None:
        self.machines = machines
        self.daemons = daemons
        self.timeline = timeline
        self.boards: dict[str, Board] = dict.fromkeys(machines, "works")
        self.cut: set[tuple[str, str, int]] = set()
        self.mute: set[str] = set()
        self.up: set[str] = set()
        self.payload: Payload | None = None
        self.poke: Callable[[], None] = lambda: None
        self.joined: Callable[[str], None] = lambda node: None
        self.fenced: list[str] = []
        self._recovering: set[str] = set()
        self.recovery = 0.0
        """Seconds that the lock manager takes after a fencing."""
        root = etree.fromstring(cib)
        stale = root.find("status")
        if stale is not None:
            root.remove(stale)
        etree.SubElement(root, "status")
        root.set("epoch", "1")
        self.parts = [Part(frozenset(), root)]

    # ---- who hears whom

    def linked(self, one: str, other: str) -> bool:
        """Whether people and probes get from one powered node to another, and their answers back."""
        return self._through(one, other, CLUSTER_LINK)

    def reaches(self, one: str, other: str) -> bool:
        """Whether a move gets from one node to the other."""
        return self._through(one, other, MOVING_LINK)

    def _through(self, one: str, other: str, *links: int) -> bool:
        powered = self.machines[one].powered and self.machines[other].powered
        cut = [(one, other, link) in self.cut or (other, one, link) in self.cut for link in links]
        return powered and (one == other or not all(cut))

    def _hear(self, one: str, other: str) -> bool:
        """Whether Corosync of one hears that of the other: a way that is cut in one direction is no way."""
        silent = one != other and bool({one, other} & self.mute)
        return not silent and self._through(one, other, CLUSTER_LINK, MOVING_LINK)

    def part(self, node: str) -> Part | None:
        """The part a node is in; None when no cluster runs there."""
        return next((part for part in self.parts if node in part.members), None)

    def quorate(self, node: str) -> bool:
        """Whether a node's part has quorum."""
        part = self.part(node)
        return part is not None and part.cib.get("have-quorum") == "1"

    def isolate(self, nodes: Sequence[str]) -> None:
        """Cut all ways between these nodes and the others."""
        self._cut([(a, b, link) for a in nodes for b in self.machines if b not in nodes for link in (0, 1)])

    def unplug(self, node: str, link: int) -> None:
        """Pull one link of a node out of its switch."""
        self._cut([(node, other, link) for other in self.machines if other != node])

    def deafen(self, node: str, to: str) -> None:
        """What `to` sends does not reach `node` any more, on no link; the other direction works."""
        self._cut([(to, node, CLUSTER_LINK), (to, node, MOVING_LINK)])

    def _cut(self, ways: Sequence[tuple[str, str, int]]) -> None:
        self.cut |= set(ways)
        self._after(TOKEN, self.reform)

    def heal(self) -> None:
        """Put all links back."""
        self.cut.clear()
        self._after(TOKEN, self.reform)

    def hush(self, node: str, mute: bool) -> None:
        """SIGSTOP or SIGCONT to a node's Corosync."""
        (self.mute.add if mute else self.mute.discard)(node)
        self._after(TOKEN, self.reform)

    def reform(self) -> None:
        """Make the parts anew from who hears whom: in each everybody hears everybody."""
        left, formed = set(self.up), []
        while left:
            members: set[str] = set()
            for node in sorted(left):
                if all(self._hear(node, other) for other in members):
                    members.add(node)
            left -= members
            formed.append(self._part(frozenset(members)))
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
                self._welcome(part.cib, node)
            elif node not in members and status.online(part.cib, node):
                status.lost(part.cib, node)
        part.cib.set("dc-uuid", str(part.cib.find(f"./configuration/nodes/node[@uname='{min(members)}']").get("id")))
        part.changed()
        return part

    def _welcome(self, cib: etree._Element, node: str) -> None:
        """A node comes from elsewhere: its history is to be probed anew; its attrd brings its attributes."""
        before = self.part(node)
        kept = None
        if before is not None:
            kept = status.node_state(before.cib, node).find("transient_attributes")
        status.member(cib, node)
        if kept is not None:
            status.node_state(cib, node).append(deepcopy(kept))

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
        self.mute.discard(node)
        self._after(TOKEN, self.reform)

    def crash(self, node: str) -> None:
        """Corosync dies, and with it everything of Pacemaker on the node; its guests do not."""
        machine = self.machines[node]
        for process in [one for one in machine.processes if one.name.startswith(("pacemaker-", "lockspace"))]:
            self.timeline.kill(process)
        self.up.discard(node)
        self._after(TOKEN, self.reform)

    def leave(self, node: str) -> None:
        """The cluster software has ended in order: nothing of it runs there, as far as the others know."""
        self.crash(node)
        for part in self.parts:
            status.down(part.cib, node)
            part.changed()
        self.poke()

    def come(self, node: str) -> None:
        """The cluster software is started again."""
        if node not in self.up:
            self._after(0.5, lambda: self._join(node))

    def power_on(self, node: str) -> None:
        """A machine boots and joins the cluster; nothing when it is on."""
        if self.machines[node].powered:
            return
        self.machines[node].power_on()
        self.daemons[node].boot()
        self._after(0.5, lambda: self._join(node))

    def _join(self, node: str) -> None:
        if self.machines[node].powered and node not in self.up:
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
        if board == "slow":
            self.timeline.sleep(SLOW)
        if board in ("works", "slow"):
            if self.machines[node].powered:
                self.power_cut(node)
            self._after(BOOTING, lambda: self.power_on(node))
        self.fenced.append(node)
        self.confirm(node)
        return True

    def confirm(self, node: str) -> None:
        """A node's death is taken for true, by its board's word or a human's: it ran nothing, and held no lock."""
        assert self.payload is not None
        for part in self.parts:
            if node not in part.members or not self.machines[node].powered:
                status.down(part.cib, node)
                part.changed()
        fabric = self.payload.fabric
        self._recovering.add(node)

        def recovered() -> None:
            fabric.fence(node)
            self._recovering.discard(node)
            self.poke()

        if self.recovery:
            self._after(self.recovery, recovered)
        else:
            recovered()

    @property
    def lost_to_locks(self) -> tuple[str, ...]:
        """Nodes that went without leaving the lockspace, in order or not: the lock manager wants them fenced."""
        assert self.payload is not None
        return tuple(node for node in sorted(self.payload.fabric.dead - self._recovering) if node not in self.up)

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

"""When a change is better done in stages: which, with the commands. Pure advice; nothing here stops a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lxml import etree

from hacluster.cib import managed
from hacluster.cib.simulate import Simulation
from hacluster.observe import Observation
from hacluster.plan.changes import Change
from hacluster.plan.prices import VmPrice

_MANY = 12
APPLY = "hactl apply"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step: why it is one of its own, and what to type."""

    why: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """What the advice rests on. `nodes` are the spec's."""

    changes: Sequence[Change]
    prices: Sequence[VmPrice]
    caused: Simulation
    live: etree._Element
    desired: etree._Element
    seen: Observation
    nodes: Sequence[str]

    def stages(self) -> tuple[Stage, ...]:
        """The steps in their order, the apply among them; nothing where one apply is the best way."""
        first, after = [*self._nodes(), *self._moves(), *self._stops()], [*self._starts(), *self._definitions()]
        if not first and not after:
            return ()
        return (*first, Stage("then the change itself", (APPLY,)), *after)

    def _nodes(self) -> Iterator[Stage]:
        members = {node.name for node in self.seen.nodes}
        for name in sorted(members - set(self.nodes)):
            there = [vm.name for vm in self.seen.vms if vm.node == name]
            empty = f", which empties it of {', '.join(there)}" if there else ""
            yield Stage(
                f"{name} leaves the cluster before it leaves the spec{empty}",
                (f"pcs node standby {name}", "hactl status", f"pcs cluster node remove {name}"),
            )
        for name in sorted(set(self.nodes) - members):
            yield Stage(
                f"{name} joins the cluster before Pacemaker is told of it",
                (f"pcs cluster node add {name}", f"hactl node bootstrap {name}"),
            )

    def _moves(self) -> Iterator[Stage]:
        """Live moves that the change causes are made one by one before it, each checked first and watched."""
        moves = [a for p in self.prices if p.price == "migrate" for a in self.caused.of(p.vm) if a.kind == "migrate"]
        if moves:
            yield Stage(
                "the VMs that would move are moved first, each with its own checks",
                _some([f"hactl vm move {action.resource} {action.target}" for action in moves]),
            )

    def _down(self) -> list[str]:
        """VMs that are better stopped before the change: they go, their storage changes, or is restarted under them."""
        after = {vm.name: vm for vm in managed.vms(self.desired)}
        running = {vm.name for vm in self.seen.vms if vm.copies}
        restarted = {a.resource for a in self.caused.actions if a.price in ("restart", "stop")}
        found = []
        for vm in managed.vms(self.live):
            if vm.name not in running:
                continue
            kept = after.get(vm.name)
            was, will = managed.stands_on(self.live, vm), kept and managed.stands_on(self.desired, kept)
            shaken = vm.name in restarted and any(place.removesuffix("-clone") in restarted for place in was)
            if kept is None or was != will or shaken:
                found.append(vm.name)
        return found

    def _stops(self) -> Iterator[Stage]:
        if down := self._down():
            yield Stage(
                "these VMs go, or what they stand on changes: each is shut down in its own time, while its disks are "
                "still there",
                _some([f"hactl vm stop {name}" for name in down]),
            )
        for name in down:
            kept = managed.vm(self.desired, name)
            if kept is not None and self._disks_move(name):
                yield Stage(
                    f"{name}'s disks lie elsewhere then: copy them while it is stopped", (f"hactl vm show {name}",)
                )

    def _disks_move(self, name: str) -> bool:
        before, after = managed.vm(self.live, name), managed.vm(self.desired, name)
        if before is None or after is None:
            return False
        return managed.stands_on(self.live, before) != managed.stands_on(self.desired, after)

    def _starts(self) -> Iterator[Stage]:
        again = [name for name in self._down() if managed.vm(self.desired, name) is not None]
        if again:
            yield Stage("and they are started again", _some([f"hactl vm start {name}" for name in again]))

    def _definitions(self) -> Iterator[Stage]:
        """A guest runs on with the hardware that it was started with."""
        down = set(self._down())
        running = {vm.name for vm in self.seen.vms if vm.copies}
        stale = [
            change.ident
            for change in self.changes
            if change.kind == "change" and change.noun == "VM" and change.ident in running - down
            if any(setting.name == "xml_sha256" for setting in change.settings)
        ]
        restarted = {price.vm for price in self.prices if price.price in ("restart", "stop")}
        if stale := [name for name in stale if name not in restarted]:
            yield Stage(
                "these guests run on with their old definition until they are stopped and started",
                _some([f"hactl vm stop {name} && hactl vm start {name}" for name in stale]),
            )


def _some(commands: Sequence[str]) -> tuple[str, ...]:
    more = len(commands) - _MANY
    return tuple(commands) if more <= 0 else (*commands[:_MANY], f"# and {more} more in the same way")

"""When a change is better done in stages: which, with the commands. Pure advice; nothing here stops a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from lxml import etree

from hacluster.cib import managed
from hacluster.cib.managed import ManagedVm
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


@dataclass(frozen=True)
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
        first, after = [*self._nodes(), *self._relocations(), *self._stops()], [*self._starts(), *self._definitions()]
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

    def _relocations(self) -> Iterator[Stage]:
        """Live moves that the change causes are made one by one before it, each checked first and watched."""
        moves = [a for p in self.prices if p.price == "migrate" for a in self.caused.of(p.vm) if a.kind == "migrate"]
        if moves:
            yield Stage(
                "the VMs that would move are moved first, each with its own checks",
                _some([f"hactl vm move {action.resource} {action.target}" for action in moves]),
            )

    @cached_property
    def _vms(self) -> tuple[dict[str, ManagedVm], dict[str, ManagedVm]]:
        """The VMs as they are and as they would be."""
        before, after = ({vm.name: vm for vm in managed.vms(cib)} for cib in (self.live, self.desired))
        return before, after

    @cached_property
    def _down(self) -> list[str]:
        """VMs that are better stopped before the change: they go, their storage changes, or is restarted under them."""
        before, after = self._vms
        running = {vm.name for vm in self.seen.vms if vm.copies}
        restarted = {a.resource for a in self.caused.actions if a.price in ("restart", "stop")}
        found = []
        moved = self._tags(self.live) != self._tags(self.desired)
        for vm in (vm for name, vm in before.items() if name in running):
            kept = after.get(vm.name)
            if kept is None or (vm.name in restarted and self._shaken(vm, restarted)) or (moved and self._moves(vm)):
                found.append(vm.name)
        return found

    @staticmethod
    def _tags(cib: etree._Element) -> set[tuple[str | None, ...]]:
        """What says on what a VM stands, all of it: where nothing of that changes, no VM's place does."""
        refs = {(e.getparent().get("id"), e.get("id")) for e in cib.iterfind("configuration/tags/tag/obj_ref")}
        together = cib.iterfind("configuration/constraints/rsc_colocation[@score='INFINITY']")
        return refs | {(e.get("rsc"), e.get("with-rsc"), "") for e in together}

    def _shaken(self, vm: ManagedVm, restarted: set[str]) -> bool:
        places = managed.stands_on(self.live, vm)
        return any(place.removesuffix("-clone") in restarted for place in places)

    def _moves(self, vm: ManagedVm) -> bool:
        """Whether it stands on something else then."""
        kept = self._vms[1].get(vm.name)
        return kept is not None and managed.stands_on(self.live, vm) != managed.stands_on(self.desired, kept)

    def _stops(self) -> Iterator[Stage]:
        if down := self._down:
            yield Stage(
                "these VMs go, or what they stand on changes: each is shut down in its own time, while its disks are "
                "still there",
                _some([f"hactl vm stop {name}" for name in down]),
            )
        for name in down:
            if self._moves(self._vms[0][name]):
                yield Stage(
                    f"{name}'s disks lie elsewhere then: copy them while it is stopped", (f"hactl vm show {name}",)
                )

    def _starts(self) -> Iterator[Stage]:
        again = [name for name in self._down if name in self._vms[1]]
        if again:
            yield Stage("and they are started again", _some([f"hactl vm start {name}" for name in again]))

    def _definitions(self) -> Iterator[Stage]:
        """A guest runs on with the hardware that it was started with."""
        down = set(self._down)
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

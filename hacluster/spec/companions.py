"""VMs that hard affinities bind together, directly or through others: each lies in one set.

Rules are joined by the VMs that they share (a union of sets), so that a thousand VMs in one rule cost a thousand steps.
"""

from __future__ import annotations

from collections.abc import Mapping


class Companions:
    """`bound` maps the place of each rule in the spec to the VMs that it binds together."""

    def __init__(self, bound: Mapping[str, tuple[str, ...]]) -> None:
        self._parent: dict[str, str] = {}
        self._bound = bound
        for vms in bound.values():
            for vm in vms[1:]:
                self._parent[self.key(vm)] = self.key(vms[0])
        self._sets: dict[str, dict[str, None]] = {}
        for vms in bound.values():
            for vm in vms:
                self._sets.setdefault(self.key(vm), {})[vm] = None

    def key(self, vm: str) -> str:
        """What all VMs of one set have in common, and no other VM has."""
        while (parent := self._parent.get(vm, vm)) != vm:
            self._parent[vm] = self._parent.get(parent, parent)
            vm = parent
        return vm

    def of(self, vm: str) -> tuple[str, ...]:
        """The VM's set, in the order in which the rules name them; itself alone where nothing binds it."""
        return tuple(self._sets.get(self.key(vm), (vm,)))

    def sets(self) -> tuple[tuple[str, ...], ...]:
        """All sets of two or more VMs."""
        return tuple(tuple(vms) for vms in self._sets.values() if len(vms) > 1)

    def rules(self, one: str, two: str) -> tuple[str, ...]:
        """The places of the rules that bind two VMs together: those of the shortest chain between them."""
        chains: dict[str, tuple[str, ...]] = {one: ()}
        todo = [one]
        while todo and two not in chains:
            reached = []
            for vm in todo:
                for where, vms in self._bound.items():
                    if vm in vms:
                        for other in vms:
                            if other not in chains:
                                chains[other] = (*chains[vm], where)
                                reached.append(other)
            todo = reached
        return chains.get(two, ())

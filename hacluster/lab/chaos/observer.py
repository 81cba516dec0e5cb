"""The observer: a thread of this machine, outside all nodes, that watches the VMs' copies and their disks.

It samples PER_SECOND times a second: who of a VM's copies gives a sign of running (copies), whether that is one copy
too many (judge), and whether the guest's counter goes on (canary). It asks no node and no daemon anything, so nothing
that is done to them keeps it from seeing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from hacluster.lab.canary import Canary
from hacluster.lab.chaos.copies import Copy, Processes
from hacluster.lab.chaos.judge import Judge, Twice

PER_SECOND = 20
DOWN = 1.0
"""Seconds without a new record after which a guest counts as down; from its last record on, then."""


@dataclass(slots=True)
class Service:
    """What a VM's users had of it. All times in seconds of the observer's clock."""

    vm: str
    began: float
    last: float
    down: float = 0.0
    longest: float = 0.0
    restarts: int = 0
    failovers: int = 0
    live_moves: int = 0
    places: list[tuple[float, str]] = field(default_factory=list)

    def advanced(self, now: float) -> None:
        """A record was written by now."""
        self._close(now)
        self.last = now

    def _close(self, now: float) -> None:
        gap = now - self.last
        self.longest = max(self.longest, gap)
        if gap > DOWN:
            self.down += gap

    def share(self, now: float) -> float:
        """The fraction of time, up to now, in which the guest went on."""
        open_gap = now - self.last
        down = self.down + (open_gap if open_gap > DOWN else 0.0)
        return 1 - down / max(now - self.began, 1e-9)


class Observer(threading.Thread):
    """Watches until it is stopped. `vms` maps a uuid to the VM's name, `canaries` a name to its disk."""

    def __init__(self, cgroup: str, vms: Mapping[str, str], canaries: Mapping[str, Canary]) -> None:
        super().__init__(daemon=True, name="observer")
        self._processes = Processes(cgroup)
        self._vms = dict(vms)
        self._followers = {vm: canary.follow() for vm, canary in canaries.items()}
        self._boots = {vm: follower.boot for vm, follower in self._followers.items()}
        self._homes: dict[str, str] = {}
        self._there: frozenset[Copy] = frozenset()
        self._ended = threading.Event()
        self._zero = time.monotonic()
        self.judges = {vm: Judge(vm) for vm in canaries}
        self.services = {vm: Service(vm, 0.0, 0.0) for vm in canaries}
        self.suspicion = threading.Event()
        self.began = 0.0
        self.samples = 0
        self.slowest = 0.0
        self.broken: BaseException | None = None

    def now(self) -> float:
        """Seconds since the observer was made."""
        return time.monotonic() - self._zero

    def twice(self) -> list[Twice]:
        """Every time a copy ran beside, or after, another one."""
        return sorted((seen for judge in self.judges.values() for seen in judge.twice), key=lambda seen: seen.at)

    def copy(self, vm: str) -> Copy | None:
        """The copy that ran last, as long as its process is there."""
        holder = self.judges[vm].holder
        return holder if holder is not None and holder in self._there else None

    def alive(self, copy: Copy) -> bool:
        """Whether its process is there."""
        return copy in self._there

    def home(self, vm: str) -> str | None:
        """The node of the copy that ran last, as long as its process is there."""
        copy = self.copy(vm)
        return copy.node if copy is not None else None

    def copies(self, vm: str) -> list[Copy]:
        """Its copies, running or not, in the order of their nodes."""
        return sorted((copy for copy in self._there if self._vms[copy.uuid] == vm), key=lambda copy: copy.node)

    def places(self, vm: str) -> list[str]:
        """The nodes that have a copy, running or not."""
        return [copy.node for copy in self.copies(vm)]

    def runs(self, vm: str, within: float = DOWN) -> bool:
        """Whether the guest's counter went on within the last seconds."""
        return self.now() - self.services[vm].last < within

    def count_from_now(self) -> None:
        """Count availability, restarts and moves from here: setting a cluster up is no outage."""
        now = self.now()
        self.began = now
        self.services = {vm: Service(vm, now, now) for vm in self.services}

    def stop(self) -> None:
        """End the watch. Raises what ended it before, if anything did: a watch that was not kept proves nothing."""
        self._ended.set()
        self.join(10)
        if self.broken is not None:
            raise self.broken

    def run(self) -> None:
        """The watch itself; runs in a thread of its own."""
        before = self.now()
        try:
            while not self._ended.wait(1 / PER_SECOND):
                now = self.now()
                self.slowest, before = max(self.slowest, now - before), now
                self.samples += 1
                self._sample()
        except BaseException as error:  # noqa: BLE001 - handed to whoever stops the watch
            self.broken = error
            self.suspicion.set()
        finally:
            for follower in self._followers.values():
                follower.close()

    def _sample(self) -> None:
        signs: dict[str, list[tuple[Copy, str]]] = {vm: [] for vm in self.judges}
        for copy in self._processes.look():
            vm = self._vms.get(copy.uuid)
            if vm is None:
                continue
            try:
                signs[vm].append((copy, copy.sign()))
            except (OSError, StopIteration, IndexError):
                continue  # it ended between the list and the look
        self._there = frozenset(copy for pairs in signs.values() for copy, _ in pairs)
        for vm, pairs in signs.items():
            self._judge(vm, pairs)
            self._follow(vm)

    def _judge(self, vm: str, pairs: list[tuple[Copy, str]]) -> None:
        judge = self.judges[vm]
        known = len(judge.twice)
        taken_over = judge.sample(self.now(), pairs)
        if taken_over is not None:
            self.services[vm].places.append((self.now(), str(taken_over)))
            for copy, _ in pairs:
                if copy is not taken_over:
                    _rebase(copy)
        if len(judge.twice) > known:
            self.suspicion.set()

    def _follow(self, vm: str) -> None:
        follower, service = self._followers[vm], self.services[vm]
        if not follower.advance():
            return
        service.advanced(self.now())
        judge = self.judges[vm]
        if judge.twice and self.now() - judge.twice[-1].at < DOWN:
            return  # two that take turns in writing move nowhere
        holder = judge.holder
        here, came_from = (holder.node if holder else ""), self._homes.get(vm, "")
        if here:
            self._homes[vm] = here
        if follower.boot != self._boots[vm]:
            self._boots[vm] = follower.boot
            service.restarts += 1
            service.failovers += bool(came_from and here != came_from)
        elif came_from and here != came_from:
            service.live_moves += 1


def _rebase(copy: Copy) -> None:
    try:
        copy.rebase()
    except (OSError, StopIteration, IndexError):
        return

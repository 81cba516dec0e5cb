"""What each VM pays for a change, in plain words, with its downtime as far as it can be estimated. Pure.

The estimate is made of what was measured in this very cluster: Pacemaker records how long each operation took
(`exec-time`, milliseconds). A stop lasts at least as long as the last one did and at most the guest's stop budget; a
VM that was not stopped or started within the records' memory is given the middle of what the others took.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.cib import managed
from hacluster.cib.managed import ManagedVm
from hacluster.cib.simulate import Price, Simulation

Consequence = Literal["none", "live move", "restart", "outage", "start"]

_CONSEQUENCES: Mapping[Price, Consequence] = {
    "none": "none",
    "reload": "none",
    "migrate": "live move",
    "start": "start",
    "restart": "restart",
    "stop": "outage",
}
_AGENTS = (managed.AGENT, ("ocf", "heartbeat", "VirtualDomain"))
# libvirt's own bound for the pause at the end of a live migration, in seconds; QEMU may exceed it.
_PAUSE = 0.3
# Pacemaker's default for stonith-timeout, in seconds.
_FENCING = 60.0


@dataclass(frozen=True, slots=True)
class VmPrice:
    """What a VM pays for the change: the dearest thing that Pacemaker would do to it, and all of it in words.

    `down` is the least and the most that its guest would be down, in seconds; None where it is not, or for good, or
    where nothing was ever measured. `basis` says what the estimate rests on.
    """

    vm: str
    price: Price
    words: str = ""
    down: tuple[float, float] | None = None
    basis: str = ""

    @property
    def consequence(self) -> Consequence:
        """The price in one plain word."""
        return _CONSEQUENCES[self.price]

    def __str__(self) -> str:
        if self.price == "reload":
            return "none (it is told its new settings and runs on)"
        if self.price == "stop":
            return "outage until somebody starts it"
        if self.down is None:
            return self.consequence
        least, most = (_seconds(value) for value in self.down)
        if self.price == "migrate":
            return f"live move, its guest pauses for about {most}"
        return f"restart, down for {least} to {most}" if least != most else f"restart, down for about {most}"


def prices(names: Iterable[str], caused: Simulation, live: etree._Element, desired: etree._Element) -> list[VmPrice]:
    """The price of each of the VMs. `caused` is what Pacemaker would do because of the change."""
    took = _Measured(live)
    before, after = ({vm.name: vm for agent in _AGENTS for vm in managed.vms(cib, agent)} for cib in (live, desired))
    by_name: dict[str, list[str]] = {}
    for action in caused.actions:
        by_name.setdefault(action.resource, []).append(str(action))
    found = []
    for name in names:
        price: Price = caused.price(name) if name in by_name else "none"
        vm = before.get(name) or after.get(name)
        down, basis = (None, "") if vm is None else _estimate(vm, price, caused, took, live)
        found.append(VmPrice(name, price, "; ".join(by_name.get(name, ())), down, basis))
    return found


def _estimate(
    vm: ManagedVm, price: Price, caused: Simulation, took: _Measured, live: etree._Element
) -> tuple[tuple[float, float] | None, str]:
    if price == "migrate":
        told = vm.parameters.get("migration_downtime", "")
        pause = int(told) / 1000 if told.isdecimal() else _PAUSE
        last, whose = took.of(vm.name, "migrate_to")
        more = "" if last is None else f"; the whole move took {_seconds(last)} {whose}"
        return (0.0, pause), f"the pause that libvirt aims at{more}"
    if price != "restart":
        return None, ""
    start, start_basis = took.of(vm.name, "start")
    stop, stop_basis = took.of(vm.name, "stop")
    if start is None:
        return None, "no start of a VM is on record here"
    told = vm.parameters.get("stop_budget", "")
    budget = max(int(told) if told.isdecimal() else 120, stop or 0)
    least, most = (stop or 0.0) + start, budget + start
    basis = [
        f"stop: {'never measured' if stop is None else f'{_seconds(stop)} {stop_basis}'}, at most {_seconds(budget)}",
        f"start: {_seconds(start)} {start_basis}",
    ]
    under = {name.removesuffix("-clone") for name in managed.stands_on(live, vm)}
    for resource in sorted({a.resource for a in caused.actions if a.price == "restart"} & under):
        spent = sum(took.of(resource, operation)[0] or 0.0 for operation in ("stop", "start"))
        least, most = least + spent, most + spent
        basis.append(f"{resource}, on which it stands, restarts, too: {_seconds(spent)}")
    if set(caused.fenced()):
        most += _FENCING
        basis.append(f"fencing: up to {_seconds(_FENCING)}")
    return (least, most), "; ".join(basis)


class _Measured:
    """How long operations took, from a CIB's status section."""

    def __init__(self, cib: etree._Element) -> None:
        self._latest: dict[tuple[str, str], tuple[int, float]] = {}
        for recorded in cib.iterfind("./status/node_state/lrm/lrm_resources/lrm_resource"):
            for op in recorded:
                if op.get("operation") in ("start", "stop", "migrate_to") and op.get("rc-code") == "0":
                    self._note(recorded, op)
        vms = {vm.name for agent in _AGENTS for vm in managed.vms(cib, agent)}
        self._usual: dict[str, float] = {}
        for operation in ("start", "stop", "migrate_to"):
            if values := [s for (name, done), (_, s) in self._latest.items() if done == operation and name in vms]:
                self._usual[operation] = statistics.median(values)

    def _note(self, recorded: etree._Element, op: etree._Element) -> None:
        spent, at = op.get("exec-time", ""), op.get("last-rc-change", "0")
        # A stop of what did not run is done at once: its transition began with a probe's answer, not with a start.
        if not spent.isdecimal() or (op.get("operation") == "stop" and spent == "0"):
            return
        key = (recorded.get("id", "").split(":")[0], op.get("operation", ""))
        when = int(at) if at.isdecimal() else 0
        if key not in self._latest or self._latest[key][0] <= when:
            self._latest[key] = (when, int(spent) / 1000)

    def of(self, name: str, operation: str) -> tuple[float | None, str]:
        """The last one of a resource, else what is usual among VMs; and which of the two it is."""
        if (name, operation) in self._latest:
            return self._latest[name, operation][1], "last time"
        return self._usual.get(operation), "as others took"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"

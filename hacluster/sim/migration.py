"""A direct migration as virsh drives it: begin, prepare, perform, finish, confirm, each by the daemon concerned.

The client (virsh, so the agent that started it) carries the protocol. Killed before the switch-over, it takes the move
back; killed at the finish, the source stays paused. When only the reply to the finish is lost, the client tells the
source to go on after libvirt's keepalive: with `--suspend` the target is paused and one copy runs, without it two do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hacluster.sim.daemon import LibvirtError
from hacluster.sim.libvirt import Domain, Libvirt
from hacluster.sim.timeline import Process, Timeline

KEEPALIVE = 30.0
STOPPED = 57.0
"""Seconds after which a copy ends whose target's daemon does not answer."""
STEP = 0.1


@dataclass
class Line:
    """What lies between two nodes. `linked` says whether they hear each other; `lose_reply` loses one finish's reply;
    `copy_seconds` is how long a guest's memory takes; `fails` is a copy's error, if it is to fail."""

    linked: Callable[[str, str], bool]
    point: Callable[[str, str, str], None]
    copy_seconds: float = 2.0
    lose_reply: bool = False
    fails: str = ""


class Migration:
    """One migration, carried by the process that calls `run`."""

    def __init__(self, timeline: Timeline, line: Line, source: Libvirt, target: Libvirt) -> None:
        self._timeline = timeline
        self._line = line
        self._source = source
        self._target = target
        self._there: Domain | None = None
        self._phase = "begin"

    def run(self, key: str, xml: str, *, suspend: bool, client: Process) -> None:
        """Move a domain. Raises LibvirtError as virsh would show it."""
        here = self._source.call("begin", lambda: self._begin(key, client))
        client.at_end.append(lambda _process: self._client_gone(here))
        try:
            self._reach()
            self._phase = "prepare"
            self._there = self._target.call("prepare", lambda: self._prepare(xml), KEEPALIVE)
            self._phase = "perform"
            self._source.call("perform", lambda: self._perform(here), KEEPALIVE)
        except LibvirtError:
            self._phase = "over"
            self._take_back(here)
            raise
        self._phase = "finish"
        self._finish(here, suspend)

    def _begin(self, key: str, client: Process) -> Domain:
        domain = self._source.find(key)
        if domain.job:
            raise LibvirtError(f"Timed out during operation: cannot acquire state change lock ({domain.job})")
        domain.job, domain.client, domain.performed = "migration out", client, False
        self._source.say(domain, domain.state, domain.reason)
        self._line.point("migration begins", self._source.machine.name, domain.name)
        return domain

    def _prepare(self, xml: str) -> Domain:
        announced = Domain(*_identity(xml), xml)
        self._target.hook(announced, "migrate")
        there = self._target.bring_up(xml, incoming=True)
        if self._phase != "prepare":  # the client is gone by now: its connection's end takes the copy with it
            self._target.take_down(there)
        return there

    def _perform(self, here: Domain) -> None:
        """Copy while the guest runs; at the end it is paused, and its memory is there."""
        steps = max(1, round(self._line.copy_seconds / STEP))
        for step in range(steps):
            here.progress = _numbers(step, steps)
            if step == steps // 2:
                self._line.point("migration copies", self._source.machine.name, here.name)
            self._timeline.sleep(STEP)
            if here.job == "abort":
                raise LibvirtError("operation aborted: migration out: canceled by client")
            if self._line.fails:
                raise LibvirtError(f"operation failed: migration out job: {self._line.fails}")
            if self._there is None or self._there.qemu is None or self._there.qemu.ended:
                raise LibvirtError("operation failed: migration out job: unexpectedly failed")
            if here.qemu is None or here.qemu.ended:
                raise LibvirtError("operation failed: domain is no longer running")
            silent = self._target.frozen_at
            if silent is not None and self._timeline.now - silent > STOPPED:
                raise LibvirtError("operation failed: migration out: canceled by client")
            while not self._hears():  # nothing times out: the copy hangs until the network is back, or it is cancelled
                self._timeline.sleep(STEP)
                if here.job == "abort":
                    raise LibvirtError("operation aborted: migration out: canceled by client")
        here.alive.halt()
        assert self._there is not None
        self._there.alive.memory = here.alive.memory
        here.alive.unlock_disk()
        self._source.say(here, "paused", "migration")
        self._line.point("migration switches over", self._source.machine.name, here.name)
        here.performed = True

    def _finish(self, here: Domain, suspend: bool) -> None:
        there = self._there
        assert there is not None
        try:
            self._reach()
            self._target.call("finish", lambda: self._finished(there, suspend), KEEPALIVE)
            self._reply()
        except LibvirtError:
            self._phase = "over"
            self._source.call("confirm", lambda: self._go_on(here))
            raise
        self._phase = "confirm"
        self._source.call("confirm", lambda: self._leave(here), KEEPALIVE)
        self._phase = "over"

    def _reply(self) -> None:
        if self._line.lose_reply or not self._hears():
            self._line.lose_reply = False
            self._timeline.sleep(KEEPALIVE)
            raise LibvirtError("Unable to read from socket: keepalive timeout")

    def _finished(self, there: Domain, suspend: bool) -> None:
        there.job = ""
        if suspend:
            self._target.say(there, "paused", "user")
        else:
            self._target.let_run(there, "migrated")
        self._line.point("migration finishes", self._target.machine.name, there.name)

    def _leave(self, here: Domain) -> None:
        """The source's part is over: its QEMU ends as the last step of the move. The client may be gone by now."""
        self._source.take_down(here)
        self._line.point("migration is over", self._source.machine.name, here.name)

    def _go_on(self, here: Domain) -> None:
        here.job, here.progress = "", {}
        if here.qemu is not None and not here.qemu.ended:
            if here.reason == "migration":
                self._source.let_run(here, "migration canceled")
            self._source.say(here, "running" if here.qemu.executing else "paused", "migration canceled")
            self._line.point("source goes on", self._source.machine.name, here.name)
        else:
            self._source.take_down(here)

    def _take_back(self, here: Domain) -> None:
        """A move that failed before its finish: the copy goes, the source goes on."""
        there, self._there = self._there, None
        if there is not None and self._target.alive:
            self._target.work("drops a copy", lambda: self._target.take_down(there))
        if self._source.alive:
            self._source.call("confirm", lambda: self._go_on(here), KEEPALIVE)

    def _client_gone(self, here: Domain) -> None:
        """The client died: what it had begun is taken back by the daemons, unless the switch-over was under way."""
        if self._phase in ("begin", "prepare", "perform"):
            phase, self._phase = self._phase, "over"
            here.job = "abort" if phase == "perform" else ""
            source, there = self._source, self._there
            if source.alive:
                source.work("cancels a move", lambda: self._cancelled(here))
            if there is not None and self._target.alive:
                self._target.work("drops a copy", lambda: self._dropped(there))
        elif self._phase == "finish" and here.qemu is not None and not here.qemu.ended:
            here.job = ""
            self._source.say(here, "paused", "migration")

    def _cancelled(self, here: Domain) -> None:
        self._timeline.sleep(0.3)
        self._go_on(here)

    def _dropped(self, there: Domain) -> None:
        self._timeline.sleep(0.5)
        self._target.take_down(there)

    def _hears(self) -> bool:
        return self._line.linked(self._source.machine.name, self._target.machine.name)

    def _reach(self) -> None:
        if not self._hears() or not self._target.machine.powered:
            self._timeline.sleep(KEEPALIVE if self._target.machine.powered else 3.0)
            raise LibvirtError(f"unable to connect to server at '{self._target.machine.name}': No route to host")


def _identity(xml: str) -> tuple[str, str]:
    name = xml.partition("<name>")[2].partition("</name>")[0]
    return name.strip(), xml.partition("<uuid>")[2].partition("</uuid>")[0].strip().lower()


def _numbers(step: int, steps: int) -> dict[str, int]:
    total = 1 << 28
    done = total * step // steps
    return {"data_total": total, "data_processed": done, "data_remaining": total - done, "time_elapsed": step * 100}

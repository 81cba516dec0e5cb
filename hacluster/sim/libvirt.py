"""A node's libvirt: transient domains, their QEMUs, its status files, and the hook at the moments that LIBVIRT.md's
table lists. Each call is carried out by a worker of the daemon, which lives on when the client that asked is killed.

Reduced: no persistent definitions and no autostart yet; one question takes 15 ms; the daemon itself never dies alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hacluster.sim.guest import Qemu, Witness
from hacluster.sim.machine import Machine
from hacluster.sim.payload import Payload
from hacluster.sim.timeline import Process, Timeline

ANSWER, HOOK, BOOT, CONFIRM = 0.015, 0.015, 0.2, 0.25
STATUS = "/run/libvirt/qemu/{}.xml"


class LibvirtError(Exception):
    """What virsh shows as `error: …`."""


class Domain:
    """A domain that the daemon runs, or is about to."""

    def __init__(self, name: str, uuid: str, xml: str) -> None:
        self.name = name
        self.uuid = uuid
        self.xml = xml
        self.qemu: Qemu | None = None
        self.state = ""
        self.reason = ""
        self.job = ""
        self.client: Process | None = None
        self.progress: dict[str, int] = {}

    @property
    def alive(self) -> Qemu:
        """Its QEMU. Raises LibvirtError when it has none."""
        if self.qemu is None or self.qemu.ended:
            raise LibvirtError("Requested operation is not valid: domain is not running")
        return self.qemu


class Libvirt:
    """The daemon of one machine; `managed` says whether the hook's sh front takes a uuid for one of ours."""

    def __init__(
        self,
        machine: Machine,
        timeline: Timeline,
        payload: Payload,
        witness: Witness,
        *,
        managed: Callable[[str], bool],
        point: Callable[[str, str, str], None],
    ) -> None:
        self.machine = machine
        self.timeline = timeline
        self.domains: dict[str, Domain] = {}
        self.hook_installed = True
        self.obeys = True
        """Whether its guests react to the power button."""
        self._payload = payload
        self._witness = witness
        self._managed = managed
        self._point = point
        self.daemon: Process | None = None

    def begin(self) -> None:
        """The daemon starts with its machine."""
        self.domains = {}

        def serve() -> None:
            while True:
                self.timeline.sleep(1e9)

        self.daemon = self.timeline.spawn("libvirtd", serve, self.machine)

    def power_cut(self) -> None:
        """All QEMUs of the machine end without a word."""
        self.daemon = None
        for domain in self.domains.values():
            if domain.qemu is not None:
                domain.qemu.end()
        self.domains = {}

    def call(self, what: str, work: Callable[[], Any], timeout: float = 1e6) -> Any:
        """Have the daemon do something for the current process. Raises LibvirtError, also when it cannot answer."""
        if self.daemon is None or self.daemon.ended:
            raise LibvirtError("failed to connect to the hypervisor")
        worker = self.timeline.spawn(f"libvirtd: {what}", work, self.machine, parent=self.daemon)
        worker.at_end.append(lambda _process: None)
        self.timeline.join(worker, timeout)
        if not worker.done:
            raise LibvirtError("End of file while reading data: Input/output error")
        if worker.error is not None:
            raise worker.error
        return worker.result

    # ---- what the daemon does; each of these runs in a worker

    def find(self, key: str) -> Domain:
        """A domain by uuid or name."""
        for domain in self.domains.values():
            if key in (domain.uuid, domain.name):
                return domain
        raise LibvirtError(f"failed to get domain '{key}'")

    def create(self, xml: str) -> Domain:
        """prepare, start, the QEMU, started; then the guest's first instruction."""
        domain = self.bring_up(xml, incoming=False)
        domain.alive.cont()
        self.say(domain, "running", "booted")
        self._point("guest boots", self.machine.name, domain.name)
        return domain

    def bring_up(self, xml: str, *, incoming: bool) -> Domain:
        """A QEMU, halted. A veto takes back what was done, and stopped and release follow it."""
        domain = Domain(_text(xml, "name"), _text(xml, "uuid").lower(), xml)
        if domain.uuid in self.domains:
            raise LibvirtError(f"operation failed: domain '{domain.name}' already exists with uuid {domain.uuid}")
        self.domains[domain.uuid] = domain
        domain.job = "migration in" if incoming else ""
        try:
            for operation in ("prepare", "start"):
                self.hook(domain, operation)
            self.timeline.sleep(BOOT)
            domain.qemu = Qemu(domain.name, domain.uuid, self.machine, self._witness, incoming=incoming)
            domain.qemu.at_end.append(lambda _qemu: self._noticed(domain))
            self.say(domain, "paused", "migration" if incoming else "starting up")
            self.hook(domain, "started")
        except LibvirtError:
            self.take_down(domain)
            raise
        return domain

    def destroy(self, key: str) -> None:
        """End a domain."""
        self.take_down(self.find(key))

    def take_down(self, domain: Domain) -> None:
        """Its QEMU ends; 0.25 s later libvirt says so: stopped, release, and its status file goes."""
        if self.domains.get(domain.uuid) is not domain:
            return
        if domain.qemu is not None:
            domain.job = domain.job or "destroy"
            domain.qemu.end()
        self.timeline.sleep(CONFIRM)
        if self.domains.get(domain.uuid) is not domain:
            return
        self.hook(domain, "stopped", veto=False)
        self.domains.pop(domain.uuid, None)
        self.machine.files.pop(STATUS.format(domain.name), None)
        self.hook(domain, "release", veto=False)

    def resume(self, key: str) -> None:
        """Let a paused guest go on; no hook is called. An incoming migration cannot be resumed."""
        domain = self.find(key)
        if domain.job:
            raise LibvirtError(f"Timed out during operation: cannot acquire state change lock ({domain.job})")
        domain.alive.cont()
        self.say(domain, "running", "unpaused")

    def suspend(self, key: str) -> None:
        """Pause a guest; no hook is called."""
        domain = self.find(key)
        domain.alive.halt()
        self.say(domain, "paused", "user")

    def shutdown(self, key: str) -> None:
        """The power button: a guest that runs and obeys ends a second later."""
        domain = self.find(key)
        if not self.obeys or not domain.alive.executing:
            return

        def ends() -> None:
            self.timeline.sleep(1.0)
            if domain.qemu is not None and domain.qemu.executing and not domain.job:
                self.take_down(domain)

        self.timeline.spawn("guest shuts down", ends, self.machine)

    def _noticed(self, domain: Domain) -> None:
        """A QEMU that ended by itself: stopped and release follow within 50 ms, if nobody is at it already."""
        if domain.job == "" and self.daemon is not None and not self.daemon.ended:
            self.timeline.spawn("libvirtd: end of a QEMU", lambda: self.take_down(domain), self.machine)

    # ---- hooks and status

    def hook(self, domain: Domain, operation: str, *, veto: bool = True) -> None:
        """Call the hook as libvirt does. Raises LibvirtError with its sentence when it refuses and may."""
        self._point(f"hook {operation}", self.machine.name, domain.name)
        self.timeline.sleep(HOOK)
        if not self.hook_installed or operation == "reconnect" or not self._managed(domain.uuid):
            return
        assert self.daemon is not None
        run = self._payload.module("resource_agents.hook").run
        refusal = run(domain.name, operation, domain.xml, self.daemon.pid)
        if refusal and veto:
            raise LibvirtError(
                f"Hook script execution failed: internal error: Child process (/etc/libvirt/hooks/qemu {domain.name} "
                f"{operation} begin -) unexpected exit status 1: {refusal}"
            )

    def say(self, domain: Domain, state: str, reason: str) -> None:
        """Set a domain's state, and write its status file as libvirt does on each change."""
        domain.state, domain.reason = state, reason
        self.timeline.check()
        pid = domain.qemu.pid if domain.qemu else 0
        job = f"<job type='migration' async='{domain.job}'/>" if domain.job.startswith("migration") else ""
        words = {"migration canceled": "migration canceled"}.get(reason, reason)
        text = f"<domstatus state='{state}' reason='{words}' pid='{pid}'>{job}{domain.xml}</domstatus>"
        self.machine.write(STATUS.format(domain.name), text.encode())


def _text(xml: str, tag: str) -> str:
    found = re.search(f"<{tag}>([^<]*)</{tag}>", xml)
    if found is None:
        raise LibvirtError(f"XML error: no {tag}")
    return found.group(1).strip()

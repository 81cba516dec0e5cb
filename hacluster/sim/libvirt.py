"""A node's libvirt: its domains, their QEMUs, its status files, and the hook at the moments that LIBVIRT.md's table
lists. A daemon that comes back finds its domains again and ends the moves that it was at.

Reduced: one question takes 15 ms; a hook ends with the daemon that called it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from hacluster.sim.daemon import Daemon, LibvirtError
from hacluster.sim.guest import DiskLocked, Qemu, Witness
from hacluster.sim.machine import INSTALLED_HOOK, Machine, Storage
from hacluster.sim.payload import Payload
from hacluster.sim.timeline import Process, Timeline

ANSWER, HOOK, BOOT, CONFIRM = 0.015, 0.015, 0.2, 0.25
STATUS = "/run/libvirt/qemu/{}.xml"


class Domain:
    """A domain that the daemon runs, or is about to. `performed`: its memory has been copied away completely."""

    def __init__(self, name: str, uuid: str, xml: str) -> None:
        self.name = name
        self.uuid = uuid
        self.xml = xml
        self.qemu: Qemu | None = None
        self.state = ""
        self.reason = ""
        self.job = ""
        self.performed = False
        self.client: Process | None = None
        self.progress: dict[str, int] = {}

    @property
    def alive(self) -> Qemu:
        """Its QEMU. Raises LibvirtError when it has none."""
        if self.qemu is None or self.qemu.ended:
            raise LibvirtError("Requested operation is not valid: domain is not running")
        return self.qemu


class Libvirt(Daemon):
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
        super().__init__(machine, timeline)
        self.domains: dict[str, Domain] = {}
        self.obeys = True
        """Whether its guests react to the power button."""
        self.python = True
        """Whether the hook's interpreter is there."""
        self.at_boot: list[Callable[[], None]] = []
        """What the daemon does when it starts for the first time after a boot: autostart."""
        self._payload = payload
        self._witness = witness
        self._managed = managed
        self._point = point

    def boot(self) -> None:
        """The daemon starts with its machine."""
        self.domains = {}

        def first() -> None:
            self._point("libvirtd begins", self.machine.name, "")
            for act in list(self.at_boot):
                act()

        self.launch(first)

    def restart(self) -> None:
        """The daemon starts again beside the QEMUs of its predecessor; nothing when it is there."""
        if self.machine.powered and not self.alive:
            self.launch(self._find_again)

    def power_cut(self) -> None:
        """All QEMUs of the machine end without a word."""
        self.daemon = None
        for domain in self.domains.values():
            if domain.qemu is not None:
                domain.qemu.gone()
        self.domains = {}

    def storage(self, now: Storage) -> None:
        """The guests' storage goes or comes back. A failed write pauses its guest; one that hangs does not."""
        self.machine.storage = now
        for domain in list(self.domains.values()):
            qemu = domain.qemu
            if qemu is None or qemu.ended:
                continue
            if now == "gone" and qemu.executing:
                qemu.halt()
                self.say(domain, "paused", "ioerror")
            elif now != "hangs":
                qemu.storage_is_back()

    def _find_again(self) -> None:
        """A QEMU that lives gets its reconnect; of a move that the old daemon was at, an arriving copy goes, and a
        departing guest that still ran stays here. One that had been paused for its end stays so."""
        for domain in list(self.domains.values()):
            if domain.qemu is None or domain.qemu.ended:
                self.take_down(domain)
                continue
            self.hook(domain, "reconnect", veto=False)
            if domain.job == "migration in":
                self.take_down(domain)
                continue
            cut_short = domain.job == "migration out" and domain.reason == "migration" and not domain.performed
            domain.job, domain.progress = "", {}
            if cut_short:
                self.let_run(domain, "migration canceled")
            self.say(domain, domain.state, domain.reason)

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
        self.let_run(domain, "booted")
        self._point("guest boots", self.machine.name, domain.name)
        return domain

    def bring_up(self, xml: str, *, incoming: bool) -> Domain:
        """A QEMU, halted. A veto takes back what was done, and stopped and release follow it."""
        domain = Domain(text_of(xml, "name"), text_of(xml, "uuid").lower(), xml)
        if domain.uuid in self.domains:
            raise LibvirtError(f"operation failed: domain '{domain.name}' already exists with uuid {domain.uuid}")
        self.domains[domain.uuid] = domain
        domain.job = "migration in" if incoming else ""
        try:
            for operation in ("prepare", "start"):
                self.hook(domain, operation)
            self.timeline.sleep(BOOT)
            domain.qemu = self._fork(domain, incoming)
            domain.qemu.at_end.append(lambda _qemu: self._noticed(domain))
            self.say(domain, "paused", "migration" if incoming else "starting up")
            self.hook(domain, "started")
        except LibvirtError:
            self.take_down(domain)
            raise
        return domain

    def _fork(self, domain: Domain, incoming: bool) -> Qemu:
        while self.machine.storage == "hangs":
            self.timeline.sleep(1.0)
        if self.machine.storage == "gone":
            raise LibvirtError("Cannot access storage file: Input/output error")
        on_files = "<disk type='file'" in domain.xml.replace('"', "'")
        try:
            return Qemu(domain.name, domain.uuid, self.machine, self._witness, incoming=incoming, locks=on_files)
        except DiskLocked as problem:
            raise LibvirtError(f"internal error: process exited while connecting to monitor: {problem}") from problem

    def let_run(self, domain: Domain, reason: str) -> None:
        """Its vCPUs run from now on, unless QEMU's own lock stands against it."""
        try:
            domain.alive.cont()
        except DiskLocked as problem:
            raise LibvirtError(f"internal error: unable to execute QEMU command 'cont': {problem}") from problem
        self.say(domain, "running", reason)
        if self.machine.storage == "gone":
            self.storage("gone")

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
            if domain.qemu.dying:
                self.timeline.sleep(15.0)
                if not domain.qemu.ended:
                    domain.job = ""
                    raise LibvirtError(f"Failed to terminate process {domain.qemu.pid} with SIGKILL: Device busy")
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
        self.let_run(domain, "unpaused")

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

        self.work("a guest shuts down", ends)

    def _noticed(self, domain: Domain) -> None:
        """A QEMU that ended by itself: stopped and release follow within 50 ms, if nobody is at it already."""
        if domain.job == "" and self.alive and self.machine.powered:
            self.work("end of a QEMU", lambda: self.take_down(domain))

    # ---- hooks and status

    def hook(self, domain: Domain, operation: str, *, veto: bool = True) -> None:
        """Call the hook as libvirt does. Raises LibvirtError with its sentence when it refuses and may."""
        self._point(f"hook {operation}", self.machine.name, domain.name)
        self.timeline.sleep(HOOK)
        installed = self.machine.files.get(INSTALLED_HOOK)
        if installed is None or not installed.executable or operation == "reconnect":
            return  # libvirt skips what it cannot execute, without a word
        if not self._managed(domain.uuid):
            return
        if not self.python:
            if veto:
                raise LibvirtError("Hook script execution failed: python3: not found")
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
        with suppress(OSError):  # libvirt goes on without
            self.machine.write(STATUS.format(domain.name), text.encode())


def text_of(xml: str, tag: str) -> str:
    """What stands in a tag. Raises LibvirtError when there is none."""
    found = re.search(f"<{tag}>([^<]*)</{tag}>", xml)
    if found is None:
        raise LibvirtError(f"XML error: no {tag}")
    return found.group(1).strip()

"""What an operation was asked to do: the VM's parameters, the operation's deadline, and what a glance shows of it."""

from __future__ import annotations

import os
import time

from hacluster.guard import state
from resource_agents.codes import ERR_CONFIGURED, Failed

LIBVIRT_RUN = "/run/libvirt/qemu"
DEFAULT_TIMEOUT = 60.0
TRUE = ("1", "true", "yes", "on")
INCOMPLETE = (
    ("paused", "migration"), ("paused", "starting up"), ("paused", "unknown"), ("", ""),
    ("running", "post-copy"), ("running", "post-copy failed"), ("paused", "post-copy failed"),
)  # fmt: skip
"""States in libvirt's status file of a copy that has not arrived; one that has is running, or paused (user)."""


class Vm:
    """One managed VM, from the environment that Pacemaker gives an agent. Times are seconds."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.name = environment.get("OCF_RESOURCE_INSTANCE", "")
        self.uuid = state.lower_case_uuid(self.given("uuid"))
        self.config = self.given("config")
        self.xml_sha256 = self.given("xml_sha256")
        self.uri = self.given("hypervisor") or "qemu:///system"
        self.force_stop = self._flag("force_stop")
        self.stop_budget = 0.0 if self.force_stop else self._seconds("stop_budget", 120)
        self.shutdown_mode = self.given("shutdown_mode") or "acpi"
        self.monitor_scripts = self.given("monitor_scripts").split()
        self.transport = self.given("migration_transport") or "ssh"
        self.hosts = dict(pair.split("=", 1) for pair in self.given("migration_hosts").split() if "=" in pair)
        self.handover = self.given("handover") or "paused"
        self.speed = self.given("migration_speed").lstrip("0")
        self.downtime = self.given("migration_downtime").lstrip("0")
        self.parallel = self.given("migration_parallel").lstrip("0")
        self.auto_converge = self._flag("auto_converge")
        self.post_copy = self._flag("post_copy")
        self.migration_timeout = self._seconds("migration_timeout", 600)
        self.timeout = self._seconds("CRM_meta_timeout", DEFAULT_TIMEOUT * 1000) / 1000
        self.probe = self.given("CRM_meta_interval") in ("", "0")
        self.node = self.given("CRM_meta_on_node") or state.node_name()
        self.source = self.given("CRM_meta_migrate_source")
        self.target = self.given("CRM_meta_migrate_target")
        if len(self.uuid) != 36:
            raise Failed(f"{self.name or 'this resource'} has no parameter uuid", ERR_CONFIGURED)

    def given(self, name: str) -> str:
        """A parameter as it was given; empty when it was not."""
        return self._environment.get(f"OCF_RESKEY_{name}", "").strip()

    def _flag(self, name: str) -> bool:
        return self.given(name).lower() in TRUE

    def _seconds(self, name: str, default: float) -> float:
        """What is not a number is refused at start; a stop or monitor of what runs already goes by the default."""
        text = self.given(name).removesuffix("s")
        return float(text) if text.isascii() and text.isdigit() else default


class Deadline:
    """When we must be done: the operation's timeout less a margin, as Pacemaker kills without warning."""

    def __init__(self, timeout: float) -> None:
        self.at = time.monotonic() + timeout - min(5.0, timeout / 5)

    def left(self, most: float | None = None, keep: float = 0.0) -> float:
        """Seconds left, less `keep` for what has to come after, at most `most`, and never below a tenth."""
        left = self.at - time.monotonic() - keep
        return max(0.1, left if most is None else min(most, left))

    def over(self, keep: float = 0.0) -> bool:
        """Whether no more than `keep` seconds are left."""
        return self.at - time.monotonic() <= keep


class Sight:
    """What libvirt's own status file and /proc show of a domain, without asking anybody.

    `letter` is the QEMU leader's state in /proc, empty when the process that the file names is not there (then the
    file lies, and only a walk of /proc can tell more). `job` is libvirt's asynchronous job, such as "migration in".
    """

    __slots__ = ("job", "letter", "pid", "reason", "start", "state", "stay_paused")

    def __init__(self) -> None:
        self.pid = 0
        self.start = 0
        self.letter = ""
        self.state = ""
        self.reason = ""
        self.job = ""
        self.stay_paused = False

    @property
    def alive(self) -> bool:
        """The very QEMU that the status file names is there, with this VM's uuid, neither stopped nor dying."""
        return self.letter not in ("", "T", "t", "Z", "X")

    @property
    def stands_still(self) -> bool:
        """It is there, and stopped by a signal or a tracer: it may go on at any time."""
        return self.letter in ("T", "t")

    @property
    def complete(self) -> bool:
        """Its memory is all here: no incoming migration is going on, nor was one broken off."""
        return "migration in" not in self.job and (self.state, self.reason) not in INCOMPLETE


def look(name: str, uuid: str, run: str = LIBVIRT_RUN, proc: str = "/proc") -> Sight:
    """A glance at /run/libvirt/qemu/NAME.xml and the process it names: the cheap part of every monitor.

    `-uuid` is always on a QEMU's command line. The file survives a killed QEMU when libvirtd is not there to remove
    it, and a stopped QEMU is "running" in it, so the process is looked at too.
    """
    sight = Sight()
    try:
        with open(f"{run}/{name}.xml", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        return sight
    head = text[text.find("<domstatus ") :]
    head = head[: head.find(">")]
    sight.state = _attribute(head, "state")
    sight.reason = _attribute(head, "reason")
    job = text[text.find("<job ") :] if "<job " in text else ""
    sight.job = _attribute(job[: job.find(">")], "async")
    sight.stay_paused = "hacluster:move " in text and "paused='yes'" in text
    pid = _attribute(head, "pid")
    found = state.process_start(int(pid), proc) if pid.isdigit() else None
    if found is None:
        return sight
    try:
        with open(f"{proc}/{pid}/cmdline", "rb") as line:
            ours = b"\0-uuid\0" + uuid.encode() + b"\0" in line.read()
    except (FileNotFoundError, ProcessLookupError):
        return sight
    if ours:
        sight.pid, sight.start, sight.letter = int(pid), found[1], found[0]
    return sight


def _attribute(tag: str, name: str) -> str:
    _, found, rest = tag.partition(f" {name}='")
    return rest.partition("'")[0] if found else ""


def environment() -> dict[str, str]:
    """Pacemaker's environment."""
    return dict(os.environ)

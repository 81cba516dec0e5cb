"""Is there a QEMU of this VM on this node? PRESENT, ABSENT or UNKNOWN, with the evidence in words.

PRESENT: a live task of a QEMU with its uuid, or the recorded process, or a populated cgroup of it, or libvirt says
active, or a start in flight. ABSENT: libvirt answered no (or we saw its QEMU end through a pidfd), and none of these.
All else is UNKNOWN. libvirt's word alone is no proof: it reports a domain as stopped even when its kill failed; and
a killed QEMU's leader can be a zombie with an empty command line while one of its I/O threads still writes.
"""

from __future__ import annotations

import os

from hacluster.guard import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PRESENT = "PRESENT"
ABSENT = "ABSENT"
UNKNOWN = "UNKNOWN"

PF_KTHREAD = 0x00200000
"""Flag in field 9 of /proc/PID/stat: a kernel thread, which has no command line by nature."""


class Process:
    """A QEMU: its pid, start time (clock ticks since boot) and the leader's state letter."""

    __slots__ = ("pid", "start", "state")

    def __init__(self, pid: int, start: int, letter: str) -> None:
        self.pid = pid
        self.start = start
        self.state = letter


class Scan:
    """One walk of /proc: every QEMU by uuid, and the pids of dying QEMUs whose uuid can no longer be read."""

    __slots__ = ("by_uuid", "nameless")

    def __init__(self) -> None:
        self.by_uuid: dict[str, list[Process]] = {}
        self.nameless: list[int] = []


class Presence:
    """A verdict and the sentence part that explains it."""

    __slots__ = ("evidence", "verdict")

    def __init__(self, verdict: str, evidence: str) -> None:
        self.verdict = verdict
        self.evidence = evidence


def _uuid_of(cmdline: bytes) -> str | None:
    arguments = cmdline.split(b"\0")
    if b"-uuid" not in arguments[:-1]:
        return None
    return arguments[arguments.index(b"-uuid") + 1].decode(errors="replace").lower()


def _read(path: str) -> bytes:
    """A file of a process; empty when the process has gone meanwhile."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _tasks(pid: int, proc: str) -> list[str]:
    try:
        return os.listdir(f"{proc}/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return []


def scan(proc: str = "/proc") -> Scan:
    """Walk all processes, and all tasks of those whose leader shows no command line."""
    found = Scan()
    for name in os.listdir(proc):
        if name.isdigit():
            _look(int(name), proc, found)
    return found


def _look(pid: int, proc: str, found: Scan) -> None:
    cmdline = _read(f"{proc}/{pid}/cmdline")
    if cmdline:
        uuid = _uuid_of(cmdline)
    else:
        stat = _read(f"{proc}/{pid}/stat")
        fields = stat.rpartition(b")")[2].split()
        if not fields or int(fields[6]) & PF_KTHREAD:
            return
        others = [task for task in _tasks(pid, proc) if task != str(pid)]
        if fields[0] in (b"Z", b"X") and not others:
            return
        lines = (_read(f"{proc}/{pid}/task/{task}/cmdline") for task in others)
        uuid = next((known for line in lines if (known := _uuid_of(line))), None)
        if uuid is None and (b"(qemu" in stat or b"(kvm" in stat):
            found.nameless.append(pid)
    start = state.process_start(pid, proc)
    if uuid is not None and start is not None:
        found.by_uuid.setdefault(uuid, []).append(Process(pid, start[1], start[0]))


def recorded(uuid: str, directory: str = "") -> Process | None:
    """The QEMU that the hook recorded when it was started, alive or not."""
    pairs = state.read_pairs(state.path(uuid, ".qemu", directory))
    if not pairs or not pairs.get("pid", "").isdigit() or not pairs.get("start", "").isdigit():
        return None
    return Process(int(pairs["pid"]), int(pairs["start"]), "")


def alive(process: Process, proc: str = "/proc") -> bool:
    """Whether that very process still has a live task: a zombie leader counts while it has other threads."""
    now = state.process_start(process.pid, proc)
    if now is None or now[1] != process.start:
        return False
    return now[0] not in ("Z", "X") or len(_tasks(process.pid, proc)) > 1


def _populated(uuid: str, directory: str) -> bool:
    pairs = state.read_pairs(state.path(uuid, ".qemu", directory)) or {}
    path = pairs.get("cgroup", "")
    if not path:
        return False
    roots = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
    return any(b"populated 1" in _read(f"{root}{path}/cgroup.events") for root in roots)


def starting(uuid: str, directory: str = "") -> str:
    """The evidence for a start under way; empty when there is none."""
    if state.in_flight(uuid, ".starting", directory):
        return "libvirt is just starting it"
    if state.in_flight(uuid, ".arriving", directory):
        return "libvirt has announced its arrival"
    agent = state.read_pairs(state.path(uuid, ".agent", directory))
    if agent is not None and agent.get("pid") != str(os.getpid()) and agent.get("pid") != str(os.getppid()):
        return "an agent is just starting it" if state.in_flight(uuid, ".agent", directory) else ""
    return ""


def here(uuid: str, seen: Scan, directory: str = "") -> str:
    """The evidence for a QEMU or a start of it on this node, libvirt not asked; empty when there is none.

    The markers are read first: a start removes its own only once its QEMU is there and recorded, so that whoever finds
    no marker and then no record knows that there was no start. The other way round a start that ended between the two
    looks, with a walk of /proc from before its QEMU, would not be seen at all.
    """
    begun = starting(uuid, directory)
    running = seen.by_uuid.get(uuid)
    if running:
        return "a QEMU of it lives (pid " + ", ".join(str(process.pid) for process in running) + ")"
    process = recorded(uuid, directory)
    if process is not None and alive(process):
        return f"its recorded QEMU lives (pid {process.pid})"
    if _populated(uuid, directory):
        return "its cgroup still has processes"
    return begun


def presence(
    uuid: str,
    active: Iterable[str] | None,
    seen: Scan | None = None,
    directory: str = "",
    ended: bool = False,
) -> Presence:
    """The verdict. `active` are the uuids that libvirt says it runs, None when it did not answer.

    `ended` says that we saw this VM's QEMU end through a pidfd, by our own kill or while its gate was open (when no
    new one is admitted): that stands for libvirt's answer.
    """
    seen = seen or scan()
    evidence = here(uuid, seen, directory)
    if evidence:
        return Presence(PRESENT, evidence)
    if active is not None and uuid in active:
        return Presence(PRESENT, "libvirt says that it is active")
    if seen.nameless:
        known = {p.pid for other in state.known(directory) if other != uuid and (p := recorded(other, directory))}
        strange = [pid for pid in seen.nameless if pid not in known]
        if strange:
            return Presence(UNKNOWN, f"a dying QEMU (pid {strange[0]}) shows no uuid any more")
    if active is None and not ended:
        return Presence(UNKNOWN, "libvirt does not answer")
    return Presence(ABSENT, "its QEMU has ended" if ended else "libvirt does not run it, and no process of it lives")


def active_uuids(uri: str, timeout: float) -> frozenset[str] | None:
    """The uuids of the domains that libvirt runs (or is starting); None when it does not answer in time.

    A list is asked for, not the one domain: virsh says the same words for "no such domain" and for a connection
    that broke in mid-question, whereas a list with exit code 0 is an answer.
    """
    from hacluster.guard.child import run

    result = run(["virsh", "-q", "-c", uri, "list", "--uuid"], timeout)
    if result.code != 0:
        return None
    return frozenset(line.strip().lower() for line in result.out.splitlines() if line.strip())


def kill(process: Process, uuid: str, wait: float) -> bool:
    """SIGKILL through a pidfd to exactly this process, and wait for its end for `wait` seconds.

    False when it is another process by now, or did not end: one that sleeps in the kernel does not.
    """
    import select
    import signal

    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        now = state.process_start(process.pid)
        if now is None or now[1] != process.start:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        return bool(select.select([handle], [], [], wait)[0]) and not alive(process)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)

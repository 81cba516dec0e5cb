"""What this node remembers of a VM during this boot, and what a value block says.

/run/hacluster/vm/UUID            the mode of this node's run-lock; it never claims more than the lock itself
/run/hacluster/vm/UUID.qemu       pid and start time of its QEMU, recorded when libvirt reported it started
/run/hacluster/vm/UUID.starting   libvirt is between deciding to create a QEMU and its being there to be seen
/run/hacluster/vm/UUID.arriving   libvirt announced an incoming move: the same for its time until the preparation
/run/hacluster/vm/UUID.agent      an agent is about to start it
/run/hacluster/vm/UUID.moving     an agent is about to send it to another node
/run/hacluster/vm/UUID.attended   a process waits for an arrived copy's lock, to let it run
/run/hacluster/vm/UUID.resuming.PID   that process is about to let a paused guest run
/run/hacluster/vm/UUID.waits      the nonce of a move whose copy waits for the seal: it runs by nobody else's hand
/run/hacluster/vm/UUID.ended      the nonce of the move whose last step was the end of this node's QEMU
/run/hacluster/vm/UUID.incoming   libvirt announced an incoming move that has not been prepared yet (used once)
/run/hacluster/vm/UUID.failed     why the last operation of the agent failed, for people
/run/hacluster/vm/UUID.lock       the flock around lock operations

The hook reads these under libvirt's locks: plain files, no DLM, no libvirt.
"""

from __future__ import annotations

import os
import time

from hacluster.guard.dlm import EX, MODE_NAMES, NL, VALUE_SIZE

RUN = "/run/hacluster/vm"
LOCKSPACE = "/run/hacluster/lockspace"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
GRACE = 5.0
"""Seconds after its libvirtd's death for which a start still counts as in flight: a forked child may not have
noticed yet that the daemon is gone."""

ABANDONED = 40.0
"""Seconds after which libvirt has carried out or refused what a client asked that is dead by now: it waits 30 s for a
domain that another job has busy."""

_GATE, _HANDED_OVER = 1, 2
"""Formats of a value block: a gate that is open; the same once its node has handed the VM over."""


def boot_id() -> str:
    """This boot's id."""
    with open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()


def read_pairs(path: str) -> dict[str, str] | None:
    """The KEY=VALUE lines of a file, None when there is none; of a damaged one what can be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return dict(line.split("=", 1) for line in file.read().splitlines() if "=" in line)
    except (FileNotFoundError, IsADirectoryError):
        return None


def write_pairs(path: str, pairs: dict[str, str]) -> None:
    """Replace a file by these KEY=VALUE lines; a reader sees the old or the new, never half of it."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}~"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write("".join(f"{key}={value}\n" for key, value in pairs.items()))
    os.rename(temporary, path)


def remove(path: str) -> None:
    """Remove a file that need not be there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


class State:
    """This node's claim on a VM: mode, the move it belongs to, and since when (seconds since the epoch).

    `handed` says of an arrival that its source handed it over, so that it may run.
    """

    __slots__ = ("handed", "mode", "nonce", "since", "target")

    def __init__(self, mode: int, nonce: str = "", target: str = "", since: int = 0, handed: bool = False) -> None:
        self.mode = mode
        self.nonce = nonce
        self.target = target
        self.since = since
        self.handed = handed


def path(uuid: str, suffix: str = "", directory: str = "") -> str:
    """Where a record of this VM lies; `directory` defaults to RUN."""
    return f"{directory or RUN}/{uuid}{suffix}"


def read(uuid: str, directory: str = "") -> State:
    """The claim as recorded; NL when there is no record, or when it is one of another boot."""
    pairs = read_pairs(path(uuid, "", directory))
    if pairs is None or pairs.get("boot") != boot_id() or pairs.get("mode") not in MODE_NAMES:
        return State(NL)
    since = pairs.get("since", "")
    return State(
        MODE_NAMES.index(pairs["mode"]),
        pairs.get("nonce", ""),
        pairs.get("target", ""),
        int(since) if since.isdigit() else 0,
        pairs.get("handed") == "yes",
    )


def write(uuid: str, state: State, directory: str = "") -> None:
    """Record the claim. Mode NL says: a lock operation was begun, look whether it left something behind."""
    write_pairs(
        path(uuid, "", directory),
        {
            "mode": MODE_NAMES[state.mode],
            "nonce": state.nonce,
            "target": state.target,
            "boot": boot_id(),
            "since": str(int(time.time())),
            "handed": "yes" if state.handed else "no",
        },
    )


def forget(uuid: str, directory: str = "") -> None:
    """The lock has gone back with proof of absence: what was recorded of its QEMU goes too."""
    for suffix in ("", ".qemu", ".incoming", ".ended", ".waits"):
        remove(path(uuid, suffix, directory))


def known(directory: str = "") -> tuple[str, ...]:
    """The uuids that have a record here."""
    try:
        names = os.listdir(directory or RUN)
    except FileNotFoundError:
        return ()
    return tuple(sorted(name for name in names if len(name) == 36 and name.count("-") == 4))


def failures(directory: str = "") -> dict[str, dict[str, str]]:
    """By uuid: `action`, `at` (seconds since the epoch) and `sentence` of the agent's last failed operation."""
    try:
        names = os.listdir(directory or RUN)
    except FileNotFoundError:
        return {}
    found = {name[:-7]: read_pairs(path(name[:-7], ".failed", directory)) for name in names if name.endswith(".failed")}
    return {uuid: pairs for uuid, pairs in found.items() if pairs}


def lower_case_uuid(text: str) -> str:
    """A uuid as libvirt and QEMU's command line write it."""
    return text.strip().lower()


def process_start(pid: int, proc: str = "/proc") -> tuple[str, int] | None:
    """State letter and start time (clock ticks since boot, proc(5) fields 3 and 22); None when there is none."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[19])


def mark(uuid: str, suffix: str, pid: int, directory: str = "", lifetime: float | None = None) -> None:
    """Say that process `pid` is about to bring up a QEMU; `lifetime` (seconds) bounds it for steps that may end
    without anybody being told."""
    found = process_start(pid)
    now = time.monotonic()
    write_pairs(
        path(uuid, suffix, directory),
        {
            "pid": str(pid),
            "start": str(found[1] if found else 0),
            "at": str(now),
            "until": str(now + lifetime) if lifetime is not None else "",
        },
    )


def in_flight(uuid: str, suffix: str, directory: str = "") -> bool:
    """Whether such a marker stands and its process lives (or has died only just now).

    A damaged marker counts as one that was written when its file was, by a process that nobody knows.
    """
    pairs = read_pairs(path(uuid, suffix, directory))
    if pairs is None:
        return False
    now = time.monotonic()
    try:
        pid, at, until = int(pairs["pid"]), float(pairs["at"]), float(pairs["until"] or "inf")
    except (KeyError, ValueError):
        return _age(path(uuid, suffix, directory)) < GRACE
    if now > until:
        return False
    found = process_start(pid)
    if found is not None and str(found[1]) == pairs.get("start"):
        return True
    return suffix == ".starting" and now - at < GRACE


def _age(file: str) -> float:
    """Seconds since a file was written; without end when it has gone."""
    try:
        return time.time() - os.stat(file).st_mtime
    except FileNotFoundError:
        return float("inf")


def _marked(file: str) -> float:
    """Seconds since a marker was set, by the clock that nobody sets; by its file's time where it does not say."""
    try:
        return time.monotonic() - float((read_pairs(file) or {})["at"])
    except (KeyError, ValueError):
        return _age(file)


def resuming(uuid: str, directory: str = "") -> bool:
    """Whether a process of this node is about to resume the VM, or died in it so lately that libvirt may still do so.

    Who resumes marks first and reads the record then; who takes a seat has no seal any more when it looks for marks. So
    that a resume meant for one arrival never meets the next one, which waits here under its seat.
    """
    try:
        names = os.listdir(directory or RUN)
    except FileNotFoundError:
        return False
    for name in names:
        if name.startswith(f"{uuid}.resuming."):
            suffix = name[len(uuid) :]
            if in_flight(uuid, suffix, directory) or _marked(path(uuid, suffix, directory)) < ABANDONED:
                return True
            remove(path(uuid, suffix, directory))
    return False


def leaving(record: str = "") -> bool:
    """Whether this node is not, or only just still, in the lockspace: then what its records say admits nothing."""
    pairs = read_pairs(record or LOCKSPACE)
    return pairs is None or pairs.get("boot") != boot_id() or pairs.get("leaving") == "1"


def node_name(config: str = "/etc/hacluster/guard.conf") -> str:
    """This node's name in the cluster: what the lockspace agent was told by Pacemaker, else the host's name."""
    for path in (LOCKSPACE, config):
        pairs = read_pairs(path)
        if pairs and pairs.get("node"):
            return pairs["node"]
    return os.uname().nodename


def encode(target: str, nonce: str, source_boot: str) -> bytes:
    """A gate's value block: format, whom it admits, for which move, and the boot that opened it (for people).

    One byte format, 7 bytes of the target name's sha256, 8 bytes nonce (16 hex digits), 16 bytes boot id.
    """
    return _pack(_GATE, target, nonce, source_boot)


def encode_handed_over(target: str, nonce: str, source_boot: str) -> bytes:
    """The value block of a gate whose node has handed the VM over; see `encode`."""
    return _pack(_HANDED_OVER, target, nonce, source_boot)


def _pack(format_number: int, target: str, nonce: str, source_boot: str) -> bytes:
    packed = (
        bytes([format_number]) + _short(target) + bytes.fromhex(nonce) + bytes.fromhex(source_boot.replace("-", ""))
    )
    if len(packed) != VALUE_SIZE:
        raise ValueError(f"nonce {nonce!r} or boot id {source_boot!r} has the wrong length")
    return packed


def admits(value: bytes | None, node: str, nonce: str) -> bool:
    """Whether a value block admits this node for this move. None, empty or of another format admits nobody."""
    if value is None or len(value) != VALUE_SIZE or value[0] != _GATE:
        return False
    return value[1:8] == _short(node) and value[8:16].hex() == nonce


def handed_over(value: bytes | None, nonce: str) -> bool:
    """Whether a value block says that the source handed over the move `nonce`. None or another format says no.

    `nonce` is empty when this node's record of its seat was lost: while a seat is held the gate is no other move's.
    """
    if value is None or len(value) != VALUE_SIZE or value[0] != _HANDED_OVER:
        return False
    return nonce in ("", value[8:16].hex())


def _short(name: str) -> bytes:
    from hashlib import sha256

    return sha256(name.encode()).digest()[:7]


def new_nonce() -> str:
    """A move's nonce: 16 random hex digits."""
    return os.urandom(8).hex()


def sealed(uuid: str, directory: str = "") -> bool:
    """Whether this node's claim is EX; the one question a monitor asks."""
    return read(uuid, directory).mode == EX

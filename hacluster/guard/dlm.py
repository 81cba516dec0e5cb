"""The port to a distributed lock manager: its modes and flags, what it answers, how it fails, how it is found.

Nothing here decides anything. The vocabulary is the kernel DLM's (dlm.h); the implementations are `libdlm` (the
kernel's), `memory` (tests and simulation) and, in the namespace lab, a module that guard.conf names.
It may not import what a virtual machine's monitor cannot afford: no dataclasses, typing or re at run time.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

NL, CR, CW, PR, PW, EX = range(6)
MODE_NAMES = ("NL", "CR", "CW", "PR", "PW", "EX")

# Bit values as in libdlm.h, so that the libdlm port passes them through unchanged.
NOQUEUE = 0x00000001
CONVERT = 0x00000004
VALBLK = 0x00000008
PERSISTENT = 0x00000080
ORPHAN = 0x00004000

VALUE_SIZE = 32
"""Bytes in a lock's value block (DLM_LVB_LEN)."""

# Row: granted; column: requested. VMS's table, as the kernel has it (__dlm_compat_matrix in fs/dlm/lock.c).
_COMPATIBLE = (
    (True, True, True, True, True, True),
    (True, True, True, True, True, False),
    (True, True, True, False, False, False),
    (True, True, False, True, False, False),
    (True, True, False, False, False, False),
    (True, False, False, False, False, False),
)


def compatible(granted: int, requested: int) -> bool:
    """Whether two locks of these modes may be held on one resource at once."""
    return _COMPATIBLE[granted][requested]


class DlmError(Exception):
    """The lock manager did not do what was asked."""


class Busy(DlmError):
    """EAGAIN: somebody else's lock stands against it; or, in an adoption, the orphan here has another mode."""


class NoLock(DlmError):
    """ENOENT: no such lock, or no orphan of this node to adopt."""


class Unknown(DlmError):
    """Nothing was learnt: no answer in time, the lock manager is not there, or it said something unforeseen.

    The request may still be carried out later. Whoever gets this must neither assume the lock nor its absence.
    """


def error(rc: int, what: str) -> DlmError:
    """The exception for an errno (positive or negative) that a lock operation ended with."""
    number = abs(rc)
    text = f"{what}: {os.strerror(number)}"
    if number == errno.EAGAIN:
        return Busy(text)
    if number == errno.ENOENT:
        return NoLock(text)
    return Unknown(text)


class Grant:
    """A granted lock: its id, and the value block as far as it was asked for and can be trusted.

    `value` is None when VALBLK was not given or the lock manager marked the block as not valid.
    """

    __slots__ = ("lkid", "value")

    def __init__(self, lkid: int, value: bytes | None = None) -> None:
        self.lkid = lkid
        self.value = value


class Held:
    """One lock of the lockspace, as `Port.list` shows it, for messages to people only: nothing is decided by it."""

    __slots__ = ("mode", "node", "orphan", "resource", "value")

    def __init__(self, resource: str, node: str, mode: int, orphan: bool, value: bytes | None) -> None:
        self.resource = resource
        self.node = node
        self.mode = mode
        self.orphan = orphan
        self.value = value


class Port:
    """What every lock manager must be able to do. An implementation is made as `Class(lockspace, timeout)`.

    One object is one process to the lock manager: when it is closed (or its process dies), its locks without
    PERSISTENT go, those with it become orphans of this node, and its waiting requests are cancelled.
    Each method may block without end while a dead node waits for its fencing (the kernel's does so in the kernel,
    uninterruptibly), which is why guard.lock calls them only in a child that it can abandon. `timeout` (seconds)
    bounds what an implementation can bound by itself. Every method raises Busy, NoLock or Unknown.
    """

    def __init__(self, lockspace: str, timeout: float) -> None:
        self.lockspace = lockspace
        self.timeout = timeout

    def join(self) -> None:
        """Create the lockspace on this node, or join it. Idempotent."""
        raise NotImplementedError

    def leave(self) -> None:
        """Leave the lockspace; this node's locks in it go. Idempotent."""
        raise NotImplementedError

    def lock(self, resource: str, mode: int, flags: int, value: bytes | None = None) -> Grant:
        """A new lock; with ORPHAN the adoption of this node's orphan of exactly that mode. Not idempotent.

        Busy: NOQUEUE and not grantable, or an orphan of another mode. NoLock: no orphan to adopt.
        """
        raise NotImplementedError

    def convert(self, lkid: int, mode: int, flags: int, value: bytes | None = None) -> Grant:
        """Change a lock's mode. With VALBLK `value` is written if the lock comes from EX or PW downwards (or
        stays), and the block is returned otherwise. Busy leaves the lock as it was."""
        raise NotImplementedError

    def unlock(self, lkid: int) -> None:
        """Give a lock back. NoLock if there is none."""
        raise NotImplementedError

    def list(self) -> tuple[Held, ...] | None:
        """The locks of the lockspace as far as this node can see them; None when it cannot."""
        raise NotImplementedError

    def close(self) -> None:
        """End this process's share; see the class."""
        raise NotImplementedError

    def __enter__(self) -> Port:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


CONFIG = "/etc/hacluster/guard.conf"


def read_config(path: str = CONFIG) -> dict[str, str]:
    """The KEY=VALUE lines of a guard.conf; without the file, the defaults: the kernel's DLM, lockspace hacluster."""
    settings = {"dlm": "libdlm", "lockspace": "hacluster"}
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return settings
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith("#"):
            settings[key.strip()] = value.strip()
    return settings


def open_port(config: str = CONFIG, timeout: float = 5.0) -> Port:
    """The lock manager that this node's guard.conf names. Raises Unknown when it cannot be had."""
    settings = read_config(config)
    how = settings["dlm"]
    if how == "libdlm":
        from hacluster.guard.libdlm import LibDlm

        return LibDlm(settings["lockspace"], timeout)
    if not how.startswith("module:") or how.count(":") < 2:
        raise Unknown(f"{config}: dlm={how} is neither libdlm nor module:PATH:CLASS")
    from hacluster.guard.module import ModulePort, load

    _, path, name = how.split(":", 2)
    return ModulePort(load(path, name), settings["lockspace"], timeout)


def joined(config: str = CONFIG, sysfs: str = "/sys/kernel/dlm", witness: str = "/run/hacluster/lockspace") -> bool:
    """Whether this node is in the lockspace, without any call to the lock manager: it may be in recovery.

    The kernel's DLM shows its lockspaces in sysfs; for another one the record that the lockspace agent left at its
    start in this boot stands in.
    """
    settings = read_config(config)
    if settings["dlm"] == "libdlm":
        return os.path.isdir(f"{sysfs}/{settings['lockspace']}")
    return os.path.exists(witness)

"""The kernel's DLM through libdlm_lt by ctypes; no Debian package binds it.

What is peculiar here was measured against a real kernel: an adoption (ORPHAN) is answered by the call itself and
never by a completion callback, so that the waiting form of the call would hang for ever, and it needs a real
callback all the same; a value block that a crash may have torn is marked, but an emptied one is not. While a dead
node awaits its fencing every call may sleep in the kernel, NOQUEUE included: only guard.lock's children call this.
"""

from __future__ import annotations

import ctypes
import errno
import os

from hacluster.guard.dlm import CONVERT, NOQUEUE, ORPHAN, PERSISTENT, VALBLK, VALUE_SIZE, Grant, Port, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hacluster.guard.dlm import Held

LIBRARY = "libdlm_lt.so.3"
SBF_VALNOTVALID = 0x02
FORCE_FREE = 2
"""dlm_release_lockspace: free it although it masters other nodes' locks; a plain release answers EBUSY then."""


class _StatusBlock(ctypes.Structure):
    """struct dlm_lksb of libdlm.h."""

    _fields_ = (
        ("status", ctypes.c_int),
        ("lkid", ctypes.c_uint32),
        ("flags", ctypes.c_char),
        ("value", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Pending:
    """A lock's status block and value buffer: the kernel writes into both, so they live as long as the lock."""

    def __init__(self, value: bytes | None) -> None:
        self.buffer = ctypes.create_string_buffer((value or b"").ljust(VALUE_SIZE, b"\0"), VALUE_SIZE)
        self.block = _StatusBlock()
        self.block.value = ctypes.addressof(self.buffer)

    def grant(self, flags: int) -> Grant:
        """What the caller may believe of the value block; the flag is the kernel's word that it may be torn."""
        valid = flags & VALBLK and not self.block.flags[0] & SBF_VALNOTVALID
        return Grant(int(self.block.lkid), self.buffer.raw if valid else None)


def load() -> ctypes.CDLL:
    """The library with its prototypes. Raises OSError when it is not installed (package libdlm3)."""
    library = ctypes.CDLL(LIBRARY, use_errno=True)
    number, pointer = ctypes.c_uint32, ctypes.c_void_p
    block = ctypes.POINTER(_StatusBlock)
    library.dlm_open_lockspace.restype = library.dlm_create_lockspace.restype = pointer
    library.dlm_open_lockspace.argtypes = [ctypes.c_char_p]
    library.dlm_create_lockspace.argtypes = [ctypes.c_char_p, number]
    library.dlm_close_lockspace.argtypes = [pointer]
    library.dlm_release_lockspace.argtypes = [ctypes.c_char_p, pointer, ctypes.c_int]
    name = (ctypes.c_char_p, ctypes.c_uint, number)
    library.dlm_ls_lock_wait.argtypes = [pointer, number, block, number, *name, pointer, pointer, pointer]
    library.dlm_ls_lock.argtypes = [pointer, number, block, number, *name, pointer, pointer, pointer, pointer]
    library.dlm_ls_unlock_wait.argtypes = [pointer, number, number, block]
    return library


class LibDlm(Port):
    """See Port. Only the lockspace agent joins; everybody else opens what is there."""

    def __init__(self, lockspace: str, timeout: float, library: ctypes.CDLL | None = None) -> None:
        super().__init__(lockspace, timeout)
        try:
            self._dlm = library or load()
        except OSError as problem:
            raise error(errno.ENOSYS, f"{LIBRARY} (package libdlm3): {problem}") from problem
        self._name = lockspace.encode()
        self._space: int | None = None
        self._pending: dict[int, _Pending] = {}
        self._ignore = _Callback(lambda _argument: None)

    def _open(self) -> int:
        if self._space is None:
            self._space = self._dlm.dlm_open_lockspace(self._name) or None
        if self._space is None:
            raise error(errno.ENOTCONN, f"lockspace {self.lockspace}: {os.strerror(ctypes.get_errno())}")
        return self._space

    def join(self) -> None:
        """See Port."""
        self._space = self._dlm.dlm_open_lockspace(self._name) or None
        if self._space is None:
            self._space = self._dlm.dlm_create_lockspace(self._name, 0o600) or None
        self._open()

    def leave(self) -> None:
        """See Port. Force-frees: the caller has swept, and has proved that no managed QEMU is left."""
        space = self._dlm.dlm_open_lockspace(self._name)
        if not space:
            return
        if self._dlm.dlm_release_lockspace(self._name, space, FORCE_FREE) != 0:
            raise error(ctypes.get_errno(), f"release of lockspace {self.lockspace}")
        self._space = None

    def lock(self, resource: str, mode: int, flags: int, value: bytes | None = None) -> Grant:
        """See Port."""
        pending = _Pending(value)
        name = resource.encode()
        space, block = self._open(), ctypes.byref(pending.block)
        if flags & ORPHAN:
            adopt = flags | NOQUEUE | PERSISTENT
            rc = self._dlm.dlm_ls_lock(space, mode, block, adopt, name, len(name), 0, self._ignore, None, None, None)
            if rc != 0:
                raise error(ctypes.get_errno(), f"adoption of {resource}")
            self._pending[pending.block.lkid] = pending
            return Grant(int(pending.block.lkid))
        rc = self._dlm.dlm_ls_lock_wait(space, mode, block, flags, name, len(name), 0, None, None, None)
        self._check(rc, pending, f"lock {resource}")
        self._pending[pending.block.lkid] = pending
        return pending.grant(flags)

    def convert(self, lkid: int, mode: int, flags: int, value: bytes | None = None) -> Grant:
        """See Port. The caller knows from the modes whether the value that comes back was read or written."""
        pending = _Pending(value)
        pending.block.lkid = lkid
        block = ctypes.byref(pending.block)
        rc = self._dlm.dlm_ls_lock_wait(self._open(), mode, block, flags | CONVERT, None, 0, 0, None, None, None)
        self._check(rc, pending, f"conversion of lock {lkid:x}")
        self._pending[lkid] = pending
        return pending.grant(flags if value is None else 0)

    def unlock(self, lkid: int) -> None:
        """See Port."""
        pending = self._pending.get(lkid) or _Pending(None)
        if self._dlm.dlm_ls_unlock_wait(self._open(), lkid, 0, ctypes.byref(pending.block)) != 0:
            raise error(ctypes.get_errno(), f"unlock of {lkid:x}")
        self._pending.pop(lkid, None)

    @staticmethod
    def _check(rc: int, pending: _Pending, what: str) -> None:
        if rc != 0:
            raise error(ctypes.get_errno(), what)
        if pending.block.status != 0:
            raise error(int(pending.block.status), what)

    def list(self) -> tuple[Held, ...] | None:
        """None: the kernel shows a node its own locks and those it masters, which is not enough to name a holder."""
        return None

    def close(self) -> None:
        """See Port."""
        if self._space is not None:
            self._dlm.dlm_close_lockspace(self._space)
            self._space = None

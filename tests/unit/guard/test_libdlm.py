"""The kernel's DLM behind the port, over a library that answers as the real one was seen to."""

from __future__ import annotations

import ctypes
import errno
from typing import Any

import pytest

from hacluster.guard.dlm import CONVERT, EX, NOQUEUE, ORPHAN, PERSISTENT, PW, VALBLK, Busy, NoLock, Unknown
from hacluster.guard.libdlm import SBF_VALNOTVALID, LibDlm

KEPT = NOQUEUE | PERSISTENT | VALBLK
BLOCK = bytes(range(32))


class Library:
    """Records the calls; `errno` fails a call, `status` a request, `value` is what the lock manager returns."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []
        self.errno = 0
        self.status = 0
        self.flags = b"\0"
        self.value: bytes | None = None
        self.space: int | None = 77

    def dlm_open_lockspace(self, _name: bytes) -> int | None:
        return self.space

    def dlm_create_lockspace(self, _name: bytes, _mode: int) -> int | None:
        self.calls.append(("create", 0, 0))
        self.space = 77
        return self.space

    def dlm_close_lockspace(self, _space: int) -> int:
        return 0

    def dlm_release_lockspace(self, _name: bytes, _space: int, force: int) -> int:
        self.calls.append(("release", force, 0))
        return self._rc()

    def _rc(self) -> int:
        ctypes.set_errno(self.errno)
        return -1 if self.errno else 0

    def _answer(self, what: str, mode: int, reference: Any, flags: int) -> int:
        block = reference._obj
        self.calls.append((what, mode, flags))
        block.status, block.flags = self.status, self.flags
        block.lkid = block.lkid or 5
        if self.value is not None:
            ctypes.memmove(block.value, self.value, 32)
        return self._rc()

    def dlm_ls_lock_wait(self, _space: int, mode: int, reference: Any, flags: int, *_rest: object) -> int:
        return self._answer("lock and wait", mode, reference, flags)

    def dlm_ls_lock(self, _space: int, mode: int, reference: Any, flags: int, *rest: Any) -> int:
        assert callable(rest[3]), "a null callback crashes the process later"
        return self._answer("lock", mode, reference, flags)

    def dlm_ls_unlock_wait(self, _space: int, lkid: int, flags: int, _reference: Any) -> int:
        self.calls.append(("unlock", lkid, flags))
        return self._rc()


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def port(library: Library) -> LibDlm:
    return LibDlm("hacluster", 5.0, library)  # type: ignore[arg-type]  # a double of the C library


def test_an_adoption_never_waits_for_a_callback_that_does_not_come(library: Library, port: LibDlm) -> None:
    assert port.lock("r", EX, KEPT | ORPHAN).lkid == 5
    assert library.calls == [("lock", EX, KEPT | ORPHAN)]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EAGAIN, Busy), (errno.ENOENT, NoLock), (errno.EINVAL, Unknown), (errno.EINTR, Unknown)]
)
def test_errors_of_the_call(library: Library, port: LibDlm, number: int, kind: type[Exception]) -> None:
    library.errno = number
    with pytest.raises(kind):
        port.lock("r", EX, KEPT | ORPHAN)
    with pytest.raises(kind):
        port.unlock(5)


def test_errors_of_the_request(library: Library, port: LibDlm) -> None:
    library.status = -errno.EAGAIN
    with pytest.raises(Busy):
        port.lock("r", EX, KEPT)


def test_a_value_is_read_unless_the_kernel_calls_it_not_valid(library: Library, port: LibDlm) -> None:
    library.value = BLOCK
    assert port.lock("r", EX, KEPT).value == BLOCK
    library.flags = bytes([SBF_VALNOTVALID])
    assert port.lock("r", EX, KEPT).value is None


def test_a_value_is_written_by_a_conversion(library: Library, port: LibDlm) -> None:
    port.convert(5, PW, KEPT, BLOCK)
    assert library.calls == [("lock and wait", PW, KEPT | CONVERT)]
    assert port._pending[5].buffer.raw == BLOCK


def test_only_join_creates_the_lockspace(library: Library, port: LibDlm) -> None:
    library.space = None
    with pytest.raises(Unknown):
        port.lock("r", EX, KEPT)
    assert library.calls == []
    port.join()
    assert library.calls == [("create", 0, 0)]


def test_leaving_force_frees(library: Library, port: LibDlm) -> None:
    port.leave()
    assert library.calls == [("release", 2, 0)]

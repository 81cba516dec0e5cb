"""What exactly goes to the C library: a wrong argument there is a crash, a lock on another resource, or none at all."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
from typing import Any

import pytest

from hacluster.guard import libdlm
from hacluster.guard.dlm import CONVERT, CR, EX, NOQUEUE, ORPHAN, PERSISTENT, PW, VALBLK, NoLock, Unknown
from hacluster.guard.libdlm import LibDlm, load

KEPT = NOQUEUE | PERSISTENT | VALBLK
BLOCK = bytes(range(32))


class Lksb(ctypes.Structure):
    """struct dlm_lksb as libdlm.h has it: what the kernel writes through, whatever we call its parts."""

    _fields_ = (
        ("sb_status", ctypes.c_int),
        ("sb_lkid", ctypes.c_uint32),
        ("sb_flags", ctypes.c_char),
        ("sb_lvbptr", ctypes.c_void_p),
    )


def as_the_kernel_sees_it(block: Any) -> Lksb:
    return Lksb.from_address(ctypes.addressof(block))


class Library:
    """Notes every call as it comes; what the kernel writes into a status block is in `status`, `flags`, `value`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.blocks: list[Any] = []
        self.space: int | None = 77
        self.created: int | None = 78
        self.rc = 0
        self.status = 0
        self.flags = b"\0"
        self.value: bytes | None = None

    def dlm_open_lockspace(self, *arguments: Any) -> int | None:
        self.calls.append(("open", *arguments))
        return self.space

    def dlm_create_lockspace(self, *arguments: Any) -> int | None:
        self.calls.append(("create", *arguments))
        return self.created

    def dlm_close_lockspace(self, *arguments: Any) -> int:
        self.calls.append(("close", *arguments))
        return 0

    def dlm_release_lockspace(self, *arguments: Any) -> int:
        self.calls.append(("release", *arguments))
        return self.rc

    def _answer(self, reference: Any) -> int:
        self.blocks.append(reference._obj)
        block = as_the_kernel_sees_it(reference._obj)
        block.sb_status, block.sb_flags = self.status, self.flags
        block.sb_lkid = block.sb_lkid or 5
        if self.value is not None:
            ctypes.memmove(block.sb_lvbptr, self.value, 32)
        return self.rc

    def dlm_ls_lock_wait(self, space: int, mode: int, reference: Any, *rest: Any) -> int:
        self.calls.append(("lock and wait", space, mode, *rest))
        return self._answer(reference)

    def dlm_ls_lock(self, space: int, mode: int, reference: Any, *rest: Any) -> int:
        self.calls.append(("lock", space, mode, *rest[:4], *rest[5:]))
        assert callable(rest[4])
        return self._answer(reference)

    def dlm_ls_unlock_wait(self, space: int, lkid: int, flags: int, reference: Any) -> int:
        self.calls.append(("unlock", space, lkid, flags))
        self.blocks.append(reference._obj)
        return self.rc


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def port(library: Library) -> LibDlm:
    return LibDlm("hacluster", 5.0, library)  # type: ignore[arg-type]  # a double of the C library


# ---- the lockspace


def test_the_lockspace_is_opened_once_and_closed_once(library: Library, port: LibDlm) -> None:
    port.lock("r", EX, KEPT)
    port.lock("s", EX, KEPT)
    port.close()
    port.close()
    opened = [call for call in library.calls if call[0] in ("open", "close")]
    assert opened == [("open", b"hacluster"), ("close", 77)]


def test_what_was_never_opened_is_not_closed(library: Library, port: LibDlm) -> None:
    port.close()
    assert library.calls == []


@pytest.mark.parametrize("nothing", [None, 0])
def test_a_lockspace_that_is_not_there_is_unknown(library: Library, port: LibDlm, nothing: int | None) -> None:
    library.space = nothing
    with pytest.raises(Unknown, match="hacluster"):
        port.lock("r", EX, KEPT)
    assert library.calls == [("open", b"hacluster")]


def test_joining_what_is_there_only_opens_it(library: Library, port: LibDlm) -> None:
    port.join()
    assert library.calls == [("open", b"hacluster")]


@pytest.mark.parametrize("nothing", [None, 0])
def test_joining_creates_it_for_root_only(library: Library, port: LibDlm, nothing: int | None) -> None:
    """The mode is that of the device through which locks are asked for."""
    library.space = nothing
    port.join()
    assert library.calls == [("open", b"hacluster"), ("create", b"hacluster", 0o600)]
    port.lock("r", EX, KEPT)
    assert library.calls[-1][1] == 78


@pytest.mark.parametrize("nothing", [None, 0])
def test_a_join_that_fails_is_no_join(library: Library, port: LibDlm, nothing: int | None) -> None:
    library.space = library.created = nothing
    with pytest.raises(Unknown, match="hacluster"):
        port.join()


def test_leaving_frees_it_and_leaves_nothing_to_use(library: Library, port: LibDlm) -> None:
    port.join()
    port.leave()
    assert library.calls[-1] == ("release", b"hacluster", 77, 2)
    library.space = None
    with pytest.raises(Unknown):
        port.lock("r", EX, KEPT)


def test_leaving_what_is_not_there_is_done_already(library: Library, port: LibDlm) -> None:
    library.space = None
    port.leave()
    assert library.calls == [("open", b"hacluster")]


def test_a_lockspace_that_cannot_be_left_is_not_left(library: Library, port: LibDlm) -> None:
    ctypes.set_errno(errno.EBUSY)
    library.rc = -1
    with pytest.raises(Unknown, match="release of lockspace hacluster: Device or resource busy"):
        port.leave()


# ---- locks


def test_a_new_lock_is_asked_for_by_name(library: Library, port: LibDlm) -> None:
    assert port.lock("vm-ü", CR, KEPT).lkid == 5
    assert library.calls[-1] == ("lock and wait", 77, CR, KEPT, b"vm-\xc3\xbc", 5, 0, None, None, None)


def test_an_adoption_never_waits_and_keeps_the_lock_persistent(library: Library, port: LibDlm) -> None:
    grant = port.lock("r", EX, ORPHAN | VALBLK)
    flags = ORPHAN | VALBLK | NOQUEUE | PERSISTENT
    assert library.calls[-1] == ("lock", 77, EX, flags, b"r", 1, 0, None, None, None)
    assert (grant.lkid, grant.value) == (5, None), "the kernel gives no value block here"


def test_a_conversion_names_the_lock_and_no_resource(library: Library, port: LibDlm) -> None:
    assert port.convert(9, PW, KEPT, BLOCK).lkid == 9
    assert library.calls[-1] == ("lock and wait", 77, PW, KEPT | CONVERT, None, 0, 0, None, None, None)
    assert as_the_kernel_sees_it(library.blocks[-1]).sb_lkid == 9


def test_a_written_block_is_the_callers_filled_up_with_nothing(library: Library, port: LibDlm) -> None:
    port.convert(9, PW, KEPT, b"short")
    assert ctypes.string_at(as_the_kernel_sees_it(library.blocks[-1]).sb_lvbptr, 32) == b"short" + bytes(27)
    port.lock("r", EX, KEPT)
    assert ctypes.string_at(as_the_kernel_sees_it(library.blocks[-1]).sb_lvbptr, 32) == bytes(32)


def test_what_was_written_is_not_taken_for_what_was_read(library: Library, port: LibDlm) -> None:
    assert port.convert(9, PW, KEPT, BLOCK).value is None
    library.value = BLOCK
    assert port.convert(9, CR, KEPT).value == BLOCK


@pytest.mark.parametrize(
    ("flags", "bits", "value"),
    [
        (KEPT, 0x00, BLOCK),
        (KEPT, 0x01, BLOCK),
        (KEPT, 0x02, None),
        (KEPT, 0x03, None),
        (KEPT & ~VALBLK, 0x00, None),
    ],
    ids=["valid", "demoted", "not valid", "both", "not asked for"],
)
def test_which_value_block_is_believed(
    library: Library, port: LibDlm, flags: int, bits: int, value: bytes | None
) -> None:
    """A block that a node's death may have torn might name another target."""
    library.value, library.flags = BLOCK, bytes([bits])
    assert port.lock("r", CR, flags).value == value
    assert port.convert(5, CR, flags).value == value


@pytest.mark.parametrize("how", ["locked", "adopted", "converted"])
def test_an_unlock_uses_the_block_that_the_kernel_has_written_into_so_far(
    library: Library, port: LibDlm, how: str
) -> None:
    """It writes there once more when the unlock completes: memory that was given back would be overwritten."""
    if how == "converted":
        port.convert(5, PW, KEPT)
    else:
        port.lock("r", EX, KEPT | ORPHAN if how == "adopted" else KEPT)
    held = library.blocks[-1]
    port.unlock(5)
    assert library.calls[-1] == ("unlock", 77, 5, 0)
    assert library.blocks[-1] is held
    assert port._pending == {}


def test_a_lock_of_which_nothing_is_known_here_can_be_given_back(library: Library, port: LibDlm) -> None:
    port.unlock(9)
    assert library.calls[-1] == ("unlock", 77, 9, 0)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda port: port.lock("r", EX, KEPT), "lock r"),
        (lambda port: port.lock("r", EX, KEPT | ORPHAN), "adoption of r"),
        (lambda port: port.convert(10, EX, KEPT), "conversion of lock a"),
        (lambda port: port.unlock(10), "unlock of a"),
    ],
)
@pytest.mark.parametrize("rc", [-1, 1])
def test_a_call_that_fails_says_which(library: Library, port: LibDlm, call: object, what: str, rc: int) -> None:
    assert callable(call)
    ctypes.set_errno(errno.ENOENT)
    library.rc = rc
    with pytest.raises(NoLock, match=f"^{what}: No such file"):
        call(port)


@pytest.mark.parametrize("status", [-errno.EINVAL, 1])
def test_a_request_that_fails_is_no_grant(library: Library, port: LibDlm, status: int) -> None:
    library.status = status
    with pytest.raises(Unknown, match="lock r: "):
        port.lock("r", EX, KEPT)
    with pytest.raises(Unknown, match="conversion of lock 5: "):
        port.convert(5, EX, KEPT)


# ---- the library itself


def test_without_the_library_it_is_unknown_and_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(libdlm, "load", missing)
    with pytest.raises(Unknown, match="package libdlm3"):
        LibDlm("hacluster", 5.0)


def test_without_another_word_the_library_is_debians(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libdlm, "load", lambda: library)
    LibDlm("hacluster", 5.0).join()
    assert library.calls == [("open", b"hacluster")]


INSTALLED = pytest.mark.skipif(not ctypes.util.find_library("dlm_lt"), reason="libdlm3 is not installed")


@INSTALLED
def test_its_calls_are_declared_as_in_its_header() -> None:
    """Without it ctypes cuts pointers to 32 bits, and takes whatever it is given."""
    library = load()
    pointer, number, text = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p
    block = ctypes.POINTER(libdlm._StatusBlock)
    request = [pointer, number, block, number, text, ctypes.c_uint, number]
    assert library.dlm_open_lockspace.restype is library.dlm_create_lockspace.restype is pointer
    assert {name: getattr(library, name).argtypes for name in vars(Library) if name.startswith("dlm_")} == {
        "dlm_open_lockspace": [text],
        "dlm_create_lockspace": [text, number],
        "dlm_close_lockspace": [pointer],
        "dlm_release_lockspace": [text, pointer, ctypes.c_int],
        "dlm_ls_lock_wait": [*request, pointer, pointer, pointer],
        "dlm_ls_lock": [*request, pointer, pointer, pointer, pointer],
        "dlm_ls_unlock_wait": [pointer, number, number, block],
    }


@INSTALLED
def test_its_errors_are_heard() -> None:
    ctypes.set_errno(0)
    assert load().dlm_ls_unlock_wait(None, 5, 0, None) == -1
    assert ctypes.get_errno() == errno.ENOTCONN


def test_the_status_block_is_as_large_as_the_headers() -> None:
    assert ctypes.sizeof(libdlm._StatusBlock) == ctypes.sizeof(Lksb)

"""The vocabulary of the lock manager, and how a node finds its own: what goes together, what an errno means."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from hacluster.guard import dlm, libdlm, module
from hacluster.guard.dlm import (
    MODE_NAMES,
    Busy,
    Grant,
    Held,
    NoLock,
    Port,
    Unknown,
    compatible,
    error,
    joined,
    open_port,
)

# After the manual of VMS's lock manager, from which the kernel's has its modes: what may stand beside each.
BESIDE = {
    "NL": "NL CR CW PR PW EX",  # says nothing about use
    "CR": "NL CR CW PR PW",  # reads, and others may write
    "CW": "NL CR CW",  # writes, and others may write
    "PR": "NL CR PR",  # reads, and nobody may write
    "PW": "NL CR",  # writes, and others may only read what changes
    "EX": "NL",  # writes, and nobody may even read
}


@pytest.mark.parametrize("held", BESIDE)
@pytest.mark.parametrize("wanted", BESIDE)
def test_what_may_be_held_at_once(held: str, wanted: str) -> None:
    assert compatible(MODE_NAMES.index(held), MODE_NAMES.index(wanted)) is (wanted in BESIDE[held].split())


def test_numbers_are_the_kernels() -> None:
    """libdlm.h; they go to the kernel as they are."""
    assert [dlm.NL, dlm.CR, dlm.CW, dlm.PR, dlm.PW, dlm.EX] == [0, 1, 2, 3, 4, 5]
    assert [MODE_NAMES[getattr(dlm, name)] for name in BESIDE] == list(BESIDE)
    flags = [dlm.NOQUEUE, dlm.CONVERT, dlm.VALBLK, dlm.PERSISTENT, dlm.ORPHAN]
    assert flags == [0x1, 0x4, 0x8, 0x80, 0x4000]
    assert dlm.VALUE_SIZE == 32


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.EAGAIN, Busy, "lock r: Resource temporarily unavailable"),
        (errno.ENOENT, NoLock, "lock r: No such file or directory"),
        (errno.ENOTCONN, Unknown, "lock r: Transport endpoint is not connected"),
        (0, Unknown, "lock r: Success"),
    ],
)
def test_what_an_errno_means(number: int, sign: int, kind: type[Exception], text: str) -> None:
    """The kernel gives the number with a minus in a status, libc without one."""
    found = error(sign * number, "lock r")
    assert type(found) is kind
    assert str(found) == text


def test_a_grant_is_what_was_granted() -> None:
    assert (Grant(5, b"x").lkid, Grant(5, b"x").value) == (5, b"x")
    assert Grant(5).value is None, "what nobody asked for is not believed"


def test_a_lock_of_the_list_is_what_was_said_of_it() -> None:
    held = Held("r", "n1", dlm.EX, True, b"x")
    assert (held.resource, held.node, held.mode, held.orphan, held.value) == ("r", "n1", dlm.EX, True, b"x")


@pytest.mark.parametrize(
    "call",
    [
        lambda port: port.join(),
        lambda port: port.leave(),
        lambda port: port.lock("r", dlm.EX, 0),
        lambda port: port.convert(1, dlm.EX, 0),
        lambda port: port.unlock(1),
        lambda port: port.list(),
        lambda port: port.close(),
    ],
)
def test_a_lock_manager_that_lacks_an_operation_does_not_seem_to_do_it(call: object) -> None:
    assert callable(call)
    with pytest.raises(NotImplementedError):
        call(Port("hacluster", 5.0))


def test_a_port_is_closed_whatever_happens_with_it() -> None:
    """What a process holds without PERSISTENT, and what it waits for, goes with that."""
    closed: list[tuple[str, float]] = []

    class Noted(Port):
        def close(self) -> None:
            closed.append((self.lockspace, self.timeout))

    with pytest.raises(Busy), Noted("hacluster", 5.0) as port:
        assert isinstance(port, Noted)
        raise Busy("held by n1")
    assert closed == [("hacluster", 5.0)]


# ---- guard.conf


def test_without_a_file_it_is_the_kernels(tmp_path: Path) -> None:
    assert dlm.CONFIG == "/etc/hacluster/guard.conf"
    assert dlm.read_config(str(tmp_path / "none")) == {"dlm": "libdlm", "lockspace": "hacluster"}


def test_what_a_file_says_and_what_is_no_setting(tmp_path: Path) -> None:
    path = tmp_path / "guard.conf"
    path.write_text("# dlm=none\n  # lockspace=none\n\nnonsense\n lockspace = test \nnode=n1\nlabel=a=b\n")
    assert dlm.read_config(str(path)) == {"dlm": "libdlm", "lockspace": "test", "node": "n1", "label": "a=b"}


class Made:
    """Stands for a port: what it was made of."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments


def test_the_kernels_is_opened_for_the_lockspace_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libdlm, "LibDlm", Made)
    path = tmp_path / "guard.conf"
    path.write_text("lockspace=test\n")
    port = open_port(str(path), 3.0)
    assert isinstance(port, Made)
    assert port.arguments == ("test", 3.0)


def test_a_module_is_loaded_by_path_and_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load", lambda path, name: (path, name))
    monkeypatch.setattr(module, "ModulePort", Made)
    path = tmp_path / "guard.conf"
    path.write_text("dlm=module:/usr/lib/dlm.py:StandIn\nlockspace=test\n")
    port = open_port(str(path), 3.0)
    assert isinstance(port, Made)
    assert port.arguments == (("/usr/lib/dlm.py", "StandIn"), "test", 3.0)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("corosync", "neither libdlm nor module:PATH:CLASS"),
        ("", "neither"),
        ("module", "neither"),
        ("module:/usr/lib/dlm.py", "neither"),
        ("python:/usr/lib/dlm.py:StandIn", "neither"),
        ("module:/none:A:B", "/none: No such file"),
    ],
)
def test_a_lock_manager_that_cannot_be_had_is_unknown(tmp_path: Path, how: str, why: str) -> None:
    path = tmp_path / "guard.conf"
    path.write_text(f"dlm={how}\n")
    with pytest.raises(Unknown, match=why):
        open_port(str(path), 3.0)


# ---- in the lockspace or not


def test_the_kernels_lockspaces_are_shown_in_sysfs(tmp_path: Path) -> None:
    path = tmp_path / "guard.conf"
    path.write_text("lockspace=test\n")
    assert not joined(str(path), str(tmp_path))
    (tmp_path / "witness").touch()
    assert not joined(str(path), str(tmp_path), str(tmp_path / "witness")), "a record may be of a lockspace left since"
    (tmp_path / "test").mkdir()
    assert joined(str(path), str(tmp_path))


def test_another_managers_lockspace_is_what_the_agent_recorded(tmp_path: Path) -> None:
    path = tmp_path / "guard.conf"
    path.write_text("dlm=module:/usr/lib/dlm.py:StandIn\nlockspace=test\n")
    (tmp_path / "test").mkdir()
    assert not joined(str(path), str(tmp_path), str(tmp_path / "witness"))
    (tmp_path / "witness").touch()
    assert joined(str(path), str(tmp_path), str(tmp_path / "witness"))


def test_where_it_looks_on_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("os.path.isdir", asked.append)
    monkeypatch.setattr("os.path.exists", asked.append)
    path = tmp_path / "guard.conf"
    joined(str(path))
    path.write_text("dlm=module:/usr/lib/dlm.py:StandIn\n")
    joined(str(path))
    assert asked == ["/sys/kernel/dlm/hacluster", "/run/hacluster/lockspace"]

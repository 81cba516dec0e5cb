"""A lock manager from a file: whose word is taken, and what its silence and its errors mean."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hacluster.guard.dlm import EX, NOQUEUE, PW, VALBLK, Busy, NoLock, Unknown
from hacluster.guard.module import ModulePort, load

BLOCK = bytes(range(32))


class Raw:
    """As the lab's stand-in: it notes the calls, and `fails` is what the next one raises."""

    def __init__(self, lockspace: str) -> None:
        self.calls: list[Any] = [("made", lockspace)]
        self.fails: Exception | None = None
        self.valid = True
        self.rows: list[dict[str, object]] = []

    def _answer(self, *call: object) -> SimpleNamespace:
        self.calls.append(call)
        if self.fails:
            raise self.fails
        return SimpleNamespace(lkid=5, value=BLOCK, value_valid=self.valid)

    def connect(self, deadline: float) -> None:
        self._answer("connect", deadline)

    def join(self, deadline: float) -> None:
        self._answer("join", deadline)

    def leave(self, deadline: float) -> None:
        self._answer("leave", deadline)

    def list(self, deadline: float) -> list[dict[str, object]]:
        self._answer("list", deadline)
        return self.rows

    def lock(self, resource: str, mode: int, **more: object) -> SimpleNamespace:
        return self._answer("lock", resource, mode, more)

    def convert(self, lkid: int, mode: int, **more: object) -> SimpleNamespace:
        return self._answer("convert", lkid, mode, more)

    def unlock(self, lkid: int, **more: object) -> None:
        self._answer("unlock", lkid, more)

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> ModulePort:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    return ModulePort(Raw, "hacluster", 3.0)


def raw(port: ModulePort) -> Raw:
    found = port._raw
    assert isinstance(found, Raw)
    return found


def test_it_connects_once_and_each_call_has_the_ports_time(port: ModulePort) -> None:
    port.join()
    port.lock("r", EX, NOQUEUE | VALBLK, BLOCK)
    port.convert(5, PW, VALBLK, BLOCK)
    port.unlock(5)
    port.list()
    port.leave()
    assert raw(port).calls == [
        ("made", "hacluster"),
        ("connect", 1003.0),
        ("join", 1003.0),
        ("lock", "r", EX, {"flags": NOQUEUE | VALBLK, "value": BLOCK, "deadline": 1003.0}),
        ("convert", 5, PW, {"flags": VALBLK, "value": BLOCK, "deadline": 1003.0}),
        ("unlock", 5, {"deadline": 1003.0}),
        ("list", 1003.0),
        ("leave", 1003.0),
    ]


@pytest.mark.parametrize("valid", [True, False])
def test_a_value_block_is_believed_only_if_it_is_called_valid(port: ModulePort, valid: bool) -> None:
    raw(port).valid = valid
    for grant in (port.lock("r", EX, VALBLK), port.convert(5, PW, VALBLK)):
        assert grant.lkid == 5
        assert grant.value == (BLOCK if valid else None)


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EAGAIN, Busy), (errno.ENOENT, NoLock), (errno.EINVAL, Unknown), (None, Unknown)]
)
def test_what_its_errors_mean(port: ModulePort, number: int | None, kind: type[Exception]) -> None:
    raw(port).fails = OSError(number, "x") if number else OSError("x")
    with pytest.raises(kind) as caught:
        port.unlock(5)
    assert str(caught.value) == f"unlock of 5: {os.strerror(number or 0)}"


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("join", lambda port: port.join()),
        ("leave", lambda port: port.leave()),
        ("list", lambda port: port.list()),
        ("lock r", lambda port: port.lock("r", EX, 0)),
        ("conversion of lock 5", lambda port: port.convert(5, EX, 0)),
        ("unlock of 5", lambda port: port.unlock(5)),
    ],
)
def test_silence_says_nothing_and_a_late_answer_is_not_taken_for_the_next_ones(
    port: ModulePort, what: str, call: object
) -> None:
    """So the line it may still come over is not used again."""
    assert callable(call)
    raw(port).fails = TimeoutError()
    with pytest.raises(Unknown, match=f"^{what}: no answer from the lock manager$"):
        call(port)
    raw(port).fails = None
    del raw(port).calls[:]
    port.join()
    assert raw(port).calls == [("connect", 1003.0), ("join", 1003.0)]


def test_a_silence_after_answers_breaks_the_line_too(port: ModulePort) -> None:
    port.join()
    raw(port).fails = TimeoutError()
    with pytest.raises(Unknown):
        port.unlock(5)
    raw(port).fails = None
    del raw(port).calls[:]
    port.unlock(5)
    assert raw(port).calls[0] == ("connect", 1003.0)


def test_a_closed_port_connects_anew(port: ModulePort) -> None:
    port.join()
    port.close()
    port.join()
    assert raw(port).calls[3:] == ["close", ("connect", 1003.0), ("join", 1003.0)]


def test_the_list_shows_what_has_a_mode(port: ModulePort) -> None:
    raw(port).rows = [
        {"resource": "r", "node": "n1", "mode": "EX", "orphan": 1},
        {"resource": "s", "node": "n2", "mode": "CR", "orphan": 0},
        {"resource": "t", "node": "n3", "mode": "waiting", "orphan": 0},
    ]
    shown = [(held.resource, held.node, held.mode, held.orphan, held.value) for held in port.list()]
    assert shown == [("r", "n1", EX, True, None), ("s", "n2", 1, False, None)]


# ---- the file


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "dlm.py"
    path.write_text("class StandIn:\n    pass\n")
    return str(path)


def owned(monkeypatch: pytest.MonkeyPatch, uid: int, mode: int) -> None:
    monkeypatch.setattr("hacluster.guard.module.os.stat", lambda _path: SimpleNamespace(st_uid=uid, st_mode=mode))


@pytest.mark.parametrize("mode", [0o100644, 0o100755, 0o100600])
def test_roots_file_is_loaded(source: str, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    with monkeypatch.context() as as_root:
        owned(as_root, 0, mode)
        found = load(source, "StandIn")
    assert isinstance(found, type)
    assert found.__name__ == "StandIn"


@pytest.mark.parametrize(("uid", "mode"), [(1, 0o100644), (0, 0o100664), (0, 0o100646), (1000, 0o100600)])
def test_whoever_else_can_write_it_cannot_make_the_guard_believe_it(
    source: str, monkeypatch: pytest.MonkeyPatch, uid: int, mode: int
) -> None:
    Path(source).write_text("raise SystemExit('it was run')\n")
    with monkeypatch.context() as as_root, pytest.raises(Unknown, match="must belong to root"):
        owned(as_root, uid, mode)
        load(source, "StandIn")


def test_no_file_and_no_class_are_unknown(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unknown, match="No such file"):
        load(source + "x", "StandIn")
    with monkeypatch.context() as as_root, pytest.raises(Unknown, match="has no class Other"):
        owned(as_root, 0, 0o100644)
        load(source, "Other")

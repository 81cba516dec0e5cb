"""Value blocks and markers: who is admitted, and what counts as a start in flight."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hacluster.guard import state
from hacluster.guard.dlm import NL

UUID = "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a001"
BOOT = "00000000-1111-2222-3333-444444444444"
NONCE = "0123456789abcdef"
BLOCK = state.encode("n2", NONCE, BOOT)


def test_a_block_admits_the_node_and_the_move_it_names() -> None:
    assert len(BLOCK) == 32
    assert state.admits(BLOCK, "n2", NONCE)


@pytest.mark.parametrize(
    "block",
    [None, b"", bytes(32), b"\x02" + BLOCK[1:], b"\x00" + BLOCK[1:], BLOCK[:31], BLOCK + b"\0"],
    ids=["not valid", "nothing", "empty", "another format", "no format", "too short", "too long"],
)
def test_a_block_that_is_not_understood_admits_nobody(block: bytes | None) -> None:
    assert not state.admits(block, "n2", NONCE)


def test_a_block_that_was_handed_over_admits_nobody_any_more_and_lets_its_own_move_run() -> None:
    handed = state.encode_handed_over("n2", NONCE, BOOT)
    assert not state.admits(handed, "n2", NONCE)
    assert state.handed_over(handed, NONCE)
    assert state.handed_over(handed, "")
    assert not state.handed_over(handed, "f" * 16)


@pytest.mark.parametrize("block", [None, b"", bytes(32), BLOCK], ids=["not valid", "nothing", "empty", "an open gate"])
def test_nothing_else_lets_an_arrival_run(block: bytes | None) -> None:
    assert not state.handed_over(block, NONCE)
    assert not state.handed_over(block, "")


@pytest.mark.parametrize(("node", "nonce"), [("n3", NONCE), ("n2", "f" * 16), ("n2", ""), ("", NONCE)])
def test_a_block_admits_nobody_else(node: str, nonce: str) -> None:
    assert not state.admits(BLOCK, node, nonce)


def test_a_marker_counts_while_its_process_lives(tmp_path: Path) -> None:
    directory = str(tmp_path)
    assert not state.in_flight(UUID, ".starting", directory)
    state.mark(UUID, ".starting", os.getpid(), directory)
    assert state.in_flight(UUID, ".starting", directory)


def test_a_marker_of_a_dead_agent_is_stale_at_once_and_one_of_a_dead_libvirtd_after_a_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(tmp_path)
    child = subprocess.Popen(["sleep", "60"])
    for suffix in (".agent", ".starting"):
        state.mark(UUID, suffix, child.pid, directory)
    child.kill()
    child.wait()
    assert not state.in_flight(UUID, ".agent", directory)
    assert state.in_flight(UUID, ".starting", directory)
    monkeypatch.setattr(state, "GRACE", 0.0)
    assert not state.in_flight(UUID, ".starting", directory)


def test_a_marker_with_a_lifetime_ends_by_itself(tmp_path: Path) -> None:
    state.mark(UUID, ".starting", os.getpid(), str(tmp_path), lifetime=-1.0)
    assert not state.in_flight(UUID, ".starting", str(tmp_path))


@pytest.mark.parametrize("damage", [b"", b"pid=", b"pid=12\nat=x\nuntil=\n", b"\xff\xfe\0", b"pid=1\nst"])
def test_a_damaged_marker_counts_for_a_moment_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    path = Path(state.path(UUID, ".starting", str(tmp_path)))
    path.write_bytes(damage)
    assert state.in_flight(UUID, ".starting", str(tmp_path))
    os.utime(path, (0, 0))
    assert not state.in_flight(UUID, ".starting", str(tmp_path))


@pytest.mark.parametrize("damage", [b"", b"mode=", b"mode=EX\nno", b"\xff\xfe\0mode"])
def test_a_damaged_record_claims_nothing(tmp_path: Path, damage: bytes) -> None:
    Path(state.path(UUID, "", str(tmp_path))).write_bytes(damage)
    assert state.read(UUID, str(tmp_path)).mode == NL

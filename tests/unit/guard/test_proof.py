"""PRESENT, ABSENT, UNKNOWN: over a /proc made of files, and over real processes where only the kernel can say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.guard import proof, state
from hacluster.guard.proof import ABSENT, PRESENT, UNKNOWN, Process, Scan

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
OTHER = "d3b07384-d9a0-4c9b-8f1e-000000000002"
KERNEL_THREAD = 0x00208040
"""Flags of one, as the kernel's sched.h has them."""


def process(
    root: Path,
    pid: int,
    *,
    comm: str,
    argv: list[str],
    letter: str = "S",
    tasks: dict[int, list[str]],
    flags: int = 0x00400000,
) -> None:
    """A process as proc(5) shows it: `argv` of the leader, and of each further task."""
    stat = f"{pid} ({comm}) {letter} 1 1 1 0 -1 {flags} " + " ".join(["0"] * 12) + f" {1000 + pid} 0 0\n"
    for task, line in {pid: argv, **tasks}.items():
        home = root / str(pid) / "task" / str(task)
        home.mkdir(parents=True)
        (home / "cmdline").write_text("".join(f"{word}\0" for word in line))
    (root / str(pid) / "stat").write_text(stat)
    (root / str(pid) / "cmdline").write_text("".join(f"{word}\0" for word in argv))


QEMU = ["/usr/bin/qemu-system-x86_64", "-name", "guest=web", "-uuid", UUID, "-S"]


def test_a_qemu_is_found_by_its_uuid(tmp_path: Path) -> None:
    process(tmp_path, 7, comm="qemu-system-x86", argv=QEMU, tasks={8: QEMU})
    process(tmp_path, 9, comm="bash", argv=["bash"], tasks={})
    process(tmp_path, 10, comm="kworker", argv=[], tasks={}, flags=KERNEL_THREAD)
    seen = proof.scan(str(tmp_path))
    assert set(seen.by_uuid) == {UUID}
    assert [(p.pid, p.start, p.state) for p in seen.by_uuid[UUID]] == [(7, 1007, "S")]
    assert seen.nameless == []


def test_a_zombie_leader_with_a_live_thread_is_present(tmp_path: Path) -> None:
    process(tmp_path, 7, comm="qemu-system-x86", argv=[], letter="Z", tasks={8: QEMU})
    seen = proof.scan(str(tmp_path))
    assert [p.pid for p in seen.by_uuid[UUID]] == [7]
    assert seen.nameless == [], "it stands in the way of its own VM only"


def test_a_zombie_without_threads_is_gone(tmp_path: Path) -> None:
    process(tmp_path, 7, comm="qemu-system-x86", argv=[], letter="Z", tasks={})
    seen = proof.scan(str(tmp_path))
    assert seen.by_uuid == {}
    assert seen.nameless == []


def test_a_dying_qemu_without_a_readable_uuid_makes_every_absence_unknown(tmp_path: Path) -> None:
    process(tmp_path, 7, comm="qemu-system-x86", argv=[], letter="D", tasks={8: []})
    seen = proof.scan(str(tmp_path))
    assert seen.nameless == [7]
    assert proof.presence(UUID, frozenset(), seen, str(tmp_path / "run")).verdict == UNKNOWN


def test_a_dying_qemu_that_is_recorded_as_another_vms_does_not_stand_in_the_way(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    state.write_pairs(state.path(OTHER, "", run), {"mode": "EX"})
    state.write_pairs(state.path(OTHER, ".qemu", run), {"pid": "7", "start": "1007"})
    seen = Scan()
    seen.nameless.append(7)
    assert proof.presence(UUID, frozenset(), seen, run).verdict == ABSENT


@pytest.mark.parametrize(
    ("active", "ended", "verdict"),
    [
        (frozenset(), False, ABSENT),
        (frozenset([OTHER]), False, ABSENT),
        (frozenset([UUID]), False, PRESENT),
        (None, False, UNKNOWN),
        (None, True, ABSENT),
    ],
    ids=["libvirt says no", "libvirt runs another", "libvirt says yes", "libvirt is silent", "we saw its QEMU end"],
)
def test_without_a_process_libvirts_word_decides(
    tmp_path: Path, active: frozenset[str] | None, ended: bool, verdict: str
) -> None:
    assert proof.presence(UUID, active, Scan(), str(tmp_path), ended).verdict == verdict


@pytest.mark.parametrize("active", [frozenset(), None])
def test_libvirts_word_alone_is_no_proof(tmp_path: Path, active: frozenset[str] | None) -> None:
    seen = Scan()
    seen.by_uuid[UUID] = [Process(7, 1007, "S")]
    assert proof.presence(UUID, active, seen, str(tmp_path), ended=True).verdict == PRESENT


def test_a_start_in_flight_is_present(tmp_path: Path) -> None:
    state.mark(UUID, ".starting", os.getpid(), str(tmp_path))
    found = proof.presence(UUID, frozenset(), Scan(), str(tmp_path), ended=True)
    assert (found.verdict, found.evidence) == (PRESENT, "libvirt is just starting it")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "-uuid", UUID])
    yield child
    child.kill()
    child.wait()


def test_an_agents_own_marker_does_not_stand_in_its_own_way_but_in_everybody_elses(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    state.mark(UUID, ".agent", os.getpid(), str(tmp_path))
    assert proof.presence(UUID, frozenset(), Scan(), str(tmp_path)).verdict == ABSENT
    state.mark(UUID, ".agent", sleeper.pid, str(tmp_path))
    assert proof.presence(UUID, frozenset(), Scan(), str(tmp_path)).verdict == PRESENT


def started(child: subprocess.Popen[bytes]) -> Process:
    found = state.process_start(child.pid)
    assert found is not None
    return Process(child.pid, found[1], found[0])


def test_the_recorded_process_is_present_until_that_very_process_has_ended(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    mine = started(sleeper)
    record = {"pid": str(mine.pid), "start": str(mine.start)}
    state.write_pairs(state.path(UUID, ".qemu", str(tmp_path)), record)
    assert proof.presence(UUID, frozenset(), Scan(), str(tmp_path)).verdict == PRESENT
    state.write_pairs(state.path(UUID, ".qemu", str(tmp_path)), {**record, "start": str(mine.start + 1)})
    assert proof.presence(UUID, frozenset(), Scan(), str(tmp_path)).verdict == ABSENT


def test_kill_ends_exactly_the_process_it_names(sleeper: subprocess.Popen[bytes]) -> None:
    mine = started(sleeper)
    assert not proof.kill(Process(mine.pid, mine.start + 1, ""), UUID, 1.0)
    assert sleeper.poll() is None
    assert proof.kill(mine, UUID, 5.0)


def test_a_real_process_is_seen_in_the_real_proc(sleeper: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 5
    while UUID not in (seen := proof.scan().by_uuid) and time.monotonic() < until:
        time.sleep(0.02)
    assert [p.pid for p in seen[UUID]] == [sleeper.pid]


def test_a_start_that_ends_while_it_is_looked_for_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its marker goes when its QEMU is there and recorded: whoever asks in between sees one or the other."""
    run = str(tmp_path)
    state.mark(UUID, ".starting", os.getpid(), run)
    real = state.read_pairs
    ended: list[str] = []

    def read_pairs(path: str) -> dict[str, str] | None:
        if path.endswith((".qemu", ".starting")) and not ended:
            found = real(path)
            ended.append(path)
            start = state.process_start(os.getpid())
            assert start is not None
            state.write_pairs(state.path(UUID, ".qemu", run), {"pid": str(os.getpid()), "start": str(start[1])})
            state.remove(state.path(UUID, ".starting", run))
            return found
        return real(path)

    monkeypatch.setattr(state, "read_pairs", read_pairs)
    assert proof.presence(UUID, frozenset(), Scan(), run).verdict == PRESENT

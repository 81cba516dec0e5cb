"""The proof of absence where a process is on its way out, a record is damaged, or somebody else's thing looks alike."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.guard import child, proof, state
from hacluster.guard.child import Result
from hacluster.guard.proof import ABSENT, PRESENT, UNKNOWN, Process, Scan
from tests.unit.guard.test_proof import KERNEL_THREAD, OTHER, QEMU, UUID, process

NOBODY = 4194305
"""A pid that no process can have: one more than the kernel's highest."""


# ---- one walk of /proc


@pytest.mark.parametrize("comm", ["qemu-system-x86", "kvm"])
@pytest.mark.parametrize("flags", [0x00400000, 0x00400001], ids=["plain", "a virtual CPU"])
def test_a_dying_qemu_that_has_no_threads_left_but_has_not_ended_may_be_anybodys(
    tmp_path: Path, comm: str, flags: int
) -> None:
    """It may sleep in the kernel with a write under way."""
    process(tmp_path, 7, comm=comm, argv=[], letter="D", tasks={}, flags=flags)
    seen = proof.scan(str(tmp_path))
    assert (seen.nameless, seen.by_uuid) == ([7], {})


def test_a_kernel_thread_that_serves_a_guest_is_no_dying_qemu(tmp_path: Path) -> None:
    """While KVM runs any guest there are kernel threads of these names: no absence could ever be proved."""
    process(tmp_path, 7, comm="kvm-pit/4711", argv=[], tasks={}, flags=KERNEL_THREAD)
    process(tmp_path, 8, comm="kvm-nx-lpage-re", argv=[], tasks={9: []}, flags=KERNEL_THREAD)
    assert proof.scan(str(tmp_path)).nameless == []


def test_another_dying_program_is_no_qemu(tmp_path: Path) -> None:
    process(tmp_path, 7, comm="bash", argv=[], letter="D", tasks={8: []})
    assert proof.scan(str(tmp_path)).nameless == []


@pytest.mark.parametrize("letter", ["Z", "X"])
def test_a_dead_leader_without_threads_is_gone(tmp_path: Path, letter: str) -> None:
    process(tmp_path, 7, comm="qemu-system-x86", argv=[], letter=letter, tasks={})
    assert proof.scan(str(tmp_path)).nameless == []
    assert not proof.alive(Process(7, 1007, ""), str(tmp_path))


@pytest.mark.parametrize("left", [[], ["cmdline"]], ids=["all", "all but the first file"])
def test_a_process_that_has_gone_before_it_is_looked_at_is_nobody(tmp_path: Path, left: list[str]) -> None:
    (tmp_path / "7").mkdir()
    for name in left:
        (tmp_path / "7" / name).touch()
    seen = proof.scan(str(tmp_path))
    assert (seen.by_uuid, seen.nameless) == ({}, [])


@pytest.mark.parametrize("call", ["builtins.open", "os.listdir"])
def test_a_process_that_goes_while_it_is_looked_at_is_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The kernel then answers ESRCH to a read of a file that is open already."""
    process(tmp_path, 7, comm="qemu-system-x86", argv=[], letter="Z", tasks={})
    real = os.listdir

    def goes(path: str, *rest: object) -> object:
        if path != str(tmp_path):
            raise ProcessLookupError
        return real(path)

    monkeypatch.setattr(call, goes)
    seen = proof.scan(str(tmp_path))
    assert (seen.by_uuid, seen.nameless) == ({}, [])


def test_a_zombie_whose_task_list_has_gone_is_gone(tmp_path: Path) -> None:
    process(tmp_path, 7, comm="qemu-system-x86", argv=[], letter="Z", tasks={})
    for path in sorted((tmp_path / "7" / "task").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "7" / "task").rmdir()
    assert proof.scan(str(tmp_path)).nameless == []


def test_a_qemu_that_ends_between_two_looks_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(tmp_path, 7, comm="qemu-system-x86", argv=QEMU, tasks={})
    monkeypatch.setattr(state, "process_start", lambda *_arguments: None)
    assert proof.scan(str(tmp_path)).by_uuid == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"qemu\0-uuid\0" + UUID.encode(), {UUID}),
        (b"qemu\0-uuid\0" + UUID.upper().encode() + b"\0", {UUID}),
        (b"qemu\0-uuid\0\xff\xfe\0", {"\ufffd\ufffd"}),
        (b"grep\0-uuid", set()),
        (b"grep\0" + UUID.encode() + b"\0", set()),
    ],
    ids=["the last word", "in capitals", "no text", "no uuid behind it", "the uuid alone"],
)
def test_command_lines_as_they_come(tmp_path: Path, line: bytes, expected: set[str]) -> None:
    process(tmp_path, 7, comm="qemu-system-x86", argv=["x"], tasks={})
    (tmp_path / "7" / "cmdline").write_bytes(line)
    assert set(proof.scan(str(tmp_path)).by_uuid) == expected


# ---- the recorded process


def test_a_recorded_qemu_with_a_dead_leader_lives_while_a_thread_does(tmp_path: Path) -> None:
    """That thread may still write to the disk."""
    process(tmp_path, 7, comm="qemu-system-x86", argv=[], letter="Z", tasks={8: []})
    assert proof.alive(Process(7, 1007, ""), str(tmp_path))


@pytest.mark.parametrize(
    "record", [{}, {"pid": "x", "start": "7"}, {"pid": "7", "start": ""}, {"pid": "7"}, {"start": "7"}]
)
def test_a_damaged_record_of_a_process_names_none(tmp_path: Path, record: dict[str, str]) -> None:
    state.write_pairs(state.path(UUID, ".qemu", str(tmp_path)), record)
    assert proof.recorded(UUID, str(tmp_path)) is None
    assert proof.presence(UUID, frozenset(), Scan(), str(tmp_path)).verdict == ABSENT


def test_a_recorded_qemu_that_has_ended_is_absent(tmp_path: Path) -> None:
    state.write_pairs(state.path(UUID, ".qemu", str(tmp_path)), {"pid": str(NOBODY), "start": "7"})
    assert proof.presence(UUID, frozenset(), Scan(), str(tmp_path)).verdict == ABSENT


def test_a_dying_qemu_that_is_recorded_as_this_vms_is_not_explained_away(tmp_path: Path) -> None:
    state.write_pairs(state.path(UUID, "", str(tmp_path)), {"mode": "EX"})
    state.write_pairs(state.path(UUID, ".qemu", str(tmp_path)), {"pid": str(NOBODY), "start": "7"})
    seen = Scan()
    seen.nameless.append(NOBODY)
    assert proof.presence(UUID, frozenset(), seen, str(tmp_path)).verdict == UNKNOWN


# ---- the cgroup


@pytest.mark.parametrize(
    ("file", "events", "verdict"),
    [
        ("/sys/fs/cgroup/machine/web/cgroup.events", b"populated 1\nfrozen 0\n", PRESENT),
        ("/sys/fs/cgroup/unified/machine/web/cgroup.events", b"populated 1\nfrozen 0\n", PRESENT),
        ("/sys/fs/cgroup/machine/web/cgroup.events", b"populated 0\nfrozen 1\n", ABSENT),
        ("/sys/fs/cgroup/machine/db/cgroup.events", b"populated 1\nfrozen 0\n", ABSENT),
    ],
    ids=["unified", "hybrid", "empty", "another VM's"],
)
def test_a_cgroup_with_processes_is_presence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, events: bytes, verdict: str
) -> None:
    """libvirt puts each QEMU, and whatever helps it, into a cgroup of its own."""
    monkeypatch.setattr(proof, "_read", lambda path: events if path == file else b"")
    state.write_pairs(state.path(UUID, ".qemu", str(tmp_path)), {"cgroup": "/machine/web"})
    found = proof.presence(UUID, frozenset(), Scan(), str(tmp_path))
    assert found.verdict == verdict
    assert (found.evidence == "its cgroup still has processes") is (verdict == PRESENT)


def test_without_a_recorded_cgroup_the_root_cgroup_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a container it has processes always."""
    monkeypatch.setattr(proof, "_read", lambda _path: b"populated 1\n")
    assert proof.presence(UUID, frozenset(), Scan(), str(tmp_path)).verdict == ABSENT


# ---- starts under way


def test_an_announced_arrival_is_present(tmp_path: Path) -> None:
    state.mark(UUID, ".arriving", os.getpid(), str(tmp_path))
    found = proof.presence(UUID, frozenset(), Scan(), str(tmp_path))
    assert (found.verdict, found.evidence) == (PRESENT, "libvirt has announced its arrival")


@pytest.mark.parametrize("pid", [os.getpid(), os.getppid(), NOBODY], ids=["own", "its parent's", "a dead one's"])
def test_an_agents_marker_that_stands_in_nobodys_way(tmp_path: Path, pid: int) -> None:
    """The agent's lock operations run in a child of the agent that is about to start the VM."""
    state.mark(UUID, ".agent", pid, str(tmp_path))
    assert proof.starting(UUID, str(tmp_path)) == ""


def test_another_agents_marker(tmp_path: Path) -> None:
    agent = subprocess.Popen(["sleep", "60"])  # not pid 1, which may be our own parent
    try:
        state.mark(UUID, ".agent", agent.pid, str(tmp_path))
        assert proof.starting(UUID, str(tmp_path)) == "an agent is just starting it"
    finally:
        agent.kill()
        agent.wait()


# ---- the verdict


def test_the_verdict_says_what_it_rests_on(tmp_path: Path) -> None:
    seen = Scan()
    seen.by_uuid[UUID] = [Process(7, 1007, "S"), Process(9, 1009, "S")]
    run = str(tmp_path)
    assert proof.presence(UUID, None, seen, run).evidence == "a QEMU of it lives (pid 7, 9)"
    assert proof.presence(UUID, None, Scan(), run, ended=True).evidence == "its QEMU has ended"
    assert "libvirt does not run it" in proof.presence(UUID, frozenset(), Scan(), run).evidence


def test_silence_of_libvirt_is_no_end_unless_somebody_says_so(tmp_path: Path) -> None:
    assert proof.presence(UUID, None, Scan(), str(tmp_path)).verdict == UNKNOWN


def test_whoever_brings_no_walk_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Scan()
    seen.by_uuid[UUID] = [Process(7, 1007, "S")]
    monkeypatch.setattr(proof, "scan", lambda: seen)
    assert proof.presence(UUID, frozenset(), directory=str(tmp_path)).verdict == PRESENT


# ---- libvirt's list


@pytest.mark.parametrize(
    ("code", "out", "expected"),
    [
        (0, f"{UUID.upper()}\n\n{OTHER}\n\n", {UUID, OTHER}),
        (0, "\n", set()),
        (1, f"{UUID}\n", None),
        (None, f"{UUID}\n", None),
    ],
    ids=["two", "none", "it failed", "it was killed"],
)
def test_libvirts_list_is_an_answer_only_when_it_is_whole(
    monkeypatch: pytest.MonkeyPatch, code: int | None, out: str, expected: set[str] | None
) -> None:
    """A list that was cut short lacks guests that run."""
    asked = []

    def run(argv: list[str], timeout: float) -> Result:
        asked.append((argv, timeout))
        return Result(code, out, "")

    monkeypatch.setattr(child, "run", run)
    assert proof.active_uuids("qemu:///system", 4.0) == expected
    assert asked == [(["virsh", "-q", "-c", "qemu:///system", "list", "--uuid"], 4.0)]


# ---- the kill


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as running:
        yield running
        running.kill()


def started(running: subprocess.Popen[bytes]) -> Process:
    found = state.process_start(running.pid)
    assert found is not None
    return Process(running.pid, found[1], found[0])


def test_a_process_that_ended_before_the_kill_was_not_killed_by_it() -> None:
    assert proof.kill(Process(NOBODY, 7, ""), UUID, 1.0) is False


def test_whoever_cannot_be_recognised_is_not_killed(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = started(sleeper)
    monkeypatch.setattr(state, "process_start", lambda _pid: None)
    assert not proof.kill(mine, UUID, 1.0)
    assert sleeper.poll() is None


def test_a_process_that_ends_at_the_very_moment_was_not_killed_by_it(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_arguments: object) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(signal, "pidfd_send_signal", ended)
    assert proof.kill(started(sleeper), UUID, 1.0) is False


def test_a_killed_process_of_which_a_thread_goes_on_has_not_ended(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "alive", lambda _process: True)
    assert not proof.kill(started(sleeper), UUID, 5.0)


def test_a_kill_that_nobody_obeys_is_not_waited_for_without_end(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *_arguments: None)
    monkeypatch.setattr(proof, "alive", lambda _process: False)
    assert not proof.kill(started(sleeper), UUID, 0.01)


def test_a_kill_leaves_no_file_open(sleeper: subprocess.Popen[bytes]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert proof.kill(started(sleeper), UUID, 5.0)
    assert len(list(Path("/proc/self/fd").iterdir())) == before

"""What a child keeps and leaves behind: no open file, no zombie, no second copy of its parent, nobody's streams."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hacluster.guard import child
from hacluster.guard.child import Command, Result, directly, in_background, in_child, run
from hacluster.guard.dlm import Busy, Unknown

SILENT = "exec >&- 2>&-; "
"""A shell's way to close its streams and live on."""


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def fails() -> str:
    raise Busy("held by n1")


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    assert true()


def is_reaped(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@pytest.fixture
def busy_files() -> Iterator[int]:
    """All numbers of files up to some are in use, standard input is one that could be read; that file's number."""
    reader, writer = os.pipe()
    kept, copies = os.dup(0), [os.dup(reader) for _ in range(8)]
    os.dup2(reader, 0)
    os.write(writer, b"x")
    yield reader
    os.dup2(kept, 0)
    for descriptor in [reader, writer, kept, *copies]:
        os.close(descriptor)


def described() -> str:
    """What a process sees of itself: its streams, other open files, session and parent."""
    streams = [str(Path(f"/proc/self/fd/{stream}").readlink()) for stream in (0, 1, 2)]
    more = []
    for descriptor in range(3, 1024):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        more.append(descriptor)
    return json.dumps({"streams": streams, "more": more, "session": os.getsid(0), "parent": os.getppid()})


# ---- a function in a child


def test_in_this_process_work_answers_for_itself() -> None:
    assert directly(lambda: "5", 1.0) == "5"


@pytest.mark.usefixtures("busy_files")
def test_a_child_has_only_its_way_back() -> None:
    """An agent's output is read to its end by Pacemaker, which would wait for a child that hangs."""
    seen = json.loads(in_child(described, 20))
    assert seen["streams"] == ["/dev/null"] * 3
    assert seen["more"] == [3]


def test_a_child_ends_by_itself_soon_after_its_parent_would_have_given_it_up() -> None:
    assert 100 < int(in_child(lambda: str(signal.alarm(0)), 100.0)) <= 102


def test_less_than_a_second_is_time_enough_to_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited, real = [], select.select
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)

    def noted(readers: list[int], writers: list[int], other: list[int], timeout: float) -> object:
        waited.append(timeout)
        return real(readers, writers, other, 20)

    monkeypatch.setattr(select, "select", noted)
    assert in_child(lambda: "5", 0.5) == "5"
    assert set(waited) == {0.5}


def test_a_long_answer_comes_back_whole() -> None:
    text = "0123456789" * 30_000
    assert in_child(lambda: text, 20) == text


def test_what_a_child_was_for_happens_once(tmp_path: Path) -> None:
    """A child that went on as its parent would take each of the agent's next steps a second time."""
    log = tmp_path / "log"
    try:
        in_child(lambda: "5", 20)
    finally:
        with log.open("a") as file:
            file.write("here\n")
    assert log.read_text() == "here\n"


@pytest.mark.parametrize("work", [lambda: "5", fails], ids=["answers", "refuses"])
def test_a_child_that_answered_leaves_neither_a_zombie_nor_an_open_file(
    monkeypatch: pytest.MonkeyPatch, work: Callable[[], str]
) -> None:
    before, waited, real = open_files(), [], os.waitpid

    def noted(pid: int, options: int) -> tuple[int, int]:
        waited.append((pid, options))
        return real(pid, options)

    with monkeypatch.context() as watched:
        watched.setattr(os, "waitpid", noted)
        try:
            in_child(work, 20)
        except Busy:
            assert work is fails
    [(pid, options)] = waited
    assert options == 0, "it is just ending: whoever does not wait now never will"
    assert is_reaped(pid)
    assert open_files() == before


def test_a_child_that_hangs_is_killed_and_reaped_if_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note, real = tmp_path / "pid", os.kill
    before = open_files()

    def hang() -> str:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        note.write_text(str(os.getpid()))
        time.sleep(5)
        return ""

    def kill(pid: int, number: int) -> None:
        until(lambda: note.exists() and note.read_text())
        real(pid, number)
        until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")

    monkeypatch.setattr(os, "kill", kill)
    with pytest.raises(Unknown, match="no answer"):
        in_child(hang, 0.2)
    assert is_reaped(int(note.read_text()))
    assert open_files() == before


# ---- work in the background


@pytest.mark.usefixtures("busy_files")
def test_work_in_the_background_is_nobodys_and_happens_once(tmp_path: Path) -> None:
    """Pacemaker waits for an agent's streams and kills an agent's session; the hook keeps libvirt waiting likewise."""
    report, log = tmp_path / "report", tmp_path / "log"

    def work() -> None:
        (tmp_path / "part").write_text(described())
        (tmp_path / "part").rename(report)

    in_background(work)
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.wait()  # the process between us and the work
    until(report.exists)
    seen = json.loads(report.read_text())
    assert seen["streams"] == ["/dev/null"] * 3
    assert seen["more"] == []
    assert seen["session"] != os.getsid(0)
    assert seen["parent"] != os.getpid()
    assert log.read_text() == f"{os.getpid()}\n"


def test_nothing_goes_on_after_work_in_the_background_has_ended(tmp_path: Path) -> None:
    """It is a copy of the agent: what the agent does next would be done a second time."""
    log, ended = tmp_path / "log", tmp_path / "ended"
    try:
        in_background(ended.touch)
    finally:
        with log.open("a") as file:
            file.write("here\n")
    os.wait()
    until(ended.exists)
    time.sleep(0.05)  # what went on would have written by now; a slow machine only overlooks it
    assert log.read_text() == "here\n"


# ---- programs


def test_a_program_sees_what_we_say_and_nothing_of_what_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words are read by a program: no language, no path and no setting of whoever started us."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("VIRSH_DEFAULT_CONNECT_URI", "qemu+ssh://elsewhere/system")
    assert set(run(["env"], 20).out.splitlines()) == {
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL=C",
        "HOME=/root",
    }


@pytest.mark.usefixtures("busy_files")
def test_a_program_reads_nothing_of_ours() -> None:
    assert run(["readlink", "/proc/self/fd/0"], 20).out == "/dev/null\n"


def test_a_program_inherits_no_file() -> None:
    """A lock file kept open is a lock kept."""
    code = "from hacluster.guard.child import run; print(run(['ls', '/proc/self/fd'], 20).out)"
    shell = 'exec 3</dev/null 9</dev/null; exec "$@"'
    python = ["sh", "-c", shell, "sh", sys.executable, "-c", code]
    seen = subprocess.run(python, capture_output=True, text=True, check=True).stdout.split()
    assert seen == ["0", "1", "2", "3"], "the last is the directory that ls reads"


def test_a_program_whose_agent_has_died_already_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the fork and its request to be killed along nobody would kill it: here the parent is another."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert run(["touch", str(tmp_path / "file")], 20).code == 126
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 1", 1), ("kill -9 $$", None), (SILENT + "exit 4", 4)],
    ids=["good", "bad", "killed", "silent"],
)
def test_how_a_program_ended(script: str, code: int | None) -> None:
    assert run(["sh", "-c", script], 20).code == code


def test_a_result_is_what_it_was_made_of() -> None:
    result = Result(3, "out", "err")
    assert (result.code, result.out, result.err) == (3, "out", "err")


def test_output_that_is_no_text_breaks_nothing() -> None:
    assert run(["printf", r"a\377b"], 20).out == "a\ufffdb"


def test_long_output_comes_back_whole() -> None:
    result = run(["sh", "-c", "seq 100000; seq 50000 >&2"], 20)
    assert result.out == "".join(f"{number}\n" for number in range(1, 100_001))
    assert result.err == "".join(f"{number}\n" for number in range(1, 50_001))


def test_a_program_that_ends_some_time_after_its_output_is_waited_for_without_haste(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept, real = [], time.sleep

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        real(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    assert run(["sh", "-c", SILENT + "sleep 0.3; exit 4"], 20).code == 4
    assert slept, "it would take a whole processor for as long as it waits"


def test_a_silent_program_that_hangs_is_given_up_and_killed() -> None:
    command = Command(["sh", "-c", SILENT + "exec sleep 5"])
    assert not command.wait(0.2)
    assert not command.wait(0.0)
    command.kill()
    assert is_reaped(command.pid)


def test_a_program_that_is_given_up_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Command] = []

    class Noted(Command):
        def __init__(self, argv: Sequence[str]) -> None:
            super().__init__(argv)
            made.append(self)

    monkeypatch.setattr(child, "Command", Noted)
    assert run(["sleep", "5"], 0.05).code is None
    assert is_reaped(made[0].pid)


def test_no_time_left_is_no_error() -> None:
    command = Command(["sleep", "5"])
    assert not command.wait(-1.0)
    command.kill()
    assert is_reaped(command.pid)


def test_time_left_is_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited, real = [], select.select
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)

    def noted(readers: list[int], writers: list[int], other: list[int], timeout: float) -> object:
        waited.append(timeout)
        return real(readers, writers, other, 20)

    monkeypatch.setattr(select, "select", noted)
    assert Command(["true"]).wait(0.5)
    assert set(waited) == {0.5}


def test_whoever_watches_something_else_hears_of_it_at_once(busy_files: int) -> None:
    """A pidfd: the QEMU has ended, and the migration's client need not be waited for."""
    for watched in (busy_files, 0):
        command = Command(["sleep", "5"])
        assert not command.wait(60, watch=watched)
        command.kill()


def test_what_is_watched_does_not_hide_the_end() -> None:
    reader, writer = os.pipe()
    assert Command(["true"]).wait(20, watch=reader)
    os.close(reader)
    os.close(writer)


def test_a_program_that_ended_is_not_signalled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pid may be another process's by now."""
    command = Command(["true"])
    assert command.wait(20)
    assert command.wait(20)

    def kill(_pid: int, _number: int) -> None:
        raise AssertionError

    monkeypatch.setattr(os, "kill", kill)
    command.kill()
    assert command.result().code == 0


def test_a_program_that_takes_no_notice_is_killed_all_the_same() -> None:
    command = Command(["sh", "-c", "trap '' USR1 TERM INT HUP; echo ready; exec sleep 5"])
    until(lambda: not command.wait(0.01) and command.result().out)
    command.kill()
    assert is_reaped(command.pid)
    assert command.result().code is None


def test_a_killed_program_leaves_no_file_open_though_its_own_child_lives_on() -> None:
    before = open_files()
    command = Command(["sh", "-c", "sleep 5 & echo ready; wait"])
    until(lambda: not command.wait(0.01) and command.result().out)
    command.kill()
    command.kill()
    assert open_files() == before


def test_a_program_that_ended_leaves_no_file_open() -> None:
    before = open_files()
    run(["true"], 20)
    assert open_files() == before


def test_the_signal_at_the_agents_death_is_the_one_that_nobody_can_ignore() -> None:
    assert child.SIGKILL == signal.SIGKILL

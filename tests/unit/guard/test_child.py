"""Work that can be abandoned: a deadline always holds, and what was given up is unknown, never "no"."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from hacluster.guard.child import NotAllowed, in_child, run
from hacluster.guard.dlm import Busy, NoLock, Unknown
from hacluster.guard.state import process_start


def fails(error: Exception) -> str:
    raise error


def hang() -> str:
    """As one does that is asleep in the kernel: no alarm reaches it."""
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    time.sleep(5)
    return ""


def test_a_childs_text_comes_back() -> None:
    assert in_child(lambda: "5", 5) == "5"


@pytest.mark.parametrize("kind", [Busy, NoLock, NotAllowed, Unknown])
def test_a_childs_refusal_comes_back_as_what_it_was(kind: type[Exception]) -> None:
    with pytest.raises(kind, match="held by n1"):
        in_child(lambda: fails(kind("held by n1")), 5)


def test_anything_else_that_goes_wrong_is_unknown() -> None:
    with pytest.raises(Unknown, match="ZeroDivisionError"):
        in_child(lambda: str(1 // 0), 5)


def test_a_child_that_dies_without_a_word_is_unknown() -> None:
    with pytest.raises(Unknown):
        in_child(lambda: os._exit(0), 5)


def test_a_child_that_hangs_is_given_up_at_the_deadline() -> None:
    begun = time.monotonic()
    with pytest.raises(Unknown, match="no answer"):
        in_child(hang, 0.3)
    assert time.monotonic() - begun < 5


def test_a_program_that_hangs_is_killed_and_has_no_exit_code() -> None:
    begun = time.monotonic()
    assert run(["sleep", "5"], 0.3).code is None
    assert time.monotonic() - begun < 5


def test_a_programs_outcome() -> None:
    result = run(["sh", "-c", "echo out; echo err >&2; exit 3"], 5)
    assert (result.code, result.out, result.err) == (3, "out\n", "err\n")
    assert run(["/nonexistent"], 5).code == 127


def test_a_program_dies_with_the_agent_that_started_it() -> None:
    """Pacemaker kills a timed-out agent with SIGKILL, and only the agent."""
    code = (
        "from hacluster.guard.child import Command; import time; "
        "print(Command(['sleep', '60']).pid, flush=True); time.sleep(5)"
    )
    agent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert agent.stdout is not None
    child = int(agent.stdout.readline())
    agent.kill()
    agent.wait()
    until = time.monotonic() + 20
    while (found := process_start(child)) and found[0] not in "ZX" and time.monotonic() < until:
        time.sleep(0.02)
    assert found is None or found[0] in "ZX"

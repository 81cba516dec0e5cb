"""Commands on this machine: whole output, exit codes, and a deadline that holds whatever the command does."""

import time
from contextlib import suppress
from pathlib import Path

import pytest

from hacluster.edge import local
from hacluster.ports import Unreachable


def test_output_error_and_exit_code_are_kept_apart() -> None:
    done = local.run(["sh", "-c", "echo out; echo err >&2; exit 3"], stdin=b"", deadline=5)
    assert (done.code, done.out, done.err) == (3, b"out\n", b"err\n")


def test_input_larger_than_a_pipe_passes_while_output_is_read() -> None:
    sent = b"x" * (3 << 20)
    assert local.run(["cat"], stdin=sent, deadline=10).out == sent


def test_a_command_that_reads_nothing_is_no_error() -> None:
    assert local.run(["true"], stdin=b"x" * (1 << 20), deadline=5).code == 0


def test_a_program_that_does_not_exist_is_127_as_in_a_shell() -> None:
    assert local.run(["/nonexistent/tool"], stdin=b"", deadline=5).code == 127


def runs(marker: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if marker.encode() in path.read_bytes().split(b"\0"):
                return True
    return False


@pytest.mark.parametrize("script", ["sleep {0}", "sleep {0} & exit 0", "trap '' TERM; sleep {0} & wait"])
def test_the_deadline_holds_for_the_command_and_for_what_it_left_behind(script: str) -> None:
    marker = f"30.{time.monotonic_ns()}"
    script = script.format(marker)
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"0\.3 s"):
        local.run(["sh", "-c", script], stdin=b"", deadline=0.3)
    assert time.monotonic() - begun < 2
    until = time.monotonic() + 2  # a killed orphan is gone a moment later, when init has looked
    while runs(marker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not runs(marker)


def test_endless_output_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "OUTPUT_LIMIT", 1 << 20)
    with pytest.raises(Unreachable, match="1 MiB"):
        local.run(["yes"], stdin=b"", deadline=10)

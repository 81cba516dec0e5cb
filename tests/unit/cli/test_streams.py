"""hactl ends with a Problem and exit code 1, never with a traceback, whatever its output goes to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hacluster.cli import render
from tests.unit.cli.shell import EXAMPLES, hactl

SPEC = EXAMPLES / "kvm-cluster.toml"


@pytest.mark.parametrize("command", [["compile", SPEC], ["schema"], ["explain", "HA124"], ["version"]])
def test_a_full_disk_is_a_problem(command: list[str | Path]) -> None:
    done = hactl(*command, shell='"$@" >/dev/full')
    assert done.returncode == 1
    assert done.stderr.startswith("error HA003 standard output: No space left on device\n")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("command", [["compile", SPEC], ["schema"], ["--help"], ["explain", "HA124"]])
def test_closed_streams_are_no_reason_to_fail(command: list[str | Path]) -> None:
    assert hactl(*command, shell='"$@" >&-').returncode == 0
    assert hactl(*command, shell='"$@" <&- >&- 2>&-').returncode == 0


def test_a_file_that_is_written_does_not_take_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    out = tmp_path / "cib.xml"
    hactl("compile", SPEC, "-o", out, shell='"$@" <&- >&- 2>&-')
    assert out.read_bytes() == hactl("compile", SPEC).stdout.encode()


def test_an_encoding_without_arrows_loses_arrows_and_nothing_else() -> None:
    done = hactl("check", "nothere.toml", PYTHONIOENCODING="ascii")
    assert (done.returncode, "hactl init cluster.toml" in done.stderr) == (1, True)
    assert hactl("explain", PYTHONIOENCODING="ascii").returncode == 0


def test_a_fault_is_shown_as_a_problem() -> None:
    broken = "import hacluster.cli.main as m; m.app.command('x')(lambda: 1 // 0); m.main()"
    done = hactl("x", shell=f'exec "$1" -c "{broken}" x')
    assert done.returncode == 1
    assert done.stderr.startswith("error HA004 <string>, line 1: ZeroDivisionError")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [2, 15])  # SIGINT, SIGTERM
def test_a_signal_ends_in_a_problem(number: int) -> None:
    # A shell without job control has its background jobs ignore SIGINT, and these tests may run in one.
    as_typed = "import os, signal; signal.signal(2, signal.default_int_handler)"
    hit = f"import hacluster.cli.main as m; m.app.command('x')(lambda: os.kill(os.getpid(), {number})); m.main()"
    done = hactl("x", shell=f'"$1" -c "{as_typed}; {hit}" x')
    assert done.returncode == 1
    assert done.stderr.startswith("error HA001 hactl: hactl was stopped by a signal\n    → hactl status\n")


def test_facts_of_several_lines_are_shown_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    from hacluster.problems import Problem

    render.problems([Problem("HA999", "no", facts=(("answer", "one\n\n two\n"),))])
    assert "    answer one; two\n" in capsys.readouterr().err


def test_a_pipe_gets_whole_lines() -> None:
    wide = "from hacluster.cli import render; print(render.out.width)"
    done: subprocess.CompletedProcess[str] = hactl(shell=f'"$1" -c "{wide}"', COLUMNS="40")
    assert done.stdout == "200\n"

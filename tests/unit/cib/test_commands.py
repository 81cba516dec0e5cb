"""`hactl compile` and `hactl template`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hacluster.cib.templates import Library, shipped_directory
from hacluster.cli import compile as commands
from hacluster.cli import template
from hacluster.problems import Refused

LAB = Path(__file__).parents[3] / "examples" / "lab.toml"
APP = typer.Typer()
commands.register(APP)
template.register(APP)


def hactl(*argv: str | Path) -> bytes:
    result = CliRunner().invoke(APP, [str(part) for part in argv])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def test_the_file_is_what_would_be_printed(tmp_path: Path) -> None:
    file = tmp_path / "cib.xml"
    assert hactl("compile", LAB, "-o", file) == b""
    assert file.read_bytes() == hactl("compile", LAB)
    assert file.read_bytes().startswith(b"<?xml")


def test_a_fence_device_that_lacks_something_stops_it(tmp_path: Path) -> None:
    spec = tmp_path / "cluster.toml"
    spec.write_text(LAB.read_text().replace('username = "admin"\n', "", 1))
    with pytest.raises(Refused) as refused:
        hactl("compile", spec)
    assert "HA220" in {problem.code for problem in refused.value.problems}


def test_a_file_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        hactl("compile", LAB, "-o", tmp_path / "absent" / "cib.xml")
    assert [problem.code for problem in refused.value.problems] == ["HA260"]


def test_the_list_names_every_template_with_its_purpose() -> None:
    names = Library([shipped_directory()]).names()
    assert [row["name"] for row in json.loads(hactl("template", "list", "--json"))["templates"]] == list(names)
    lines = hactl("template", "list").decode().splitlines()
    assert [line.split()[0] for line in lines] == list(names)
    assert "ocf:heartbeat:VirtualDomain" in next(line for line in lines if line.startswith("heartbeat-vm"))


def test_a_template_is_shown_as_it_stands_in_the_file() -> None:
    shown = hactl("template", "show", "gfs2", "--shipped")
    assert shown == (shipped_directory() / "gfs2.xml").read_bytes()


def test_an_unknown_template_is_a_problem() -> None:
    with pytest.raises(Refused) as refused:
        hactl("template", "show", "nothing")
    assert [problem.code for problem in refused.value.problems] == ["HA214"]


def test_corosyncs_file_comes_beside_the_cib(tmp_path: Path) -> None:
    file = tmp_path / "corosync.conf"
    assert hactl("compile", LAB, "--corosync", file) == hactl("compile", LAB)
    assert "ring1_addr: 10.99.1.13" in file.read_text()
    with pytest.raises(Refused) as refused:
        hactl("compile", LAB, "--corosync", tmp_path / "absent" / "corosync.conf")
    assert [problem.code for problem in refused.value.problems] == ["HA260"]

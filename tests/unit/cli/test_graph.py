"""`hactl graph`, as it is typed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hacluster.cli import graph as commands
from hacluster.problems import Refused
from tests.unit.lint.clean import CIB, DOMAINS
from tests.unit.spec.example import EXAMPLES


def run(*argv: str | Path, text: bytes = b"") -> bytes:
    app = typer.Typer()
    app.command("other")(lambda: None)
    commands.register(app)
    result = CliRunner().invoke(app, ["graph", *map(str, argv)], input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def codes(refused: pytest.ExceptionInfo[Refused]) -> list[str]:
    return [problem.code for problem in refused.value.problems]


def test_a_spec_and_a_cib_are_drawn(tmp_path: Path) -> None:
    assert b"<b>2 VMs</b>" in run(EXAMPLES / "kvm-cluster.toml")
    assert run("-", text=CIB.encode()).startswith(b"digraph")
    file = tmp_path / "picture.dot"
    assert run(EXAMPLES / "kvm-cluster.toml", "-o", file, "--vm", "web") == b""
    assert b"web: what it stands on" in file.read_bytes()


def test_an_svg_is_made_by_the_name_of_the_file(tmp_path: Path) -> None:
    if not shutil.which("dot"):
        pytest.skip("no graphviz here")
    file = tmp_path / "picture.svg"
    run(EXAMPLES / "kvm-cluster.toml", "-o", file)
    assert b"<svg" in file.read_bytes()


def test_without_graphviz_the_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(Refused) as refused:
        run(EXAMPLES / "kvm-cluster.toml", "--format", "svg")
    assert codes(refused) == ["HA860"]
    assert "graphviz" in refused.value.problems[0].remedy


def test_an_unknown_vm_is_named_with_the_nearest() -> None:
    with pytest.raises(Refused) as refused:
        run(EXAMPLES / "kvm-cluster.toml", "--vm", "wbe")
    assert codes(refused) == ["HA861"]
    assert "web" in refused.value.problems[0].message


def test_a_file_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        run(EXAMPLES / "kvm-cluster.toml", "-o", tmp_path / "absent" / "x.dot")
    assert codes(refused) == ["HA862"]


def test_a_picture_that_graphviz_cannot_draw_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "dot"
    broken.write_text("#!/bin/sh\necho no picture >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setitem(os.environ, "PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Refused) as refused:
        run(EXAMPLES / "kvm-cluster.toml", "--format", "svg")
    assert codes(refused) == ["HA863"]


def test_disks_are_known_from_a_folder_of_domains(tmp_path: Path) -> None:
    (tmp_path / "web.xml").write_text(DOMAINS["web"].replace("/kvm/images/", "/dev/san/"))
    assert b"/dev/san" in run("-", "--domains", tmp_path, text=CIB.encode())

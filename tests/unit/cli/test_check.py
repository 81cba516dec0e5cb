"""`hactl check`: which kind of file it was given, and what its exit code says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hacluster.cib import schema, templates
from hacluster.cli import check as commands
from hacluster.cli import template
from hacluster.problems import Refused
from tests.unit.lint.clean import CIB
from tests.unit.spec.example import EXAMPLES, SMALL, changed


def app() -> typer.Typer:
    made = typer.Typer()
    made.command("other")(lambda: None)  # with one command alone, typer would take its name for an argument
    commands.register(made)
    return made


def test_check_exits_0_only_when_nothing_stands_against_the_spec(tmp_path: Path) -> None:
    good, bad = EXAMPLES / "kvm-cluster.toml", tmp_path / "bad.toml"
    bad.write_text(changed(('network = "lan"', 'network = "dmz"')))
    assert CliRunner().invoke(app(), ["check", str(good)]).exit_code == 0
    done = CliRunner().invoke(app(), ["check", str(bad), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)["problems"]
    assert [(p["code"], p["where"], p["severity"]) for p in found] == [("HA133", "vms.web.nics[0].network", "error")]


def test_check_takes_a_risk_by_name(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    third = re.compile(r"(?ms)^\[nodes\.n3\].*?(?=^\[)")
    path.write_text(third.sub("", SMALL).replace('"fence_virsh"', '"fence_virsh"\nplug = "x"\nip = "h"'))
    assert CliRunner().invoke(app(), ["check", str(path)]).exit_code == 1
    assert CliRunner().invoke(app(), ["check", str(path), "--accept", "HA133"]).exit_code == 2
    done = CliRunner().invoke(app(), ["check", str(path), "--accept", "ha124"])
    assert "HA140" not in done.output


def test_a_cib_is_known_by_its_content(tmp_path: Path) -> None:
    """Whatever its name is: a mail program or an editor may have given it another."""
    path = tmp_path / "cluster.toml"
    path.write_text("\n  " + CIB)
    assert "3 nodes" in CliRunner().invoke(app(), ["check", str(path)]).stdout
    path.write_text(CIB.replace('name="stonith-enabled" value="true"', 'name="stonith-enabled" value="false"'))
    done = CliRunner().invoke(app(), ["check", str(path), "--json"])
    assert done.exit_code == 1
    assert [p["code"] for p in json.loads(done.stdout)["problems"]] == ["HA801", "HA829"]
    assert CliRunner().invoke(app(), ["check", str(path), "--accept", "HA801"]).exit_code == 0


def test_a_cib_comes_through_a_pipe() -> None:
    assert CliRunner().invoke(app(), ["check", "-"], input=CIB.encode()).exit_code == 0


@pytest.mark.parametrize(
    "text",
    [
        b"<", b"<cib/>", b"<domain/>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><cib/>", b"\xff\xfe<", b"<a>" * 20000,
        b"<cib><configuration></cib>", b"<cib>\x00</cib>",
    ],
)  # fmt: skip
def test_what_is_no_cib_is_a_problem(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(text)
    done = CliRunner().invoke(app(), ["check", str(path)])
    assert isinstance(done.exception, Refused)
    assert {problem.code for problem in done.exception.problems} <= {"HA242", "HA280"}


def test_a_file_and_the_cluster_are_not_checked_at_once() -> None:
    assert CliRunner().invoke(app(), ["check", "x", "--live"]).exit_code == 2


def test_an_operators_own_template_is_checked_with_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "OVERRIDES", tmp_path)
    monkeypatch.setattr(template, "OVERRIDES", tmp_path)
    (tmp_path / "gsf2.xml").write_text("<clone/>")
    done = CliRunner().invoke(app(), ["check", str(EXAMPLES / "kvm-cluster.toml"), "--json", "--nodes-lost", "0"])
    assert "HA215" in {p["code"] for p in json.loads(done.stdout)["problems"]}


@pytest.mark.skipif(not schema.available(), reason="no Pacemaker schemas here")
def test_a_cib_that_pacemaker_would_not_load_is_one_finding_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cib.xml"
    path.write_text(CIB.replace('<rsc_order id="o1"', '<rsc_ordr id="o1"'))
    found = json.loads(CliRunner().invoke(app(), ["check", str(path), "--json"]).stdout)["problems"]
    (wrong,) = (problem for problem in found if problem["code"] == "HA230")
    assert "rsc_ordr" in wrong["message"]
    assert wrong["where"] == f"{path}, line {CIB[: CIB.index('<rsc_order id=')].count(chr(10)) + 1}"


def test_what_a_spec_compiles_to_is_linted_and_mended_in_the_spec(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(changed(("[vms.web]", '[vms.web]\ncpu = "host-passthrough"')))
    found = json.loads(CliRunner().invoke(app(), ["check", str(path), "--json", "--nodes-lost", "0"]).stdout)[
        "problems"
    ]
    (cpu,) = (problem for problem in found if problem["code"] == "HA855")
    assert "migration.mode" in cpu["remedy"]

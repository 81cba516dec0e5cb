"""What a mistyped word on the command line leads to."""

from __future__ import annotations

from pathlib import Path

import pytest

from hacluster.cli import render
from hacluster.cli.catalogue import load
from hacluster.problems import Problem
from tests.unit.cli.shell import EXAMPLES, hactl


@pytest.mark.parametrize(
    ("typed", "meant"), [(["chek"], "check"), (["vm", "mvoe", "web"], "move"), (["lab", "stauts"], "status")]
)
def test_a_mistyped_command_names_the_nearest(typed: list[str], meant: str) -> None:
    done = hactl(*typed)
    assert done.returncode == 2
    assert meant in done.stderr


@pytest.mark.parametrize("code", ["HA999", "nonsense", "HA140"])
def test_a_code_that_accepts_nothing_is_wrong_usage(code: str) -> None:
    done = hactl("check", EXAMPLES / "kvm-cluster.toml", "--accept", code)
    assert (done.returncode, code.upper() in done.stderr) == (2, True)


def test_an_accepted_risk_is_shown_as_accepted(tmp_path: Path) -> None:
    text = (EXAMPLES / "kvm-cluster.toml").read_text()
    third = text[text.index("[nodes.kvm3]") : text.index("# --- Fencing")]
    spec = tmp_path / "two.toml"
    spec.write_text(text.replace(third, ""))
    assert "error HA124" in hactl("check", spec).stderr
    done = hactl("check", spec, "--accept", "ha124")
    assert done.returncode == 0
    assert "accepted HA124" in done.stderr
    assert "--accept" not in done.stderr


def test_explain_lists_every_code_and_explains_each() -> None:
    listed = hactl("explain").stdout
    for code, kind in load().items():
        assert f"{code}  {kind.title}\n" in listed
        assert kind.why.endswith((".", "?")), code


def test_explain_says_where_the_codes_are() -> None:
    done = hactl("explain", "HA999")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "    → hactl explain")


@pytest.mark.parametrize("option", ["-h", "--version"])
def test_usual_options_are_there(option: str) -> None:
    assert hactl(option).returncode == 0


def test_a_dash_is_standard_output(tmp_path: Path) -> None:
    done = hactl("compile", EXAMPLES / "kvm-cluster.toml", "-o", "-", shell=f'cd {tmp_path} && "$@"')
    assert done.stdout.startswith("<?xml")
    assert not list(tmp_path.iterdir())


def test_an_agents_name_is_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    render.problems([Problem("HA000", "ocf:heartbeat:VirtualDomain")])
    assert "ocf:heartbeat:VirtualDomain" in capsys.readouterr().err

"""`hactl plan`, `apply` and `undo` as they are typed, on a CIB in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from lxml import etree
from typer.testing import CliRunner

from hacluster import apply as applying
from hacluster.apply import run
from hacluster.cli import cluster as commands
from hacluster.cli import undo
from hacluster.problems import Problem, Refused
from hacluster.spec import load
from tests import scheduler
from tests.fileworld import FileWorld
from tests.unit.apply.test_written import Vault, blank

pytestmark = scheduler.needs_tools

LAB = Path(__file__).parents[3] / "examples" / "lab.toml"
APP = typer.Typer()
commands.register(APP)
undo.register(APP)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileWorld:
    world = FileWorld(tmp_path / "cib.xml", blank())
    for module in (commands, undo):
        monkeypatch.setattr(module, "connect", lambda *_: world)
    monkeypatch.setattr(commands, "LocalSecrets", Vault)
    return world


def hactl(*argv: str | Path) -> str:
    """What it prints; it must not be refused by a Problem that was raised."""
    result = CliRunner().invoke(APP, [str(part) for part in argv])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*argv: str | Path) -> list[Problem]:
    with pytest.raises(Refused) as no:
        hactl(*argv)
    return list(no.value.problems)


def pushed(world: FileWorld) -> None:
    """As apply would, without waiting for VMs that nobody starts here."""
    prepared = applying.prepare(world, Vault(), load(LAB))
    run.deliver(world, prepared.deliveries, lambda text: None)
    run.push(world, prepared, run.note(world, prepared).name)


def test_a_plan_is_written_for_its_owner_only_and_read_by_apply(world: FileWorld, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    said = hactl("plan", LAB, "--out", file)
    assert f"hactl apply {file} does exactly this" in said
    assert file.stat().st_mode & 0o777 == 0o600
    shown = json.loads(file.read_bytes())["shown"]
    assert {vm["consequence"] for vm in shown["vms"]} == {"start"}
    assert shown["oracle"] == "clean"
    again = hactl("apply", file, "--dry-run")
    assert "+ VM web" in again
    assert "it starts no VM before every place where that was is settled" in again
    assert world.live().get("epoch") == "5"


def test_a_file_that_cannot_be_written_or_read_is_a_problem(world: FileWorld, tmp_path: Path) -> None:
    assert [p.code for p in refused("plan", LAB, "--out", tmp_path / "absent" / "plan.json")] == ["HA356"]
    odd = tmp_path / "odd.json"
    odd.write_text('{"kind": "hacluster plan"}')
    assert [p.code for p in refused("apply", odd)] == ["HA354"]
    assert len(refused("apply", tmp_path / "absent.json")) == 1
    assert list(tmp_path.glob(".*")) == []


def test_json_has_every_value_that_is_shown(world: FileWorld) -> None:
    pushed(world)
    world.types("pcs", "resource", "update", "web", "op", "monitor", "interval=10s", "timeout=77s", "--force")
    result = CliRunner().invoke(APP, ["plan", str(LAB), "--json"])
    assert result.exit_code == 1, "others changed what hactl owns"
    told = json.loads(result.stdout)
    assert [(each["kind"], each["name"], each["live"], each["kept"]) for each in told["others"]] == [
        ("drift", "monitor timeout", "77s", False)
    ]
    kept = json.loads(CliRunner().invoke(APP, ["plan", str(LAB), "--json", "--keep", "web"]).stdout)
    assert [each["kept"] for each in kept["others"]] == [True]
    assert "HA350" not in {problem["code"] for problem in kept["problems"]}


def test_others_changes_are_shown_with_what_becomes_of_them(world: FileWorld) -> None:
    pushed(world)
    world.types("pcs", "resource", "meta", "web", "resource-stickiness=7")
    assert "VM web resource-stickiness: 7 (stays)" in hactl("plan", LAB)


def test_the_change_as_pcs_commands(world: FileWorld) -> None:
    said = hactl("plan", LAB, "--as-pcs")
    assert "\npcs resource create web ocf:hacluster:VirtualDomain uuid=" in said
    assert "# first, to every node: the domain XML web (/etc/hacluster/domains/web." in said
    findings = ("warning", "error", " ")  # typer's runner has both streams in one
    lines = [line for line in said.splitlines() if not line.startswith(findings)]
    assert all(line.startswith(("#", "pcs ", "cibadmin ")) for line in lines)
    assert "s3cret" not in said


def test_undo_lists_and_shows_and_changes_nothing_by_that(world: FileWorld) -> None:
    assert hactl("undo", "--list").strip() == "nothing was applied"
    assert [p.code for p in refused("undo", "--dry-run")] == ["HA357"]
    pushed(world)
    before = etree.tostring(world.live())
    [change] = json.loads(hactl("undo", "--list", "--json"))["changes"]
    assert "add VM web" in change["what"]
    assert change["change"][:12] in hactl("undo", "--list")
    assert "- VM web" in hactl("undo", "--dry-run", "--accept", "HA358")
    told = json.loads(hactl("undo", "--json", "--accept", "HA358"))
    assert "web" in {each["id"] for each in told["changes"] if each["kind"] == "remove"}
    assert etree.tostring(world.live()) == before

"""An operator's template with a fault: a finding that names the file and the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hacluster.cib import schema, templates
from hacluster.cib.nouns import NOUNS
from hacluster.cib.templates import Library, shipped_directory
from hacluster.cli import surroundings
from hacluster.cli import template as commands
from hacluster.edge.agents import OCF_ROOT, InstalledAgents
from hacluster.lint import templates as template_check
from hacluster.problems import Problem, Refused
from tests.unit.lint.clean import AGENTS
from tests.unit.spec.example import EXAMPLES

SHIPPED = Library([shipped_directory()])
needs_schemas = pytest.mark.skipif(not schema.available(), reason="no Pacemaker schemas here")


def found(directory: Path, name: str, *changes: tuple[str, str]) -> tuple[Problem, ...]:
    """What is said of the shipped template with changes, as an operator's own."""
    text = (shipped_directory() / f"{name}.xml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (directory / f"{name}.xml").write_text(text)
    library = Library([directory, shipped_directory()])
    return template_check.check(library, SHIPPED, AGENTS.get, only=[name])


def line_of(name: str, text: str) -> int:
    whole = (shipped_directory() / f"{name}.xml").read_text()
    return whole[: whole.index(text)].count("\n") + 1


@pytest.mark.parametrize("name", sorted(NOUNS))
def test_nothing_stands_against_the_shipped_ones(name: str) -> None:
    """By every schema that is installed, and by the metadata of the installed agents."""
    described = surroundings.describe(InstalledAgents())
    assert template_check.check(SHIPPED, SHIPPED, described, only=[name]) == ()


@pytest.mark.parametrize(
    ("name", "old", "new", "code", "says"),
    [
        ("heartbeat-vm", 'name="hypervisor"', 'name="hypervizor"', "HA217", "hypervisor is probably meant"),
        ("heartbeat-vm", 'name="migrate_to"', 'name="migrate-to"', "HA217", "migrate_to is probably meant"),
        ("controld", 'name="stop" interval="0s" timeout="120s"', 'name="stop" interval="0s" timeout="60s"', "HA218",
         "stop has 60 s, and ocf:pacemaker:controld advises 100"),
        ("vm", "${uuid:uuid}", "${uid:uuid}", "HA211", "${uid:uuid}"),
        ("vm", "${uuid:uuid}", "${name:uuid}", "HA212", "which is not a uuid"),
    ],
)  # fmt: skip
def test_a_fault_is_found_at_its_line(tmp_path: Path, name: str, old: str, new: str, code: str, says: str) -> None:
    place = f"{tmp_path / name}.xml:{line_of(name, old)}"
    (problem,) = (p for p in found(tmp_path, name, (old, new)) if p.code == code and p.where.startswith(place))
    assert says in problem.message


@needs_schemas
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<operations>", "<operation>"),
        ('on-fail="block"', 'on-fail="blok"'),
        ('interval="10s"', 'intervall="10s"'),
    ],
)
def test_what_the_schemas_do_not_take_is_found_at_its_line(tmp_path: Path, old: str, new: str) -> None:
    changes = [(old, new)] + ([("</operations>", "</operation>")] if new == "<operation>" else [])
    problems = [p for p in found(tmp_path, "vm", *changes) if p.code == "HA216"]
    assert problems
    assert all(str(tmp_path / "vm.xml") in p.where for p in problems)
    assert any(p.where.partition(".xml:")[2].isdecimal() for p in problems)


@needs_schemas
def test_every_schema_since_the_one_that_is_compiled_to_is_asked(tmp_path: Path) -> None:
    for version in ("2.10", "3.8", "3.9", "3.10", "4.0"):
        (tmp_path / f"pacemaker-{version}.rng").touch()
    (tmp_path / "pacemaker-next.rng").touch()
    assert template_check.newer_schemas(tmp_path) == ("pacemaker-3.9", "pacemaker-3.10", "pacemaker-4.0")


def test_a_file_that_is_no_xml_names_its_line(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, "gfs2", ("</operations>", ""))
    assert problem.code == "HA210"
    assert problem.where.startswith(f"{tmp_path / 'gfs2'}.xml:")


@pytest.mark.parametrize(
    ("old", "new"), [('id="${name:id}" class="ocf"', 'id="mine" class="ocf"'), ("<primitive", "<template")]
)
def test_another_root_is_refused(tmp_path: Path, old: str, new: str) -> None:
    ending = [("</primitive>", "</template>")] if "template" in new else []
    assert "HA213" in {p.code for p in found(tmp_path, "heartbeat-vm", (old, new), *ending)}


def test_a_file_that_nothing_is_made_from_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "gsf2.xml").write_text("<clone/>")
    library = Library([tmp_path, shipped_directory()])
    (problem,) = template_check.check(library, SHIPPED, AGENTS.get, only=["gsf2"])
    assert (problem.code, problem.where) == ("HA215", str(tmp_path / "gsf2.xml"))
    assert "gfs2" in problem.message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (' on-fail="block"', "", "migrate_to on-fail=block"),
        ('name="multiple-active"', 'name="priority-x"', "multiple-active"),
        ('name="monitor"', 'name="validate-all"', "operation monitor"),
    ],
)
def test_what_the_shipped_one_has_and_this_one_lacks_is_said(tmp_path: Path, old: str, new: str, says: str) -> None:
    problems = [p for p in found(tmp_path, "vm", (old, new)) if p.code == "HA219"]
    assert len(problems) == 1
    assert says in problems[0].message


def test_another_timeout_is_the_operators_right(tmp_path: Path) -> None:
    assert found(tmp_path, "gfs2", ('timeout="40s"', 'timeout="90s"')) == ()


def hactl(*argv: str | Path, code: int = 0) -> str:
    app = typer.Typer()
    commands.register(app)
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["template", *map(str, argv)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(templates, "OVERRIDES", tmp_path)
    return tmp_path


def test_the_command_checks_the_operators_templates(own: Path) -> None:
    text = (shipped_directory() / "gfs2.xml").read_text()
    (own / "gfs2.xml").write_text(text.replace("${mount:path}", "${mont:path}"))
    said = json.loads(hactl("check", "gfs2", "--json", code=1))
    assert [problem["code"] for problem in said["problems"]] == ["HA211"]
    (own / "gfs2.xml").write_text(text.replace('timeout="40s"', 'timeout="60s"'))
    assert "1 templates: nothing stands against them" in hactl("check", "gfs2")
    assert str(own / "gfs2.xml") in hactl("list")


def test_a_template_is_rendered_with_samples_or_with_a_specs_values() -> None:
    assert 'id="sample-clone"' in hactl("render", "gfs2")
    made = hactl("render", "vm", EXAMPLES / "kvm-cluster.toml")
    assert made.count("<primitive ") == 2
    assert 'id="web"' in made
    assert hactl("render", "ocfs2", EXAMPLES / "kvm-cluster.toml") == ""


@pytest.mark.parametrize("verb", ["show", "render", "check"])
def test_an_unknown_name_is_a_problem_with_the_nearest(verb: str) -> None:
    with pytest.raises(Refused) as refused:
        hactl(verb, "gsf2")
    (problem,) = refused.value.problems
    assert problem.code == "HA214"
    assert "gfs2" in problem.message


@pytest.mark.tools
def test_the_agents_of_the_shipped_templates_are_installed() -> None:
    """Otherwise the test above has asked nobody."""
    if not OCF_ROOT.is_dir():
        pytest.skip("no resource agents here")
    assert surroundings.describe(InstalledAgents())("ocf:heartbeat:Filesystem") is not None

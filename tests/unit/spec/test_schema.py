"""The JSON Schema, the starter file and the commands that give them: all from the one table."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import jsonschema
import pytest
import typer
from typer.testing import CliRunner

from hacluster.cli import spec as commands
from hacluster.problems import Refused
from hacluster.spec import schema, starter
from hacluster.spec.sections import Field
from hacluster.spec.table import SPEC
from tests.unit.spec.example import KVM, SMALL, VM, changed, findings
from tests.unit.spec.test_domain import BY_FILE

VALIDATOR = jsonschema.Draft202012Validator(schema.document())


def faults(text: str) -> list[str]:
    return [error.json_path for error in VALIDATOR.iter_errors(tomllib.loads(text))]


def app() -> typer.Typer:
    made = typer.Typer()
    commands.register(made)
    return made


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.document())
    assert json.loads(json.dumps(schema.document()))["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("text", [KVM, SMALL + VM, SMALL + BY_FILE, starter.TEXT])
def test_a_right_spec_is_right_for_the_schema(text: str) -> None:
    assert faults(text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[networks.lan]", "[network.lan]"),
        ("memory = ", "memroy = "),
        ('"512M"', '"512X"'),
        ('"512M"', "5"),
        ("vcpus = 1", 'vcpus = "1"'),
        ("vcpus = 1", ""),
        ("vcpus = 1", 'vcpus = 1\ndomain_xml = "web.xml"'),
        ('"raw"', '"qcow"'),
        ('bridge = "br0"', ""),
        ('type = "block"', 'type = "blokc"'),
        ('type = "block"\n', 'type = "block"\nmount = "/x"\n'),
        ('name = "c"', 'name = "c:d"'),
        ("vms.web", 'vms."a/b"'),
        ('fencing = ["f"]', "fencing = [[[]]]"),
        ("52:54:00:00:00:01", "52:54"),
    ],
)
def test_what_the_reader_refuses_in_one_place_the_schema_refuses(old: str, new: str) -> None:
    text = changed((old, new), text=SMALL + VM)
    assert faults(text)
    assert findings(text)


def every_field(kind: object) -> Iterator[Field]:
    """All keys of a type, however deep."""
    if isinstance(kind, Field):
        yield kind
    if isinstance(kind, Mapping):
        kind = tuple(kind.values())
    inner = (
        kind
        if isinstance(kind, tuple)
        else [getattr(kind, name, ()) for name in ("fields", "type", "item", "sections")]
    )
    for each in inner:
        yield from every_field(each)


def test_every_key_is_explained() -> None:
    known = list(every_field(SPEC))
    assert {"auto_converge", "lock_table", "migration_host", "stop_budget"} <= {field.name for field in known}
    assert [field.name for field in known if not field.doc.endswith(".")] == []


def switched_on(text: str) -> str:
    return re.sub(r"(?m)^#(?=[^ ])", "", text)


def test_the_starter_is_right_as_it_stands_and_with_everything_switched_on() -> None:
    assert findings(starter.TEXT) == []
    assert findings(switched_on(starter.TEXT)) == []
    assert switched_on(starter.TEXT).count("\n#") < starter.TEXT.count("\n#")


def test_init_writes_the_starter_and_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    done = CliRunner().invoke(app(), ["init", str(path)])
    assert (done.exit_code, path.read_text()) == (0, starter.TEXT)
    again = CliRunner().invoke(app(), ["init", str(path)])
    assert isinstance(again.exception, Refused)
    assert again.exception.problems[0].code == "HA180"


def test_schema_prints_the_schema() -> None:
    done = CliRunner().invoke(app(), ["schema"])
    assert json.loads(done.stdout) == schema.document()

"""`hactl import` as an admin types it: what it writes, what it never writes, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
from pathlib import Path

import pytest

from hacluster import spec
from hacluster.cib import compare, reading
from hacluster.cib.compile import FEATURE_SET
from tests.unit.cli.shell import EXAMPLES, hactl

GOLDEN = EXAMPLES.parent / "tests" / "golden" / "kvm-cluster.xml"


def domains(folder: Path) -> Path:
    """The nodes' domain files of the shipped example."""
    folder.mkdir()
    for vm in spec.load(EXAMPLES / "kvm-cluster.toml").vms:
        name = f"{vm.name}.{hashlib.sha256(vm.domain_xml).hexdigest()[:16]}.xml"
        (folder / name).write_bytes(vm.domain_xml)
    return folder


def test_what_was_compiled_comes_back_byte_for_byte(tmp_path: Path) -> None:
    made = tmp_path / "made"
    done = hactl("import", GOLDEN, "-o", made, "--domains", domains(tmp_path / "xml"))
    assert done.returncode == 0, done.stderr
    assert "0 kept, 0 withheld" in done.stdout
    assert hactl("check", made / "cluster.toml").returncode == 0
    assert hactl("compile", made / "cluster.toml").stdout == GOLDEN.read_text()


def test_without_the_domain_xml_the_vms_are_kept_and_the_cib_means_the_same(tmp_path: Path) -> None:
    done = hactl("import", GOLDEN, "-o", tmp_path / "lean.toml")
    assert done.returncode == 0, done.stderr
    assert "its domain XML is not here" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lean.residue.xml", "lean.toml"]
    again = hactl("compile", tmp_path / "lean.toml").stdout.encode()
    first, second = (reading.read(each, "cib", FEATURE_SET) for each in (GOLDEN.read_bytes(), again))
    assert compare.differences(first, second) == ()


def test_a_password_goes_into_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    cib = tmp_path / "cib.xml"
    cib.write_text(GOLDEN.read_text().replace('name="password" value="lrm://"', 'name="password" value="hunter2"'))
    done = hactl("import", cib, "-o", tmp_path / "made")
    assert "hunter2" not in done.stdout + done.stderr
    secret = tmp_path / "made" / "secrets" / "ipmi-kvm1.password"
    assert secret.read_text() == "hunter2"
    private = [secret, tmp_path / "made" / "residue.xml"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in private] == [0o600, 0o600]
    assert "hunter2" not in (tmp_path / "made" / "cluster.toml").read_text()


def test_nothing_that_is_there_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "residue.xml").write_text("mine")
    done = hactl("import", GOLDEN, "-o", tmp_path)
    assert (done.returncode, "HA286" in done.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["residue.xml"]
    assert (tmp_path / "residue.xml").read_text() == "mine"


def test_a_rehearsal_writes_nothing_and_tells_all(tmp_path: Path) -> None:
    done = hactl("import", GOLDEN, "-o", tmp_path / "made", "--dry-run", "--json")
    told = json.loads(done.stdout)
    assert (told["format"], told["written"], told["counts"]["kept"]) == (1, False, 9)
    assert {"section", "id", "element", "fate", "why"} == set(told["elements"][0])
    assert not (tmp_path / "made").exists()


def test_without_a_place_to_write_the_spec_is_printed(tmp_path: Path) -> None:
    done = hactl("import", GOLDEN, shell=f'cd {tmp_path} && "$@"')
    assert done.stdout.startswith("# Imported by hactl import")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "HA280"),
        (b"\x00" * 1000, "HA280"),
        (b"<cib", "HA280"),
        (b"<html/>", "HA242"),
        (b"<cib/>", "HA242"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><cib><configuration/></cib>', "HA280"),
        ('<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE cib><cib><configuration/></cib>'.encode("utf-16"), "HA280"),
        (b'<?xml version="1.0" encoding="klingon"?><cib><configuration/></cib>', "HA280"),
        (b"<cib><configuration>" + b"<a>" * 220 + b"</a>" * 220 + b"</configuration></cib>", "HA280"),
        (b'<cib crm_feature_set="3.99.0" validate-with="pacemaker-3.9"><configuration/></cib>', "HA281"),
        (b'<cib crm_feature_set="3.16.1" validate-with="pacemaker-4.0"><configuration/></cib>', "HA281"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_no_cib_of_ours_is_a_problem(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "cib.xml").write_bytes(content)
    done = hactl("import", tmp_path / "cib.xml", "-o", tmp_path / "made")
    assert (done.returncode, code in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("arguments", [["nowhere.xml"], ["/dev/zero"], ["."], [str(GOLDEN), "--domains", "nowhere"]])
def test_a_file_that_cannot_be_read_is_a_problem(arguments: list[str]) -> None:
    done = hactl("import", *arguments)
    assert (done.returncode, "HA285" in done.stderr) == (1, True), done.stderr


OLD = """<cib crm_feature_set="3.0.5" validate-with="pacemaker-{schema}" epoch="5" num_updates="0" admin_epoch="0">
 <configuration>
  <crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="o" name="stonith-enabled" value="true"/>
   <nvpair id="s" name="default-resource-stickiness" value="100"/></cluster_property_set></crm_config>
  <nodes><node id="1" uname="a" type="normal"/><node id="2" uname="b" type="normal"/></nodes>
  <resources><primitive id="p" class="ocf" provider="pacemaker" type="Stateful"><operations>
   <op id="m" name="monitor" interval="10" requires="quorum"/></operations></primitive></resources>
  <constraints/>
 </configuration><status/></cib>"""


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("cibadmin") is None, reason="needs Pacemaker's cibadmin")
@pytest.mark.parametrize("schema", ["1.2", "2.0", "2.5"])
def test_a_cib_of_an_old_pacemaker_is_imported_in_todays_words(tmp_path: Path, schema: str) -> None:
    (tmp_path / "old.xml").write_text(OLD.format(schema=schema))
    done = hactl("import", tmp_path / "old.xml", "-o", tmp_path / "made")
    assert done.returncode == 0, done.stderr
    spec = (tmp_path / "made" / "cluster.toml").read_text()
    assert "stickiness = 100" in spec, "what was a property is a default of resources now"
    assert "default-resource-stickiness" not in spec
    assert (tmp_path / "old.xml").read_text() == OLD.format(schema=schema), "the file itself is not touched"


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("cibadmin") is None, reason="needs Pacemaker's cibadmin")
def test_an_old_cib_that_breaks_its_own_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.xml").write_text(OLD.format(schema="1.2").replace("<constraints/>", "<nonsense/>"))
    done = hactl("import", tmp_path / "old.xml")
    assert (done.returncode, "HA284" in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr

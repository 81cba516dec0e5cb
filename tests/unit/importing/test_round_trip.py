"""What hactl compiled it also imports: compile(import(compile(s))) is compile(s), whatever the spec says."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from lxml import etree

from hacluster import spec
from hacluster.cib import compare, names, reading
from hacluster.cib.compile import FEATURE_SET, compile
from hacluster.cib.templates import Library, shipped_directory
from hacluster.importing import Imported, Sources, import_cib
from hacluster.model import Cluster
from tests.depth import examples
from tests.unit.cib import test_random
from tests.unit.importing import wishes

LIBRARY = Library([shipped_directory()])
EXAMPLES = Path(__file__).parents[3] / "examples"


def domains(cluster: Cluster) -> dict[str, bytes]:
    """The nodes' domain files."""
    made = {}
    for vm in cluster.vms:
        path = names.domain_file(vm.name, hashlib.sha256(vm.domain_xml).hexdigest(), vm.agent)
        made[path.rsplit("/", 1)[-1]] = vm.domain_xml
    return made


def imported(cluster: Cluster, known: dict[str, bytes]) -> Imported:
    return import_cib(reading.read(compile(cluster, LIBRARY), "cib", FEATURE_SET), Sources(known), LIBRARY)


def again(made: Imported) -> Cluster:
    """The cluster that the files of an import describe, loaded as `hactl` loads it."""
    with TemporaryDirectory() as folder:
        for name, content in made.files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return spec.load(Path(folder) / "cluster.toml", spec.ACCEPTABLE)


@given(wishes.tables())
@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
def test_import_is_the_inverse_of_compile(wish: dict[str, Any]) -> None:
    cluster = wishes.cluster(wish)
    assume(cluster is not None)
    assert cluster is not None
    first = compile(cluster, LIBRARY)
    made = imported(cluster, domains(cluster))
    kept = [fate for fate in made.fates if fate.fate != "owned"]
    event(f"{len(cluster.vms)} VMs, {len(kept)} not owned")
    assert kept == []
    assert compile(again(made), LIBRARY) == first


@given(test_random.specs())
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_stack_every_kind_of_node_is_the_specs_again(wish: dict[str, Any]) -> None:
    """The order of what is compiled follows the spec's, which a CIB does not always tell: not byte for byte."""
    cluster = test_random.cluster(wish)
    made = imported(cluster, domains(cluster))
    assert [fate for fate in made.fates if fate.fate != "owned"] == []
    first, second = (reading.read(compile(each, LIBRARY), "cib", FEATURE_SET) for each in (cluster, again(made)))
    assert compare.differences(first, second) == ()


@given(wishes.tables())
@settings(
    max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
def test_without_the_domain_files_the_vms_are_kept_and_nothing_changes(wish: dict[str, Any]) -> None:
    cluster = wishes.cluster(wish)
    assume(cluster is not None)
    assert cluster is not None
    first = reading.read(compile(cluster, LIBRARY), "cib", FEATURE_SET)
    made = imported(cluster, {})
    kept = {fate.entry.key for fate in made.fates if fate.fate == "kept"}
    assert {vm.name for vm in cluster.vms} <= kept
    second = reading.read(compile(again(made), LIBRARY), "cib", FEATURE_SET)
    assert compare.differences(first, second) == ()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_come_back(path: Path) -> None:
    cluster = spec.load(path, spec.ACCEPTABLE)
    made = imported(cluster, domains(cluster))
    assert made.count("kept") == made.count("withheld") == 0
    first, second = (reading.read(compile(each, LIBRARY), "cib", FEATURE_SET) for each in (cluster, again(made)))
    assert compare.differences(first, second) == ()
    if path.stem in ("kvm-cluster", "kvm-cluster-clvmd", "lab"):
        assert compile(again(made), LIBRARY) == compile(cluster, LIBRARY)


def test_what_the_spec_says_of_the_proof_of_fencing_comes_back_and_the_proofs_stay() -> None:
    cluster = replace(spec.load(EXAMPLES / "lab.toml"), fencing_proof_age=7200)
    cib = reading.read(compile(cluster, LIBRARY), "cib", FEATURE_SET)
    kept = etree.SubElement(cib.find("configuration/crm_config"), "cluster_property_set", id=names.FENCING_SET)
    etree.SubElement(kept, "nvpair", id="p", name=f"{names.FENCED_PREFIX}n1", value="proven 1 x ipmi-n1")
    back = again(import_cib(cib, Sources(domains(cluster)), LIBRARY))
    assert (back.fencing_proof, back.fencing_proof_age) == ("waived", 7200)
    assert not any(name.startswith("hacluster-fenc") for name in back.properties)

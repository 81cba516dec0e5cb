"""The push as a compare-and-set: one contract, on a CIB in a file and on a real cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from hacluster.edge.pacemaker import PacemakerTools
from hacluster.ports import Completed, Conflict, Pacemaker
from tests import scheduler
from tests.fileworld import FileWorld
from tests.lab.conftest import fresh_lab


class BedRunner:
    """Commands in the nodes of a lab."""

    def __init__(self, bed: Any) -> None:
        self._bed = bed

    def run(self, node: str, argv: Any, *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        done = self._bed.exec(node, list(argv), timeout=deadline, stdin=stdin.decode())
        return Completed(done.returncode, done.stdout.encode(), done.stderr.encode())

    def put(self, node: str, files: Any) -> None:
        raise NotImplementedError


def on_a_file(tmp_path: Path) -> Iterator[Pacemaker]:
    from tests.unit.apply.test_written import blank

    yield FileWorld(tmp_path / "cib.xml", blank()).pacemaker


def on_a_cluster(tmp_path: Path) -> Iterator[Pacemaker]:
    del tmp_path
    for bed in fresh_lab("p"):
        yield PacemakerTools(BedRunner(bed), "n1")


@pytest.fixture(
    params=[
        pytest.param(on_a_file, marks=scheduler.needs_tools, id="file"),
        pytest.param(on_a_cluster, marks=[pytest.mark.lab, pytest.mark.root], id="cluster"),
    ],
    scope="module",
)
def pacemaker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacemaker]:
    yield from request.param(tmp_path_factory.mktemp("cib"))


def read(pacemaker: Pacemaker) -> etree._Element:
    return etree.fromstring(pacemaker.cib())


def with_property(cib: etree._Element, name: str, value: str) -> bytes:
    config = cib.find("configuration/crm_config")
    found = config.find(f"cluster_property_set[@id='set-{name}']")
    if found is not None:
        config.remove(found)
    made = etree.SubElement(config, "cluster_property_set", id=f"set-{name}")
    etree.SubElement(made, "nvpair", id=f"pair-{name}", name=name, value=value)
    text: bytes = etree.tostring(cib)
    return text


def value(pacemaker: Pacemaker, name: str) -> str | None:
    found = read(pacemaker).find(f".//nvpair[@id='pair-{name}']")
    return None if found is None else str(found.get("value"))


def pushed(pacemaker: Pacemaker, make: Callable[[etree._Element], bytes]) -> None:
    """A push that must get through: the status of a real cluster may change in between."""
    for _ in range(20):
        try:
            pacemaker.replace(make(read(pacemaker)))
        except Conflict:
            continue
        return
    raise AssertionError("the cluster never held still")


def test_a_push_of_what_was_read_is_taken_and_counts_as_one_change(pacemaker: Pacemaker) -> None:
    before = int(read(pacemaker).get("epoch"))
    pushed(pacemaker, lambda cib: with_property(cib, "one", "1"))
    assert value(pacemaker, "one") == "1"
    assert int(read(pacemaker).get("epoch")) == before + 1


def test_a_push_of_what_was_read_before_somebody_elses_change_is_refused(pacemaker: Pacemaker) -> None:
    old = read(pacemaker)
    pushed(pacemaker, lambda cib: with_property(cib, "two", "theirs"))
    with pytest.raises(Conflict):
        pacemaker.replace(with_property(old, "one", "2"))
    assert value(pacemaker, "two") == "theirs"
    assert value(pacemaker, "one") == "1"


def test_the_same_push_a_second_time_is_refused(pacemaker: Pacemaker) -> None:
    cib = read(pacemaker)
    pushed(pacemaker, lambda live: with_property(live, "three", "1"))
    with pytest.raises(Conflict):
        pacemaker.replace(with_property(cib, "three", "1"))


def test_what_one_run_of_the_scheduler_tells_is_what_three_tools_tell(pacemaker: Pacemaker) -> None:
    told = pacemaker.foresee(pacemaker.cib())
    assert b"<pacemaker-result" in told.actions
    assert told.graph.lstrip().startswith(b"<transition_graph")
    assert told.errors == pacemaker.verify(pacemaker.cib())


def test_what_pacemaker_does_not_take_is_told_by_both(pacemaker: Pacemaker) -> None:
    cib = read(pacemaker)
    etree.SubElement(cib.find("configuration/constraints"), "rsc_location", id="x", rsc="gone", node="n1", score="1")
    told = pacemaker.foresee(etree.tostring(cib))
    assert told.actions == b""
    assert any("gone" in sentence for sentence in told.errors)
    assert set(told.errors) <= set(pacemaker.verify(etree.tostring(cib)))

"""CIBs that others wrote: each is imported without loss, says what the spec does not own, or is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from hacluster.cib import compare, reading
from hacluster.cib.compile import FEATURE_SET
from hacluster.cib.residue import lay_over, parse
from hacluster.importing import Imported, Sources, import_cib
from hacluster.importing.proposal import propose
from hacluster.importing.view import view
from hacluster.problems import Refused
from tests.corpus import CIBS, needs_corpus
from tests.unit.importing.test_round_trip import LIBRARY

ANY = "99.0.0"
"""A feature set that nothing is newer than: what is refused only for its age has to be sound all the same."""

pytestmark = needs_corpus


def imported(path: Path) -> tuple[etree._Element, Imported]:
    cib = reading.read(path.read_bytes(), path.name, ANY, "pacemaker-9.0")
    return cib, import_cib(cib, Sources(), LIBRARY, origin=path.name)


@pytest.mark.parametrize("path", CIBS, ids=lambda path: path.stem)
def test_nothing_is_lost(path: Path) -> None:
    cib, made = imported(path)
    _, compiled = propose(view(cib), Sources(), LIBRARY)
    again = lay_over(compiled, parse(made.files["residue.xml"]))
    assert compare.differences(again, cib) == ()
    # Independent of how compare finds its elements: every resource and constraint is there once, under its id.
    for section in ("resources", "constraints"):
        ids = sorted(each.get("id") for each in cib.findall(f"configuration/{section}/*"))
        assert sorted(each.get("id") for each in again.findall(f"configuration/{section}/*")) == ids


@pytest.mark.parametrize("path", CIBS, ids=lambda path: path.stem)
def test_what_is_not_owned_is_said_with_a_reason(path: Path) -> None:
    cib, made = imported(path)
    told = {(fate.entry.section, fate.entry.key) for fate in made.fates if fate.fate != "withheld"}
    assert told == {(section, compare.key(section, each)) for section, each in compare.sections(cib)}
    assert all(fate.why for fate in made.fates if fate.fate != "owned")


@pytest.mark.parametrize("path", CIBS, ids=lambda path: path.stem)
def test_one_that_is_newer_is_refused_by_name(path: Path) -> None:
    newer = tuple(map(int, etree.parse(str(path)).getroot().get("crm_feature_set", "0").split("."))) > (3, 16, 1)
    if not newer:
        reading.read(path.read_bytes(), path.name, FEATURE_SET)
        return
    with pytest.raises(Refused) as no:
        reading.read(path.read_bytes(), path.name, FEATURE_SET)
    assert [problem.code for problem in no.value.problems] == ["HA281"]

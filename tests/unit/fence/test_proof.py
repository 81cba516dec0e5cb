"""The record of a fence test: what it says, when it counts, and what follows when it does not."""

from __future__ import annotations

import pytest
from lxml import etree

from hacluster import fencing_proof
from hacluster.cib import fence_devices, merge, names
from hacluster.cib.compile import compile_element
from hacluster.fencing_proof import PREFIX, SET, Proof, Standing
from hacluster.model import FENCING_PROOF_AGE as DEFAULT_AGE
from hacluster.problems import errors
from tests.unit.cib import clusters as models
from tests.unit.fence.clusters import cib

NOW = 1_800_000_000
LEVELS = '<fencing-topology><fencing-level id="f" target="n1" index="1" devices="ipmi-n1,pdu"/></fencing-topology>'


def remember(root: etree._Element, *proofs: Proof, **properties: str) -> etree._Element:
    """The CIB with these records in it, as crm_attribute writes them."""
    kept = etree.SubElement(root.find("./configuration/crm_config"), "cluster_property_set", id=SET)
    pairs = {**{proof.name: proof.value for proof in proofs}, **properties}
    for name, value in pairs.items():
        etree.SubElement(kept, "nvpair", id=f"{SET}-{name}", name=name, value=value)
    return root


def proof(root: etree._Element, node: str = "n3", at: int = NOW, lied: bool = False) -> Proof:
    known = fence_devices.devices(root)
    return Proof(node, at, fencing_proof.first_level(root, node, known), fencing_proof.digest(root, node, known), lied)


def word(root: etree._Element, node: str = "n3", now: float | None = NOW) -> str:
    (standing,) = fencing_proof.standings(root, [node], now)
    return standing.word


@pytest.mark.parametrize("lied", [False, True])
def test_what_is_written_is_read_back(lied: bool) -> None:
    made = proof(cib(LEVELS), "n1", lied=lied)
    assert made.devices == ("ipmi-n1", "pdu")
    assert fencing_proof.read(remember(cib(LEVELS), made)) == {"n1": made}


@pytest.mark.parametrize(
    ("name", "value"),
    [(f"{PREFIX}n3", "proven soon abc ipmi-n3"), (f"{PREFIX}n3", "proven 5 abc"), (f"{PREFIX}n3", ""),
     (f"{PREFIX}n3", "perhaps 5 abc ipmi-n3"), ("other", "proven 5 abc ipmi-n3")],
)  # fmt: skip
def test_a_damaged_record_is_none(name: str, value: str) -> None:
    assert fencing_proof.read(remember(cib(), **{name: value})) == {}


def test_a_proof_grows_old() -> None:
    root = remember(cib(), proof(cib()))
    assert [word(root, now=NOW + late) for late in (0, DEFAULT_AGE, DEFAULT_AGE + 1)] == ["proven", "proven", "old"]
    assert word(root, now=None) == "proven"
    shorter = remember(cib(), proof(cib()), **{names.FENCING_PROOF_AGE: "60"})
    assert (word(shorter, now=NOW + 60), word(shorter, now=NOW + 61)) == ("proven", "old")


def test_a_proof_counts_for_the_devices_as_they_were_set_up() -> None:
    root = remember(cib(), proof(cib()))
    root.find(".//nvpair[@id='n3-p']").set("value", "10.0.0.99")
    assert word(root) == "changed"
    leveled = LEVELS.replace('target="n1"', 'target="n3"').replace("ipmi-n1", "ipmi-n3")
    assert word(remember(cib(leveled), proof(cib()))) == "changed"


def test_a_lie_stays_until_the_device_is_changed_or_proven() -> None:
    root = remember(cib(), proof(cib(), lied=True))
    assert (word(root), word(cib())) == ("lied", "never")
    root.find(".//nvpair[@id='n3-p']").set("value", "10.0.0.99")
    assert word(root) == "changed"


def test_no_vm_is_added_where_fencing_is_not_proven_unless_the_risk_is_named() -> None:
    root = remember(cib(), proof(cib(), "n1"), proof(cib(), "n2"))
    (found,) = fencing_proof.risks(fencing_proof.standings(root, ["n1", "n2", "n3"], NOW), waived=False)
    assert (found.code, "n3" in found.message, "n1" in found.message) == ("HA540", True, False)
    assert "--accept HA540" in found.remedy
    assert not errors([found], frozenset({"HA540"}))


def test_a_proof_that_is_only_old_refuses_nothing() -> None:
    root = remember(cib(), *(proof(cib(), node, at=1) for node in ("n1", "n2", "n3")))
    assert fencing_proof.risks(fencing_proof.standings(root, ["n1", "n2", "n3"], NOW), waived=False) == ()


def test_a_device_that_lied_is_a_risk_that_nobody_may_take() -> None:
    found = fencing_proof.risks(
        fencing_proof.standings(remember(cib(), proof(cib(), lied=True)), ["n3"], NOW), waived=True
    )
    assert [p.code for p in errors(found, frozenset({"HA540", "HA542"}))] == ["HA542"]


@pytest.mark.parametrize(
    ("standing", "expected"),
    [("proven", []), ("never", []), ("old", [("HA541", "warning")]), ("changed", [("HA541", "warning")]),
     ("lied", [("HA542", "error")])],
)  # fmt: skip
def test_status_says_what_no_longer_counts(standing: fencing_proof.Word, expected: list[tuple[str, str]]) -> None:
    kept = None if standing == "never" else proof(cib())
    found = list(fencing_proof.findings([Standing("n3", standing, kept)]))
    assert [(p.code, p.severity) for p in found] == expected


def test_applying_a_spec_leaves_the_records_alone() -> None:
    live = remember(compile_element(models.cluster()), Proof("n1", 1, ("d",), "x"))
    merged = merge.merge(live, compile_element(models.cluster(stickiness=5)))
    assert merged.changes
    assert fencing_proof.read(merged.cib) == {"n1": Proof("n1", 1, ("d",), "x")}

"""The list of fence devices: targets with their level, who may use each, where it runs, and its proof."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from hacluster import fencing_proof
from hacluster.cli.cluster import proven
from hacluster.fences import listing
from hacluster.fencing_proof import Proof, Standing
from hacluster.observe import FenceView
from hacluster.rehearsal import Looked
from tests.unit.fence.clusters import cib, seen

LEVELS = """<fencing-topology><fencing-level id="a" target="n1" index="1" devices="ipmi-n1"/>
<fencing-level id="b" target="n1" index="2" devices="pdu"/></fencing-topology>"""


def looked(*standings: Standing, failed: bool = False) -> Looked:
    views = (FenceView("ipmi-n1", "fence_ipmilan", ("n1",), ("n2",), failed),)
    return cast(Looked, SimpleNamespace(cib=cib(LEVELS), seen=replace(seen(), fencing=views, proven=standings)))


def test_every_device_has_its_targets_levels_and_users() -> None:
    rows = {row.device.name: row for row in listing.rows(looked())}
    assert [(each.node, each.level) for each in rows["ipmi-n1"].targets] == [("n1", 1)]
    assert [(each.node, each.level) for each in rows["pdu"].targets] == [("n1", 2), ("n2", None)]
    assert (rows["ipmi-n1"].users, rows["pdu"].users) == (("n2", "n3"), ("n1", "n2", "n3"))
    assert (rows["ipmi-n1"].runs, rows["pdu"].runs) == ("n2", "nowhere")
    assert listing.rows(looked(failed=True))[0].runs == "failed on n2"


def test_a_device_that_the_levels_leave_out_fences_nobody_there() -> None:
    other = cib(LEVELS.replace('devices="pdu"', 'devices="ipmi-n1"'))
    rows = listing.rows(cast(Looked, SimpleNamespace(cib=other, seen=seen())))
    assert [each.node for row in rows if row.device.name == "pdu" for each in row.targets] == ["n2"]


def test_only_the_devices_of_the_proof_are_proven() -> None:
    view = looked(Standing("n1", "proven", Proof("n1", 86_400 * 365, ("ipmi-n1",), "x")), Standing("n2", "never"))
    told = {each["name"]: each["targets"] for each in listing.to_json(view)["devices"]}  # type: ignore[attr-defined]
    assert told["ipmi-n1"] == [{"node": "n1", "level": 1, "proven": "proven", "at": 86_400 * 365}]
    assert [each["proven"] for each in told["pdu"]] == ["never", "never"]
    assert proven(view.seen, "ipmi-n1", ["n1"]).startswith("197")
    assert "never" in proven(view.seen, "pdu", ["n1", "n2"])


def test_what_is_wrong_with_a_proof_is_said_with_its_day() -> None:
    for word in fencing_proof.Word.__args__:  # type: ignore[attr-defined]
        shown = proven(looked(Standing("n1", word, Proof("n1", 0, ("ipmi-n1",), "x"))).seen, "ipmi-n1", ["n1"])
        assert "1970" in shown and (word == "proven" or word in shown)

"""The residue over a compiled CIB, and in a push: what is kept stays the cluster's, what is withheld is not made."""

from __future__ import annotations

from copy import deepcopy

import pytest
from lxml import etree

from hacluster.cib import compare
from hacluster.cib import compile as compiler
from hacluster.cib.merge import merge, owned
from hacluster.cib.residue import Entry, between, for_vms, lay_over, parse
from hacluster.problems import Refused
from tests.unit.cib import clusters
from tests.unit.importing.test_round_trip import LIBRARY


def compiled(**changes: object) -> etree._Element:
    return compiler.compile_element(clusters.cluster(**changes), LIBRARY)


def another_hand(cib: etree._Element) -> etree._Element:
    """A cluster that is nearly the compiled one: a resource more, one VM changed, one constraint less."""
    theirs = deepcopy(cib)
    resources = theirs.find("configuration/resources")
    resources.append(etree.fromstring('<primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2"/>'))
    vm = resources.find("primitive[@type='VirtualDomain']")
    vm.find("operations/op[@name='monitor']").set("timeout", "77s")
    constraint = theirs.find("configuration/constraints/rsc_order")
    constraint.getparent().remove(constraint)
    return theirs


def test_the_residue_makes_one_from_the_other() -> None:
    mine = compiled()
    theirs = another_hand(mine)
    left = between(mine, theirs)
    assert {entry.key for entry, _ in left.kept} == {"ip", theirs.find(".//primitive[@type='VirtualDomain']").get("id")}
    assert len(left.withheld) == 1
    assert compare.differences(lay_over(mine, parse(left.as_bytes())), theirs) == ()


def test_what_the_residue_has_is_not_hactls() -> None:
    mine = compiled()
    left = between(mine, another_hand(mine))
    gone = {entry.key for entry, _ in left.kept} | {entry.key for entry in left.withheld}
    assert owned(lay_over(mine, left)) == owned(mine) - gone


def test_a_push_leaves_what_is_kept_as_the_cluster_has_it() -> None:
    mine = compiled()
    theirs = another_hand(mine)
    desired = lay_over(mine, between(mine, theirs))
    merged = merge(theirs, desired)
    assert compare.differences(merged.cib, theirs) == ()
    changed = deepcopy(theirs)
    changed.find(".//primitive[@id='ip']").set("description", "somebody's own")
    assert merge(changed, desired).cib.find(".//primitive[@id='ip']").get("description") == "somebody's own"


def test_without_the_residue_the_same_push_is_refused() -> None:
    theirs = another_hand(compiled())
    theirs.find(".//cluster_property_set[@id='hacluster']/nvpair").set("value", "")
    with pytest.raises(Refused) as no:
        merge(theirs, compiled())
    assert {problem.code for problem in no.value.problems} == {"HA240"}


def test_an_entry_that_is_taken_out_becomes_the_specs() -> None:
    mine = compiled()
    theirs = another_hand(mine)
    left = between(mine, theirs)
    vm = next(entry for entry, _ in left.kept if entry.key != "ip")
    rest = left.without([vm])
    assert [entry.key for entry, _ in rest.kept] == ["ip"]
    assert compare.differences(lay_over(mine, rest), theirs)[0].id == vm.key


def test_what_is_kept_of_hactls_own_is_given_up_and_stays() -> None:
    mine = compiled()
    vm = mine.find(".//primitive[@type='VirtualDomain']")
    theirs = deepcopy(mine)
    theirs.find(f".//primitive[@id='{vm.get('id')}']/operations/op").set("timeout", "1h")
    assert vm.get("id") in owned(theirs)
    merged = merge(theirs, lay_over(mine, between(mine, theirs)))
    assert compare.differences(merged.cib, theirs) == ()
    assert vm.get("id") not in owned(merged.cib)


def test_one_property_is_kept_without_its_set() -> None:
    mine = compiled()
    theirs = deepcopy(mine)
    theirs.find(".//nvpair[@name='no-quorum-policy']").set("value", "stop")
    left = between(mine, theirs)
    assert [entry for entry, _ in left.kept] == [Entry("crm_config", "property:no-quorum-policy")]
    over = lay_over(mine, parse(left.as_bytes()))
    assert [p.get("value") for p in over.iterfind(".//nvpair[@name='no-quorum-policy']")] == ["stop"]


def test_what_a_vm_needs_to_be_the_specs_comes_out_of_the_residue_and_nothing_else() -> None:
    """A cluster without anything of the guard: only what can stand without it is freed."""
    mine = compiled()
    vm = mine.find(".//primitive[@type='VirtualDomain']").get("id")
    theirs = deepcopy(mine)
    theirs.find(f".//primitive[@id='{vm}']").set("provider", "heartbeat")
    tags = [tag for tag in mine.findall(".//tags/tag") if tag.find(f"obj_ref[@id='{vm}']") is not None]
    for each in (*theirs.findall(".//tags/tag"), *theirs.findall(".//constraints/*")):
        if each.get("id") in {tag.get("id") for tag in tags} or "vm-on" in str(dict(each.attrib)):
            each.getparent().remove(each)
    left = between(mine, theirs)
    freed = {entry.key for entry in for_vms(mine, left, [vm])}
    assert vm in freed
    assert {tag.get("id") for tag in tags} <= freed
    assert {entry.key for entry in left.withheld} == freed - {vm}, "everything that it hangs on is there"
    storage = next(clone for clone in theirs.findall(".//resources/clone") if clone.get("id") != "dlm-clone")
    storage.getparent().remove(storage)
    gone = {entry.key for entry in for_vms(mine, between(mine, theirs), [vm])}
    assert not any(storage.get("id") in key for key in gone), "no constraint would refer to what is not there"

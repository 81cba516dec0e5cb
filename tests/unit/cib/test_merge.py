"""A live CIB and a desired one in; the CIB to push and what it changes out."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from hacluster import model
from hacluster.cib import compile as compiler
from hacluster.cib.difference import Change
from hacluster.cib.merge import Merged, merge, owned
from hacluster.cib.templates import Library, shipped_directory
from hacluster.problems import Refused
from tests.depth import examples
from tests.unit.cib import clusters

LIBRARY = Library([shipped_directory()])

# What a cluster of pcs and Pacemaker has before hactl comes: a seeded property, and a resource of the admin's.
FRESH = b"""<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="7" num_updates="3" admin_epoch="1">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="cib-bootstrap-options-dc-deadtime" name="dc-deadtime" value="2s"/>
        <nvpair id="cib-bootstrap-options-cluster-name" name="cluster-name" value="lab"/>
      </cluster_property_set>
    </crm_config>
    <nodes><node id="1" uname="n1"><instance_attributes id="nodes-1"><nvpair id="s" name="standby" value="on"/>
      </instance_attributes></node><node id="2" uname="n2"/></nodes>
    <resources><!-- by hand --><primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2"/></resources>
    <constraints><rsc_location id="ip-on-n1" rsc="ip" node="n1" score="10"/></constraints>
    <rsc_defaults><meta_attributes id="build-resource-defaults">
      <nvpair id="build-resource-stickiness" name="resource-stickiness" value="1"/></meta_attributes></rsc_defaults>
  </configuration>
  <status><node_state id="1" uname="n1" crmd="online"/></status>
</cib>"""


def desired(**changes: object) -> etree._Element:
    return compiler.compile_element(clusters.cluster(**changes), LIBRARY)


def live(**changes: object) -> etree._Element:
    """The cluster after an apply."""
    return merge(FRESH, desired(**changes)).cib


def edited(cib: etree._Element, section: str, *elements: str) -> etree._Element:
    """A live CIB into whose section somebody else wrote."""
    copy = deepcopy(cib)
    found = copy.find(f"configuration/{section}")
    if found is None:
        found = etree.SubElement(copy.find("configuration"), section)
    found.extend(etree.fromstring(text) for text in elements)
    return copy


def summary(merged: Merged) -> set[tuple[str, str]]:
    return {(change.kind, change.id) for change in merged.changes}


def refusals(cib: etree._Element | bytes, wanted: etree._Element) -> set[tuple[str, str]]:
    with pytest.raises(Refused) as refused:
        merge(cib, wanted)
    return {(problem.code, problem.where) for problem in refused.value.problems}


def test_a_first_apply_adds_everything_and_keeps_what_is_there() -> None:
    merged = merge(FRESH, desired())
    assert {change.kind for change in merged.changes} == {"add", "adopt"}
    for id_ in ("ip", "ip-on-n1", "build-resource-defaults", "cib-bootstrap-options-dc-deadtime"):
        assert merged.cib.xpath(f"//*[@id='{id_}']"), id_
    assert merged.cib.xpath("//resources/primitive[@id='web']")


def test_version_attributes_nodes_and_status_are_the_live_ones() -> None:
    merged, before = merge(FRESH, desired()).cib, etree.fromstring(FRESH)
    assert dict(merged.attrib) == dict(before.attrib)
    for section in ("configuration/nodes", "status"):
        kept, was = merged.find(section), before.find(section)
        assert [dict(e.attrib) for e in kept.iter()] == [dict(e.attrib) for e in was.iter()]


def test_a_second_apply_has_nothing_to_do() -> None:
    once = live()
    etree.indent(once, space="\t")  # not as hactl writes it: even the blank space is left alone
    again = merge(once, desired())
    assert again.changes == ()
    assert etree.tostring(again.cib) == etree.tostring(once)


def test_an_equal_property_is_adopted() -> None:
    assert Change("adopt", "crm_config", "cluster-name") in merge(FRESH, desired()).changes
    assert "property:cluster-name" in owned(live())


def test_a_changed_vm_is_changed_in_place() -> None:
    before = edited(live(), "resources", '<primitive id="last" class="ocf" provider="pacemaker" type="Dummy"/>')
    merged = merge(before, desired(vms=(clusters.vm("web", "shared", stop_budget=30),)))
    assert merged.changes == (Change("change", "resources", "web", (("stop_budget", "120", "30"),)),)
    order = [e.get("id") for e in merged.cib.find("configuration/resources") if isinstance(e.tag, str)]
    assert order == [e.get("id") for e in before.find("configuration/resources") if isinstance(e.tag, str)]


def test_an_operations_timeout_is_told_by_the_operations_name() -> None:
    merged = merge(live(), desired(vms=(clusters.vm("web", "shared", stop_budget=600),)))
    assert ("stop timeout", "180s", "660s") in merged.changes[0].facts


def test_a_vm_that_left_the_spec_is_removed_with_all_that_was_its() -> None:
    two = (clusters.vm("web", "shared"), clusters.vm("db", "shared", placement=model.Placement({"n1": 5})))
    merged = merge(live(vms=two), desired())
    assert summary(merged) == {("remove", "db"), ("remove", "db-prefers-n1"), ("change", "vm-on-shared")}
    assert not merged.cib.xpath("//*[@id='db']")


def test_only_owned_things_are_removed() -> None:
    nothing = desired(vms=(), storages=(), fence_devices=())
    merged = merge(live(), nothing)
    assert merged.cib.xpath("//primitive[@id='ip']")
    assert merged.cib.xpath("//nvpair[@name='dc-deadtime']")
    assert not merged.cib.xpath("//primitive[@id='web']")


def test_a_property_that_left_the_spec_is_removed() -> None:
    merged = merge(live(properties={"stonith-timeout": "120s"}), desired())
    assert merged.changes == (Change("remove", "crm_config", "stonith-timeout", (("value", "120s", "-"),)),)


def test_a_property_of_ours_that_drifted_is_set_right() -> None:
    drifted = live()
    drifted.xpath("//nvpair[@name='fence-reaction']")[0].set("value", "stop")
    assert merge(drifted, desired()).changes == (
        Change("change", "crm_config", "fence-reaction", (("value", "stop", "panic"),)),
    )


def test_a_property_that_somebody_else_set_otherwise_is_refused() -> None:
    text_ = FRESH.replace(b'name="cluster-name" value="lab"', b'name="no-quorum-policy" value="ignore"')
    assert refusals(text_, desired()) == {("HA240", "no-quorum-policy")}


@pytest.mark.parametrize(
    ("section", "element"),
    [
        ("resources", '<primitive id="web" class="ocf" provider="heartbeat" type="VirtualDomain"/>'),
        ("resources", '<group id="g"><primitive id="web" class="ocf" provider="pacemaker" type="Dummy"/></group>'),
        ("constraints", '<rsc_location id="web" rsc="ip" node="n1" score="1"/>'),
    ],
)
def test_an_id_that_is_somebody_elses_is_refused(section: str, element: str) -> None:
    assert ("HA240", "web") in refusals(edited(etree.fromstring(FRESH), section, element), desired())


def test_what_is_already_exactly_so_is_adopted() -> None:
    unowned = live()
    unowned.xpath("//nvpair[@name='hacluster-owned']")[0].set("value", "")
    merged = merge(unowned, desired())
    assert {change.kind for change in merged.changes} == {"adopt"}
    assert owned(merged.cib) == owned(live())


@pytest.mark.parametrize("name", ["target-role", "is-managed", "maintenance"])
def test_what_operators_set_at_run_time_stays(name: str) -> None:
    """As `pcs resource disable`, `unmanage` and `meta maintenance=true` write it."""
    running = live()
    for id_ in ("web", "shared-fs-clone", "dlm"):
        found = running.xpath(f"//*[@id='{id_}']/meta_attributes")
        etree.SubElement(found[0], "nvpair", id=f"{id_}-meta_attributes-{name}", name=name, value="x")
    assert merge(running, desired()).changes == ()
    other = clusters.vm("web", "shared", stop_budget=30)
    merged = merge(running, desired(vms=(other,)))
    assert merged.changes == (Change("change", "resources", "web", (("stop_budget", "120", "30"),)),)
    assert merged.cib.xpath(f"//primitive[@id='web']/meta_attributes/nvpair[@name='{name}']/@value") == ["x"]


def test_run_time_settings_survive_in_a_set_of_their_own() -> None:
    running = live()
    own = etree.SubElement(
        running.xpath("//primitive[@id='bmc-n1']")[0], "meta_attributes", id="bmc-n1-meta_attributes"
    )
    etree.SubElement(own, "nvpair", id="tr", name="target-role", value="Stopped")
    assert merge(running, desired()).changes == ()


def test_the_order_of_attributes_and_nvpairs_and_blank_space_say_nothing() -> None:
    shuffled = live()
    for nvset in shuffled.xpath("//primitive[@id='web']/instance_attributes"):
        nvset[:] = reversed(list(nvset))
    etree.indent(shuffled, space="\t")
    assert merge(shuffled, desired()).changes == ()


def test_a_moves_claim_is_kept() -> None:
    claimed = edited(live(), "constraints", '<rsc_location id="hactl-move-web" rsc="web" node="n2" score="INFINITY"/>')
    merged = merge(claimed, desired(stickiness=5))
    assert merged.cib.xpath("//rsc_location[@id='hactl-move-web']")


@pytest.mark.parametrize(
    ("section", "element", "command"),
    [
        ("constraints", '<rsc_location id="theirs" rsc="web" node="n2" score="1"/>', "pcs constraint delete theirs"),
        ("constraints", '<rsc_order id="theirs" first="shared-fs-clone" then="ip"/>', "pcs constraint delete theirs"),
        (
            "constraints",
            '<rsc_order id="theirs"><resource_set id="set"><resource_ref id="web"/></resource_set></rsc_order>',
            "pcs constraint delete",
        ),
        ("tags", '<tag id="theirs"><obj_ref id="web"/></tag>', "pcs tag remove theirs"),
    ],
)
def test_what_others_still_refer_to_is_not_removed(section: str, element: str, command: str) -> None:
    with pytest.raises(Refused) as refused:
        merge(edited(live(), section, element), desired(vms=(), storages=()))
    (problem,) = refused.value.problems
    assert problem.code == "HA241"
    assert problem.remedy.startswith(command)


def test_things_that_an_admin_deleted_and_the_spec_dropped_leave_the_manifest() -> None:
    stale = live(properties={"stonith-timeout": "120s"})
    gone = stale.xpath("//nvpair[@name='stonith-timeout']")[0]
    gone.getparent().remove(gone)
    merged = merge(stale, desired())
    assert summary(merged) == {("change", "hacluster-owned")}
    assert merge(merged.cib, desired()).changes == ()


@pytest.mark.parametrize("document", [b"<cib/>", b"<crm_mon><configuration/></crm_mon>", b"no xml"])
def test_what_is_no_cib_is_refused(document: bytes) -> None:
    assert {code for code, _ in refusals(document, desired())} == {"HA242"}


# -- laws

STORAGES = (
    clusters.gfs2("a"),
    clusters.gfs2("b", "clvmd"),
    model.Block("c", "/dev/c"),
    model.Directory("d", "/d", "/m"),
)
names = st.sampled_from(["web", "db", "mail", "dns"])
vms = st.builds(
    lambda name, on, budget, priority, prefer: clusters.vm(
        name, *on, stop_budget=budget, priority=priority, placement=model.Placement(prefer)
    ),
    names,
    st.sets(st.sampled_from("abcd"), max_size=2),
    st.sampled_from([10, 120, 900]),
    st.integers(0, 3),
    st.dictionaries(st.sampled_from(["n1", "n2", "n3"]), st.integers(1, 9), max_size=2),
)
specs = st.builds(
    lambda found, storages, properties, lock_manager, stickiness: clusters.cluster(
        vms=tuple({vm.name: vm for vm in found}.values()),
        storages=STORAGES,
        properties=properties,
        lock_manager=lock_manager,
        stickiness=stickiness,
    ),
    st.lists(vms, max_size=4),
    st.just(STORAGES),
    st.dictionaries(st.sampled_from(["stonith-timeout", "cluster-recheck-interval"]), st.just("60s")),
    st.sampled_from(["dlm", "external"]),
    st.integers(0, 5),
)
foreign = st.lists(
    st.sampled_from(
        [
            ("resources", '<primitive id="theirs-1" class="ocf" provider="pacemaker" type="Dummy"/>'),
            (
                "resources",
                '<clone id="theirs-2"><primitive id="x" class="ocf" provider="pacemaker" type="Dummy"/></clone>',
            ),
            ("constraints", '<rsc_location id="theirs-3" rsc="ip" node="n2" score="1"/>'),
            ("tags", '<tag id="theirs-4"><obj_ref id="ip"/></tag>'),
            ("fencing-topology", '<fencing-level id="theirs-5" target="n9" index="1" devices="ip"/>'),
            (
                "op_defaults",
                '<meta_attributes id="theirs-6"><nvpair id="y" name="timeout" value="9s"/></meta_attributes>',
            ),
            (
                "rsc_defaults",
                '<meta_attributes id="theirs-7"><nvpair id="z" name="priority" value="1"/></meta_attributes>',
            ),
        ]
    ),
    unique=True,
)


def compiled(cluster: model.Cluster) -> etree._Element:
    return compiler.compile_element(cluster, LIBRARY)


@settings(max_examples=examples(60), deadline=None)
@given(specs)
def test_law_the_same_spec_changes_nothing(cluster: model.Cluster) -> None:
    once = merge(FRESH, compiled(cluster)).cib
    assert merge(once, compiled(cluster)).changes == ()
    assert merge(compiled(cluster), compiled(cluster)).changes == ()


@settings(max_examples=examples(60), deadline=None)
@given(specs, specs, foreign)
def test_law_what_is_not_ours_survives_every_merge_unchanged_and_in_order(
    first: model.Cluster, second: model.Cluster, others: list[tuple[str, str]]
) -> None:
    cib = merge(FRESH, compiled(first)).cib
    for section, element in others:
        cib = edited(cib, section, element)
    merged = merge(cib, compiled(second)).cib

    def theirs(document: etree._Element) -> list[tuple[str, dict[str, str]]]:
        ours = owned(document)
        keep = [e for e in document.xpath("configuration/*[not(self::crm_config)]/*") if e.get("id") not in ours]
        return [(str(e.tag), dict(e.attrib)) for top in keep for e in top.iter(etree.Element)]

    assert theirs(merged) == theirs(cib)


@settings(max_examples=examples(60), deadline=None)
@given(specs, specs)
def test_law_the_way_does_not_matter(first: model.Cluster, second: model.Cluster) -> None:
    """Applying one spec and then another ends where applying the other alone ends."""
    direct = merge(FRESH, compiled(second))
    detour = merge(merge(FRESH, compiled(first)).cib, compiled(second))

    def ours(document: etree._Element) -> dict[str, int]:
        return {id_: len(document.xpath(f"//*[@id='{id_}' and not(self::obj_ref)]")) for id_ in owned(document)}

    assert owned(detour.cib) == owned(direct.cib)
    assert ours(detour.cib) == ours(direct.cib)
    assert merge(detour.cib, compiled(second)).changes == ()

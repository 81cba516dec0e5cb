"""Taking applies back, on a CIB in a file with Pacemaker's and pcs's own tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from hacluster import apply as applying
from hacluster import model
from hacluster.apply import record
from hacluster.cib import difference
from hacluster.problems import Refused, errors
from tests import scheduler
from tests.fileworld import FileWorld
from tests.unit.apply.test_written import TWO, Vault, applied, blank, push
from tests.unit.cib import clusters

pytestmark = scheduler.needs_tools

ONE = clusters.cluster(vms=TWO[:1])
BOTH = clusters.cluster(vms=TWO)
ANY = frozenset({"HA332", "HA333"})


@pytest.fixture
def world(tmp_path: Path) -> FileWorld:
    return FileWorld(tmp_path / "cib.xml", blank())


def plain(world: FileWorld) -> etree._Element:
    """The configuration without hactl's note of what is applied."""
    cib = etree.Element("cib")
    cib.append(difference.configuration(world.live()))
    return cib


def same(one: etree._Element, other: etree._Element) -> bool:
    owned = [difference.properties(cib).get("hacluster-owned", "") for cib in (one, other)]
    return difference.changes(one, other) == () and owned[0] == owned[1]


def undone(world: FileWorld, change: str = "", keep: frozenset[str] = frozenset()) -> applying.Prepared:
    prepared = applying.prepare_undo(world, change, keep)
    assert errors(prepared.problems, ANY) == ()
    push(world, prepared)
    return prepared


def test_an_undo_leads_back_and_the_undo_of_it_forth(world: FileWorld) -> None:
    applied(world, ONE)
    before = plain(world)
    applied(world, BOTH)
    after = plain(world)
    prepared = undone(world)
    assert {(c.kind, c.ident) for c in prepared.plan.changes} == {("remove", "db"), ("change", "vm-on-shared")}
    assert same(plain(world), before)
    undone(world)
    assert same(plain(world), after)
    assert applying.prepare(world, Vault(), BOTH).nothing


def test_after_an_undo_the_spec_differs_by_a_change_of_its_own(world: FileWorld) -> None:
    applied(world, ONE)
    applied(world, BOTH)
    undone(world)
    again = applying.prepare(world, Vault(), BOTH)
    assert again.plan.theirs == ()
    assert {(c.kind, c.ident) for c in again.plan.changes} == {("add", "db"), ("change", "vm-on-shared")}


def test_the_first_apply_can_be_taken_back_to_the_blank_cluster(world: FileWorld) -> None:
    before = plain(world)
    applied(world, ONE)
    prepared = applying.prepare_undo(world)
    assert {problem.code for problem in errors(prepared.problems)} == {"HA358"}, "it had no fence device then"
    push(world, prepared)
    found = plain(world)
    assert difference.changes(found, before) == ()
    assert "hacluster-owned" not in difference.properties(found)
    assert errors(applying.prepare_undo(world).problems) == ()
    undone(world)
    assert applying.prepare(world, Vault(), ONE).nothing


def test_what_others_did_since_stays(world: FileWorld) -> None:
    applied(world, ONE)
    applied(world, BOTH)
    world.types("pcs", "property", "set", "cluster-recheck-interval=11min")
    world.types("pcs", "resource", "meta", "web", "resource-stickiness=7")
    world.types("pcs", "property", "set", "no-quorum-policy=stop")
    world.types("pcs", "resource", "create", "theirs", "ocf:pacemaker:Dummy")
    undone(world)
    live = world.live()
    assert difference.properties(live)["no-quorum-policy"] == "stop", "also of a value that hactl set, but not then"
    assert difference.properties(live)["cluster-recheck-interval"] == "11min"
    assert live.xpath("//primitive[@id='web']/meta_attributes/nvpair[@name='resource-stickiness']/@value") == ["7"]
    assert live.xpath("//primitive[@id='theirs']")
    assert not live.xpath("//primitive[@id='db']")


def bigger(budget: int) -> model.Cluster:
    return clusters.cluster(vms=(clusters.vm("web", "shared", stop_budget=budget),))


@pytest.mark.parametrize("keep", [frozenset(), frozenset({"web"})])
def test_where_others_changed_the_very_value_it_is_a_conflict(world: FileWorld, keep: frozenset[str]) -> None:
    applied(world, bigger(200))
    applied(world, bigger(500))
    world.types("pcs", "resource", "update", "web", "stop_budget=77", "--force")
    prepared = applying.prepare_undo(world, "", keep)
    assert [problem.code for problem in errors(prepared.problems)] == ([] if keep else ["HA351"])
    assert [(t.applied, t.live, t.wanted) for t in prepared.plan.theirs] == [("500", "77", "200")]
    push(world, prepared)
    found = world.live().xpath("//nvpair[@name='stop_budget']/@value")
    assert found == (["77"] if keep else ["200"])


def test_what_others_made_stand_on_it_holds_it(world: FileWorld) -> None:
    applied(world, ONE)
    applied(world, BOTH)
    world.types("pcs", "constraint", "location", "db", "prefers", "n1=5")
    with pytest.raises(Refused) as no:
        applying.prepare_undo(world)
    assert [problem.code for problem in no.value.problems] == ["HA241"]


def test_domain_files_that_are_gone_from_the_nodes_come_back_with_the_configuration(world: FileWorld) -> None:
    def domain(text: str) -> model.Cluster:
        return clusters.cluster(vms=(clusters.vm("web", "shared", domain_xml=text.encode()),))

    def files() -> list[bytes]:
        return [c for (node, path), c in sorted(world.hosts.files.items()) if node == "n2" and "domains" in path]

    applied(world, domain("<domain>old</domain>"))
    applied(world, domain("<domain>new</domain>"))
    world.hosts.files = {key: value for key, value in world.hosts.files.items() if b"old" not in value}
    prepared = undone(world)
    assert {file.about for each in prepared.deliveries for file in each.files} == {"web"}
    assert files() == [b"<domain>old</domain>"]
    undone(world)
    assert files() == [b"<domain>new</domain>"]


def test_several_are_taken_back_at_once(world: FileWorld) -> None:
    applied(world, bigger(200))
    before = plain(world)
    applied(world, bigger(300))
    [_, second] = [entry.name for entry in applying.past_of(world)]
    assert second
    third = applying.past_of(world)[0].name
    world.types("pcs", "property", "set", "cluster-recheck-interval=11min")
    applied(world, bigger(400))
    undone(world, third[:8])
    found = plain(world)
    assert [(c.id, c.kind) for c in difference.changes(before, found)] == [("cluster-recheck-interval", "add")]
    assert applying.prepare(world, Vault(), bigger(200)).nothing


def test_the_list_tells_what_was_done_by_whom(world: FileWorld) -> None:
    assert applying.past_of(world) == ()
    applied(world, ONE)
    applied(world, BOTH)
    undone(world)
    entries = applying.past_of(world)
    found = [entry.record for entry in entries if entry.record is not None]
    assert len(found) == len(entries) == 3
    assert found[0].undoes == entries[1].name
    assert set(found[1].told) == {"change tag vm-on-shared", "add VM db"}
    assert all("@" in each.by for each in found)


def test_without_a_record_there_is_nothing_to_undo(world: FileWorld) -> None:
    for begin in (lambda: None, lambda: applied(world, ONE)):
        begin()
        world.hosts.files = {k: v for k, v in world.hosts.files.items() if not k[1].startswith(record.DIRECTORY)}
        with pytest.raises(Refused) as no:
            applying.prepare_undo(world)
        assert [problem.code for problem in no.value.problems] == ["HA357"]


def test_a_change_that_nobody_knows_is_refused(world: FileWorld) -> None:
    applied(world, ONE)
    with pytest.raises(Refused) as no:
        applying.prepare_undo(world, "ffff")
    assert [problem.code for problem in no.value.problems] == ["HA357"]

"""Another admin edits the cluster between plan and apply, or in the middle of an apply: what he did is never lost.

The CIB is a file, the edits and the pushes are made by Pacemaker's and pcs's own tools (see tests/fileworld.py); that
a real cluster refuses the same pushes is held by tests/contract/test_compare_and_set.py.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from hacluster import apply as applying
from hacluster.apply import planfile, run
from hacluster.apply.prepare import Prepared
from hacluster.cib import difference
from hacluster.problems import Refused
from tests import scheduler
from tests.depth import examples
from tests.fileworld import FileWorld
from tests.unit.apply.test_written import TWO, Vault, applied, blank, push
from tests.unit.cib import clusters

pytestmark = scheduler.needs_tools

BEFORE = clusters.cluster(vms=TWO)
AFTER = clusters.cluster(vms=(clusters.vm("web", "shared", stop_budget=500, priority=4), clusters.vm("new", "shared")))


@dataclass(frozen=True)
class Edit:
    """Sets an attribute of the nth element of a CIB that has it, takes the nth away, or adds something foreign."""

    how: str
    place: int
    value: str

    def make(self, cib: etree._Element) -> bool:
        """Whether it changed anything. It changes the CIB."""
        elements = [
            e for e in cib.iterfind("configuration//*[@id]") if e.tag not in ("node", "cib", "obj_ref", "resource_ref")
        ]
        if self.how == "set":
            pairs = [e for e in elements if e.tag in ("nvpair", "op") and e.getparent().get("id") != "hacluster"]
            chosen = pairs[self.place % len(pairs)]
            key = "value" if chosen.tag == "nvpair" else "timeout"
            changed = bool(chosen.get(key) != self.value)
            chosen.set(key, self.value)
            return changed
        if self.how == "remove":
            pairs = [e for e in elements if e.tag in ("nvpair", "op", "rsc_location", "rsc_order", "rsc_colocation")]
            pairs = [e for e in pairs if e.getparent().get("id") != "hacluster"]
            chosen = pairs[self.place % len(pairs)]
            chosen.getparent().remove(chosen)
            return True
        if self.how == "pair":
            sets = [e for e in elements if e.tag in ("meta_attributes", "instance_attributes")]
            chosen = sets[self.place % len(sets)]
            etree.SubElement(chosen, "nvpair", id=f"theirs-{self.place}", name="theirs", value=self.value)
            return True
        resources = cib.find("configuration/resources")
        etree.SubElement(
            resources,
            "primitive",
            {"id": f"theirs-{self.place}", "class": "ocf", "provider": "pacemaker", "type": "Dummy"},
        )
        return True


edits = st.builds(
    Edit,
    st.sampled_from(["set", "set", "remove", "pair", "resource"]),
    st.integers(0, 400),
    st.sampled_from(["7", "41s", "it's"]),
)


def edited(world: FileWorld, edit: Edit) -> None:
    """Somebody else pushes an edit of the whole CIB: as `cibadmin --replace` does, with a raised epoch."""
    cib = world.live()
    if not edit.make(cib):
        cib.find("configuration/resources").append(etree.Comment("nothing else"))
    cib.set("epoch", str(int(cib.get("epoch")) + 1))
    world.types("cibadmin", "--replace", "--xml-text", etree.tostring(cib, encoding="unicode"))


def configuration(world: FileWorld) -> bytes:
    text: bytes = etree.tostring(world.live().find("configuration"), method="c14n")
    return text


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], FileWorld]:
    """Clusters to which the same was applied, one for each example."""
    folder = tmp_path_factory.mktemp("stage")
    first = FileWorld(folder / "first.xml", blank())
    applied(first, BEFORE)
    count = iter(range(1_000_000))

    def another() -> FileWorld:
        world = FileWorld(folder / f"{next(count)}.xml", first.file.read_bytes())
        world.hosts.files = dict(first.hosts.files)
        return world

    return another


few = settings(
    max_examples=examples(8),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def refuses(act: Callable[[], object]) -> list[str]:
    with pytest.raises(Refused) as no:
        act()
    return [problem.code for problem in no.value.problems]


@few
@given(edit=edits)
def test_an_edit_between_plan_and_apply_is_refused_and_stays(edit: Edit, stage: Callable[[], FileWorld]) -> None:
    world = stage()
    direct = applying.prepare(world, Vault(), AFTER)
    written = planfile.decode(planfile.encode(direct, AFTER, {}, frozenset(), at=0.0, by="me"), "plan.json")
    edited(world, edit)
    theirs = configuration(world)
    assert refuses(lambda: run.push(world, direct)) == ["HA342"]
    assert refuses(lambda: applying.prepare_written(world, Vault(), written, "plan.json")) == ["HA342"]
    assert configuration(world) == theirs


@few
@given(edit=edits)
def test_an_edit_at_the_last_moment_is_refused_by_the_cluster_itself(
    edit: Edit, stage: Callable[[], FileWorld]
) -> None:
    """After hactl has looked for the last time, before its push arrives."""
    world = stage()
    prepared = applying.prepare(world, Vault(), AFTER)
    real = world.pacemaker.replace
    done: list[object] = []

    def replace(cib: bytes) -> None:
        if not done:
            done.append(edit)
            edited(world, edit)
        real(cib)

    world.pacemaker.replace = replace  # type: ignore[method-assign]  # the moment between two calls
    assert refuses(lambda: run.push(world, prepared)) == ["HA342"]
    assert done
    real_edit = deepcopy(world.live())
    assert difference.changes(prepared.before, real_edit) or edit.how == "set"
    assert not real_edit.xpath("//primitive[@id='new']")


@few
@given(edit=edits)
def test_an_edit_before_the_plan_is_kept_or_named(edit: Edit, stage: Callable[[], FileWorld]) -> None:
    """Whatever somebody did is there after the next apply, too, or the plan said that it would not be."""
    world = stage()
    clean = world.live()
    edited(world, edit)
    live = world.live()
    try:
        prepared = applying.prepare(world, Vault(), BEFORE)
    except Refused as no:
        # Where the CIB now refers to nothing, or has something under our name.
        assert all(problem.code in ("HA240", "HA241") for problem in no.problems)
        return
    told = {each.ident for each in prepared.plan.theirs}
    after = etree.fromstring(prepared.plan.desired)
    for change in difference.changes(clean, live):
        gone = {found.id for found in difference.changes(live, after)}
        assert change.id not in gone or change.id in told, (change, prepared.plan.theirs)
    assert {t.ident for t in prepared.plan.theirs if not t.kept} <= {p.where for p in prepared.problems}


def test_an_edit_of_the_status_alone_stops_nobody(stage: Callable[[], FileWorld]) -> None:
    world = stage()
    prepared: Prepared = applying.prepare(world, Vault(), AFTER)
    real = world.pacemaker.replace
    done: list[object] = []

    def replace(cib: bytes) -> None:
        if not done:
            done.append(True)
            live = world.live()
            live.set("num_updates", str(int(live.get("num_updates")) + 5))
            world.file.write_bytes(etree.tostring(live))
        real(cib)

    world.pacemaker.replace = replace  # type: ignore[method-assign]  # as above
    run.push(world, prepared)
    assert world.live().xpath("//primitive[@id='new']")


def test_two_admins_who_apply_at_once_do_not_mix(stage: Callable[[], FileWorld]) -> None:
    world = stage()
    one, other = (applying.prepare(world, Vault(), each) for each in (AFTER, clusters.cluster(vms=TWO[:1])))
    push(world, one)
    assert refuses(lambda: push(world, other)) == ["HA342"]
    assert applying.prepare(world, Vault(), AFTER).nothing

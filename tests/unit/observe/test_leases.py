"""libvirt's lock driver, seen from all nodes: what the CIB asks for against what each node has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hacluster import lock_driver
from hacluster.edge import lease_facts
from hacluster.model import LockDriver
from hacluster.observe import document, leases, observe
from hacluster.ports import HostFacts, LeaseFacts
from hacluster.problems import Kind, Problem
from tests.unit.observe.test_read import UUID, cib, facts, monitor

ASKED = b"""<clone id="l-clone"><primitive id="l" class="ocf" provider="hacluster" type="lockspace">
<instance_attributes id="a"><nvpair id="a-1" name="lock_driver" value="lockd"/>
<nvpair id="a-2" name="lockspace_dir" value="/vm/leases"/><nvpair id="a-3" name="lockspace_mount" value="/vm"/>
</instance_attributes></primitive></clone>"""
LOCKD = LockDriver("lockd", "/vm/leases", "/vm")
SET = {
    path: {name: str(value) for name, value in names.items() if value is not None}
    for path, names in lock_driver.settings(LOCKD).items()
}
RIGHT = LeaseFacts(
    settings=SET,
    in_use=True,
    problem="",
    directory="/vm/leases",
    filesystem="gfs2",
    identity="0123456789abcdef",
    bare={},
    left=(),
    watchdog=False,
)
DEAD = "virtlockd on n1 does not run, and the leases of its guests are lost; on n1, systemctl restart libvirtd"


def seen(n1: LeaseFacts | None, n2: LeaseFacts | None = RIGHT, asked: bytes = ASKED) -> list[Problem]:
    """What is said of leases when the nodes tell this; web runs on n1."""
    told: dict[str, HostFacts] = {
        "n1": replace(facts("n1", runs=True), leases=n1),
        "n2": replace(facts("n2"), leases=n2),
    }
    found = observe(cib().replace(b"<resources>", b"<resources>" + asked), monitor(), told)
    codes = {kind.code for kind in vars(leases).values() if isinstance(kind, Kind)}
    return [problem for problem in found.problems if problem.code in codes]


def test_nothing_is_wrong_where_every_node_does_as_the_cib_asks() -> None:
    assert seen(RIGHT) == []


def test_where_the_cib_asks_for_no_leases_nobody_looks_for_them() -> None:
    assert seen(replace(RIGHT, settings={}, problem=DEAD, bare={UUID: ("/d",)}), asked=b"") == []


def test_a_guard_that_is_too_old_to_tell_is_not_judged() -> None:
    assert seen(None) == []


@pytest.mark.parametrize(
    ("changes", "kind", "where"),
    [
        pytest.param({"settings": {}}, leases.NOT_SET_UP, "node n1", id="not set up"),
        pytest.param({"in_use": False}, leases.NOT_SET_UP, "node n1", id="set up and not loaded"),
        pytest.param({"problem": DEAD}, leases.LOST, "node n1", id="virtlockd is dead"),
        pytest.param({"bare": {UUID: ("/vm/web.img",)}}, leases.BARE, "vm web", id="a guest without a lease"),
        pytest.param({"identity": "f" * 16}, leases.ASTRAY, "libvirt", id="two directories"),
        pytest.param({"identity": ""}, leases.ASTRAY, "libvirt", id="an empty directory beside a used one"),
        pytest.param({"left": ("/vm/web.img",)}, leases.LEFT, "node n1", id="a lease without its guest"),
    ],
)
def test_one_thing_wrong_one_finding(changes: dict[str, object], kind: Kind, where: str) -> None:
    (problem,) = seen(replace(RIGHT, **changes))  # type: ignore[arg-type]  # a test names the fields it means
    assert (problem.code, problem.where) == (kind.code, where)
    assert problem.remedy


def test_a_storage_that_does_not_answer_says_nothing_about_the_directory() -> None:
    assert seen(replace(RIGHT, identity=None)) == []


def test_the_remedy_for_a_dead_virtlockd_names_the_guests_to_move() -> None:
    lost, bare = seen(replace(RIGHT, problem=DEAD, bare={UUID: ("/vm/web.img",)}))
    assert lost.message == "virtlockd on n1 does not run, and the leases of its guests are lost"
    assert "systemctl restart libvirtd" in lost.remedy
    assert "hactl vm move web" in lost.remedy
    assert "hactl vm move web" in bare.remedy


def test_the_document_has_each_nodes_leases() -> None:
    told = {"n1": replace(facts("n1"), leases=replace(RIGHT, bare={UUID: ("/d",)})), "n2": facts("n2")}
    first, second = document(observe(cib(), monitor(), told))["nodes"]
    assert first["leases"] == {"directory": "/vm/leases", "problem": None, "bare": {UUID: ["/d"]}, "left": []}
    assert second["leases"] is None


def test_sanlock_needs_a_watchdog_on_each_node() -> None:
    sanlock = LockDriver("sanlock", "/vm/leases", "/vm", watchdog="/dev/watchdog")
    told = {
        path: {name: str(value) for name, value in names.items()}
        for path, names in lock_driver.settings(sanlock, 1).items()
    }
    right = replace(RIGHT, settings=told, watchdog=True)
    assert list(leases.unready(sanlock, {"n1": right})) == []
    (problem,) = leases.unready(sanlock, {"n1": right, "n2": replace(right, watchdog=False)})
    assert (problem.code, problem.where) == (leases.NO_WATCHDOG.code, "node n2")
    (problem,) = leases.unready(sanlock, {"n1": replace(right, settings=SET)})
    assert problem.code == leases.NOT_SET_UP.code


def test_what_the_probe_says_is_read_with_suspicion() -> None:
    assert lease_facts.read(None) is None
    assert lease_facts.read({}) == LeaseFacts({}, None, "", "", "", None, {}, (), None)
    said = {
        "settings": {"/etc/libvirt/qemu.conf": {"lock_manager": "lockd"}, "/x": 1},
        "in_use": True,
        "filesystem": ["/vm", "gfs2"],
        "bare": {UUID: ["/vm/web.img"]},
        "left": ["/vm/db.img"],
    }
    read = lease_facts.read(said)
    assert read is not None
    assert read.settings == {"/etc/libvirt/qemu.conf": {"lock_manager": "lockd"}, "/x": {}}
    assert (read.filesystem, read.bare, read.left) == ("gfs2", {UUID: ("/vm/web.img",)}, ("/vm/db.img",))

"""Remote nodes in the CIB, and what Pacemaker's scheduler makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from hacluster import model
from hacluster.cib import compile as compiler
from hacluster.cib import remote, staged
from tests import scheduler
from tests.unit.cib import clusters
from tests.unit.cib.test_compile import parameters, resource

FAR = tuple(
    model.Node(f"r{i}", 0, (f"10.0.1.{i}",), fencing=((f"bmc-r{i}",),), remote=True, reconnect=90) for i in (1, 2)
)
NAS = model.Nfs("nas", "10.0.0.9", "/export", "/vms")
WORKER = clusters.vm("worker", "nas", agent="heartbeat", placement=model.Placement({"r1": 500}))
GUARDED = clusters.vm("web", "nas")


def cluster(**changes: object) -> model.Cluster:
    values: dict[str, object] = {
        "nodes": (*clusters.nodes(3), *FAR),
        "fence_devices": tuple(clusters.bmc(name) for name in ("n1", "n2", "n3", "r1", "r2")),
        "storages": (NAS, clusters.gfs2()),
        "vms": (WORKER, GUARDED),
    }
    return clusters.cluster(**{**values, **changes})


def cib(**changes: object) -> etree._Element:
    return compiler.compile_element(cluster(**changes))


def bans(document: etree._Element) -> list[str]:
    return [
        rule.getparent().get("rsc")
        for rule in document.iterfind(".//rsc_location/rule")
        if rule.get("score") == "-INFINITY" and rule[0].get("attribute") == "#kind" and rule[0].get("value") == "remote"
    ]


def test_the_connection_is_a_resource_and_no_node_of_corosyncs() -> None:
    document = cib()
    assert parameters(document, "r1") == {"server": "10.0.1.1", "reconnect_interval": "90s"}
    assert resource(document, "r1").get("type") == "remote"
    assert [node.get("uname") for node in document.iterfind("configuration/nodes/node")] == ["n1", "n2", "n3"]


def test_one_rule_keeps_the_dlm_and_all_that_stands_on_it_with_the_members() -> None:
    assert bans(cib()) == ["dlm-clone"]
    assert bans(cib(nodes=clusters.nodes(3))) == []
    assert set(bans(cib(lock_manager="external"))) == {"hacluster-lockspace-clone", "lvmlockd-clone"}


def test_everything_of_them_is_owned() -> None:
    (owned,) = cib().xpath("//nvpair[@name='hacluster-owned']/@value")
    assert {"r1", "r2", "dlm-clone-not-on-remotes"} <= set(owned.split())


@pytest.mark.parametrize(
    ("vm", "warned"),
    [
        pytest.param(WORKER, True, id="heartbeat's"),
        pytest.param(GUARDED, False, id="a guarded one"),
        pytest.param(clusters.vm("w", "shared", agent="heartbeat"), False, id="on the DLM"),
        pytest.param(replace(WORKER, placement=model.Placement({}, ("r1", "r2"))), False, id="that avoids them"),
        pytest.param(clusters.vm("w", "own", agent="heartbeat"), False, id="on a member's own disk"),
    ],
)
def test_an_unguarded_vm_that_may_run_there_is_warned_of(vm: model.Vm, warned: bool) -> None:
    own = model.Local("own", "n1", "/srv")
    found = remote.check(cluster(vms=(vm,), storages=(NAS, clusters.gfs2(), own)))
    assert [(p.code, p.severity) for p in found] == ([("HA207", "warning")] if warned else [])


class TestAsPacemakerSeesIt:
    pytestmark = scheduler.needs_tools

    def running(self, tmp_path: Path) -> etree._Element:
        return scheduler.carried_out(cib(), tmp_path)

    def test_who_starts_where(self, tmp_path: Path) -> None:
        places = scheduler.ask(self.running(tmp_path), tmp_path).simulation.before
        members = {"n1", "n2", "n3"}
        assert places["dlm"] == places["hacluster-lockspace"] == places["shared-fs"] == members
        assert places["nas-fs"] == members | {"r1", "r2"}
        assert places["worker"] == {"r1"}
        assert places["web"] < members
        assert places["r1"] < members

    def test_a_remote_node_that_is_lost_is_fenced_before_its_vm_starts_elsewhere(self, tmp_path: Path) -> None:
        failed = scheduler.with_failure(self.running(tmp_path), tmp_path, self._connection(tmp_path))
        outcome = scheduler.ask(failed, tmp_path)
        (start,) = outcome.graph.of("worker", "start")
        assert start.node != "r1"
        before = [outcome.graph.steps[id_] for id_ in outcome.graph.before(start)]
        assert any(step.operation == "fence" and step.node == "r1" for step in before)
        assert outcome.findings("worker", "web") == []

    def test_a_member_that_dies_takes_no_vm_of_a_remote_node_along(self, tmp_path: Path) -> None:
        running = self.running(tmp_path)
        (host,) = scheduler.ask(running, tmp_path).simulation.before["r1"]
        outcome = scheduler.ask(running, tmp_path, "--node-fail", host)
        assert outcome.simulation.price("worker") == "none"
        assert outcome.simulation.after["worker"] == {"r1"}

    def test_what_is_staged_as_running_on_one_runs_on(self, tmp_path: Path) -> None:
        document = cib()
        staged.without_probes(document)
        after = scheduler.ask(document, tmp_path).simulation.after
        assert after["worker"] == {"r1"}
        staged.run(document, after)
        outcome = scheduler.ask(document, tmp_path)
        assert outcome.simulation.before == after
        assert outcome.simulation.actions == ()

    def _connection(self, tmp_path: Path) -> str:
        (host,) = scheduler.ask(self.running(tmp_path), tmp_path).simulation.before["r1"]
        return f"r1_monitor_30000@{host}=1"

    def test_what_a_remote_node_has_for_vms_is_counted(self, tmp_path: Path) -> None:
        small, large = model.Capacity(1 << 30, 8), model.Capacity(64 << 30, 64)
        nodes = (
            *(replace(node, capacity=small) for node in clusters.nodes(3)),
            *(replace(node, capacity=large) for node in FAR),
        )
        big = replace(WORKER, memory=32 << 30, placement=model.Placement())
        document = cib(nodes=nodes, vms=(big,), strategy="balanced")
        (place,) = scheduler.ask(scheduler.carried_out(document, tmp_path), tmp_path).simulation.before["worker"]
        assert place in ("r1", "r2")

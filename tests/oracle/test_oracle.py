"""Hand-made graphs in, findings out; and the scheduler's real graphs for the CIBs we generate."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path

import pytest
from lxml import etree

from hacluster import model, oracle
from hacluster.cib import compile as compiler
from tests import scheduler
from tests.unit.cib import clusters


def graph(*steps: tuple[str, str, str, tuple[int, ...]], pseudo: tuple[int, ...] = ()) -> oracle.Graph:
    """A graph of (operation, resource, node, indexes of inputs)."""
    return oracle.Graph(
        {
            str(i): oracle.Step(str(i), operation, resource, node, frozenset(map(str, after)), i not in pseudo)
            for i, (operation, resource, node, after) in enumerate(steps)
        }
    )


START = ("start", "web", "n2")


@pytest.mark.parametrize(
    ("found", "was", "codes"),
    [
        (graph((*START, ())), {"n1"}, ["HA250"]),
        (graph((*START, ())), set(), []),
        (graph((*START, (1,)), ("stop", "web", "n1", ())), {"n1"}, []),
        (graph((*START, ()), ("stop", "web", "n1", ())), {"n1"}, ["HA250"]),
        (graph((*START, (1,)), ("stop", "db", "n1", ())), {"n1"}, ["HA250"]),
        (graph((*START, (1,)), ("fence", "", "n1", ())), {"n1"}, []),
        (graph((*START, (1,)), ("fence", "", "n3", ())), {"n1"}, ["HA250"]),
        (graph((*START, (1,)), ("all_stopped", "", "", (2,)), ("stop", "web", "n1", ())), {"n1"}, []),
        (graph((*START, (1,)), ("stop", "web", "n1", ()), pseudo=(1,)), {"n1"}, ["HA250"]),
        (graph((*START, ()), pseudo=(0,)), {"n1"}, []),
        (graph((*START, (1,)), ("stop", "web", "n1", ())), {"n1", "n3"}, ["HA250"]),
        (graph((*START, (1,)), ("migrate_to", "web", "n1", ())), {"n1"}, ["HA250"]),
        (graph(("migrate_from", "web", "n2", (1,)), ("migrate_to", "web", "n1", ())), {"n1"}, []),
        (graph(("migrate_from", "web", "n2", (1,)), ("migrate_to", "web", "n1", ())), {"n1", "n3"}, ["HA250"]),
        (graph((*START, (1,)), ("stop", "web", "n1", (0,))), {"n1"}, []),
    ],
)
def test_a_start_waits_for_every_place_where_the_vm_was(found: oracle.Graph, was: set[str], codes: list[str]) -> None:
    assert [p.code for p in oracle.check(found, {"web": frozenset(was)}, ["web"])] == codes


@pytest.mark.parametrize("text", [b"", b"<pacemaker-result/>", b"<transition_graph>"])
def test_what_is_no_graph_is_not_read_as_an_empty_one(text: bytes) -> None:
    with pytest.raises(ValueError, match="transition graph"):
        oracle.read(text)


class TestWithTools:
    """The scheduler's own graphs: three nodes, GFS2, three VMs; web runs on n3."""

    pytestmark = scheduler.needs_tools

    CLUSTER = clusters.cluster(
        vms=tuple(
            clusters.vm(name, "shared", placement=model.Placement({node: 100}))
            for name, node in (("web", "n3"), ("db", "n2"), ("mail", "n3"))
        )
    )
    VMS = ("web", "db", "mail")

    @pytest.fixture
    def running(self, tmp_path: Path) -> etree._Element:
        return scheduler.carried_out(compiler.compile(self.CLUSTER), tmp_path)

    def test_a_cold_start(self, tmp_path: Path) -> None:
        outcome = scheduler.ask(compiler.compile(self.CLUSTER), tmp_path)
        assert outcome.findings(*self.VMS) == []
        assert {vm: outcome.simulation.price(vm) for vm in self.VMS} == dict.fromkeys(self.VMS, "start")

    def test_a_dead_node_is_fenced_first(self, running: etree._Element, tmp_path: Path) -> None:
        outcome = scheduler.ask(running, tmp_path, "--node-fail", "n3")
        assert outcome.simulation.fenced() == ("n3",)
        assert outcome.findings(*self.VMS) == []
        assert outcome.simulation.before["web"] == {"n3"}
        assert outcome.simulation.after["web"] & {"n1", "n2"}
        assert outcome.simulation.price("db") == "none"

    def test_a_live_move(self, running: etree._Element, tmp_path: Path) -> None:
        outcome = scheduler.ask(self._claimed(running), tmp_path)
        assert outcome.simulation.sentences() == ("web moves live from n3 to n1",)
        assert outcome.findings(*self.VMS) == []

    def test_a_vm_that_may_not_migrate_is_restarted_by_the_same_claim(
        self, running: etree._Element, tmp_path: Path
    ) -> None:
        claimed = self._claimed(running)
        claimed.xpath("//primitive[@id='web']//nvpair[@name='allow-migrate']")[0].set("value", "false")
        outcome = scheduler.ask(claimed, tmp_path)
        assert outcome.simulation.price("web") == "restart"
        assert outcome.findings(*self.VMS) == []

    @pytest.mark.parametrize(
        ("failure", "fenced"),
        [
            ("web_stop_0@n3=1", ("n3",)),
            ("shared-fs_monitor_20000@n3=1", ("n3",)),
            ("shared-fs_stop_0@n3=1", ("n3",)),
            ("dlm_monitor_10000@n3=7", ("n3",)),
            ("web_monitor_10000@n3=1", ()),
            ("web_start_0@n3=1", ()),
            ("hacluster-lockspace_monitor_20000@n3=1", ()),
        ],
    )
    def test_a_failure_costs_the_node_where_the_state_is_open(
        self, running: etree._Element, tmp_path: Path, failure: str, fenced: tuple[str, ...]
    ) -> None:
        outcome = scheduler.ask(running, tmp_path, "--op-inject", failure)
        assert outcome.simulation.fenced() == fenced
        assert outcome.findings(*self.VMS) == []

    def test_a_failed_lockspace_monitor_touches_no_vm(self, running: etree._Element, tmp_path: Path) -> None:
        outcome = scheduler.ask(running, tmp_path, "--op-inject", "hacluster-lockspace_monitor_20000@n3=1")
        assert outcome.simulation.actions == ()

    def test_without_quorum_nothing_is_started_nor_stopped(self, running: etree._Element, tmp_path: Path) -> None:
        outcome = scheduler.ask(running, tmp_path, "--quorum", "false", "--node-fail", "n3")
        assert all(action.blocked for action in outcome.simulation.actions)
        assert {outcome.simulation.price(vm) for vm in self.VMS} == {"none"}
        assert not any(step.real for step in outcome.graph.of("web"))

    def test_a_second_copy_is_stopped_before_one_is_started(self, running: etree._Element, tmp_path: Path) -> None:
        """multiple-active=stop_start: both copies are stopped, and one is started after both."""
        outcome = scheduler.ask(self._twice(running), tmp_path)
        assert outcome.simulation.before["web"] == {"n1", "n3"}
        assert outcome.findings(*self.VMS) == []
        assert {step.node for step in outcome.graph.of("web", "stop") if step.real} == {"n1", "n3"}

    def test_an_expired_failed_stop_would_be_taken_for_a_stop(self, running: etree._Element, tmp_path: Path) -> None:
        """Why no VM has a failure-timeout: n3 could not stop it, an hour passes, and it is started without a fence.

        The scheduler says itself that the VM runs nowhere, so that the oracle cannot see it: it believes the history.
        """
        failed = scheduler.with_failure(running, tmp_path, "web_stop_0@n3=1")
        history = failed.xpath("//node_state[@uname='n3']//lrm_resource[@id='web']")[0]
        for op in history.xpath("lrm_rsc_op[@operation='monitor']"):
            history.remove(op)  # Pacemaker cancels it before a stop
        assert scheduler.ask(failed, tmp_path).simulation.fenced() == ("n3",)

        aged = self._an_hour_ago(failed)
        assert scheduler.ask(aged, tmp_path).simulation.fenced() == ("n3",)
        meta = aged.xpath("//primitive[@id='web']/meta_attributes")[0]
        etree.SubElement(meta, "nvpair", id="expires", name="failure-timeout", value="60s")
        outcome = scheduler.ask(aged, tmp_path)
        assert outcome.simulation.fenced() == ()
        assert outcome.simulation.price("web") == "start"

    @staticmethod
    def _claimed(running: etree._Element) -> etree._Element:
        claimed = deepcopy(running)
        constraints = claimed.find("configuration/constraints")
        etree.SubElement(constraints, "rsc_location", id="claim", rsc="web", node="n1", score="INFINITY")
        return claimed

    @staticmethod
    def _twice(running: etree._Element) -> etree._Element:
        """What Pacemaker sees when a probe finds web on n1 too."""
        twice = deepcopy(running)
        for op in twice.xpath("//node_state[@uname='n1']//lrm_resource[@id='web']/lrm_rsc_op[@operation='monitor']"):
            op.set("rc-code", "0")
            op.set("transition-magic", re.sub(r"^(\d+):7;", r"\1:0;", op.get("transition-magic")))
        return twice

    @staticmethod
    def _an_hour_ago(cib: etree._Element) -> etree._Element:
        aged = deepcopy(cib)
        for op in aged.xpath("//lrm_rsc_op[@last-rc-change]"):
            op.set("last-rc-change", str(int(op.get("last-rc-change")) - 3600))
        for pair in aged.xpath("//nvpair[starts-with(@name, 'last-failure-')]"):
            pair.set("value", str(int(pair.get("value")) - 3600))
        return aged

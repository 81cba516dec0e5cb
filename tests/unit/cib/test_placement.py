"""Rules on where VMs run and in which order they start, as constraints, and as Pacemaker's scheduler keeps them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from hacluster import model, oracle
from hacluster.cib import compile as compiler
from hacluster.cib import schema
from hacluster.cib.templates import Library, shipped_directory
from tests import scheduler
from tests.unit.cib import clusters

LIBRARY = Library([shipped_directory()])
GIB = 1 << 30

Places = Callable[..., dict[str, str | None]]


def compiled(**changes: object) -> etree._Element:
    """Three nodes and four VMs that need no storage, whose run-locks nobody keeps here; `changes` as for a cluster."""
    values: dict[str, object] = {"storages": (), "vms": tuple(clusters.vm(name) for name in "abcd")}
    return compiler.compile_element(clusters.cluster(**{**values, **changes}), LIBRARY)


def sized(memory: int, vcpus: int = 16, nodes: int = 3) -> tuple[model.Node, ...]:
    """Nodes with room for VMs, memory in GiB."""
    return tuple(
        model.Node(n.name, n.id, n.addresses, fencing=n.fencing, capacity=model.Capacity(memory * GIB, vcpus))
        for n in clusters.nodes(nodes)
    )


def constraints(document: etree._Element) -> dict[str, etree._Element]:
    return {c.get("id"): c for c in document.iterfind("configuration/constraints/*")}


def sets(constraint: etree._Element) -> list[tuple[str, ...]]:
    return [tuple(ref.get("id") for ref in each) for each in constraint.iterfind("resource_set")]


def test_a_rule_is_one_constraint_however_many_vms_it_names() -> None:
    vms = tuple(clusters.vm(f"vm{i}") for i in range(200))
    every = tuple(vm.name for vm in vms)
    before = constraints(compiled(vms=vms))
    rules = {
        "affinities": (model.Affinity("near", every, 10),),
        "anti_affinities": (model.AntiAffinity("far", every, score=10),),
        "start_orders": (model.StartOrder("boot", (every[:100], every[100:])),),
    }
    after = constraints(compiled(vms=vms, **rules))
    added = {id_: each for id_, each in after.items() if id_ not in before}
    assert sorted(added) == ["affinity-rule-near", "anti-affinity-rule-far", "start-order-rule-boot"]
    assert sets(added["affinity-rule-near"]) == [every[1:], every[:1]]
    assert sets(added["anti-affinity-rule-far"]) == [every]
    assert sets(added["start-order-rule-boot"]) == [every[:100], every[100:]]
    assert [added[id_].get("score") for id_ in sorted(added)] == ["10", "-10", None]


def test_all_rules_are_written_in_one_order() -> None:
    """Pacemaker breaks a circle of them, and a hard rule with it."""
    document = compiled(
        affinities=(model.Affinity("near", ("c", "a"), 5),),
        anti_affinities=(
            model.AntiAffinity("far", ("a", "b", "c")),
            model.AntiAffinity("farther", ("d", "c", "a")),
            model.AntiAffinity("sides", ("b", "c"), ("a",), 5),
        ),
    )
    rules = constraints(document)
    assert sets(rules["anti-affinity-rule-far"]) == [("b", "c", "a")]
    assert sets(rules["anti-affinity-rule-farther"]) == [("c", "a", "d")]
    assert sets(rules["anti-affinity-rule-sides"]) == [("a",), ("b", "c")]


def test_nothing_is_counted_by_default() -> None:
    document = compiled(nodes=sized(8))
    assert not document.xpath("//utilization")
    assert not document.xpath("//nvpair[@name='placement-strategy']")


def test_vms_use_and_nodes_have_memory_in_mebibytes_and_cpus() -> None:
    document = compiled(nodes=sized(8), strategy="balanced", migration_limit=2)
    values = {
        each.getparent().get("uname") or each.getparent().get("id"): {p.get("name"): p.get("value") for p in each}
        for each in document.iter("utilization")
    }
    assert values["n1"] == {"cpu": "16", "host_memory": "8192"}
    assert values["a"] == {"cpu": "1", "host_memory": str(1024 + 128 + 8 + 4)}
    config = {p.get("name"): p.get("value") for p in document.iterfind("configuration/crm_config/*/nvpair")}
    assert (config["placement-strategy"], config["migration-limit"]) == ("balanced", "2")


class TestWithTools:
    pytestmark = scheduler.needs_tools

    @pytest.fixture
    def places(self, tmp_path: Path) -> Places:
        def ask(*options: str, **changes: object) -> dict[str, str | None]:
            """Where the scheduler starts each VM when all nodes are up (but for what the options say)."""
            document = compiled(**changes)
            assert schema.check(document) == ()
            path = tmp_path / "verify.xml"
            path.write_bytes(compiler.serialize(document))
            verified = scheduler.run("crm_verify", "--verbose", "--xml-file", path)
            assert (verified.returncode, verified.stderr) == (0, b"")
            shown = scheduler.run("pcs", "-f", path, "config")
            assert shown.returncode == 0, shown.stderr.decode()
            after = scheduler.ask(document, tmp_path, *options).simulation.after
            return {name: next(iter(after[name]), None) for name in "abcd" if name in after}

        return ask

    def test_vms_run_together(self, places: Places) -> None:
        assert len(set(places().values())) > 1
        found = places(affinities=(model.Affinity("near", tuple("abcd")),))
        assert len(set(found.values())) == 1
        assert None not in found.values()

    def test_one_that_cannot_run_does_not_hold_up_the_rest_unless_it_is_the_first(self, places: Places) -> None:
        vms = tuple(clusters.vm(name, vcpus=9 if name == "b" else 1) for name in "abcd")
        rule = (model.Affinity("near", tuple("abcd")),)
        found = places(nodes=sized(9, vcpus=8), strategy="balanced", affinities=rule, vms=vms)
        assert found["b"] is None
        assert found["a"] == found["c"] == found["d"] is not None

    def test_vms_run_apart_and_one_too_many_stays_down(self, places: Places) -> None:
        found = places(anti_affinities=(model.AntiAffinity("far", tuple("abcd")),))
        assert sorted(map(str, found.values())) == ["None", "n1", "n2", "n3"]

    def test_a_wish_to_be_apart_keeps_nobody_down(self, places: Places) -> None:
        found = places(anti_affinities=(model.AntiAffinity("far", tuple("abcd"), score=500),))
        assert set(found.values()) == {"n1", "n2", "n3"}

    def test_two_sides_keep_apart_and_not_among_themselves(self, places: Places) -> None:
        rules = {
            "affinities": (model.Affinity("left", ("a", "b")), model.Affinity("right", ("c", "d"))),
            "anti_affinities": (model.AntiAffinity("sides", ("a", "b"), ("c", "d")),),
        }
        found = places(**rules)
        assert found["a"] == found["b"] != found["c"] == found["d"]

    @pytest.mark.parametrize("strategy", ["utilization", "minimal", "balanced"])
    def test_no_node_gets_more_than_it_has(self, places: Places, strategy: str) -> None:
        placed = list(places(nodes=sized(2), strategy=strategy).values())
        assert sorted(map(str, placed)) == ["None", "n1", "n2", "n3"]

    def test_the_more_important_one_stays(self, places: Places) -> None:
        vms = tuple(clusters.vm(name, priority="abcd".index(name)) for name in "abcd")
        assert places(nodes=sized(2), strategy="balanced", vms=vms)["a"] is None


def started(graph: oracle.Graph, first: str, then: str) -> bool:
    """Whether a start of one waits, however indirectly, for the start of the other."""
    (start,) = [s for s in graph.of(then, "start") if s.real]
    earlier = {graph.steps[id_] for id_ in graph.before(start)}
    return any(s.resource == first and s.operation == "start" and s.real for s in earlier)


class TestOrder:
    pytestmark = scheduler.needs_tools
    ORDER = model.StartOrder("shop", (("a",), ("b", "c"), ("d",)))

    def test_a_step_waits_for_the_one_before_it(self, tmp_path: Path) -> None:
        graph = scheduler.ask(compiled(start_orders=(self.ORDER,)), tmp_path).graph
        assert [started(graph, *pair) for pair in (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"))] == [True] * 4
        assert [started(graph, *pair) for pair in (("b", "c"), ("c", "b"), ("d", "a"))] == [False] * 3

    def test_a_delay_stands_between_two_steps(self, tmp_path: Path) -> None:
        order = model.StartOrder("shop", (("a",), ("b", "c")), delay=30)
        document = compiled(start_orders=(order,))
        delay = "start-order-delay-1-shop"
        graph = scheduler.ask(document, tmp_path).graph
        assert [started(graph, "a", delay), started(graph, delay, "b"), started(graph, delay, "c")] == [True] * 3
        assert not started(graph, delay, "d")
        (primitive,) = document.xpath(f"//primitive[@id='{delay}']")
        assert {p.get("name"): p.get("value") for p in primitive.find("instance_attributes")} == {
            "startdelay": "30",
            "stopdelay": "0",
            "mondelay": "0",
        }

    @pytest.mark.parametrize("mandatory", [False, True])
    def test_what_happens_to_an_earlier_one_touches_later_ones_only_where_the_order_is_mandatory(
        self, tmp_path: Path, mandatory: bool
    ) -> None:
        order = model.StartOrder("shop", (("a",), ("b",)), mandatory, 30)
        running = scheduler.carried_out(compiled(start_orders=(order,)), tmp_path)
        (here,) = scheduler.ask(running, tmp_path).simulation.before["a"]
        failed = scheduler.with_failure(running, tmp_path, f"a_monitor_10000@{here}=1")
        after = scheduler.ask(failed, tmp_path).simulation
        assert after.price("a") == "restart"
        assert after.price("b") == ("restart" if mandatory else "none")
        assert after.price("start-order-delay-1-shop") == "restart"

    def test_a_live_move_of_an_earlier_one_touches_nobody(self, tmp_path: Path) -> None:
        order = model.StartOrder("shop", (("a",), ("b",)), mandatory=True, delay=30)
        running = scheduler.carried_out(compiled(start_orders=(order,)), tmp_path)
        (here,) = scheduler.ask(running, tmp_path).simulation.before["a"]
        there = next(n for n in ("n1", "n2", "n3") if n != here)
        etree.SubElement(
            running.find("configuration/constraints"),
            "rsc_location",
            id="move", rsc="a", node=there, score="INFINITY",
        )  # fmt: skip
        found = scheduler.ask(running, tmp_path).simulation
        assert [(action.kind, action.subject) for action in found.actions] == [("migrate", "a")]

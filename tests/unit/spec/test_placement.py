"""Rules on where VMs run, and in which order they start: what a spec can say, and what contradicts itself."""

from __future__ import annotations

import pytest

from hacluster import model
from tests.unit.spec.example import SMALL, cluster, findings, only

NODES = "".join(
    f'[nodes.n{i}]\naddresses = ["10.0.0.{i}"]\nfencing = ["f"]\nmemory = "32G"\ncpus = 8\n' for i in (1, 2, 3)
)
BARE = SMALL[SMALL.index("[fence_devices.f]") :]
HEAD = '[cluster]\nname = "c"\n'


def vm(name: str, *lines: str, memory: str = "1G") -> str:
    uuid = f"3c9f7a40-6f2e-4d0b-9a6b-{sum(name.encode()):012x}"
    return "\n".join((f"[vms.{name}]", f'uuid = "{uuid}"', f'memory = "{memory}"', "vcpus = 1", *lines, ""))


def spec(*parts: str, vms: str = "abcd") -> str:
    """Three nodes, a VM for each letter, and whatever else."""
    return "\n".join((SMALL, *map(vm, vms), *parts))


def sized(*parts: str) -> str:
    """Three nodes of 32 GiB and 8 CPUs."""
    return "\n".join((HEAD, NODES, BARE, *parts))


def test_rules_name_vms_and_groups() -> None:
    made = cluster(
        spec(
            '[groups.web]\nvms = ["b", "c"]',
            '[affinity.near]\nvms = ["a", "web"]\nscore = 500',
            '[anti_affinity.apart]\nvms = ["a", "d"]',
            '[anti_affinity.off]\nvms = ["web"]\nfrom = ["d"]\nscore = 1000000',
            '[start_order.shop]\nsteps = ["a", ["web", "d"]]\nkind = "mandatory"\ndelay = "1m"',
        )
    )
    assert made.affinities == (model.Affinity("near", ("a", "b", "c"), 500),)
    assert made.anti_affinities == (
        model.AntiAffinity("apart", ("a", "d")),
        model.AntiAffinity("off", ("b", "c"), ("d",), "INFINITY"),
    )
    assert made.start_orders == (model.StartOrder("shop", (("a",), ("b", "c", "d")), True, 60),)
    assert made.strategy == "default"
    assert {node.capacity for node in made.nodes} == {None}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", model.Capacity(30 << 30, 32)),
        ('[placement]\nreserved_memory = "4G"\nvcpus_per_cpu = 1.5', model.Capacity(28 << 30, 12)),
    ],
)
def test_a_capacity_is_what_the_host_has_without_its_reserve_and_with_shared_cpus(
    lines: str, expected: model.Capacity
) -> None:
    made = cluster(sized(lines))
    assert {node.capacity for node in made.nodes} == {expected}
    assert made.strategy == "balanced"


def test_a_vm_takes_more_of_its_host_than_its_guest_has() -> None:
    disk = 'disks = [{ path = "/vm/a.qcow2", format = "qcow2" }]'
    (made,) = cluster(sized(vm("a", disk, memory="4G"))).vms
    assert made.host_memory == (4 << 30) + ((128 + 8 + 32 + 16) << 20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            spec('[affinity.x]\nvms = ["a", "bb"]'), [("HA181", "affinity.x.vms[1]")], id="an unknown VM in a rule"
        ),
        pytest.param(
            spec('[groups.g]\nvms = ["z"]\n[groups.h]\nvms = ["g"]'),
            [("HA181", "groups.g.vms[0]"), ("HA181", "groups.h.vms[0]")],
            id="a group of nobody and a group in a group",
        ),
        pytest.param(
            spec('[start_order.o]\nsteps = ["a", ["b", "x"]]'),
            [("HA181", "start_order.o.steps[1]")],
            id="an unknown VM in an order",
        ),
        pytest.param(spec('[groups.a]\nvms = ["b"]'), [("HA117", "groups.a")], id="a group named like a VM"),
        pytest.param(spec('[affinity.x]\nvms = ["a"]'), [("HA182", "affinity.x.vms")], id="a rule of one"),
        pytest.param(
            spec('[anti_affinity.x]\nvms = ["a", "b"]\nfrom = ["b"]'),
            [("HA182", "anti_affinity.x.from")],
            id="apart from itself",
        ),
        pytest.param(
            spec('[affinity.x]\nvms = ["a", "b"]\nscore = "HIGH"'), [("HA113", "affinity.x.score")], id="no score"
        ),
        pytest.param(
            spec('[affinity.x]\nvms = ["a", "b"]\nscore = 0'), [("HA113", "affinity.x.score")], id="a score of nothing"
        ),
        pytest.param(
            spec('[affinity.x]\nvms = ["a", "b"]\n[anti_affinity.y]\nvms = ["b", "a"]'),
            [("HA183", "anti_affinity.y")],
            id="together and apart",
        ),
        pytest.param(
            spec(
                '[affinity.x]\nvms = ["a", "b"]\n[affinity.y]\nvms = ["b", "c"]\n'
                '[anti_affinity.z]\nvms = ["a"]\nfrom = ["c"]'
            ),
            [("HA183", "anti_affinity.z")],
            id="together by way of another",
        ),
        pytest.param(
            spec('[affinity.x]\nvms = ["a", "b"]\nscore = 5\n[anti_affinity.y]\nvms = ["b", "a"]'),
            [],
            id="a wish gives way",
        ),
        pytest.param(
            spec('[anti_affinity.y]\nvms = ["a", "b", "c", "d"]'),
            [("HA186", "anti_affinity.y")],
            id="four on three nodes",
        ),
        pytest.param(
            spec('[anti_affinity.y]\nvms = ["a", "b", "c", "d"]\nscore = 100'), [], id="a wish for four on three nodes"
        ),
        pytest.param(
            spec(
                vm("p", 'placement = { avoid = ["n3"] }'),
                vm("q", 'placement = { avoid = ["n3"] }'),
                vm("r", 'placement = { avoid = ["n3"] }'),
                '[anti_affinity.y]\nvms = ["p", "q", "r"]',
            ),
            [("HA186", "anti_affinity.y")],
            id="three on the two nodes that they do not avoid",
        ),
        pytest.param(
            spec(
                vm("p", 'placement = { avoid = ["n1", "n2"] }'),
                vm("q", 'placement = { avoid = ["n3"] }'),
                '[affinity.x]\nvms = ["p", "q"]',
            ),
            [("HA187", "affinity.x")],
            id="no node in common",
        ),
        pytest.param(
            spec(
                vm("p", 'placement = { avoid = ["n1"] }'),
                vm("q", "placement = { prefer = { n1 = 5 } }"),
                '[affinity.x]\nvms = ["p", "q"]',
            ),
            [("HA193", "vms.q.placement.prefer.n1")],
            id="a preference that the other's avoidance makes void",
        ),
        pytest.param(
            spec(
                vm("p", 'placement = { prefer = { n1 = 5 }, avoid = ["n1"] }'),
                vm("q"),
                '[affinity.x]\nvms = ["p", "q"]',
            ),
            [("HA169", "vms.p.placement")],
            id="one that contradicts itself is told once",
        ),
        pytest.param(
            spec('[affinity.x]\nvms = ["a", "b"]\n[affinity.y]\nvms = ["b", "a"]\nscore = 5'),
            [("HA194", "affinity.y")],
            id="each follows the other",
        ),
        pytest.param(
            spec(
                '[anti_affinity.x]\nvms = ["a"]\nfrom = ["b"]\n[affinity.z]\nvms = ["d", "c"]\nscore = 5\n'
                '[anti_affinity.y]\nvms = ["b", "c"]\nfrom = ["a", "d"]\nscore = 5'
            ),
            [("HA194", "anti_affinity.y")],
            id="two sides that fit neither way round",
        ),
        pytest.param(
            spec('[affinity.x]\nvms = ["a", "b"]\nscore = 9\n[anti_affinity.y]\nvms = ["a"]\nfrom = ["b"]'),
            [],
            id="two sides that fit one way round",
        ),
        pytest.param(
            spec('[start_order.o]\nsteps = ["a", "b"]\n[start_order.p]\nsteps = ["b", ["c", "a"]]'),
            [("HA184", "start_order.o")],
            id="a circle of two orders",
        ),
        pytest.param(spec('[start_order.o]\nsteps = ["a", "b", "a"]'), [("HA184", "start_order.o")], id="twice in one"),
        pytest.param(
            spec('[placement]\nstrategy = "utilization"'),
            [("HA188", "placement.strategy")],
            id="a strategy without capacities",
        ),
        pytest.param(
            sized().replace('memory = "32G"\ncpus = 8\n', "", 1),
            [("HA188", "nodes.n1.cpus"), ("HA188", "nodes.n1.memory")],
            id="a node without capacity",
        ),
        pytest.param(
            sized('[placement]\nreserved_memory = "32G"'),
            [("HA188", f"nodes.n{i}.memory") for i in (1, 2, 3)],
            id="all memory reserved",
        ),
        pytest.param(
            sized('[cluster.properties]\nplacement-strategy = "minimal"'),
            [("HA189", "cluster.properties.placement-strategy")],
            id="the strategy twice",
        ),
        pytest.param(
            spec("[placement]\nmigration_limit = 2", "[cluster.properties]\nmigration-limit = 3"),
            [("HA189", "cluster.properties.migration-limit")],
            id="the limit twice",
        ),
        pytest.param(sized(vm("big", memory="30G")), [("HA185", "vms.big")], id="a VM larger than any node"),
        pytest.param(sized(vm("big", memory="29G")), [], id="a VM that just fits"),
        pytest.param(
            sized(*(vm(n, memory="15G") for n in "ab"), '[affinity.x]\nvms = ["a", "b"]'),
            [("HA185", "affinity.x")],
            id="two that only run together and fit nowhere together",
        ),
        pytest.param(
            sized(vm("big", memory="30G"), '[placement]\nstrategy = "default"'), [], id="nothing is counted by default"
        ),
        pytest.param(sized('[placement]\nvcpus_per_cpu = "4"'), [("HA112", "placement.vcpus_per_cpu")], id="no number"),
        pytest.param(sized("[placement]\nvcpus_per_cpu = nan"), [("HA113", "placement.vcpus_per_cpu")], id="nan"),
    ],
)
def test_what_cannot_be_kept_is_found(text: str, expected: list[tuple[str, str]]) -> None:
    assert findings(text) == expected


def test_the_circle_is_shown() -> None:
    found = only(spec('[start_order.o]\nsteps = ["d", "a", ["b", "c"]]\n[start_order.p]\nsteps = ["c", "a"]'))
    assert found.message in ("a then c then a", "c then a then c")
    assert dict(found.facts) == {"orders": "start_order.o, start_order.p"} or dict(found.facts) == {
        "orders": "start_order.p, start_order.o"
    }


def test_the_contradiction_names_the_rules_that_make_it() -> None:
    found = only(
        spec(
            '[affinity.x]\nvms = ["a", "b"]\n[affinity.y]\nvms = ["b", "c"]\n'
            '[anti_affinity.z]\nvms = ["a"]\nfrom = ["c"]'
        )
    )
    assert "together by affinity.x, affinity.y" in found.message


def test_who_is_left_without_a_node_is_told() -> None:
    found = only(spec('[anti_affinity.y]\nvms = ["a", "b", "c", "d"]'))
    assert dict(found.facts) == {"without": "d", "nodes": "n1, n2, n3"}

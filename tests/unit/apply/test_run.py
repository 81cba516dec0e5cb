"""The push as a compare-and-set, deliveries, and the wait, over ports in memory and time that does not pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from lxml import etree

from hacluster.apply import run
from hacluster.apply.delivery import Delivery, File
from hacluster.apply.prepare import NODE_SILENT, Prepared, read_secrets
from hacluster.cib import compile as compiler
from hacluster.cib import merge
from hacluster.cib.simulate import Simulation
from hacluster.model import Cluster, FenceDevice, Node, SecretRef
from hacluster.observe import ClusterView, Observation
from hacluster.plan import Foreseen, make
from hacluster.ports import Conflict, NodeFile, Unreachable, World
from hacluster.problems import Refused

CLUSTER = Cluster("c", (Node("n1", 1, ("10.0.0.1",)),), lock_manager="external")
COMPILED = compiler.compile_element(CLUSTER)


def live(epoch: int = 7, updates: int = 0) -> bytes:
    return (
        f'<cib admin_epoch="0" epoch="{epoch}" num_updates="{updates}" '
        'update-client="crm_attribute" update-origin="n2">'
        '<configuration><crm_config/><nodes><node id="1" uname="n1"/></nodes><resources/><constraints/></configuration>'
        "<status/></cib>"
    ).encode()


@dataclass
class Cib:
    """A cluster whose CIB is read from a list; a push conflicts as often as it is told to."""

    reads: list[bytes]
    conflicts: int = 0
    busy: int = 0
    pushed: list[bytes] = field(default_factory=list)

    def cib(self) -> bytes:
        return self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]

    def idle(self) -> bool:
        self.busy -= 1
        return self.busy < 0

    def replace(self, cib: bytes) -> None:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict
        self.pushed.append(cib)


@dataclass
class Files:
    """Nodes that take files, or do not."""

    gone: frozenset[str] = frozenset()
    written: list[tuple[str, str]] = field(default_factory=list)

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        if node in self.gone:
            raise Unreachable(f"{node} is gone")
        assert {file.mode for file in files} == {0o600}
        self.written += [(node, file.path) for file in files]


class Time:
    """A clock that moves when somebody sleeps."""

    seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Ports:
    pacemaker: Cib
    hosts: Files = field(default_factory=Files)
    clock: Time = field(default_factory=Time)

    @property
    def world(self) -> World:
        return cast("World", self)


def prepared(deliveries: Sequence[Delivery] = (), problems: Any = (), planned: bytes | None = None) -> Prepared:
    before = etree.fromstring(planned or live())
    merged = merge.merge(before, COMPILED)
    seen = Observation(ClusterView("c", (0, 7, 0), True, "n1", False, True), (), (), (), (), {}, ())
    nothing = Simulation((), {}, {})
    plan = make(before, merged, Foreseen(nothing, nothing), seen=seen, nodes=())
    wanted = etree.tostring(COMPILED.find("configuration"), encoding="unicode")
    return Prepared(plan, before, wanted, seen, tuple(deliveries), tuple(problems))


def test_the_push_keeps_the_version_that_was_read() -> None:
    ports = Ports(Cib([live(7, 31)]))
    run.push(ports.world, prepared())
    [pushed] = ports.pacemaker.pushed
    assert (etree.fromstring(pushed).get("epoch"), etree.fromstring(pushed).get("num_updates")) == ("7", "31")


def test_a_status_change_in_between_is_merged_again_onto_the_newer_cib() -> None:
    ports = Ports(Cib([live(7, 1), live(7, 2), live(7, 3)], conflicts=2))
    run.push(ports.world, prepared())
    assert [etree.fromstring(cib).get("num_updates") for cib in ports.pacemaker.pushed] == ["3"]


def refused(act: Callable[[], object]) -> list[Any]:
    with pytest.raises(Refused) as no:
        act()
    return list(no.value.problems)


@pytest.mark.parametrize("reads", [[live(8)], [live(7), live(8)]])
def test_a_configuration_change_by_somebody_else_is_refused_with_who(reads: list[bytes]) -> None:
    ports = Ports(Cib(reads, conflicts=1))
    [problem] = refused(lambda: run.push(ports.world, prepared()))
    assert problem.code == run.CHANGED.code
    assert dict(problem.facts)["changed_by"] == "crm_attribute"
    assert dict(problem.facts)["on"] == "n2"
    assert ports.pacemaker.pushed == []


def test_a_cluster_that_never_holds_still_ends_in_a_refusal() -> None:
    ports = Ports(Cib([live()], conflicts=10_000))
    assert [p.code for p in refused(lambda: run.push(ports.world, prepared()))] == [run.TOO_BUSY.code]


def test_a_push_waits_for_a_transition_to_end_but_not_for_ever() -> None:
    ports = Ports(Cib([live()], busy=5))
    run.push(ports.world, prepared())
    assert 1.0 < ports.clock.seconds < 3.0
    ports = Ports(Cib([live()], busy=10_000))
    run.push(ports.world, prepared())
    assert ports.pacemaker.pushed
    assert ports.clock.seconds < 30


FILE = File("/etc/hacluster/domains/web.0123456789abcdef.xml", b"x", "domain XML", "web")


def test_when_one_node_cannot_be_given_its_files_nothing_is_pushed() -> None:
    ports = Ports(Cib([live()]), Files(gone=frozenset({"n2"})))
    deliveries = [Delivery("n1", (FILE,)), Delivery("n2", (FILE,))]
    [problem] = refused(lambda: run.apply(ports.world, prepared(deliveries), lambda _text: None))
    assert (problem.code, problem.where) == (run.NOT_DELIVERED.code, "node n2")
    assert ports.pacemaker.pushed == []
    assert ports.hosts.written == [("n1", FILE.path)]


def test_a_finding_that_is_not_accepted_stops_before_anything_is_delivered() -> None:
    ports = Ports(Cib([live()]))
    silent = NODE_SILENT("n2 does not answer")
    found = prepared([Delivery("n1", (FILE,))], [silent])
    assert refused(lambda: run.apply(ports.world, found, lambda _text: None)) == [silent]
    assert ports.hosts.written == []


class Vault:
    """Secrets by their argument."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    def read(self, scheme: str, argument: str, *, deadline: float = 20.0) -> str:
        if argument not in self.values:
            raise Refused(run.NOT_DELIVERED(f"no {scheme}:{argument}"))
        return self.values[argument]


def test_every_secret_that_is_missing_or_unfit_is_told_at_once() -> None:
    def device(name: str) -> FenceDevice:
        return FenceDevice(name, "fence_x", ("n1",), secrets={"password": SecretRef("file", name)})

    three = Cluster("c", CLUSTER.nodes, tuple(device(name) for name in ("good", "unfit", "missing")))
    vault = Vault({"good": "s3", "unfit": "two\nlines"})
    found = refused(lambda: read_secrets(vault, three))
    assert [problem.where for problem in found] == ["fence_devices.unfit.password", ""]
    assert read_secrets(Vault({"good": "s3"}), Cluster("c", (), (device("good"),))) == {("good", "password"): "s3"}

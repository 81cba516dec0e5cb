"""The audit as a whole: everything once, what may be a moment twice, and one document for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from hacluster import claim, verify
from hacluster.claim import Claim
from hacluster.ports import Completed, HeldLock, HostAudit, HostFacts, Unknown, World
from hacluster.problems import Refused
from tests.unit.observe import test_read as small
from tests.unit.verify.test_audit import BOTH, NO_LEASES, Facts, cib

UUID = small.UUID


class Cluster:
    """The small cluster; each look at the nodes gets the next of `looks`, the last one again and again."""

    def __init__(self, *looks: Facts, raw: bytes = b"", mover: bytes | None = None) -> None:
        self._looks: Iterator[Facts] = iter(looks)
        self._now: Facts = {}
        self.slept: list[float] = []
        self.asked: list[Sequence[str]] = []
        self.mover = mover
        self.raw = raw or cib()

    def facts(self, _nodes: Sequence[str], deadline: float) -> Facts:
        self._now = next(self._looks, self._now)
        return self._now

    def audit(self, nodes: Sequence[str]) -> dict[str, HostAudit | Unknown]:
        self.asked.append(nodes)
        return {node: BOTH[node] for node in nodes}

    def run(self, node: str, argv: Sequence[str], deadline: float) -> Completed:
        assert argv[0] == "cat"
        return Completed(1, b"", b"") if self.mover is None else Completed(0, self.mover, b"")

    @property
    def world(self) -> World:
        return cast(
            World,
            SimpleNamespace(
                pacemaker=SimpleNamespace(cib=lambda: self.raw, monitor=small.monitor),
                hosts=self,
                runner=self,
                clock=SimpleNamespace(wall=lambda: 1000.0, now=lambda: 0.0, sleep=self.slept.append),
            ),
        )


def codes(cluster: Cluster) -> list[str]:
    return [problem.code for problem in verify.verify(cluster.world).problems]


def left_over() -> Facts:
    second = NO_LEASES["n2"]
    assert isinstance(second, HostFacts)
    return {**NO_LEASES, "n2": replace(second, locks=(HeldLock(UUID, "EX"),))}


def test_a_cluster_in_order_is_looked_at_once() -> None:
    cluster = Cluster(NO_LEASES)
    assert codes(cluster) == []
    assert cluster.slept == []
    assert cluster.asked == [["n1", "n2"]]


def test_what_may_be_a_moment_is_looked_at_again() -> None:
    passing = Cluster(left_over(), NO_LEASES)
    assert codes(passing) == []
    assert passing.slept == [verify.SECOND_LOOK]
    assert codes(Cluster(left_over())) == ["HA509"]


def test_what_the_observation_finds_is_found_here_too_and_once() -> None:
    first = NO_LEASES["n1"]
    assert isinstance(first, HostFacts)
    assert codes(Cluster({**NO_LEASES, "n1": replace(first, hook_ok=False)})) == ["HA317"]


@pytest.mark.parametrize(
    ("since", "mover", "found"),
    [
        (990, None, ["HA305"]),
        (990, b"/usr/bin/python3\0/usr/bin/hactl\0vm\0move\0", []),
        (990, b"/usr/sbin/cron\0", ["HA305"]),
        (900, None, ["HA305"]),
    ],
    ids=["gone", "alive", "another process has its number", "gone and old"],
)
def test_a_claim_whose_hactl_is_gone_is_left_over_whatever_its_age(
    since: int, mover: bytes | None, found: list[str]
) -> None:
    claimed = cib(claim.to_xml(Claim("web", "n1", "n2", "root@n1", 7, since)).decode())
    assert codes(Cluster(NO_LEASES, raw=claimed, mover=mover)) == found


def test_the_document_has_each_nodes_audit_each_vms_barriers_and_the_findings() -> None:
    told = json.loads(json.dumps(verify.to_json(verify.verify(Cluster(left_over()).world))))
    assert told["format"] == 1
    assert [node["audit"]["pacemaker"] for node in told["nodes"]] == ["2.1.5", "2.1.5"]
    assert told["vms"][0]["barriers"] == {
        "fencing": True,
        "run_lock": True,
        "image_lock": "node",
        "lease": "none",
        "handover": "paused",
        "storage": ["block"],
    }
    assert [problem["code"] for problem in told["problems"]] == ["HA509"]


def test_what_is_not_known_is_null_in_the_document() -> None:
    unknown = Cluster(small.WELL)
    assert verify.to_json(verify.verify(unknown.world))["vms"][0]["barriers"]["lease"] is None


def test_without_a_cluster_there_is_no_audit() -> None:
    cluster = Cluster(NO_LEASES)

    def nobody() -> bytes:
        raise Refused([])

    world = cluster.world
    world.pacemaker.cib = nobody  # type: ignore[method-assign]  # a stand-in's method
    with pytest.raises(Refused):
        verify.verify(world)


def test_fencing_that_nobody_has_proven_is_found_where_the_spec_does_not_waive_it() -> None:
    required = cib().replace(b'value="waived"', b'value="required"')
    assert "HA540" not in codes(Cluster(small.WELL))
    assert "HA540" in codes(Cluster(small.WELL, raw=required))

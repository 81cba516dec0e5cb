"""Remote nodes in the spec, and what Corosync counts: members only."""

from __future__ import annotations

import pytest

from tests.unit.spec.example import VM, changed, cluster, findings
from tests.unit.spec.test_storage import GFS2, LOCAL, NFS, NODES

REMOTE = """
[nodes.r1]
remote = true
addresses = ["10.0.0.11"]
fencing = ["f"]
"""
HEARTBEAT = ("vcpus = 1", 'vcpus = 1\nagent = "heartbeat"')


def test_a_remote_node_has_no_id_and_takes_none_away() -> None:
    first = NODES.replace("[nodes.n1]", REMOTE + "[nodes.n1]", 1)
    made = cluster(first + NFS)
    assert {node.name: (node.id, node.remote) for node in made.nodes} == {
        "r1": (0, True),
        "n1": (1, False),
        "n2": (2, False),
        "n3": (3, False),
    }
    assert [node.name for node in made.members] == ["n1", "n2", "n3"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([("remote = true", "remote = true\nid = 7")], [("HA178", "nodes.r1.id")], id="an id"),
        pytest.param(
            [('"10.0.0.11"', '"10.0.0.11", "10.1.0.11"')], [("HA178", "nodes.r1.addresses")], id="two addresses"
        ),
        pytest.param([("nodes.r1", "nodes.1r")], [("HA115", "nodes.1r")], id="a name that no resource can have"),
        pytest.param([("remote = true", 'reconnect = "5s"')], [("HA113", "nodes.r1.reconnect")], id="no remote node"),
        pytest.param([('fencing = ["f"]', "")], [("HA141", "nodes.r1.fencing")], id="that nobody fences"),
        pytest.param([('"10.0.0.11"', '"10.0.0.1"')], [("HA121", "nodes.r1.addresses[0]")], id="another's address"),
    ],
)
def test_what_a_remote_node_cannot_have(changes: list[tuple[str, str]], expected: list[tuple[str, str]]) -> None:
    assert findings(NODES + changed(*changes, text=REMOTE)) == expected


def test_corosync_counts_its_members_only() -> None:
    two = NODES.replace('[nodes.n3]\naddresses = ["10.0.0.3"]\nfencing = ["f"]\n', "")
    assert findings(two + REMOTE) == [("HA124", "cluster.qdevice"), ("HA267", "fence_devices")]
    assert findings(two.replace('name = "c"', 'name = "c"\nwait_for_all = false')) == [
        ("HA124", "cluster.qdevice"),
        ("HA179", "cluster.wait_for_all"),
        ("HA267", "fence_devices"),
    ]
    one = two.replace('[nodes.n2]\naddresses = ["10.0.0.2"]\nfencing = ["f"]\n', "")
    assert findings(one + REMOTE) == [("HA123", "nodes")]
    many = NODES + "".join(REMOTE.replace("r1", f"r{i}").replace("10.0.0.11", f"10.0.1.{i}") for i in range(1, 60))
    assert findings(many) == []
    assert findings(NODES + REMOTE + GFS2 + "journals = 3\n") == []


@pytest.mark.parametrize(
    ("storage", "changes", "expected"),
    [
        pytest.param(NFS, [HEARTBEAT, ("vcpus", "placement = { prefer = { r1 = 5 } }\nvcpus")], [], id="heartbeat's"),
        pytest.param(
            NFS,
            [("vcpus", "placement = { prefer = { r1 = 5 } }\nvcpus")],
            [("HA178", "vms.web.placement.prefer.r1")],
            id="a guarded one",
        ),
        pytest.param(
            GFS2,
            [HEARTBEAT, ("vcpus", "placement = { prefer = { r1 = 5 } }\nvcpus")],
            [("HA178", "vms.web.placement.prefer.r1")],
            id="heartbeat's on a DLM",
        ),
        pytest.param(
            NFS,
            [("vcpus", 'placement = { avoid = ["n1", "n2", "n3"] }\nvcpus')],
            [("HA178", "vms.web.placement.avoid")],
            id="a guarded one that no member is left for",
        ),
        pytest.param(
            LOCAL.replace("n1", "r1"),
            [("vcpus", 'migration = { mode = "none" }\nvcpus')],
            [("HA178", "vms.web")],
            id="a guarded one on a remote node's disk",
        ),
        pytest.param(
            LOCAL.replace("n1", "r1"), [HEARTBEAT, ("vcpus", 'migration = { mode = "none" }\nvcpus')], [], id="not so"
        ),
    ],
)
def test_which_vms_a_remote_node_carries(
    storage: str, changes: list[tuple[str, str]], expected: list[tuple[str, str]]
) -> None:
    assert findings(NODES + REMOTE + storage + changed(*changes, text=VM)) == expected

"""What a lab will look like, and what it refuses to look like."""

from dataclasses import replace
from pathlib import Path

import pytest

from hacluster.lab.bed import Bed
from hacluster.lab.layout import Layout, bmcs, check
from hacluster.model import Block, Cluster, Directory, Disk, FenceDevice, Gfs2, Network, Node, Vm
from hacluster.problems import Refused


def a_vm(name: str, path: str, storage: str) -> Vm:
    return Vm(name, f"uuid-{name}", b"", 4 << 20, 1, (Disk(path, "raw", storage),), (), (storage,))


CLUSTER = Cluster(
    name="lab",
    nodes=(Node("n1", 1, ("10.99.0.11", "10.99.1.11")), Node("n2", 2, ("10.99.0.12", "10.99.1.12"))),
    fence_devices=(FenceDevice("ipmi-n1", "fence_ipmilan", ("n1",), {"ip": "10.99.0.21", "username": "admin"}),),
    storages=(Block("luns", "/dev/lab"), Directory("images", "/shared", "/vmfs")),
    networks=(Network("lan", "br0"),),
    vms=(a_vm("web", "/dev/lab/web", "luns"), a_vm("mail", "/vmfs/sub/mail.img", "images")),
)
LAYOUT = Layout("h9", CLUSTER, Path("/sys/fs/cgroup/unified"))


def refusals(name: str, cluster: Cluster) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as no:
        check(name, cluster)
    return [(problem.code, problem.where) for problem in no.value.problems]


def test_everything_carries_the_labs_name() -> None:
    assert str(LAYOUT.run) == "/run/hacluster-lab/h9"
    assert str(LAYOUT.cgroup) == "/sys/fs/cgroup/unified/hacluster-lab/h9"


def test_a_node_has_a_wire_for_each_link_and_each_bridge() -> None:
    assert LAYOUT.ports(CLUSTER.nodes[1]) == [
        ["n2-0", "link0", "eth0", "02:99:00:00:00:02", "10.99.0.12/24"],
        ["n2-1", "link1", "eth1", "02:99:01:00:00:02", "10.99.1.12/24"],
        ["n2-v0", "br0", "up0", "02:98:00:00:00:02", ""],
    ]


def test_interface_names_are_as_short_as_the_kernel_wants_them() -> None:
    far = Node("a-node-with-a-long-name", 4095, ("10.99.0.11", "10.99.1.11"))
    assert all(len(name) <= 15 for port, _, name, _, _ in LAYOUT.ports(far) for name in (port, name))


def test_the_switch_is_the_first_address_of_each_link() -> None:
    assert LAYOUT.switch_addresses() == ["10.99.0.1", "10.99.1.1"]


def test_each_disk_is_found_on_the_storage_it_stands_on() -> None:
    assert [(disk.vm, disk.path) for disk in LAYOUT.block_disks()] == [("web", "/dev/lab/web")]
    assert [(disk.vm, str(disk.image)) for disk in LAYOUT.file_disks()] == [
        ("mail", "/run/hacluster-lab/h9/shared/images/sub/mail.img")
    ]


def test_a_password_that_the_spec_keeps_elsewhere_is_made_for_the_lab() -> None:
    assert [(bmc.device, bmc.node, bmc.password) for bmc in bmcs(CLUSTER, "made")] == [("ipmi-n1", "n1", "made")]


def test_this_cluster_can_be_built() -> None:
    check("h9", CLUSTER)


@pytest.mark.parametrize("name", ["", "Lab", "a/b", "..", "x" * 40])
def test_a_name_that_cannot_be_found_again_is_refused(name: str) -> None:
    assert refusals(name, CLUSTER) == [("HA701", "--name")]


def test_everything_a_lab_cannot_build_is_said_at_once() -> None:
    broken = replace(
        CLUSTER,
        nodes=(*CLUSTER.nodes, Node("n3", 3, ("10.98.0.13", "10.99.1.13"))),
        storages=(Gfs2("big", "/dev/mapper/x", "vg", "lv", "/kvm", "a:b"),),
        fence_devices=(
            FenceDevice("apc", "fence_apc", ("n1",)),
            FenceDevice("far", "fence_ipmilan", ("n1",), {"ip": "192.0.2.1"}),
            FenceDevice("both", "fence_ipmilan", ("n1", "n2"), {"ip": "10.99.0.21"}),
        ),
        networks=(Network("lan", "eth0"),),
    )
    assert refusals("h9", broken) == [
        ("HA702", "nodes.n3.addresses"),
        ("HA702", "storage.big.type"),
        ("HA702", "fence_devices.apc"),
        ("HA702", "fence_devices.far.ip"),
        ("HA702", "fence_devices.both"),
        ("HA702", "networks.lan.bridge"),
    ]


@pytest.mark.parametrize("name", ["", "..", "../../etc", "a/b", "x y", "A", "a" * 32])
def test_a_name_that_is_no_name_reaches_no_path(name: str) -> None:
    with pytest.raises(Refused) as no:
        Bed(name)
    assert no.value.problems[0].code == "HA701"


def test_a_node_that_loses_its_power_while_it_is_asked_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its init was seen a moment ago, and its cgroup has gone with its power."""

    class Dying:
        cgroup = str(tmp_path / "gone")

        def leader(self) -> int:
            return 1

    monkeypatch.setattr(Bed, "_supply", lambda *_: Dying())
    with pytest.raises(Refused) as no:
        Bed("x").exec("n1", ["true"])
    assert no.value.problems[0].code == "HA711"

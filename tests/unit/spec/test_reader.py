"""What may stand in the spec: types, units, unknown keys, names. One value in, one finding out."""

from __future__ import annotations

import pytest

from hacluster.model import Block, Directory, Gfs2, Migration, Placement
from tests.unit.spec.example import SMALL, VM, changed, cluster, findings, only, parse

NODE = 'addresses = ["10.0.0.1"]'
GFS2 = """
[storage.g]
type = "gfs2"
device = "/dev/mapper/lun"
volume_group = "vg"
logical_volume = "lv"
mount = "/g"
"""


def test_the_small_spec_is_right() -> None:
    assert findings(SMALL + VM) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "where", "says"),
    [
        ("[networks.lan]", "[network.lan]", "HA110", "network", "did you mean networks?"),
        ("memory = ", "memroy = 1\nmemory = ", "HA110", "vms.web.memroy", "did you mean memory?"),
        ('format = "raw"', 'format = "raw", forma = 1', "HA110", "vms.web.disks[0].forma", "did you mean format?"),
        ("memory = ", "zzz = 1\nmemory = ", "HA110", "vms.web.zzz", "unknown key zzz"),
        ('name = "c"', 'name = "c"\n"a b" = 1', "HA110", 'cluster."a b"', "unknown key"),
        ('bridge = "br0"', "", "HA111", "networks.lan.bridge", "the key bridge is missing"),
        ('name = "c"', "name = 5", "HA112", "cluster.name", "found the number 5"),
        ("vcpus = 1", 'vcpus = "1"', "HA112", "vms.web.vcpus", 'expected an integer, found the string "1"'),
        ("vcpus = 1", "vcpus = true", "HA112", "vms.web.vcpus", "found the boolean true"),
        ("vcpus = 1", "vcpus = 0", "HA113", "vms.web.vcpus", "0 is out of range"),
        (f"{NODE}", 'addresses = "10.0.0.1"', "HA112", "nodes.n1.addresses", "expected a list"),
        (f"{NODE}", 'addresses = ["10.0.0.300"]', "HA113", "nodes.n1.addresses[0]", "neither an IP address"),
        (f"{NODE}", 'addresses = ["0.0.0.0"]', "HA113", "nodes.n1.addresses[0]", "not the address of one host"),
        ('"512M"', '"512X"', "HA113", "vms.web.memory", 'found "512X"'),
        ('"512M"', '"1K"', "HA113", "vms.web.memory", "1 KiB is out of range"),
        ('"raw"', '"qcow"', "HA113", "vms.web.disks[0].format", 'expected "raw" or "qcow2"'),
        ('type = "block"', 'type = "blokc"', "HA113", "storage.luns.type", "blokc"),
        ('type = "block"', "", "HA111", "storage.luns.type", "missing"),
        ("52:54:00:00:00:01", "53:54:00:00:00:01", "HA113", "vms.web.nics[0].mac", "multicast"),
        ("52:54:00:00:00:01", "52:54:00", "HA113", "vms.web.nics[0].mac", "expected a MAC address"),
        ("3c9f7a40-", "3c9f7a4-", "HA113", "vms.web.uuid", "expected a uuid"),
        (
            "3c9f7a40-6f2e-4d0b-9a6b-2f8f9d1e7a01",
            "00000000-0000-0000-0000-000000000000",
            "HA113",
            "vms.web.uuid",
            "no real uuid",
        ),
        ('mount = "/vm"', 'mount = "/vm/../vm"', "HA113", "storage.s.mount", "not an absolute path"),
        ('mount = "/vm"', 'mount = "/"', "HA113", "storage.s.mount", "not an absolute path"),
        ('mount = "/vm"', 'mount = "/vm;reboot"', "HA113", "storage.s.mount", "shell"),
        ('bridge = "br0"', 'bridge = "a-very-long-bridge"', "HA113", "networks.lan.bridge", "15 characters"),
        ("vcpus = 1", 'vcpus = 1\nmachine = "pc"', "HA113", "vms.web.machine", "versioned"),
        ("vcpus = 1", 'vcpus = 1\nserial = "/vm/a\\u0007"', "HA113", "vms.web.serial", r"'\x07'"),
    ],
)
def test_a_wrong_value_says_what_was_found_and_what_is_wanted(
    old: str, new: str, code: str, where: str, says: str
) -> None:
    problem = next(p for p in parse(changed((old, new), text=SMALL + VM))[1] if p.where == where)
    assert problem.code == code
    assert says in problem.message


def test_many_unknown_keys_are_counted_not_listed() -> None:
    found = parse(SMALL + "[unknown]\n" + VM + "".join(f"k{i} = 1\n" for i in range(1000)))[1]
    assert len(found) == 22
    assert "980 more" in found[-1].message or "980 more" in found[-2].message


@pytest.mark.parametrize(
    ("written", "seconds"), [("90", 90), ('"90"', 90), ('"90s"', 90), ('"2m"', 120), ('"1h"', 3600)]
)
def test_a_time_has_a_unit_or_counts_seconds(written: str, seconds: int) -> None:
    assert cluster(SMALL + VM + f"stop_budget = {written}\n").vms[0].stop_budget == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [("4194304", 4 << 20), ('"4M"', 4 << 20), ('"4MiB"', 4 << 20), ('"2G"', 2 << 30), ('"4096KiB"', 4 << 20)],
)
def test_a_size_has_a_binary_unit_or_counts_bytes(written: str, size: int) -> None:
    assert cluster(changed(('"512M"', written), text=SMALL + VM)).vms[0].memory == size


@pytest.mark.parametrize(
    ("written", "levels"),
    [
        ('["f", "g"]', (("f",), ("g",))),
        ('[["f"], ["g", "h"]]', (("f",), ("g", "h"))),
        ('["f", ["g", "h"]]', (("f",), ("g", "h"))),
    ],
)
def test_fencing_levels_are_a_flat_list_or_a_list_of_lists(written: str, levels: tuple[tuple[str, ...], ...]) -> None:
    more = '[fence_devices.g]\nagent = "fence_pdu"\ntargets = ["n1"]\n[fence_devices.h]\nagent = "fence_pdu"\n'
    text = changed(('fencing = ["f"]', f"fencing = {written}"), text=SMALL + more)
    assert cluster(text.replace('targets = ["n1"]\n', "")).nodes[0].fencing == levels


def test_what_is_left_out_has_the_models_defaults() -> None:
    made = cluster(SMALL + VM)
    vm = made.vms[0]
    assert (made.stickiness, made.lock_manager, made.migration_transport, made.qdevice) == (1000, "dlm", "ssh", None)
    assert (vm.placement, vm.priority, vm.stop_budget, vm.agent) == (Placement(), 0, 120, "hacluster")
    assert vm.migration == Migration()
    assert [node.id for node in made.nodes] == [1, 2, 3]
    assert made.fence_devices[0].targets == ("n1", "n2", "n3")


def test_everything_that_can_be_said_arrives_in_the_model() -> None:
    text = changed(
        ('name = "c"', 'name = "c"\nlock_manager = "external"\nmigration_transport = "tcp"\nstickiness = 7'),
        (NODE, f'{NODE}\nid = 9\nmigration_host = "m1"\nssh_host = "s1"'),
        ('agent = "fence_virsh"', 'agent = "stonith:fence_virsh"\ndelay = "5s"\nplug = 3\nverbose = false'),
        ("[fence_devices.f]", "[cluster.properties]\nbatch-limit = 5\nmaintenance-mode = true\n[fence_devices.f]"),
        text=SMALL,
    )
    more = """
placement = { prefer = { n1 = 100 }, avoid = ["n3"] }
priority = 5
storage = "luns"
migration = { mode = "cold", auto_converge = true, bandwidth = 100, downtime = "1s", timeout = "2m", parallel = 4 }
agent = "heartbeat"
"""
    made = cluster(text + VM + more)
    assert (made.lock_manager, made.migration_transport, made.stickiness) == ("external", "tcp", 7)
    assert dict(made.properties) == {"batch-limit": "5", "maintenance-mode": "true"}
    assert (made.nodes[0].id, made.nodes[0].migration_host, made.nodes[0].ssh_host) == (9, "m1", "s1")
    device = made.fence_devices[0]
    assert (device.agent, device.delay, dict(device.parameters)) == ("fence_virsh", 5, {"plug": "3", "verbose": "0"})
    vm = made.vms[0]
    assert (dict(vm.placement.prefer), vm.placement.avoid, vm.priority) == ({"n1": 100}, ("n3",), 5)
    assert vm.migration == Migration("cold", True, 100, 1000, 120, parallel=4)
    assert (vm.storages, vm.agent) == (("luns", "s"), "heartbeat")


def test_the_three_storages() -> None:
    made = cluster(SMALL + GFS2)
    assert made.storages == (
        Directory("s", "/shared", "/vm"),
        Block("luns", "/dev/luns"),
        Gfs2("g", "/dev/mapper/lun", "vg", "lv", "/g", lock_table="c:g", journals=3),
    )


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ('"a/b"', "HA115"),
        ('"<a>"', "HA115"),
        ("'a\"b'", "HA115"),
        ('"a b"', "HA115"),
        ('"a..b"', "HA115"),
        ("9lives", "HA115"),
        ("x" * 65, "HA115"),
        ('"ü"', "HA115"),
        ("dlm", "HA116"),
        ("dlm-clone", "HA116"),
        ("hacluster-lockspace", "HA116"),
        ("hactl-move-web", "HA116"),
        ("lvmlockd", "HA116"),
        ("vm-on-s", "HA116"),
        ("cli-ban-x", "HA116"),
        ("order-a-then-b", "HA116"),
        ("s-fs", "HA116"),
        ("f-not-on-n1", "HA116"),
        ("s", "HA117"),
        ("f", "HA117"),
        ("n1", "HA117"),
        ("N1", "HA117"),
    ],
)
def test_names_that_a_vm_cannot_have(name: str, code: str) -> None:
    assert [c for c, _ in findings(SMALL + changed(("vms.web", f"vms.{name}"), text=VM))] == [code]


@pytest.mark.parametrize("name", ["web", "web-1", "Web_2", '"web.example"', "dlmtest", "_x", "fencing", "s-images"])
def test_names_that_a_vm_can_have(name: str) -> None:
    assert findings(SMALL + changed(("vms.web", f"vms.{name}"), text=VM)) == []


@pytest.mark.parametrize("name", ["n_1", '"n1."', "-n1", '"1.2.3.4"', "n" * 64])
def test_names_that_a_node_cannot_have(name: str) -> None:
    assert [c for c, _ in findings(changed(("nodes.n1", f"nodes.{name}"), text=SMALL))] == ["HA115"]


def test_two_vms_whose_names_differ_in_capitals_only() -> None:
    other = changed(("vms.web", "vms.WEB"), ("web.img", "b.img"), ("7a01", "7a02"), ("00:01", "00:02"), text=VM)
    assert findings(SMALL + VM + other) == [("HA117", "vms.WEB")]


def test_storages_whose_names_read_alike_when_joined() -> None:
    storages = "".join(
        f'[storage.{name}]\ntype = "block"\ndirectory = "/dev/{name}"\n' for name in ("a-b", "c", "a", "b-c")
    )
    one = VM + 'storage = ["a-b", "c"]\n'
    other = changed(("vms.web", "vms.db"), ("web.img", "b.img"), ("7a01", "7a02"), ("00:01", "00:02"), text=VM)
    assert findings(SMALL + storages + one + other + 'storage = ["a", "b-c"]\n')[0][0] == "HA117"


def test_a_cluster_name_is_what_gfs2_takes() -> None:
    assert findings(changed(('"c"', f'"{"c" * 32}"'), text=SMALL)) == []
    assert only(changed(('"c"', f'"{"c" * 33}"'), text=SMALL)).code == "HA113"
    assert only(changed(('"c"', '"a:b"'), text=SMALL)).code == "HA113"

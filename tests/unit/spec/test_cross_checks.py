"""What has to fit together across the spec: nodes, fencing, storage, VMs. One mistake, one finding."""

from __future__ import annotations

import pytest

from hacluster.problems import CATALOGUE
from tests.unit.spec.example import SMALL, VM, changed, cluster, findings, only, parse
from tests.unit.spec.test_reader import GFS2, NODE

DB = changed(("vms.web", "vms.db"), ("web.img", "db.img"), ("7a01", "7a02"), ("00:01", "00:02"), text=VM)
ALL = SMALL + GFS2 + VM


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            [(NODE, 'addresses = ["10.0.0.1", "10.1.0.1"]')], [("HA122", "nodes.n1.addresses")], id="links differ"
        ),
        pytest.param(
            [(NODE, 'addresses = ["::1:2"]'), ('["10.0.0.2"]', '["0:0::1:2"]')],
            [("HA121", "nodes.n2.addresses[0]")],
            id="one address in two spellings",
        ),
        pytest.param(
            [(NODE, 'addresses = ["Host.example"]'), ('["10.0.0.2"]', '["host.example"]')],
            [("HA121", "nodes.n2.addresses[0]")],
            id="one host name in two spellings",
        ),
        pytest.param(
            [('"10.0.0.1"', '"10.0.0.1", "10.0.0.1"')],
            [("HA121", "nodes.n1.addresses[1]"), ("HA122", "nodes.n1.addresses")],
            id="one address on two links",
        ),
        pytest.param(
            [("[nodes.n3]", "[nodes.n3]\nid = 2")],
            [("HA120", "nodes.n3.id")],
            id="an id that another has by its position",
        ),
        pytest.param(
            [('name = "c"', 'name = "c"\nqdevice = "10.0.0.2"')], [("HA125", "cluster.qdevice")], id="qdevice on a node"
        ),
        pytest.param(
            [('"fence_virsh"', '"fence_virsh"\ntargets = ["n1", "n2", "n3", "n4"]')],
            [("HA130", "fence_devices.f.targets[3]")],
            id="a target that is no node",
        ),
        pytest.param(
            [('"fence_virsh"', '"fence_virsh"\ntargets = ["n1", "n2"]')],
            [("HA145", "nodes.n3.fencing[0]")],
            id="a level by a device that has other targets",
        ),
        pytest.param(
            [("[storage.s]", '[fence_devices.pdu]\nagent = "fence_pdu"\ntargets = ["n1"]\n[storage.s]')],
            [("HA145", "nodes.n1.fencing")],
            id="a target whose levels do not use the device",
        ),
        pytest.param(
            [('fencing = ["f"]', 'fencing = ["ff"]')], [("HA131", "nodes.n1.fencing[0]")], id="unknown device"
        ),
        pytest.param(
            [('"fence_virsh"', '"fence_virsh"\npassword = "hunter2"')],
            [("HA144", "fence_devices.f.password")],
            id="a password in the spec",
        ),
        pytest.param(
            [('"fence_virsh"', '"fence_virsh"\nsnmp_priv_passwd = 12345')],
            [("HA144", "fence_devices.f.snmp_priv_passwd")],
            id="a numeric password in the spec",
        ),
        pytest.param(
            [('name = "c"', 'name = "c"\n[cluster.properties]\nno-quorum-policy = "ignore"\nstartup-fencing = "No"')],
            [("HA146", "cluster.properties.no-quorum-policy"), ("HA146", "cluster.properties.startup-fencing")],
            id="properties that let a VM run twice",
        ),
        pytest.param(
            [('name = "c"', 'name = "c"\n[cluster.properties]\nstonith-enable = false')],
            [("HA147", "cluster.properties.stonith-enable")],
            id="a misspelt property",
        ),
        pytest.param(
            [('"fence_virsh"', '"fence_scsi"')],
            [("HA148", f"nodes.n{n}.fencing[0]") for n in (1, 2, 3)],
            id="storage fencing only",
        ),
        pytest.param(
            [('mount = "/g"', 'mount = "/g"\nlock_table = "d:g"')],
            [("HA150", "storage.g.lock_table")],
            id="other cluster",
        ),
        pytest.param(
            [('mount = "/g"', 'mount = "/g"\nlock_table = "cg"')], [("HA150", "storage.g.lock_table")], id="no colon"
        ),
        pytest.param(
            [('mount = "/g"', f'mount = "/g"\nlock_table = "c:{"g" * 31}"')],
            [("HA150", "storage.g.lock_table")],
            id="a long file system name",
        ),
        pytest.param(
            [('mount = "/g"', 'mount = "/g"\njournals = 2')], [("HA151", "storage.g.journals")], id="too few journals"
        ),
        pytest.param([('mount = "/g"', 'mount = "/vm/g"')], [("HA152", "storage.g")], id="a mount in a mount"),
        pytest.param([('mount = "/g"', 'mount = "/vm"')], [("HA152", "storage.g")], id="two storages at one place"),
        pytest.param(
            [('format = "raw"', 'storage = "luns", format = "raw"')],
            [("HA163", "vms.web.disks[0]")],
            id="a disk outside the storage it names",
        ),
        pytest.param([("/vm/web", "/vmx/web")], [("HA163", "vms.web.disks[0]")], id="a disk on no storage"),
        pytest.param(
            [("vcpus = 1", 'vcpus = 1\nstorage = "lun"')], [("HA132", "vms.web.storage")], id="an unknown extra storage"
        ),
        pytest.param(
            [("vcpus = 1", 'vcpus = 1\nplacement = { prefer = { n9 = 1 }, avoid = ["n8"] }')],
            [("HA130", "vms.web.placement.prefer.n9"), ("HA130", "vms.web.placement.avoid")],
            id="unknown nodes in the placement",
        ),
        pytest.param(
            [("vcpus = 1", 'vcpus = 1\nplacement = { prefer = { n1 = 1 }, avoid = ["n1"] }')],
            [("HA169", "vms.web.placement")],
            id="a node both liked and avoided",
        ),
        pytest.param(
            [("vcpus = 1", 'vcpus = 1\nplacement = { avoid = ["n1", "n2", "n3"] }')],
            [("HA169", "vms.web.placement.avoid")],
            id="no node left",
        ),
        pytest.param(
            [('format = "raw"', 'bus = "ide", format = "raw"')], [("HA170", "vms.web.disks[0].bus")], id="IDE on q35"
        ),
        pytest.param(
            [("vcpus = 1", "vcpus = 1\nmigration = { post_copy = true }")],
            [("HA171", "vms.web.migration.post_copy")],
            id="post-copy on a directory that only we call shared",
        ),
        pytest.param(
            [("vcpus = 1", "vcpus = 1\nmigration = { post_copy = true }"), ("/vm/web.img", "/dev/luns/web")],
            [("HA171", "vms.web.migration.post_copy")],
            id="post-copy on a block device",
        ),
        pytest.param(
            [("vcpus = 1", "vcpus = 1\nmigration = { post_copy = true, parallel = 4 }"), ("/vm/web", "/g/web")],
            [("HA172", "vms.web.migration.parallel")],
            id="post-copy over many connections",
        ),
        pytest.param([("vcpus = 1", "")], [("HA164", "vms.web")], id="half a VM"),
    ],
)
def test_a_mistake_is_found_where_it_is(changes: list[tuple[str, str]], expected: list[tuple[str, str]]) -> None:
    assert findings(changed(*changes, text=ALL)) == expected


def test_the_whole_is_right_before_a_mistake_is_made() -> None:
    assert findings(ALL + DB) == []


def test_post_copy_is_right_where_gfs2_locks_every_disk_or_leases_do() -> None:
    policy = ("vcpus = 1", "vcpus = 1\nmigration = { post_copy = true }")
    assert findings(changed(policy, ("/vm/web", "/g/web"), text=ALL)) == []
    leases = '[libvirt]\nlock_driver = "lockd"\nlockspace_dir = "/g/leases"\nhandover = "running"\n'
    assert findings(leases + changed(policy, ("/vm/web.img", "/dev/luns/web"), text=ALL)) == []
    assert findings(leases + changed(policy, ('disks = [{ path = "/vm/web.img", format = "raw" }]', ""), text=ALL)) == [
        ("HA171", "vms.web.migration.post_copy")
    ]


def test_a_group_may_carry_two_file_systems_a_volume_may_not() -> None:
    other = changed(("storage.g", "storage.h"), ('"/g"', '"/h"'), text=GFS2)
    assert findings(ALL + other) == [("HA153", "storage.h.logical_volume")]
    assert findings(ALL + changed(('"lv"', '"lv2"'), text=other)) == []
    assert findings(ALL + changed(('"vg"', '"vg2"'), text=other)) == [("HA153", "storage.h.device")]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("7a02", "7A01", ("HA160", "vms.db.uuid")),
        ("00:02", "00:01", ("HA161", "vms.db.nics[0]")),
        ("db.img", "web.img", ("HA162", "vms.db.disks[0]")),
    ],
)
def test_two_vms_share_nothing_that_is_an_identity(old: str, new: str, finding: tuple[str, str]) -> None:
    assert findings(ALL + changed((old, new), text=DB)) == [finding]


def test_one_vm_may_not_have_one_disk_twice() -> None:
    twice = '[{ path = "/vm/web.img", format = "raw" }, { path = "/vm/web.img", format = "raw" }]'
    text = changed(('[{ path = "/vm/web.img", format = "raw" }]', twice), text=ALL)
    assert findings(text) == [("HA162", "vms.web.disks[1]")]


def test_the_suggested_uuid_is_one_that_would_be_taken() -> None:
    problem = only(ALL + changed(("7a02", "7a01"), text=DB))
    suggested = problem.remedy.partition('uuid = "')[2].rstrip('"')
    assert findings(ALL + changed(("3c9f7a40-6f2e-4d0b-9a6b-2f8f9d1e7a02", suggested), text=DB)) == []
    assert only(ALL + changed(("7a02", "7a01"), text=DB)) == problem


def test_a_bridge_named_instead_of_its_network_is_understood() -> None:
    problem = only(changed(('network = "lan"', 'network = "br0"'), text=ALL))
    assert problem.code == "HA133"
    assert "did you mean lan?" in problem.message


@pytest.mark.parametrize("agent", ["fence_ssh", "external/ssh", "stonith:external/ssh", "fence_dummy", "meatware"])
def test_an_agent_that_does_not_fence_is_refused_with_the_reason(agent: str) -> None:
    problem = only(changed(("fence_virsh", agent), text=ALL))
    assert (problem.code, problem.where) == ("HA142", "fence_devices.f.agent")
    assert "does not fence: it " in problem.message


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ('[["san"], ["f"]]', ("HA148", "error", "nodes.n1.fencing[0]")),
        ('[["f"], ["san"]]', ("HA149", "warning", "nodes.n1.fencing[1]")),
        ('[["f", "san"]]', None),
    ],
    ids=["first", "last", "beside"],
)
def test_cutting_off_the_storage_alone_is_no_death(levels: str, expected: tuple[str, str, str] | None) -> None:
    text = changed(('fencing = ["f"]', f"fencing = {levels}"), text=SMALL)
    made, found = parse(text + '[fence_devices.san]\nagent = "fence_mpath"\n')
    assert [(p.code, p.severity, p.where) for p in found] == ([] if expected is None else [expected])
    assert (made is None) == (expected is not None and expected[1] == "error")


def test_without_levels_a_device_that_cuts_off_storage_only_might_be_asked_first() -> None:
    text = SMALL.replace('fencing = ["f"]\n', "").replace(
        '"fence_virsh"', '"fence_virsh"\ntargets = ["n1", "n2", "n3"]'
    )
    san = '[fence_devices.san]\nagent = "stonith:fence_sanbox2"\ntargets = ["n2"]\n'
    assert findings(text) == []
    assert findings(text + san) == [("HA148", "nodes.n2.fencing")]


def test_a_device_that_fences_nobody_is_a_warning() -> None:
    made, found = parse(SMALL + '[fence_devices.g]\nagent = "fence_pdu"\n')
    assert made is not None
    assert [(p.code, p.severity, p.where) for p in found] == [("HA143", "warning", "fence_devices.g")]


def test_a_node_without_levels_is_fenced_by_a_device_that_targets_it() -> None:
    text = SMALL.replace('fencing = ["f"]\n', "").replace('"fence_virsh"', '"fence_virsh"\ntargets = ["n1", "n2"]')
    assert findings(text) == [("HA141", "nodes.n3.fencing")]
    assert findings(changed(('"n2"]', '"n2", "n3"]'), text=text)) == []


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("file:/etc/secret", ("file", "/etc/secret")),
        ("file:secret", ("file", "/spec/secret")),
        ("env:IPMI_PASSWORD", ("env", "IPMI_PASSWORD")),
        ("cmd:pass show ipmi", ("cmd", "pass show ipmi")),
    ],
)
def test_a_secret_is_a_reference(value: str, secret: tuple[str, str]) -> None:
    from pathlib import Path

    text = changed(('"fence_virsh"', f'"fence_virsh"\npasswd = "{value}"'), text=SMALL)
    device = cluster(text, Path("/spec")).fence_devices[0]
    assert dict(device.parameters) == {}
    assert (device.secrets["passwd"].scheme, device.secrets["passwd"].argument) == secret


def test_an_open_secret_is_not_repeated_in_the_finding() -> None:
    problem = only(changed(('"fence_virsh"', '"fence_virsh"\npassword = "hunter2"'), text=SMALL))
    assert "hunter2" not in str(problem)
    assert "file:" in problem.remedy


def test_a_script_that_yields_a_password_is_no_secret() -> None:
    assert findings(changed(('"fence_virsh"', '"fence_virsh"\npassword_script = "/root/pw"'), text=SMALL)) == []


@pytest.mark.parametrize("nodes", [1, 33])
def test_a_cluster_has_2_to_32_nodes(nodes: int) -> None:
    head, tail = SMALL.split("[nodes.n1]")[0], "[fence_devices" + SMALL.split("[fence_devices")[1]
    every = "".join(f'[nodes.m{i}]\naddresses = ["10.0.1.{i}"]\nfencing = ["f"]\n' for i in range(1, nodes + 1))
    assert findings(head + every + tail.split("[storage")[0]) == [("HA123", "nodes")]


def test_every_kind_of_the_spec_says_why() -> None:
    mine = [kind for code, kind in CATALOGUE.items() if code.startswith("HA1")]
    assert len(mine) > 40
    assert all(kind.title and len(kind.why) > 30 for kind in mine)
    assert [kind.code for kind in mine if kind.acceptable] == ["HA124", "HA179"]

"""Each storage stack in the spec: what is read, what is refused and why, and which VMs fit on it."""

from __future__ import annotations

import pytest
from lxml import etree

from hacluster import model
from tests.unit.spec.example import VM, changed, cluster, findings, only

NODES = """
[cluster]
name = "c"
[nodes.n1]
addresses = ["10.0.0.1"]
fencing = ["f"]
[nodes.n2]
addresses = ["10.0.0.2"]
fencing = ["f"]
[nodes.n3]
addresses = ["10.0.0.3"]
fencing = ["f"]
[fence_devices.f]
agent = "fence_virsh"
[networks.lan]
bridge = "br0"
"""
GFS2 = """
[storage.g]
type = "gfs2"
volume_group = "vg"
logical_volume = "fs"
mount = "/vm"
"""
OCFS2 = """
[storage.o]
type = "ocfs2"
device = "/dev/mapper/lun"
mount = "/vm"
"""
NFS = """
[storage.n]
type = "nfs"
server = "nas.example"
export = "/export"
mount = "/vm"
"""
CEPH = """
[storage.p]
type = "ceph-rbd"
pool = "vms"
monitors = ["10.0.0.1:6789", "mon.example", "[fd00::1]:3300"]
user = "libvirt"
secret = "8f6c1f0e-4a53-4b38-9e06-1b6a9f4b3c01"
"""
LVM = """
[storage.v]
type = "shared-lvm"
volume_group = "vg"
"""
LOCAL = """
[storage.own]
type = "local"
node = "n1"
directory = "/vm"
"""
COLD = ("vcpus = 1", 'vcpus = 1\nmigration = { mode = "cold" }')


def path(to: str) -> tuple[str, str]:
    return '"/vm/web.img"', f'"{to}"'


def read(text: str) -> model.Storage:
    (storage,) = cluster(NODES + text).storages
    return storage


def test_what_is_said_of_each_stack_is_what_the_model_has() -> None:
    assert read(OCFS2) == model.Ocfs2("o", "/vm", "/dev/mapper/lun")
    on_lvm = changed(('device = "/dev/mapper/lun"', 'volume_group = "vg"\nlogical_volume = "fs"'), text=OCFS2)
    assert read(on_lvm + "o2cb = true\n") == model.Ocfs2("o", "/vm", None, "vg", "fs", o2cb=True)
    assert read(NFS) == model.Nfs("n", "nas.example", "/export", "/vm")
    outside = NFS + 'mounted = "outside"\nversion = "4.1"\noptions = ["noatime"]\n'
    assert read(outside) == model.Nfs("n", "nas.example", "/export", "/vm", "4.1", True, ("noatime",))
    assert read(LVM) == model.SharedLvm("v", "vg")
    assert read(LOCAL) == model.Local("own", "n1", "/vm")
    assert read(CEPH) == model.CephRbd(
        "p",
        "vms",
        False,
        ("10.0.0.1:6789", "mon.example", "[fd00::1]:3300"),
        "libvirt",
        "8f6c1f0e-4a53-4b38-9e06-1b6a9f4b3c01",
    )
    assert read('[storage.p]\ntype = "ceph-rbd"\npool = "vms"\naccess = "mapped"\n') == model.CephRbd("p", "vms", True)


@pytest.mark.parametrize(
    ("storage", "disk", "device"),
    [
        (OCFS2, "/vm/web.img", "file"),
        (NFS, "/vm/web.img", "file"),
        (CEPH, "rbd:vms/web", "network"),
        ('[storage.p]\ntype = "ceph-rbd"\npool = "vms"\naccess = "mapped"\n', "/dev/rbd/vms/web", "block"),
        (LVM, "/dev/vg/web", "block"),
    ],
)
def test_a_disk_is_found_on_its_storage_and_known_for_what_it_is(storage: str, disk: str, device: str) -> None:
    (vm,) = cluster(NODES + storage + changed(path(disk), text=VM)).vms
    assert [(each.path, each.device) for each in vm.disks] == [(disk, device)]
    assert len(vm.storages) == 1


def test_an_image_of_ceph_is_a_network_disk_with_its_login() -> None:
    (vm,) = cluster(NODES + CEPH + changed(path("rbd:vms/web"), text=VM)).vms
    disk = etree.fromstring(vm.domain_xml).find("devices/disk")
    assert disk.get("type") == "network"
    assert disk.find("auth").get("username") == "libvirt"
    assert disk.find("auth/secret").get("uuid") == "8f6c1f0e-4a53-4b38-9e06-1b6a9f4b3c01"
    assert (disk.find("source").get("protocol"), disk.find("source").get("name")) == ("rbd", "vms/web")
    hosts = [(host.get("name"), host.get("port")) for host in disk.iterfind("source/host")]
    assert hosts == [("10.0.0.1", "6789"), ("mon.example", None), ("fd00::1", "3300")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(NFS + 'version = "3"', [("HA174", "storage.n.version")], id="NFS 3"),
        pytest.param(NFS + 'version = "4"', [("HA174", "storage.n.version")], id="NFS 4.0 by its short name"),
        pytest.param(NFS + 'version = "4.3"', [("HA113", "storage.n.version")], id="NFS of the future"),
        pytest.param(NFS + 'options = ["soft"]', [("HA173", "storage.n.options[0]")], id="NFS soft"),
        pytest.param(NFS + 'options = ["rw", "local_lock=all"]', [("HA173", "storage.n.options[1]")], id="NFS locks"),
        pytest.param(NFS + 'options = ["vers=3"]', [("HA173", "storage.n.options[0]")], id="NFS 3 by an option"),
        pytest.param(GFS2 + 'options = ["localflocks"]', [("HA173", "storage.g.options[0]")], id="GFS2 locks"),
        pytest.param(
            GFS2 + 'options = ["lockproto=lock_nolock"]', [("HA173", "storage.g.options[0]")], id="GFS2 of one node"
        ),
        pytest.param(GFS2 + 'options = ["lockproto=lock_dlm"]', [], id="GFS2 says what is so"),
        pytest.param(OCFS2 + 'options = ["localflocks"]', [("HA173", "storage.o.options[0]")], id="OCFS2 locks"),
        pytest.param(OCFS2 + 'volume_group = "vg"', [("HA164", "storage.o")], id="OCFS2 on two things"),
        pytest.param('[storage.o]\ntype = "ocfs2"\nmount = "/vm"\n', [("HA164", "storage.o")], id="OCFS2 on nothing"),
        pytest.param(CEPH.replace("secret", "#"), [("HA111", "storage.p.secret")], id="Ceph user without a key"),
        pytest.param(CEPH.replace("user", "#"), [("HA111", "storage.p.user")], id="Ceph key without a user"),
        pytest.param(
            '[storage.p]\ntype = "ceph-rbd"\npool = "p"\naccess = "mapped"\nuser = "x"\n',
            [("HA113", "storage.p.user")],
            id="a login for rbdmap",
        ),
        pytest.param(LOCAL.replace("n1", "n9"), [("HA130", "storage.own.node")], id="nobody's own disk"),
        pytest.param(
            LVM + LVM.replace(".v]", ".w]"),
            [("HA152", "storage.w"), ("HA153", "storage.w.volume_group")],
            id="one group twice",
        ),
        pytest.param(
            GFS2 + LVM + 'volume_manager = "clvmd"', [("HA176", "storage.v.volume_manager")], id="two lock daemons"
        ),
        pytest.param(
            OCFS2 + OCFS2.replace(".o]", ".q]").replace("/vm", "/q"), [("HA153", "storage.q.device")], id="one LUN"
        ),
        pytest.param(GFS2 + LVM, [], id="a file system and volumes in one group"),
        pytest.param(LOCAL + LOCAL.replace("own", "other").replace("n1", "n2"), [], id="a disk of each node"),
        pytest.param(LOCAL + LOCAL.replace("own", "other"), [("HA152", "storage.other")], id="one directory twice"),
    ],
)
def test_a_storage_that_cannot_be_is_refused(text: str, expected: list[tuple[str, str]]) -> None:
    assert findings(NODES + text) == expected


@pytest.mark.parametrize(
    ("storage", "changes", "expected"),
    [
        pytest.param(LOCAL, [], [("HA175", "vms.web.migration.mode")], id="live on one node's disk"),
        pytest.param(LOCAL, [COLD], [], id="not live on one node's disk"),
        pytest.param(
            LOCAL + NFS.replace("/vm", "/nas"),
            [('format = "raw" }', 'format = "raw" }, { path = "/nas/b", format = "raw" }')],
            [("HA175", "vms.web.migration.mode")],
            id="live with one disk that cannot",
        ),
        pytest.param(
            LOCAL,
            [("vcpus = 1", 'vcpus = 1\nmigration = { mode = "cold" }\nplacement = { prefer = { n2 = 5 } }')],
            [("HA169", "vms.web.placement.prefer.n2")],
            id="likes a node without its disk",
        ),
        pytest.param(
            LOCAL,
            [("vcpus = 1", 'vcpus = 1\nmigration = { mode = "cold" }\nplacement = { avoid = ["n1"] }')],
            [("HA169", "vms.web.placement.avoid")],
            id="avoids the node with its disk",
        ),
        pytest.param(
            LOCAL + LOCAL.replace("own", "o2").replace("n1", "n2").replace("/vm", "/vm2"),
            [COLD, ('format = "raw" }', 'format = "raw" }, { path = "/vm2/b", format = "raw" }')],
            [("HA169", "vms.web")],
            id="disks of two nodes",
        ),
        pytest.param(
            LOCAL + LOCAL.replace("own", "o2").replace("n1", "n2"), [COLD], [("HA163", "vms.web.disks[0]")], id="whose"
        ),
        pytest.param(
            GFS2 + LVM, [path("/dev/vg/fs")], [("HA177", "vms.web.disks[0]")], id="a file system's own volume"
        ),
        pytest.param(LVM, [path("/dev/mapper/vg-web")], [("HA163", "vms.web.disks[0]")], id="device mapper's name"),
        pytest.param(CEPH, [path("rbd:other/web")], [("HA163", "vms.web.disks[0]")], id="another pool"),
        pytest.param(CEPH, [path("rbd:vms")], [("HA113", "vms.web.disks[0].path")], id="no image"),
        pytest.param(
            NFS, [("vcpus = 1", "vcpus = 1\nmigration = { post_copy = true }")], [], id="post-copy under NFS locks"
        ),
        pytest.param(
            NFS.replace("/vm", "/nas") + CEPH + '[libvirt]\nlock_driver = "lockd"\nlockspace_dir = "/nas/l"\n'
            'handover = "running"\n',
            [path("rbd:vms/web"), ("vcpus = 1", "vcpus = 1\nmigration = { post_copy = true }")],
            [("HA171", "vms.web.migration.post_copy")],
            id="post-copy where libvirt keeps no lease",
        ),
    ],
)
def test_a_vm_must_fit_its_storage(
    storage: str, changes: list[tuple[str, str]], expected: list[tuple[str, str]]
) -> None:
    assert findings(NODES + storage + changed(*changes, text=VM)) == expected


def test_the_refusal_of_a_live_move_names_the_node_and_the_way_out() -> None:
    problem = only(NODES + LOCAL + VM)
    assert "n1" in problem.message
    assert 'vms.web.migration = { mode = "none" }' in problem.remedy
    assert findings(NODES + LOCAL + VM + 'migration = { mode = "none" }\n') == []


def test_device_mappers_name_is_translated() -> None:
    text = LVM.replace('"vg"', '"vg-a"') + changed(path("/dev/mapper/vg--a-web--1"), text=VM)
    assert only(NODES + text).remedy == "write /dev/vg-a/web-1"


def test_one_path_on_two_nodes_is_two_disks() -> None:
    both = LOCAL + LOCAL.replace("own", "o2").replace("n1", "n2")
    named = changed(COLD, ('format = "raw"', 'format = "raw", storage = "own"'), text=VM)
    other = changed(("vms.web", "vms.db"), ("9d1e7a01", "9d1e7a02"), ("00:01", "00:02"), ('"own"', '"o2"'), text=named)
    assert findings(NODES + both + named + other) == []
    twice = changed(('"o2"', '"own"'), text=other)
    assert findings(NODES + both + named + twice) == [("HA162", "vms.db.disks[0]")]


def test_libvirts_leases_may_lie_on_any_shared_file_system_and_on_no_other() -> None:
    leases = '[libvirt]\nlock_driver = "lockd"\nlockspace_dir = "{}/leases"\n'
    assert findings(NODES + NFS + leases.format("/vm")) == []
    assert findings(NODES + OCFS2 + leases.format("/vm")) == []
    assert findings(NODES + LOCAL + leases.format("/vm")) == [("HA154", "libvirt.lockspace_dir")]
    assert findings(NODES + LVM + leases.format("/dev/vg")) == [("HA154", "libvirt.lockspace_dir")]

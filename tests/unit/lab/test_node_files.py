"""What makes a node of a lab that node: its names, its keys, its cluster, and nothing of the machine below it."""

from dataclasses import replace
from pathlib import Path

from hacluster.lab.layout import Layout
from hacluster.lab.node_files import Keys, NodeFile, accounts, cluster, commands, guard, libvirt, ssh, systemd, write
from hacluster.model import Block, Cluster, Directory, LockDriver, Node

NODES = (Node("n1", 1, ("10.99.0.11", "10.99.1.11"), "10.99.1.11"), Node("n2", 2, ("10.99.0.12", "10.99.1.12")))
LAYOUT = Layout(
    "h9",
    Cluster("lab", NODES, storages=(Block("luns", "/dev/lab"), Directory("images", "/shared", "/vmfs"))),
    Path("/cg"),
)
KEYS = Keys(
    b"c" * 256,
    b"p" * 256,
    {"n1": ("host1", "ssh-ed25519 H1\n"), "n2": ("host2", "ssh-ed25519 H2\n")},
    {"n1": ("root1", "ssh-ed25519 R1\n"), "n2": ("root2", "ssh-ed25519 R2\n")},
)


def content(files: list[NodeFile], path: str) -> str:
    (found,) = (file.content for file in files if file.path == path)
    return found if isinstance(found, str) else found.decode()


def test_a_node_knows_every_host_key_by_every_name_and_address() -> None:
    assert content(ssh(LAYOUT, NODES[0], KEYS), "/etc/ssh/ssh_known_hosts").splitlines() == [
        "n1,n1-link1,10.99.0.11,10.99.1.11 ssh-ed25519 H1",
        "n2,n2-link1,10.99.0.12,10.99.1.12 ssh-ed25519 H2",
    ]


def test_a_node_has_its_own_keys_and_lets_every_root_in() -> None:
    files = ssh(LAYOUT, NODES[1], KEYS)
    assert content(files, "/etc/ssh/ssh_host_ed25519_key") == "host2"
    assert content(files, "/root/.ssh/id_ed25519") == "root2"
    assert content(files, "/root/.ssh/authorized_keys") == "ssh-ed25519 R1\nssh-ed25519 R2\n"
    assert {file.mode for file in files if file.content in ("host2", "root2")} == {0o600}


def test_names_lead_to_the_links() -> None:
    hosts = content(systemd(LAYOUT, NODES[0], []), "/etc/hosts").splitlines()
    assert hosts[1:] == ["10.99.0.11 n1", "10.99.1.11 n1-link1", "10.99.0.12 n2", "10.99.1.12 n2-link1"]


def test_a_masked_unit_is_a_link_to_nothing() -> None:
    (file,) = (f for f in systemd(LAYOUT, NODES[0], ["systemd-udevd.service"]) if "udevd" in f.path)
    assert (file.content, file.link) == ("/dev/null", True)


def test_two_nodes_have_two_identities_that_last() -> None:
    ids = [content(systemd(LAYOUT, node, []), "/etc/machine-id") for node in (*NODES, NODES[0])]
    assert ids[0] == ids[2] != ids[1]


def test_corosync_has_both_links_and_stays_in_its_cgroup() -> None:
    text = content(cluster(LAYOUT, NODES[0], KEYS), "/etc/corosync/corosync.conf")
    assert "    ring0_addr: 10.99.0.12\n    ring1_addr: 10.99.1.12\n" in text
    assert "  move_to_root_cgroup: no\n  sched_rr: no\n" in text
    assert "  two_node: 1\n" in text


def test_libvirt_migrates_over_the_migration_address() -> None:
    assert 'migration_host = "10.99.1.11"' in content(libvirt(LAYOUT, NODES[0], None), "/etc/libvirt/qemu.conf")
    assert 'migration_host = "10.99.1.12"' in content(libvirt(LAYOUT, NODES[1], None), "/etc/libvirt/qemu.conf")


def test_only_shared_directories_are_called_gfs2() -> None:
    drop_in = content(libvirt(LAYOUT, NODES[0], b"shim"), "/etc/systemd/system/libvirtd.service.d/lab.conf")
    assert "HACLUSTER_LAB_GFS2=/shared:/vmfs\n" in drop_in


def test_the_guard_finds_the_lock_server_on_every_link() -> None:
    files = guard(LAYOUT)
    assert content(files, "/etc/hacluster/lab_dlm.conf") == "10.99.0.1 7111\n10.99.1.1 7111\n"
    assert content(files, "/etc/hacluster/guard.conf").startswith("dlm=module:/usr/lib/hacluster/lab_dlm.py:StandIn\n")


def test_root_has_no_password_and_pcsd_has_the_labs() -> None:
    file = accounts("root:secret:1::::::\nhacluster:!:1::::::\ndaemon:*:1::::::\n", "$6$hash")
    assert file.content == "root:*:1::::::\nhacluster:$6$hash:1::::::\ndaemon:*:1::::::\n"
    assert file.mode == 0o640


def test_files_are_laid_over_what_is_there(tmp_path: Path) -> None:
    write(
        tmp_path, [NodeFile("/etc/x", "old", 0o444), NodeFile("/etc/x", "new", 0o600), NodeFile("/y", "/z", link=True)]
    )
    assert ((tmp_path / "etc/x").read_text(), (tmp_path / "etc/x").stat().st_mode & 0o777) == ("new", 0o600)
    assert (tmp_path / "y").readlink() == Path("/z")


def test_hactl_in_a_node_is_the_one_that_made_the_lab() -> None:
    (file,) = commands(Path("/opt/hacluster"), "/opt/venv/bin/python3")
    assert str(file.content).startswith("#!/opt/venv/bin/python3 -I\n")
    assert "'/opt/hacluster'" in str(file.content)


def test_a_nodes_libvirt_keeps_the_leases_that_the_spec_wants() -> None:
    assert "lock_manager" not in content(libvirt(LAYOUT, NODES[0], None), "/etc/libvirt/qemu.conf")
    leased = replace(LAYOUT, cluster=replace(LAYOUT.cluster, lock_driver=LockDriver("lockd", "/vmfs/leases", "/vmfs")))
    files = libvirt(leased, NODES[0], None)
    assert content(files, "/etc/libvirt/qemu.conf").endswith('lock_manager = "lockd"\n')
    assert 'file_lockspace_dir = "/vmfs/leases"\n' in content(files, "/etc/libvirt/qemu-lockd.conf")

"""libvirt's lock driver as a node sees its own: real files, processes and locks, in a directory of its own."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.guard import state
from resource_agents import lock_driver, lockspace, moving, starting
from resource_agents.codes import Failed
from resource_agents.vm import Vm

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
DISK, CDROM = "/dev/luns/web", "/vm/cd.iso"
STATUS = f"""<domstatus state='{{state}}' reason='booted' pid='1'>
  <domain type='kvm'><name>web</name><devices>
    <disk type='block' device='disk'><source dev='{DISK}'/></disk>
    <disk type='file' device='cdrom'><source file='{CDROM}'/><readonly/></disk>
    <disk type='file' device='cdrom'/>
  </devices></domain>
</domstatus>"""
HOLDER = """
import fcntl, sys, time
open("/proc/self/comm", "w").write("virtlockd")
files = [open(path, "w") for path in sys.argv[1:]]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""


class Node:
    """A host whose /run, /etc/libvirt and lease directory are below one directory; `record` is the lockspace's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.leases = root / "leases"
        self.leases.mkdir()
        self.daemons: list[subprocess.Popen[str]] = []
        self.record = {
            "node": "n1",
            "admits": "1",
            "lock_driver": "lockd",
            "lockspace_dir": str(self.leases),
            "lockspace_mount": lock_driver.mounted(str(self.leases))[0],
        }
        self.configure("lockd", str(self.leases))

    def configure(self, manager: str, directory: str) -> None:
        (self.root / "qemu.conf").write_text(f'# lock_manager = "sanlock"\nlock_manager = "{manager}"\n')
        (self.root / "qemu-lockd.conf").write_text(f'auto_disk_leases = 1\nfile_lockspace_dir = "{directory}"\n')

    def daemon(self, name: str, *files: Path) -> None:
        """A process of that name that holds these files locked; its pid file."""
        made = subprocess.Popen(
            [sys.executable, "-c", HOLDER.replace("virtlockd", name), *map(str, files)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.daemons.append(made)
        assert made.stdout is not None
        assert made.stdout.readline() == "locked\n"
        (self.root / f"{name}.pid").write_text(str(made.pid))

    def kill(self, number: int = 0) -> None:
        self.daemons[number].kill()
        self.daemons[number].wait()

    def lease(self, path: str = DISK) -> Path:
        return self.leases / lock_driver.lease_name(path)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    made = Node(tmp_path)
    for name in ("CONFIG", "RUN", "LIBVIRT_RUN"):
        monkeypatch.setattr(lock_driver, name, str(tmp_path))
    monkeypatch.setattr(lock_driver, "in_use", lambda _driver: True)  # no process here has loaded libvirt's plugin
    monkeypatch.setattr(state, "LOCKSPACE", str(tmp_path / "lockspace"))
    (tmp_path / "web.xml").write_text(STATUS.format(state="running"))
    yield made
    for number in range(len(made.daemons)):
        made.kill(number)


def test_a_lease_is_a_locked_file_in_virtlockds_hands(node: Node) -> None:
    assert not lock_driver.covered("web", node.record)
    node.daemon("virtlockd", node.lease())
    assert lock_driver.covered("web", node.record)
    assert lock_driver.bare(["web", "db"], node.record) == {}
    node.kill()
    assert not lock_driver.covered("web", node.record)
    assert lock_driver.bare(["web", "db"], node.record) == {"web": (DISK,)}


def test_a_guest_that_starts_or_leaves_while_one_looks_is_not_bare(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    has = {lock_driver.lease_name(DISK)}
    for before, after in ((set(), has), (has, set())):
        looks = iter([before, after])
        monkeypatch.setattr(lock_driver, "all_leases", lambda _asked, looks=looks: set(next(looks)))
        assert lock_driver.bare(["web"], node.record) == {}


def test_a_file_that_is_open_and_not_locked_is_no_lease(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "HOLDER", HOLDER.replace("fcntl.lockf(file, fcntl.LOCK_EX)", "pass"))
    node.daemon("virtlockd", node.lease())
    assert not lock_driver.covered("web", node.record)


def test_a_lock_in_other_hands_or_on_another_file_system_is_no_lease(node: Node) -> None:
    with node.lease().open("w") as ours:
        fcntl.lockf(ours, fcntl.LOCK_EX)
        assert not lock_driver.covered("web", node.record)
    node.daemon("virtlockd", node.lease())
    assert not lock_driver.covered("web", {**node.record, "lockspace_mount": "/elsewhere"})
    assert not lock_driver.covered("web", {**node.record, "lock_driver": "sanlock"})


@pytest.mark.parametrize("word", ["paused", "shutoff"])
def test_a_guest_that_does_not_run_has_and_needs_none(node: Node, word: str) -> None:
    node.daemon("virtlockd", node.lease())
    (node.root / "web.xml").write_text(STATUS.format(state=word))
    assert not lock_driver.covered("web", node.record)
    assert lock_driver.bare(["web"], {**node.record, "lockspace_mount": "/elsewhere"}) == {}


def test_a_status_file_that_cannot_be_read_covers_nothing(node: Node) -> None:
    (node.root / "web.xml").write_text("<domstatus state='running'")
    assert not lock_driver.covered("web", node.record)


def test_without_a_wish_nothing_is_wrong(node: Node) -> None:
    assert lock_driver.problem({"node": "n1", "lock_driver": ""}) == ""
    assert lock_driver.wanted({"node": "n1", "lock_driver": "", "lockspace_dir": "/x"}) == {}


@pytest.mark.parametrize(
    ("manager", "directory", "expected"),
    [("nop", "", "lock_manager on n1 is nop, not lockd"), ("lockd", "/tmp/x", "file_lockspace_dir on n1 is /tmp/x")],
)
def test_a_libvirt_that_is_set_up_otherwise(node: Node, manager: str, directory: str, expected: str) -> None:
    node.configure(manager, directory)
    assert expected in lock_driver.problem(node.record)


def test_a_libvirtd_that_was_started_before_it_was_set_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_driver, "in_use", lambda _driver: False)
    assert "libvirtd on n1 runs without lockd" in lock_driver.problem(node.record)


def test_a_daemon_uses_a_driver_whose_code_it_has_loaded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(lock_driver, "RUN", str(node.root))
    assert lock_driver.in_use("lockd") is None
    node.daemon("libvirtd")
    assert lock_driver.in_use("lockd") is False
    plugin = node.root / "lock-driver" / "lockd.so"
    plugin.parent.mkdir()
    plugin.write_bytes(bytes(4096))
    loading = "import mmap; code = open('PLUGIN', 'rb'); loaded = mmap.mmap(code.fileno(), 0, prot=mmap.PROT_READ)\n"
    monkeypatch.setattr(sys.modules[__name__], "HOLDER", loading.replace("PLUGIN", str(plugin)) + HOLDER)
    node.daemon("libvirtd")
    assert lock_driver.in_use("lockd") is True


def test_a_commented_setting_is_none(node: Node) -> None:
    assert lock_driver.settings(str(node.root / "qemu.conf")) == {"lock_manager": "lockd"}


def test_a_dead_virtlockd_is_seen_and_a_new_one_is_not_trusted_until_libvirtd_is_restarted(node: Node) -> None:
    node.daemon("libvirtd")
    node.daemon("virtlockd")
    known = lock_driver.registered(node.record)
    assert known["virtlockd"]
    assert lock_driver.problem(known) == ""
    node.kill(1)
    assert "virtlockd on n1 does not run" in lock_driver.problem(known)
    assert lock_driver.registered(known) == known, "a record of no daemon would make the next one look familiar"
    node.daemon("virtlockd")
    assert "was started anew" in lock_driver.problem(known)
    node.kill(0)
    assert "was started anew" in lock_driver.problem(known), "libvirtd is away, so it has registered with nobody"
    node.daemon("libvirtd")
    assert lock_driver.problem(known) == ""


def test_a_restart_of_libvirtd_alone_is_no_loss(node: Node) -> None:
    node.daemon("libvirtd")
    node.daemon("virtlockd")
    known = lock_driver.registered(node.record)
    node.kill(0)
    assert lock_driver.problem(known) == ""
    node.daemon("libvirtd")
    assert lock_driver.problem(known) == ""


def test_a_pid_that_another_program_has_by_now_is_no_daemon(node: Node) -> None:
    (node.root / "virtlockd.pid").write_text(str(os.getpid()))
    assert lock_driver.daemon("virtlockd") == ""


def test_a_start_makes_the_directory_and_its_identity_once(node: Node) -> None:
    state.write_pairs(state.LOCKSPACE, node.record)
    node.leases.rmdir()
    lock_driver.make_ready("web")
    identity = (node.leases / lock_driver.IDENTITY).read_text()
    lock_driver.make_ready("web")
    assert (node.leases / lock_driver.IDENTITY).read_text() == identity
    assert len(identity) == 17


def test_no_start_while_the_leases_would_lie_on_this_nodes_own_disk(node: Node) -> None:
    state.write_pairs(state.LOCKSPACE, {**node.record, "lockspace_mount": "/vmfs"})
    with pytest.raises(Failed, match="is not on /vmfs, where all nodes see its leases"):
        lock_driver.make_ready("web")


def test_no_start_under_a_lost_virtlockd(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    state.write_pairs(state.LOCKSPACE, {**node.record, "virtlockd": "1:2", "libvirtd": "3:4"})
    monkeypatch.setattr(starting, "hook_problem", lambda: "")
    monkeypatch.setattr(starting, "read_domain", lambda _vm: None)
    with pytest.raises(Failed, match="web is not started: virtlockd on n1 does not run"):
        starting.ready(Vm({"OCF_RESOURCE_INSTANCE": "web", "OCF_RESKEY_uuid": UUID}))


@pytest.fixture
def announced(node: Node, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the lockspace's monitor says of this node, and to the log nothing; the hook stands."""
    said: list[bool] = []
    monkeypatch.setattr(lockspace, "hook_problem", lambda: "")
    monkeypatch.setattr(lockspace, "_announce", said.append)
    monkeypatch.setattr("resource_agents.domains.domain_names", lambda: {UUID: "web"})
    for name in lock_driver.WANTED:
        monkeypatch.setenv(f"OCF_RESKEY_{name}", node.record[name])
    monkeypatch.setenv("OCF_RESKEY_crm_feature_set", "3.16.1")
    monkeypatch.setenv("OCF_RESKEY_CRM_meta_interval", "20000")
    state.write_pairs(state.LOCKSPACE, {"node": "n1", "admits": "1"})
    return said


def test_a_probe_says_again_what_ended_with_pacemakers_last_life(
    node: Node, announced: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lockspace outlives a cluster that is stopped in maintenance; the node attribute does not."""
    node.daemon("libvirtd")
    node.daemon("virtlockd", node.lease())
    monkeypatch.setenv("OCF_RESKEY_CRM_meta_interval", "0")
    lockspace._keep_guard()
    assert announced == [True]
    monkeypatch.setattr(lockspace, "hook_problem", lambda: "the hook has gone")
    lockspace._keep_guard()
    lockspace._keep_guard()
    assert announced == [True, False, False]
    monkeypatch.delenv("OCF_RESKEY_crm_feature_set")  # a monitor by hand, which has no interval either
    lockspace._keep_guard()
    assert announced == [True, False, False]


def test_a_monitor_by_hand_does_not_change_what_the_cib_wants(
    node: Node, announced: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OCF_RESKEY_crm_feature_set")
    state.write_pairs(state.LOCKSPACE, node.record)
    for name in lock_driver.WANTED:
        monkeypatch.delenv(f"OCF_RESKEY_{name}")
    lockspace._keep_guard()
    assert lock_driver.wanted()["lock_driver"] == "lockd"
    assert announced == []


def test_the_monitor_takes_the_node_out_and_lets_it_in_again(node: Node, announced: list[bool]) -> None:
    node.daemon("libvirtd")
    node.daemon("virtlockd", node.lease())
    lockspace._keep_guard()
    lockspace._keep_guard()
    assert announced == []
    node.kill(1)
    lockspace._keep_guard()
    lockspace._keep_guard()
    assert announced == [False]
    node.kill(0)
    node.daemon("libvirtd")
    node.daemon("virtlockd")
    lockspace._keep_guard()
    record = state.read_pairs(state.LOCKSPACE) or {}
    assert announced == [False, True]
    assert (record["admits"], record["bare"]) == ("1", "web")


@pytest.mark.parametrize(
    ("asked", "leased", "chosen"),
    [
        ("leased", True, "running"),
        ("leased", False, "paused"),
        ("running", False, "running"),
        ("paused", True, "paused"),
    ],
)
def test_a_leased_handover_is_paused_without_its_leases(node: Node, asked: str, leased: bool, chosen: str) -> None:
    state.write_pairs(state.LOCKSPACE, node.record)
    if leased:
        node.daemon("virtlockd", node.lease())
    vm = Vm({"OCF_RESOURCE_INSTANCE": "web", "OCF_RESKEY_uuid": UUID, "OCF_RESKEY_handover": asked})
    moving._choose_handover(vm)
    assert vm.handover == chosen


def test_a_leased_handover_without_a_lock_driver_is_paused(node: Node) -> None:
    state.write_pairs(state.LOCKSPACE, {"node": "n1"})
    vm = Vm({"OCF_RESOURCE_INSTANCE": "web", "OCF_RESKEY_uuid": UUID, "OCF_RESKEY_handover": "leased"})
    moving._choose_handover(vm)
    assert vm.handover == "paused"

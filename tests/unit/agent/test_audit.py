"""What a node tells an audit: from its own files and processes, and nothing at all where a part of it hangs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hacluster.edge.audits import read
from hacluster.guard import state
from hacluster.guard.child import Result
from hacluster.ports import Definition, DrainUnit, HostAudit, HostDisk
from resource_agents import audit, probe

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
DOMAIN = """<domain><name>web</name><uuid>{uuid}</uuid><devices>
<disk type="file"><source file="{disk}"/>{more}</disk><disk type="file" device="cdrom"/></devices></domain>"""


class Node:
    """A node below a directory."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.libvirt, self.domains, self.run = root / "libvirt", root / "domains", root / "run"
        (self.libvirt / "qemu" / "autostart").mkdir(parents=True)
        for path in (self.domains, self.run):
            path.mkdir()
        self.said = {"pacemakerd": "Pacemaker 2.1.5\nWritten by …\n", "systemctl": "UnitFileState=disabled\n"}
        monkeypatch.setattr(audit, "DOMAINS", str(self.domains))
        monkeypatch.setattr(audit, "DEFINED", str(self.libvirt / "qemu"))
        monkeypatch.setattr(audit, "run", self._run)
        monkeypatch.setattr(state, "RUN", str(self.run))

    def _run(self, argv: list[str], _timeout: float) -> Result:
        said = self.said.get(argv[0])
        return Result(0, said, "") if said is not None else Result(None, "", "")

    def domain(self, disk: Path, more: str = "") -> None:
        (self.domains / "web.0123456789abcdef.xml").write_text(DOMAIN.format(uuid=UUID, disk=disk, more=more))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def told() -> HostAudit:
    """Through the reader that hactl has."""
    answer = read("n1", json.dumps({"format": probe.FORMAT, "node": "n1", "audit": audit.audit()}).encode())
    assert isinstance(answer, HostAudit)
    return answer


def test_versions_and_sums(node: Node, tmp_path: Path) -> None:
    node.domain(tmp_path / "disk")
    text = (node.domains / "web.0123456789abcdef.xml").read_bytes()
    found = told()
    assert found.pacemaker == "2.1.5"
    assert found.domain_sums == {"web.0123456789abcdef.xml": hashlib.sha256(text).hexdigest()}
    assert found.definitions == ()


def test_what_does_not_answer_is_not_known(node: Node) -> None:
    node.said.clear()
    found = told()
    assert (found.pacemaker, found.guests_service) == (None, None)


@pytest.mark.parametrize(
    ("unit", "acts"),
    [
        ("UnitFileState=disabled\nActiveState=inactive\n", False),
        ("UnitFileState=enabled\nActiveState=inactive\n", True),
        ("UnitFileState=enabled-runtime\nActiveState=inactive\n", True),
        ("UnitFileState=disabled\nActiveState=active\n", True),
        ("UnitFileState=\nActiveState=inactive\n", False),
    ],
)
def test_libvirt_guests_acts_when_it_is_enabled_or_was_started(node: Node, unit: str, acts: bool) -> None:
    node.said["systemctl"] = unit
    assert told().guests_service is acts


def test_the_drain_unit_is_told_as_systemd_has_it(node: Node) -> None:
    assert told().drain is None  # not a word of its LoadState
    node.said["systemctl"] = "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nAfter=a.service b.socket\n"
    assert told().drain == DrainUnit(True, True, True, ("a.service", "b.socket"))
    node.said["systemctl"] = "LoadState=not-found\nUnitFileState=\nActiveState=inactive\nAfter=\n"
    assert told().drain == DrainUnit(False, False, False, ())


def test_definitions_and_autostart_are_read_from_libvirts_own_files(node: Node) -> None:
    qemu = node.libvirt / "qemu"
    (qemu / "web.xml").write_text(f"<domain><uuid>{UUID.upper()}</uuid></domain>")
    (qemu / "db.xml").write_text("<domain><uuid>other</uuid></domain>")
    (qemu / "autostart" / "web.xml").symlink_to(qemu / "web.xml")
    (qemu / "autostart" / "gone.xml").symlink_to(qemu / "gone.xml")
    assert told().definitions == (
        Definition("db", "other", False),
        Definition("gone", "", True),
        Definition("web", UUID, True),
    )


def test_the_checksum_of_the_code_changes_with_any_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "CODE", (str(tmp_path), "/not/there"))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "lock.py").write_text("1")
    before = audit._code()
    assert audit._code() == before
    (tmp_path / "lock.py").write_text("2")
    assert audit._code() != before


@pytest.mark.parametrize("how", ["its path", "a link"])
def test_who_has_a_disk_open_is_told_whatever_its_name(node: Node, tmp_path: Path, how: str) -> None:
    disk, named = tmp_path / "disk.img", tmp_path / "link.img"
    disk.write_bytes(b"\0" * 512)
    named.symlink_to(disk)
    node.domain(named if how == "a link" else disk, "<shareable/>")
    (tmp_path / "qemu-stranger").symlink_to(sys.executable)
    code = f"import fcntl, time; f = open({str(disk)!r}, 'r+'); fcntl.flock(f, fcntl.LOCK_SH); print(1, flush=True); "
    process = subprocess.Popen(
        [tmp_path / "qemu-stranger", "-c", code + "time.sleep(60)", "-uuid", UUID], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        (found,) = told().disks or ()
    finally:
        process.kill()
        process.communicate()
    assert (found.uuid, found.kind, found.shareable) == (UUID, "file", True)
    assert found.filesystem
    assert [(user.pid, user.uuid, user.program, user.locked) for user in found.users] == [
        (process.pid, UUID, "qemu-stranger", True)
    ]


def test_a_disk_that_is_not_there_is_missing_and_other_programs_do_not_count(node: Node, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    node.domain(disk)
    assert told().disks == (HostDisk(UUID, str(disk), "missing", "", False, ()),)
    disk.write_bytes(b"")
    with disk.open():  # this test is no QEMU
        (found,) = told().disks or ()
    assert (found.kind, found.users) == ("file", ())


def test_storage_that_hangs_costs_its_part_alone(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "STORAGE", 0.2)
    monkeypatch.setattr(audit, "disks", lambda: time.sleep(30))
    found = told()
    assert (found.disks, found.pacemaker) == (None, "2.1.5")


def test_a_qemu_is_known_by_its_program_and_not_by_its_arguments() -> None:
    code = "import time; print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, "/usr/bin/qemu-system"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert audit._program(str(process.pid)) == Path(sys.executable).name
    finally:
        process.kill()
        process.communicate()
    assert audit._program(str(process.pid)) == ""

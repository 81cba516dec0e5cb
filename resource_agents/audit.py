"""What `hactl verify` asks of a node beyond its probe: definitions, checksums, versions, and who has which disk open.

A part of its own, because the probe is asked several times a second while a VM moves, and because this one touches the
storage: whoever looks at a disk that hangs, hangs. So that part runs in a child that is given up at its deadline.
"""

from __future__ import annotations

import json
import os
import stat
import time

from hacluster.guard import proof, state
from hacluster.guard.child import in_child, run
from hacluster.guard.dlm import DlmError
from resource_agents.probe import DOMAINS, FORMAT

BUDGET = 4.5
"""Seconds in all."""
DRAIN = ["systemctl", "show", "-p", "LoadState,UnitFileState,ActiveState,After", "hacluster-drain.service"]
STORAGE = 2.0
"""Seconds for the part that looks at disks."""
DEFINED = "/etc/libvirt/qemu"
LIBRARY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CODE = (
    f"{LIBRARY}/hacluster",
    f"{LIBRARY}/hacluster/guard",
    f"{LIBRARY}/resource_agents",
    f"{LIBRARY}/resource_agents/hooks",
    "/usr/lib/ocf/resource.d/hacluster",
)
"""Where the guard and the agents lie, as `hactl node bootstrap` installs them."""
GUESTS = ["systemctl", "show", "-p", "UnitFileState", "-p", "ActiveState", "libvirt-guests.service"]


def audit() -> dict[str, object]:
    """Everything; what could not be learnt is null."""
    until = time.monotonic() + BUDGET

    def left(most: float) -> float:
        return max(0.1, min(most, until - time.monotonic()))

    return {
        "pacemaker": _pacemaker(left(2.0)),
        "code": _code(),
        "guests_service": _guests_service(left(2.0)),
        "drain": _drain(left(2.0)),
        "definitions": _definitions(),
        "domain_sums": _domain_sums(),
        "disks": _disks(left(STORAGE)),
    }


def _pacemaker(timeout: float) -> str | None:
    """The version that is installed, as Pacemaker prints it."""
    answer = run(["pacemakerd", "--version"], timeout)
    first = answer.out.splitlines()[:1]
    return first[0].rpartition(" ")[2] if answer.code == 0 and first else None


def _sum(path: str) -> str:
    from hashlib import sha256

    with open(path, "rb") as file:
        return sha256(file.read()).hexdigest()


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def _code() -> str:
    """One checksum over all of the code, so that two nodes can be compared."""
    from hashlib import sha256

    paths = [f"{directory}/{name}" for directory in CODE for name in _names(directory)]
    lines = [f"{path} {_sum(path)}" for path in paths if not path.endswith("~") and not os.path.isdir(path)]
    return sha256("\n".join(lines).encode()).hexdigest()


def _guests_service(timeout: float) -> bool | None:
    """Whether libvirt-guests will act at this host's shutdown or boot."""
    answer = run(GUESTS, timeout)
    if answer.code != 0:
        return None
    said = dict(line.split("=", 1) for line in answer.out.splitlines() if "=" in line)
    return said.get("UnitFileState", "").startswith("enabled") or said.get("ActiveState") == "active"


def _drain(timeout: float) -> dict[str, object] | None:
    """The unit that empties this node at a shutdown, as systemd has it."""
    answer = run(DRAIN, timeout)
    said = dict(line.split("=", 1) for line in answer.out.splitlines() if "=" in line)
    if answer.code != 0 or "LoadState" not in said:
        return None
    return {
        "loaded": said["LoadState"] == "loaded",
        "enabled": said.get("UnitFileState", "").startswith("enabled"),
        "active": said.get("ActiveState") == "active",
        "after": said.get("After", "").split(),
    }


def _definitions() -> list[dict[str, object]]:
    """The persistent domains, from libvirt's own files: it need not answer."""
    starts = set(_names(f"{DEFINED}/autostart"))
    found = []
    for name in sorted({*_names(DEFINED), *starts}):
        if name.endswith(".xml"):
            directory = DEFINED if os.path.exists(f"{DEFINED}/{name}") else f"{DEFINED}/autostart"
            found.append({"name": name[:-4], "uuid": _uuid(f"{directory}/{name}"), "autostart": name in starts})
    return found


def _uuid(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return state.lower_case_uuid(file.read().partition("<uuid>")[2].partition("</uuid>")[0])
    except FileNotFoundError:  # a link whose definition is gone
        return ""


def _domain_sums() -> dict[str, str]:
    return {name: _sum(f"{DOMAINS}/{name}") for name in _names(DOMAINS) if name.endswith(".xml")}


def _filesystem(path: str) -> str:
    """The type of the file system that a path is on, by /proc/mounts: asking the file system itself may hang."""
    best, kind = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return ""
    for line in lines:
        _, point, found = line.split(" ")[:3]
        within = path == point or path.startswith(point.rstrip("/") + "/")
        if within and len(point) >= len(best):
            best, kind = point, found
    return kind


def _disks(timeout: float) -> list[dict[str, object]] | None:
    """The disks of the domain files here, and each QEMU that has one open; None when the storage did not answer."""
    try:
        found: list[dict[str, object]] = json.loads(in_child(lambda: json.dumps(disks()), timeout))
    except DlmError:
        return None
    return found


def disks() -> list[dict[str, object]]:
    """See `_disks`. Disks are told apart by device number or inode, not by path: a link may lead to one."""
    open_now = _open_disks()
    found = []
    for name in _names(DOMAINS):
        if name.endswith(".xml"):
            for uuid, path, shareable in _sources(f"{DOMAINS}/{name}"):
                key, kind = _identity(path)
                users = open_now.get(key, {}) if key else {}
                found.append(
                    {
                        "uuid": uuid,
                        "path": path,
                        "kind": kind,
                        "filesystem": _filesystem(path) if kind == "file" else "",
                        "shareable": shareable,
                        "users": [users[pid] for pid in sorted(users)],
                    }
                )
    return found


def _sources(path: str) -> list[tuple[str, str, bool]]:
    """Uuid, path and whether it is shareable, of each disk in a domain XML."""
    from xml.etree import ElementTree

    try:
        with open(path, "rb") as file:
            root = ElementTree.fromstring(file.read())
    except (FileNotFoundError, ElementTree.ParseError):
        return []
    uuid = state.lower_case_uuid(root.findtext("uuid", ""))
    found = []
    for disk in root.iterfind("./devices/disk"):
        source = disk.find("source")
        where = (source.get("dev") or source.get("file")) if source is not None else None
        if where:
            found.append((uuid, where, disk.find("shareable") is not None))
    return found


def _identity(path: str) -> tuple[tuple[int, ...], str]:
    """What a disk is known by, and its kind: block, file or missing."""
    try:
        known = os.stat(path)
    except OSError:
        return (), "missing"
    if stat.S_ISBLK(known.st_mode):
        return (known.st_rdev,), "block"
    return (known.st_dev, known.st_ino), "file"


def _open_disks() -> dict[tuple[int, ...], dict[int, dict[str, object]]]:
    """Every file and block device that a QEMU program (qemu-nbd and guestfish's among them) has open for its guest."""
    found: dict[tuple[int, ...], dict[int, dict[str, object]]] = {}
    uuids = {process.pid: uuid for uuid, processes in proof.scan().by_uuid.items() for process in processes}
    for name in os.listdir("/proc"):
        program = _program(name) if name.isdigit() else ""
        if not program.startswith(("qemu", "kvm")):
            continue
        pid = int(name)
        for handle in _names(f"/proc/{name}/fd"):
            key, kind = _identity(f"/proc/{name}/fd/{handle}")
            if kind == "missing":
                continue
            user = found.setdefault(key, {}).setdefault(
                pid, {"pid": pid, "uuid": uuids.get(pid, ""), "program": program, "locked": False}
            )
            user["locked"] = user["locked"] or _locked(name, handle)
    return found


def _program(pid: str) -> str:
    """The name of a process's program; empty when it has gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().partition(b"\0")[0].rpartition(b"/")[2].decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _locked(pid: str, handle: str) -> bool:
    """Whether an open file holds locks, as QEMU's image lock does: fdinfo names them."""
    try:
        with open(f"/proc/{pid}/fdinfo/{handle}", "rb") as file:
            return b"\nlock:" in file.read()
    except (FileNotFoundError, ProcessLookupError):
        return False


def main() -> None:
    """Entry point of `probe audit`."""
    import sys

    sys.stdout.write(json.dumps({"format": FORMAT, "node": state.node_name(), "audit": audit()}) + "\n")

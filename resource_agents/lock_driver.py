"""libvirt's own lock driver on this node: is it set up, does its daemon live, and which disks have a lease?

Told from files and /proc alone: a lease of virtlockd is a locked file that it holds open, and /proc/PID/fd and fdinfo
show both without touching the shared storage, which hangs while a dead node awaits its fencing. Three facts that were
measured (docs/decisions/0009-a-lost-lease-comes-back-by-a-move.md) are behind the rules here: a virtlockd that was
killed has lost all leases; a new one refuses every start and resume until libvirtd is restarted; and that restart
brings back no lease of a running guest.
"""

from __future__ import annotations

import os

from hacluster.guard import state
from resource_agents.codes import Failed
from resource_agents.vm import LIBVIRT_RUN

CONFIG = "/etc/libvirt"
RUN = "/run"
IDENTITY = ".hacluster"
"""The file in the lease directory by which hactl sees that all nodes have the same directory."""
WANTED = ("lock_driver", "lockspace_dir", "lockspace_mount")
"""The lockspace agent's parameters; its record keeps them for the other agents."""


def wanted(record: dict[str, str] | None = None) -> dict[str, str]:
    """What the CIB asks for, from this node's record of the lockspace; empty without a lock driver."""
    pairs = (state.read_pairs(state.LOCKSPACE) if record is None else record) or {}
    return {name: pairs[name] for name in WANTED if pairs.get(name)} if pairs.get("lock_driver") else {}


def settings(path: str) -> dict[str, str]:
    """The settings of one of libvirt's files, as text without quotes; empty when there is no such file."""
    found = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and not name.lstrip().startswith("#"):
            found[name.strip()] = value.strip().strip("\"'")
    return found


def daemon(name: str) -> str:
    """PID:START of a daemon that lives; empty otherwise. The start time stays when it executes itself anew."""
    try:
        with open(f"{RUN}/{name}.pid", encoding="ascii") as file:
            pid = file.read().strip()
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            comm = file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    found = state.process_start(int(pid)) if pid.isdigit() else None
    return f"{pid}:{found[1]}" if found is not None and found[0] not in "ZX" and comm == name[:15] else ""


def libvirt_daemon() -> str:
    """The daemon that has registered with virtlockd: virtqemud where libvirt is modular, else libvirtd."""
    return daemon("virtqemud") or daemon("libvirtd")


def in_use(driver: str) -> bool | None:
    """Whether libvirt's daemon has loaded this driver, which it does only when it starts; None when it does not run."""
    pid = libvirt_daemon().partition(":")[0]
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            return f"/lock-driver/{driver}.so" in file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None


def problem(record: dict[str, str]) -> str:
    """What keeps guests from being started or received here, as a sentence with its remedy; empty if nothing does."""
    driver = wanted(record).get("lock_driver", "")
    if not driver:
        return ""
    node = record.get("node") or state.node_name()
    configured = settings(f"{CONFIG}/qemu.conf").get("lock_manager", "nop")
    if configured != driver:
        return f"libvirt's lock_manager on {node} is {configured}, not {driver}; see docs/lock-driver.md"
    if in_use(driver) is False:
        return f"libvirtd on {node} runs without {driver}; there: systemctl restart libvirtd (guests run on)"
    if driver != "lockd":
        return ""
    directory = settings(f"{CONFIG}/qemu-lockd.conf").get("file_lockspace_dir", "not set")
    if directory != record["lockspace_dir"]:
        return (
            f"libvirt's file_lockspace_dir on {node} is {directory}, not {record['lockspace_dir']}; "
            "see docs/lock-driver.md"
        )
    now, libvirt = daemon("virtlockd"), libvirt_daemon()
    known = record.get("virtlockd", "")
    if known and now != known and libvirt in ("", record.get("libvirtd", "")):
        died = "does not run" if not now else "was started anew"
        return (
            f"virtlockd on {node} {died}, and the leases of its guests are lost; on {node}, "
            "systemctl restart libvirtd (guests run on), then move those guests: hactl vm move"
        )
    return ""


def registered(record: dict[str, str]) -> dict[str, str]:
    """The record with the daemons that know one another now; asked while there is no `problem`."""
    now, libvirt = daemon("virtlockd"), libvirt_daemon()
    return {**record, "virtlockd": now, "libvirtd": libvirt} if now and libvirt else record


def leases(directory: str, mount: str) -> set[str]:
    """The names of the files in `directory` that virtlockd holds locked, on the file system mounted at `mount`.

    The directory's own path is not enough: before the mount it led to this node's own disk.
    """
    pid = daemon("virtlockd").partition(":")[0]
    if not pid:
        return set()
    held = set()
    try:
        points = _mount_points(pid)
        for handle in os.listdir(f"/proc/{pid}/fd"):
            place, _, name = _target(f"/proc/{pid}/fd/{handle}").rpartition("/")
            if place != directory:
                continue
            with open(f"/proc/{pid}/fdinfo/{handle}", encoding="ascii", errors="replace") as file:
                info = file.read()
            number = info.partition("mnt_id:")[2].partition("\n")[0].strip()
            if "\nlock:" in info and points.get(number) == mount:
                held.add(name)
    except (FileNotFoundError, ProcessLookupError):
        return held  # it ended, or closed a file, while we looked
    return held


def all_leases(asked: dict[str, str]) -> set[str]:
    """What virtlockd holds where the CIB wants the leases; nothing if it wants none of lockd's."""
    if asked.get("lock_driver") != "lockd":
        return set()
    return leases(asked["lockspace_dir"], asked["lockspace_mount"])


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


def _mount_points(pid: str) -> dict[str, str]:
    """Mount id to mount point, as a process sees them (proc(5), mountinfo; blanks are \\040)."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as file:
        rows = [line.split() for line in file]
    return {row[0]: row[4].replace("\\040", " ") for row in rows if len(row) > 4}


def lease_name(path: str) -> str:
    """The file that stands for a disk: the SHA-256 of its path in the domain XML (libvirt's lockd driver)."""
    from hashlib import sha256

    return sha256(path.encode()).hexdigest()


def disks(xml: str) -> tuple[str, ...]:
    """The paths of the disks in a domain's XML, or libvirt's status file of one, that a lease has to cover."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return ()
    domain = root if root.tag == "domain" else root.find("domain")
    found = []
    for disk in domain.iterfind("./devices/disk") if domain is not None else ():
        source = disk.find("source")
        path = (source.get("dev") or source.get("file")) if source is not None else None
        if path and disk.get("device", "disk") in ("disk", "lun") and disk.find("readonly") is None:
            found.append(path)
    return tuple(found)


def running_disks(name: str) -> tuple[str, ...]:
    """The disks that a lease has to cover, of a guest that runs here by libvirt's status file; else nothing.

    A paused guest has no leases: libvirt gives them back.
    """
    try:
        with open(f"{LIBVIRT_RUN}/{name}.xml", encoding="utf-8", errors="replace") as file:
            xml = file.read()
    except FileNotFoundError:
        return ()
    return disks(xml) if "<domstatus state='running'" in xml else ()


def bare(names: list[str], asked: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """The disks without a lease of those guests that run here, by name.

    Leases are read before and after: a guest that starts or leaves meanwhile has its lease at one of the two moments.
    """
    if asked.get("lock_driver") != "lockd":
        return {}
    held = all_leases(asked)
    needed = {name: running_disks(name) for name in names}
    held |= all_leases(asked)
    found = {
        name: tuple(path for path in paths if lease_name(path) not in held) for name, paths in needed.items() if paths
    }
    return {name: paths for name, paths in found.items() if paths}


def covered(name: str, asked: dict[str, str]) -> bool:
    """Whether a guest runs here and each of its disks has its lease."""
    paths, held = running_disks(name), all_leases(asked)
    return bool(paths) and all(lease_name(path) in held for path in paths)


def mounted(path: str) -> tuple[str, str]:
    """Mount point and type of the file system that a path is on; the storage itself is not asked."""
    best, kind = "", ""
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        lines = [line.split(" ") for line in file]
    for _, written, found, *_ in lines:
        point = written.replace("\\040", " ")
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, found
    return best, kind


def make_ready(name: str) -> None:
    """Before a start: libvirt can get the lease, and it will lie on the shared storage. Raises Failed."""
    record = state.read_pairs(state.LOCKSPACE) or {}
    asked = wanted(record)
    if not asked:
        return
    if trouble := problem(record):
        raise Failed(f"{name} is not started: {trouble}")
    directory, mount = asked["lockspace_dir"], asked["lockspace_mount"]
    if mounted(directory)[0] != mount:
        raise Failed(f"{name} is not started: {directory} is not on {mount}, where all nodes see its leases")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    try:
        with open(os.open(f"{directory}/{IDENTITY}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(os.urandom(8).hex() + "\n")
    except FileExistsError:
        return

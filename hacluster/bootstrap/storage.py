"""The shared storage: LVM under its lock daemon on every node; volume group, volume and GFS2 once, from one node.

A shared volume group can only be made while DLM and lvmlockd run. Pacemaker will run both, but only once the CIB is
there, which needs the storage: so systemd runs them for these few commands, and stops them before Pacemaker comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hacluster import model
from hacluster.bootstrap import disks, units
from hacluster.bootstrap.changes import Change, CommandChange, file_change
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.settings import assigned
from hacluster.bootstrap.steps import Looked, Site
from hacluster.problems import Problem, kind

NO_DEVICE = kind(
    "HA620",
    "The shared device is not there, or not said",
    "Every node must see the same LUN under the name that the spec gives it: by-id names and multipath's do not "
    "change when the machine is started again.",
)
NOT_ONE_LUN = kind(
    "HA623",
    "The nodes see different devices under one name",
    "Two nodes that write to different disks share nothing, and what is on either is lost when it is made anew.",
)
CARRIES_DATA = kind(
    "HA624",
    "The device carries data, which would be destroyed",
    "Bootstrap makes volume groups and file systems on empty devices. Accepting this erases what was found.",
    acceptable=True,
)
IN_USE = kind(
    "HA625",
    "The device is in use",
    "Something is mounted from it or stands upon it on one of the nodes; nobody can take that risk.",
)
OTHER_FILE_SYSTEM = kind(
    "HA626",
    "The volume carries another file system than the spec's",
    "GFS2 is made for one cluster and one name, and other clusters may be using it. It is not made anew here.",
)
NOT_MADE = kind(
    "HA632",
    "A storage that bootstrap does not make",
    "Bootstrap makes GFS2 on a device that the spec names. Other types are made by hand, as docs/storage.md says.",
    severity="warning",
)

LVM_CONF = "/etc/lvm/lvm.conf"
DLM, LVMLOCKD = "dlm.service", "lvmlockd.service"
DAEMONS = (DLM, LVMLOCKD)
_AT_BOOT = (*DAEMONS, "lvmlocks.service")


@dataclass(frozen=True, slots=True)
class Lvm:
    """The step that has LVM ask its lock daemon, which Pacemaker alone starts, and makes the mount points."""

    name: str = "lvm"
    title: str = "LVM's locks, and mount points"
    together: bool = True

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        answers = site.each(lambda host: _lvm(host, site.cluster))
        return Looked(tuple(change for changes in answers.values() for change in changes))


def uses_lvmlockd(cluster: model.Cluster) -> bool:
    """Whether any storage of a cluster lies in a volume group that lvmlockd locks."""
    return any(
        getattr(storage, "volume_group", None) and getattr(storage, "volume_manager", "") == "lvmlockd"
        for storage in cluster.storages
    )


def _lvm(host: Host, cluster: model.Cluster) -> tuple[Change, ...]:
    changes: tuple[Change, ...] = ()
    if uses_lvmlockd(cluster):
        before = host.read(LVM_CONF)
        text = (before or b"").decode(errors="surrogateescape")
        # Below its section where the file has one (every distribution's has); else with the section in its name.
        name = "use_lvmlockd" if "use_lvmlockd" in text.replace("global/use_lvmlockd", "") else "global/use_lvmlockd"
        indent = "\t" if name == "use_lvmlockd" else ""
        after = assigned(text, {name: 1}, indent=indent).encode(errors="surrogateescape")
        changes += file_change(host.name, LVM_CONF, before, after)
        told = units.look(host, _AT_BOOT)
        changes += units.not_at_boot(host, told, _AT_BOOT, "Pacemaker starts DLM and lvmlockd, in their order")
    mounts = tuple(s.mount for s in cluster.storages if isinstance(s, model.Gfs2 | model.Ocfs2 | model.Nfs))
    missing = tuple(mount for mount in mounts if not host.run(["test", "-d", mount]).ok)
    if missing:
        changes += (CommandChange(host.name, ("mkdir", "-p", *missing), "mount points"),)
    return changes


@dataclass(frozen=True, slots=True)
class Storage:
    """The step that makes what is shared."""

    name: str = "storage"
    title: str = "shared storage"
    together: bool = False

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        changes: list[Change] = []
        problems: list[Problem] = []
        made: list[CommandChange] = []
        for storage in site.cluster.storages:
            if not isinstance(storage, model.Gfs2) or storage.volume_manager != "lvmlockd":
                if isinstance(storage, model.Gfs2 | model.Ocfs2 | model.SharedLvm):
                    message = f"{storage.name} ({storage.stack}) is not made by bootstrap"
                    where = f"storage.{storage.name}"
                    problems.append(NOT_MADE(message, where=where, remedy="make it by hand: docs/storage.md"))
                continue
            looked = _gfs2(site, storage)
            problems += looked.problems
            made += [change for change in looked.changes if isinstance(change, CommandChange)]
        if any(
            isinstance(s, model.Gfs2 | model.SharedLvm) and s.volume_manager == "lvmlockd"
            for s in site.cluster.storages
        ):
            changes += _under_locks(site, made)
        return Looked(tuple(changes), tuple(problems))


def _under_locks(site: Site, made: list[CommandChange]) -> list[Change]:
    """The commands with DLM and lvmlockd under them, run by systemd meanwhile where Pacemaker does not run them yet.

    DLM runs on every member: it has any fenced that is in the cluster and does not join it (dlm_controld(8), startup
    fencing), once it has waited for them. lvmlockd is needed on the one node alone.
    """
    members = [node.name for node in site.cluster.members]
    told = site.each(_daemons)
    first = site.first.name
    left = {name: [unit for unit in DAEMONS if told[name].by_systemd[unit]] for name in members}
    if not made and not any(left.values()):
        return []
    groups = sorted({s.volume_group for s in site.cluster.storages if isinstance(s, model.Gfs2)})
    # What runs and is no unit of systemd's is Pacemaker's, and stays.
    mine = {
        name: [
            unit
            for unit in (DAEMONS if name == first else DAEMONS[:1])
            if told[name].by_systemd[unit] or not told[name].runs[unit]
        ]
        for name in members
    }
    changes: list[Change] = []
    if made:
        for unit in DAEMONS:
            for name in members:
                if unit in mine[name]:
                    argv: tuple[str, ...] = ("systemctl", "start", unit)
                    why = "while the storage is made; Pacemaker will run it"
                    changes.append(CommandChange(name, argv, why, deadline=180.0))
        if mine[first]:
            for group in groups:
                argv = ("sh", "-c", _LOCK_START, "vgchange --lock-start", group)
                changes.append(CommandChange(first, argv, "its lockspace, if the group is there", deadline=180.0))
    changes += made
    stopped = mine if made else left
    if LVMLOCKD in stopped[first]:
        for group in groups:
            argv = ("sh", "-c", _LOCK_STOP, "vgchange --lock-stop", group)
            changes.append(CommandChange(first, argv, "deactivated, its lockspace left", deadline=180.0))
    for unit in reversed(DAEMONS):
        for name in members:
            if unit in stopped[name]:
                changes.append(
                    CommandChange(name, ("systemctl", "stop", unit), "Pacemaker will run it", deadline=180.0)
                )
    return changes


@dataclass(frozen=True, slots=True)
class _Daemons:
    """Of DLM's and lvmlockd's units on one node: which systemd has active, and which run, whoever started them."""

    by_systemd: Mapping[str, bool]
    runs: Mapping[str, bool]


def _daemons(host: Host) -> _Daemons:
    told = units.look(host, DAEMONS)
    programs = {DLM: "dlm_controld", LVMLOCKD: "lvmlockd"}
    return _Daemons(
        {unit: told[unit].active for unit in DAEMONS},
        {unit: told[unit].active or host.run(["pidof", program]).ok for unit, program in programs.items()},
    )


# A group that is not there yet has no lockspace to start, and none to stop.
_LOCK_START = 'vgs --readonly -o vg_name -- "$1" >/dev/null 2>&1 || exit 0; vgchange --lock-start -- "$1"'
_LOCK_STOP = (
    'vgs --readonly -o vg_name -- "$1" >/dev/null 2>&1 || exit 0; vgchange --activate n -- "$1"; '
    'vgchange --lock-stop -- "$1"'
)


def _gfs2(site: Site, storage: model.Gfs2) -> Looked:
    where = f"storage.{storage.name}.device"
    device = storage.device
    if device is None:
        remedy = 'add device = "/dev/disk/by-id/…" to it'
        return Looked(problems=(NO_DEVICE(f"{storage.name} names no device", where=where, remedy=remedy),))
    members = {node.name for node in site.cluster.members}
    seen = {name: disk for name, disk in site.each(lambda host: disks.look(host, device)).items() if name in members}
    problems = _one_lun(seen, storage, where)
    if problems:
        return Looked(problems=problems)
    disk = seen[site.first.name]
    if disk is None:  # _one_lun has said so
        return Looked()
    if disk.group == storage.volume_group:
        return _in_our_group(site, storage, device, disk)
    used = tuple(f"{name}: {user}" for name, each in seen.items() if each is not None for user in each.users)
    if used:
        message = f"{device} is in use"
        remedy = "name another device, or free this one by hand"
        return Looked(problems=(IN_USE(message, where=where, remedy=remedy, users="; ".join(used)),))
    steps: list[CommandChange] = []
    node = site.first.name
    if disk.signatures and not (disk.lvm_only and disk.group == ""):
        problem = _data(storage, device, disk, where)
        problems = (problem,)
        argv: tuple[str, ...] = ("sh", "-c", _ERASE, "wipefs --all --force", device)
        steps.append(CommandChange(node, argv, "what was found there is erased", deadline=120.0))
    argv = ("vgcreate", "--yes", "--shared", "--locktype", "dlm", storage.volume_group, device)
    steps.append(CommandChange(node, argv, "the shared volume group", deadline=300.0))
    steps += _volume(node, storage)
    steps += _file_system(node, storage)
    return Looked(tuple(steps), problems)


# Signatures, and the first MiB: what no tool knows the name of lies there.
_ERASE = 'set -e; wipefs --all --force -- "$1"; dd if=/dev/zero of="$1" bs=1M count=1 conv=fsync,notrunc status=none'


def _one_lun(seen: Mapping[str, disks.Disk | None], storage: model.Gfs2, where: str) -> tuple[Problem, ...]:
    absent = [name for name, disk in seen.items() if disk is None]
    if absent:
        message = f"{', '.join(absent)} {'has' if len(absent) == 1 else 'have'} no block device {storage.device}"
        remedy = f"on {absent[0]}: lsblk --paths --output NAME,SIZE,WWN,SERIAL"
        return (NO_DEVICE(message, where=where, remedy=remedy),)
    told = {name: disk.identity for name, disk in seen.items() if disk is not None}
    if len(set(told.values())) > 1:
        facts = {name: f"{identity or 'without a serial'}, {size} bytes" for name, (identity, size) in told.items()}
        message = f"{storage.device} is not the same disk on all nodes"
        remedy = "name it by what is its own: /dev/disk/by-id/… or multipath's WWID"
        return (NOT_ONE_LUN(message, where=where, remedy=remedy, **facts),)
    return ()


def _data(storage: model.Gfs2, device: str, disk: disks.Disk, where: str) -> Problem:
    facts: dict[str, str] = {"found": "; ".join(disk.signatures)}
    if disk.group:
        facts["volume group"] = (
            disk.group if disk.group != "?" else "of a name that only LVM can tell, and it is not there"
        )
        facts["volumes"] = ", ".join(f"{name} ({size})" for name, size in (disk.volumes or {}).items()) or "none"
    return CARRIES_DATA(
        f"{device} carries data: {disk.signatures[0]}",
        where=where,
        remedy=f"name another device; or have it erased for {storage.name}: --accept {CARRIES_DATA.code}",
        **facts,
    )


def _in_our_group(site: Site, storage: model.Gfs2, device: str, disk: disks.Disk) -> Looked:
    """What is missing in a volume group of the right name. It is never erased, whatever is accepted."""
    node = site.first.name
    path = f"{storage.volume_group}/{storage.logical_volume}"
    if disk.lock_type != "dlm":
        message = f"the volume group {storage.volume_group} is there, and not a shared one"
        remedy = f"if nothing uses it: vgchange --lock-type dlm {storage.volume_group}"
        where = f"storage.{storage.name}.volume_group"
        found = OTHER_FILE_SYSTEM(message, where=where, remedy=remedy, lock_type=disk.lock_type or "none")
        return Looked(problems=(found,))
    if storage.logical_volume not in (disk.volumes or {}):
        return Looked((*_volume(node, storage), *_file_system(node, storage)))
    content = site.ask(
        site.first,
        lambda host: disks.content_of_volume(host, device, storage.volume_group, storage.logical_volume),
    )
    if content is None:
        return Looked(_file_system(node, storage))
    if content != ("gfs2", storage.lock_table):
        what, label = content
        return Looked(
            problems=(
                OTHER_FILE_SYSTEM(
                    f"{path} carries {what}" + (f" of the lock table {label}" if label else ""),
                    where=f"storage.{storage.name}.lock_table",
                    remedy=f'lock_table = "{label}"' if what == "gfs2" else "name another volume: logical_volume",
                    wanted=storage.lock_table,
                ),
            )
        )
    return Looked()


def _volume(node: str, storage: model.Gfs2) -> tuple[CommandChange, ...]:
    size = ("--extents", "100%FREE") if storage.size is None else ("--size", f"{storage.size}b")
    argv = (
        *("lvcreate", "--yes", "--wipesignatures", "y", "--activate", "sy"),
        *(*size, "--name", storage.logical_volume, storage.volume_group),
    )
    return (CommandChange(node, argv, "the volume", deadline=300.0),)


def _file_system(node: str, storage: model.Gfs2) -> tuple[CommandChange, ...]:
    """mkfs.gfs2, for one journal a node, on the volume, which has to be active for it."""
    path = f"{storage.volume_group}/{storage.logical_volume}"
    megabytes = str(max(8, storage.journal_size >> 20))
    return (
        CommandChange(node, ("lvchange", "--activate", "sy", path), "active for mkfs", deadline=180.0),
        CommandChange(
            node,
            (
                *("mkfs.gfs2", "-O", "-p", "lock_dlm", "-t", storage.lock_table),
                *("-j", str(storage.journals), "-J", megabytes, f"/dev/{path}"),
            ),
            f"GFS2 with {storage.journals} journals",
            deadline=900.0,
        ),
    )

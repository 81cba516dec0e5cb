"""A shared file system that grows, gets another journal, or is checked: what admins do by hand, in the same steps.

All of it goes through the cluster as it runs: to grow and to add journals the file system stays mounted, to check it
Pacemaker takes it down everywhere, and mounts it again. The rules are those of gfs2_grow(8), gfs2_jadd(8) and
fsck.gfs2(8): the first two work on a mounted file system and on one node, the last one on none at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hacluster import model
from hacluster.bootstrap.changes import Change, CommandChange
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.steps import Looked, Site
from hacluster.problems import Problem, kind

NOT_MOUNTED = kind(
    "HA635",
    "The file system is not mounted where it has to be",
    "GFS2 grows and gets journals while it is mounted, on every node that the cluster has.",
)
NO_QUORUM = kind(
    "HA636",
    "The cluster has no quorum, or a node of it is away",
    "What changes a shared file system must be seen by every node, and a node that is away sees nothing.",
)
IN_USE = kind(
    "HA637",
    "The file system is in use",
    "To check a file system it must be mounted nowhere. Pacemaker would stop every VM on it; that is an admin's word.",
)
NO_ROOM = kind(
    "HA638",
    "There is no room for another journal",
    "A journal takes space of the file system itself.",
)

_SLACK = 64 << 20
"""Bytes by which a file system may be smaller than its volume: GFS2 grows by whole resource groups."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Bytes: the device, LVM's part of it, what its group has free, the volume, the file system."""

    device: int
    physical: int
    free: int
    extent: int
    volume: int
    filesystem: int


@dataclass(frozen=True, slots=True)
class Grow:
    """The step that gives a GFS2 all that its device has. The device has been made larger on the array before."""

    storage: model.Gfs2
    name: str = "grow"
    title: str = "the file system has all of its device"
    together: bool = False

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        found = mounted_everywhere(site, self.storage)
        if found:
            return Looked(problems=found)
        sizes = site.ask(site.first, lambda host: _sizes(host, self.storage))
        device, path = str(self.storage.device), f"{self.storage.volume_group}/{self.storage.logical_volume}"
        node = site.first.name
        changes: list[Change] = []
        more = sizes.device - sizes.physical >= 2 * sizes.extent
        if more:
            argv: tuple[str, ...] = ("pvresize", device)
            changes.append(CommandChange(node, argv, "LVM has all of the device", deadline=300.0))
        if more or sizes.free >= sizes.extent:
            argv = ("lvextend", "--extents", "+100%FREE", path)
            changes.append(CommandChange(node, argv, "the volume has all of its group", deadline=300.0))
            for other in site.hosts:
                if other != node:
                    argv = ("lvchange", "--refresh", path)
                    changes.append(CommandChange(other, argv, "the new size, also there", deadline=180.0))
        if changes or sizes.volume - sizes.filesystem > _SLACK + sizes.volume // 50:
            argv = ("gfs2_grow", self.storage.mount)
            changes.append(CommandChange(node, argv, "the file system has all of its volume", deadline=900.0))
        return Looked(tuple(changes))


@dataclass(frozen=True, slots=True)
class AddJournals:
    """The step that gives a GFS2 as many journals as the spec says: a node without one cannot mount it."""

    storage: model.Gfs2
    name: str = "journals"
    title: str = "a journal for each node"
    together: bool = False

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        found = mounted_everywhere(site, self.storage)
        if found:
            return Looked(problems=found)
        there = site.ask(site.first, lambda host: journals(host, self.storage))
        missing = self.storage.journals - there
        if missing <= 0:
            return Looked()
        size = max(8, self.storage.journal_size >> 20)
        room = site.ask(site.first, lambda host: _df(host, self.storage.mount, "avail")) >> 20
        if room < missing * size:
            message = f"{missing} journals of {size} MiB, and {room} MiB are free"
            remedy = f"hactl storage grow {self.storage.name}, or a smaller journal_size"
            return Looked(problems=(NO_ROOM(message, where=f"storage.{self.storage.name}", remedy=remedy),))
        argv = ("gfs2_jadd", "-j", str(missing), "-J", str(size), self.storage.mount)
        why = f"{there} journals are there, {self.storage.journals} are wanted"
        return Looked((CommandChange(site.first.name, argv, why, deadline=900.0),))


@dataclass(frozen=True, slots=True)
class Check:
    """The step that checks a file system: down everywhere by Pacemaker, fsck.gfs2 on one node, and up again.

    `clone` is the cluster's resource that mounts it. There is always something to do: a check is asked for, or not.
    """

    storage: model.Gfs2
    clone: str
    name: str = "fsck"
    title: str = "the file system is checked"
    together: bool = False

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        storage, found = self.storage, _whole(site, self.storage)
        users = site.each(lambda host: _open_files(host, storage))
        used = {name: said for name, said in users.items() if said}
        if used:
            message = f"{storage.mount} is in use on {', '.join(used)}"
            remedy = "stop what uses it: hactl vm stop VM for each VM that stands on it"
            found = (*found, IN_USE(message, where=f"storage.{storage.name}", remedy=remedy, **used))
        if found:
            return Looked(problems=found)
        node, path = site.first.name, f"/dev/{storage.volume_group}/{storage.logical_volume}"
        down = ("pcs", "resource", "disable", self.clone, "--wait=600")
        up = ("pcs", "resource", "enable", self.clone, "--wait=600")
        return Looked(
            (
                CommandChange(node, down, "mounted nowhere", 700.0),
                CommandChange(node, ("sh", "-c", _FSCK, "fsck.gfs2 -y", path), "on one node alone", 86_400.0),
                CommandChange(node, up, "mounted everywhere", 700.0),
            )
        )


# Its exit code 1 says that errors were found and mended (fsck(8)).
_FSCK = 'fsck.gfs2 -y -- "$1"; code=$?; [ $code -le 1 ]'


def mounted_everywhere(site: Site, storage: model.Gfs2) -> tuple[Problem, ...]:
    """What speaks against changing a mounted file system: no quorum, or a node that does not have it mounted."""
    found = _whole(site, storage)
    told = site.each(lambda host: host.run(["findmnt", "-n", "-t", "gfs2", "-o", "TARGET", storage.mount]).ok)
    absent = [name for name, there in told.items() if not there]
    if absent:
        message = f"{storage.mount} is not mounted on {', '.join(absent)}"
        remedy = "hactl status; pcs resource cleanup"
        found = (*found, NOT_MOUNTED(message, where=f"storage.{storage.name}.mount", remedy=remedy))
    return found


def _whole(site: Site, storage: model.Gfs2) -> tuple[Problem, ...]:
    done = site.ask(site.first, lambda host: host.run(["crm_mon", "--one-shot", "--output-as=xml"]))
    told = done.out.decode(errors="replace")
    online = told.count('online="true"')
    wanted = len(site.cluster.members)
    if done.ok and 'with_quorum="true"' in told and online >= wanted:
        return ()
    message = f"{online} of {wanted} nodes are online" if done.ok else "no cluster runs"
    remedy = "hactl status; bring every node back first"
    return (NO_QUORUM(message, where=f"storage.{storage.name}", remedy=remedy),)


def journals(host: Host, storage: model.Gfs2) -> int:
    """How many journals a mounted GFS2 has, as gfs2_edit counts them. Raises OSError when that cannot be told."""
    done = host.run(["gfs2_edit", "-p", "journals", f"/dev/{storage.volume_group}/{storage.logical_volume}"])
    said = done.out.decode(errors="replace")
    count = sum(line.lstrip().startswith("journal") for line in said.splitlines())
    if not done.ok or not count:
        raise OSError(
            f"gfs2_edit does not say how many journals there are: {done.err.decode(errors='replace').strip()}"
        )
    return count


def _sizes(host: Host, storage: model.Gfs2) -> _Sizes:
    config = ("--config", "global/use_lvmlockd=1", "--reportformat", "json", "--units", "b", "--nosuffix")
    fields = "dev_size,pv_size,vg_free,vg_extent_size"
    row = _row(host, ["pvs", *config, "-o", fields, "--", str(storage.device)], "pv")
    path = f"{storage.volume_group}/{storage.logical_volume}"
    volume = _row(host, ["lvs", *config, "-o", "lv_size", "--", path], "lv")
    return _Sizes(
        int(row["dev_size"]),
        int(row["pv_size"]),
        int(row["vg_free"]),
        int(row["vg_extent_size"]),
        int(volume["lv_size"]),
        _df(host, storage.mount, "size"),
    )


def _row(host: Host, argv: list[str], what: str) -> Mapping[str, Any]:
    done = host.run(argv)
    if not done.ok:
        raise OSError(f"{argv[0]}: {done.err.decode(errors='replace').strip()}")
    rows: list[dict[str, Any]] = json.loads(done.out)["report"][0][what]
    return rows[0]


def _df(host: Host, mount: str, column: str) -> int:
    done = host.run(["df", "--block-size=1", f"--output={column}", "--", mount])
    words = done.out.decode(errors="replace").split()
    if not done.ok or len(words) != 2 or not words[1].isdecimal():
        raise OSError(f"df: {done.err.decode(errors='replace').strip()}")
    return int(words[1])


_OPEN = 'find /proc/[0-9]*/fd -lname "$1/*" 2>/dev/null | cut -d / -f 3 | sort -un'


def _open_files(host: Host, storage: model.Gfs2) -> str:
    """Who has files open on the file system here, in words; empty when nobody has."""
    done = host.run(["sh", "-c", _OPEN, "open files", storage.mount])
    pids = " ".join(done.out.decode(errors="replace").split())
    return f"processes {pids}" if pids else ""


_RESCAN = """
device=$(readlink -f -- "$1") && [ -b "$device" ] || exit 1
name=${device##*/}
for each in "$name" $(ls "/sys/block/$name/slaves" 2>/dev/null); do
  if [ -e "/sys/block/$each/device/rescan" ]; then echo 1 > "/sys/block/$each/device/rescan"; fi
done
case $name in dm-*) multipathd resize map "$(cat "/sys/block/$name/dm/name")" ;; esac
"""


def rescan(site: Site, storage: model.Gfs2) -> None:
    """Have every node ask its device how large it is: one that has grown on the array is not seen by itself."""
    device = str(storage.device)

    def ask(host: Host) -> None:
        done = host.run(["sh", "-c", _RESCAN, "rescan", device])
        if not done.ok:
            raise OSError(f"{device} cannot be asked for its size: {done.err.decode(errors='replace').strip()}")

    site.each(ask)

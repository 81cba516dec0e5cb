"""What lies on a block device: every signature, every user, and what LVM has made of it. Reading alone.

Three tools are asked, for none knows all: `wipefs` finds what is written on it, `lsblk` what stands upon it or has it
mounted, LVM what is in a volume group. A device on which nothing is written that a tool knows, and whose beginning
is not empty, carries data too: a virtual machine's raw disk, or a database's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hacluster.bootstrap.host import Host
from hacluster.ports import Completed

_LVM = ("--config", "global/use_lvmlockd=1", "--reportformat", "json")
_HEAD = 'dd if="$1" iflag=skip_bytes skip="$2" bs="$3" count=1 status=none | tr -d "\\000" | head -c 1 | wc -c'
_FIRST = 1 << 20
_ZEROED = 4096
"""Bytes at the beginning of a new volume that lvcreate makes zero."""
_UNKNOWN = "data of no known kind"


@dataclass(frozen=True, slots=True)
class Disk:
    """A block device on one node. `identity` is what it says of itself (WWN or serial, and size), the same on each
    node that sees the same LUN; `signatures` are what is written on it, in words; `users` what stands upon it there.

    `group` is the volume group whose only part it is (None: no LVM on it; empty: LVM's label and no group), with its
    lock type and its volumes by name.
    """

    identity: tuple[str, str]
    signatures: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    group: str | None = None
    lock_type: str = ""
    volumes: Mapping[str, str] | None = None

    @property
    def lvm_only(self) -> bool:
        """Whether all that is written on it is LVM's."""
        return all(each.startswith("LVM2_member") for each in self.signatures)


def look(host: Host, device: str) -> Disk | None:
    """The device as this node sees it; None when it has no such block device. Raises Unreachable, OSError."""
    columns = "PATH,TYPE,SIZE,SERIAL,WWN,MOUNTPOINTS"
    done = host.run(["lsblk", "--json", "--bytes", "--output", columns, "--", device])
    if not done.ok:
        return None
    top = _json(done, "lsblk")["blockdevices"][0]
    identity = (str(top.get("wwn") or top.get("serial") or ""), str(top.get("size")))
    signatures = _signatures(host, device)
    users = tuple(_users(top))
    if not any(each.startswith("LVM2_member") for each in signatures):
        return Disk(identity, signatures, users)
    return _with_group(host, device, identity, signatures, users)


def content_of_volume(host: Host, device: str, group: str, volume: str) -> tuple[str, str] | None:
    """Type and label of what is on a logical volume; None for one on which nothing has been written since it was made.
    The volume need not be active: it is read through the device below it, at the place of its first extent. Raises
    OSError when that cannot be told."""
    fields = "pv_name,lv_name,seg_start_pe,pvseg_start,pe_start,vg_extent_size"
    argv = ["pvs", *_LVM, "--segments", "--units", "b", "--nosuffix", "-o", fields, "--", device]
    rows = _json(_must(host.run(argv), "pvs"), "pvs")["report"][0]["pvseg"]
    for row in rows:
        if row.get("lv_name") == volume and str(row.get("seg_start_pe")) == "0":
            offset = int(row["pe_start"]) + int(row["pvseg_start"]) * int(row["vg_extent_size"])
            return _probe(host, device, offset)
    raise OSError(f"the volume {group}/{volume} does not begin on {device}")


def _probe(host: Host, device: str, offset: int) -> tuple[str, str] | None:
    done = host.run(["blkid", "--probe", "--offset", str(offset), "--output", "export", "--", device])
    if done.code == 2 and not done.out.strip():
        return (_UNKNOWN, "") if _written(host, device, offset, _ZEROED) else None
    told = dict(line.split("=", 1) for line in done.out.decode(errors="replace").splitlines() if "=" in line)
    return told.get("TYPE", "something that blkid cannot name"), told.get("LABEL", "")


def _signatures(host: Host, device: str) -> tuple[str, ...]:
    done = _must(host.run(["wipefs", "--no-act", "--json", "--", device]), "wipefs")
    rows = _json(done, "wipefs")["signatures"] if done.out.strip() else []
    found = tuple(f"{row['type']} at {row['offset']}" + _label(row) for row in rows)
    if found:
        return found
    return (f"{_UNKNOWN} in its first MiB",) if _written(host, device, 0, _FIRST) else ()


def _written(host: Host, device: str, offset: int, size: int) -> bool:
    """Whether anything but zeros stands there."""
    argv = ["sh", "-c", _HEAD, "head", device, str(offset), str(size)]
    return _must(host.run(argv, deadline=60.0), "dd").out.strip() != b"0"


def _label(row: Mapping[str, Any]) -> str:
    return f" ({row['label']})" if row.get("label") else ""


def _users(top: Mapping[str, Any]) -> Sequence[str]:
    """What stands upon a device, and where it is mounted."""
    found = [f"mounted on {where}" for where in top.get("mountpoints") or () if where]
    for child in top.get("children") or ():
        found.append(f"{child.get('type')} {child.get('path')}")
        found += _users(child)
    return found


def _with_group(
    host: Host, device: str, identity: tuple[str, str], signatures: tuple[str, ...], users: tuple[str, ...]
) -> Disk:
    done = host.run(["pvs", *_LVM, "-o", "vg_name,vg_lock_type,pv_count", "--", device])
    if done.code == 127:
        return Disk(identity, signatures, users, group="?", lock_type="?")
    row = _json(_must(done, "pvs"), "pvs")["report"][0]["pv"][0]
    group = str(row["vg_name"])
    volumes: dict[str, str] = {}
    if group:
        listed = _must(host.run(["lvs", *_LVM, "-o", "lv_name,lv_size", "--", group]), "lvs")
        volumes = {each["lv_name"]: each["lv_size"] for each in _json(listed, "lvs")["report"][0]["lv"]}
    return Disk(identity, signatures, users, group, str(row["vg_lock_type"]), volumes)


def _must(done: Completed, what: str) -> Completed:
    if not done.ok:
        raise OSError(f"{what}: {done.err.decode(errors='replace').strip() or f'exit code {done.code}'}")
    return done


def _json(done: Completed, what: str) -> dict[str, Any]:
    try:
        told = json.loads(done.out)
    except ValueError as error:
        raise OSError(f"{what} answered something that is no JSON") from error
    if not isinstance(told, dict):
        raise OSError(f"{what} answered something else than an object")
    return told

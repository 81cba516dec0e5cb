"""Shared storage in the spec's words: what its resources say, and what only the VMs' disks tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hacluster.importing.view import Primitive, View, stem
from hacluster.spec.names import of_resource

FILESYSTEM = ("ocf", "heartbeat", "Filesystem")
VOLUME = ("ocf", "heartbeat", "LVM-activate")


def file_systems(view: View) -> dict[str, dict[str, Any]]:
    """The tables [storage.*] of file systems that are mounted on every node."""
    volumes = view.of(VOLUME)
    found: dict[str, dict[str, Any]] = {}
    for each in view.of(FILESYSTEM):
        name = stem(each.id, "fs")
        table = _table(each, name, volumes)
        if table is not None and each.wrapped != "alone" and of_resource(name) is None:
            found[name] = table
    return found


def _table(mounted: Primitive, name: str, volumes: Iterable[Primitive]) -> dict[str, Any] | None:
    given = mounted.parameters
    device, mount = given.get("device", ""), given.get("directory", "")
    options = [each for each in given.get("options", "").split(",") if each]
    if given.get("fstype") == "gfs2":
        volume = _volume(device, name, tuple(volumes))
        if volume is None:
            return None
        return {
            "type": "gfs2",
            "device": device,
            "volume_group": volume.parameters.get("vgname", ""),
            "logical_volume": volume.parameters.get("lvname", ""),
            "mount": mount,
            "volume_manager": volume.parameters.get("vg_access_mode", ""),
            "options": options,
        }
    if given.get("fstype") == "none" and "bind" in options:
        return {
            "type": "directory",
            "source": device,
            "mount": mount,
            "options": [each for each in options if each != "bind"],
        }
    return None


def _volume(device: str, name: str, volumes: tuple[Primitive, ...]) -> Primitive | None:
    """The volume under a file system: the one whose name is derived from it, or whose device it is, or the only one."""
    for each in volumes:
        group, volume = each.parameters.get("vgname", ""), each.parameters.get("lvname", "")
        mapped = f"/dev/mapper/{group.replace('-', '--')}-{volume.replace('-', '--')}"
        if (each.id.endswith("-lv") and stem(each.id, "lv") == name) or device in (f"/dev/{group}/{volume}", mapped):
            return each
    return volumes[0] if len(volumes) == 1 else None

"""Shared storage in the spec's words: what its resources say, and what only the VMs' disks tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lxml import etree

from hacluster.cib import names
from hacluster.importing.view import Primitive, View, stem
from hacluster.spec.names import of_resource

FILESYSTEM = ("ocf", "heartbeat", "Filesystem")
VOLUME = ("ocf", "heartbeat", "LVM-activate")

UNKNOWN_DIRECTORY = "/dev/hactl-import"
"""Stands for the folder of a storage that a VM is tied to and no disk lies on: only an admin knows it."""
UNKNOWN_SERVER = "nfs-server.invalid"
"""Stands for the server of an NFS export that every node mounts by itself: only an admin knows it."""


def declared(view: View) -> dict[str, dict[str, Any]]:
    """The tables [storage.*] of what resources stand for: file systems on every node, and volumes beside their VMs."""
    volumes = view.of(VOLUME)
    found: dict[str, dict[str, Any]] = {}
    for each in view.of(FILESYSTEM):
        name = stem(each.id, "fs")
        table = _file_system(view, each, name, volumes)
        if table is not None and each.wrapped != "alone" and of_resource(name) is None:
            found[name] = table
    for tag in view.cib.iterfind("configuration/tags/tag"):
        name = tag.get("id", "").removesuffix(names.volumes_on(""))
        members = {member.get("id", "") for member in tag.iterfind("obj_ref")}
        volume = next((each for each in volumes if each.top in members), None)
        if names.volumes_on(name) == tag.get("id") and volume is not None and of_resource(name) is None:
            given = volume.parameters
            found[name] = {"type": "shared-lvm", "volume_group": given.get("vgname", "")}
            found[name]["volume_manager"] = given.get("vg_access_mode", "")
    return found


def root(table: Mapping[str, Any]) -> str:
    """The directory, or the beginning of the paths, of a storage's disks."""
    if table["type"] == "shared-lvm":
        return f"/dev/{table['volume_group']}"
    if table["type"] == "ceph-rbd":
        return f"/dev/rbd/{table['pool']}" if table.get("access") == "mapped" else f"rbd:{table['pool']}"
    return str(table.get("directory") or table.get("mount"))


def of_disks(
    domain: etree._Element, missing: list[str], known: Mapping[str, dict[str, Any]], home: str | None, locked: bool
) -> dict[str, dict[str, Any]]:
    """Storages for disks that lie in none that is known. `missing` are names that a tag has for them, maybe several in
    one; `home` is the one node that the VM is bound to; `locked` says that its files may lie on an export."""
    tops = [root(table) for table in known.values()]
    found: list[dict[str, Any]] = []
    for disk in domain.findall("devices/disk"):
        source = disk.find("source")
        if source is None or disk.get("device", "disk") not in ("disk", "lun") or disk.find("readonly") is not None:
            continue
        path = source.get("file") or source.get("dev") or ""
        if source.get("protocol") == "rbd":
            path = f"rbd:{source.get('name', '')}"
        folder = path.rpartition("/")[0]
        if not folder or any(folder == top or folder.startswith(f"{top}/") for top in tops):
            continue
        table = _of_disk(source, folder, home, locked)
        if table is not None:
            found.append(table)
            tops.append(root(table))
    made: dict[str, dict[str, Any]] = {}
    named = _apart(missing, len(found))
    for table in found:
        name = named.pop(0) if named else re.sub("[^A-Za-z0-9_]+", "_", f"on_{root(table)}")[:60]
        if of_resource(name) is None and name not in known:
            made[name] = table
    return made


def _apart(joined: list[str], number: int) -> list[str]:
    """Names for so many storages: where a tag has fewer, its hyphens may be what joins them."""
    parts = [part for name in joined for part in name.split("-")]
    return parts if len(joined) < number == len(parts) else list(joined)


def unexplained(name: str) -> dict[str, Any]:
    """A storage of which nothing but its name is known."""
    return {"type": "block", "directory": f"{UNKNOWN_DIRECTORY}/{name}"}


def _of_disk(source: etree._Element, folder: str, home: str | None, locked: bool) -> dict[str, Any] | None:
    if folder.startswith("rbd:"):
        made: dict[str, Any] = {"type": "ceph-rbd", "pool": folder.removeprefix("rbd:")}
        monitors = [_monitor(host) for host in source.findall("host")]
        if monitors:
            made["monitors"] = monitors
        auth = source.find("auth")
        if auth is not None:
            made["user"] = auth.get("username", "")
            made["secret"] = next((each.get("uuid", "") for each in auth.findall("secret")), "")
        return made
    if folder.startswith("/dev/rbd/"):
        return {"type": "ceph-rbd", "pool": folder.removeprefix("/dev/rbd/"), "access": "mapped"}
    if home is not None:
        return {"type": "local", "node": home, "directory": folder}
    if source.get("dev"):
        return {"type": "block", "directory": folder}
    if locked:  # and no resource mounts it
        return {"type": "nfs", "server": UNKNOWN_SERVER, "export": folder, "mount": folder, "mounted": "outside"}
    return None


def _monitor(host: etree._Element) -> str:
    name, port = host.get("name", ""), host.get("port")
    shown = f"[{name}]" if ":" in name and port else name
    return f"{shown}:{port}" if port else shown


def _file_system(view: View, mounted: Primitive, name: str, volumes: Iterable[Primitive]) -> dict[str, Any] | None:
    given = mounted.parameters
    device, mount = given.get("device", ""), given.get("directory", "")
    options = [each for each in given.get("options", "").split(",") if each]
    kind = given.get("fstype", "")
    if kind in ("gfs2", "ocfs2"):
        volume = _volume(device, name, tuple(volumes))
        if volume is None and kind == "gfs2":
            return None
        made: dict[str, Any] = {"type": kind, "mount": mount, "options": options}
        if volume is None:
            made["device"] = device
        else:
            made["volume_group"] = volume.parameters.get("vgname", "")
            made["logical_volume"] = volume.parameters.get("lvname", "")
            made["volume_manager"] = volume.parameters.get("vg_access_mode", "")
        if kind == "ocfs2" and _follows_o2cb(view, mounted.top):
            made["o2cb"] = True
        return made
    if kind in ("nfs", "nfs4"):
        server, _, export = device.rpartition(":")
        version = next((each for each in options if re.fullmatch("(nfs)?vers=4[.][12]", each)), None)
        made = {"type": "nfs", "server": server.strip("[]"), "export": export, "mount": mount}
        if version is not None:
            made["version"] = version.partition("=")[2]
        return {**made, "options": [each for each in options if each != version]}
    if kind == "none" and "bind" in options:
        return {
            "type": "directory",
            "source": device,
            "mount": mount,
            "options": [each for each in options if each != "bind"],
        }
    return None


def _follows_o2cb(view: View, clone: str) -> bool:
    wanted = names.order(names.clone(names.O2CB), clone)
    return any(each.get("id") == wanted for each in view.cib.iterfind("configuration/constraints/rsc_order"))


def _volume(device: str, name: str, volumes: tuple[Primitive, ...]) -> Primitive | None:
    """The volume under a file system: the one whose name is derived from it, or whose device it is."""
    for each in volumes:
        group, volume = each.parameters.get("vgname", ""), each.parameters.get("lvname", "")
        mapped = f"/dev/mapper/{group.replace('-', '--')}-{volume.replace('-', '--')}"
        if each.id == names.volume(name) or device in (f"/dev/{group}/{volume}", mapped):
            return each
    return None

"""Which resources hold a path: the file system mounted over it, or the volume group that its device is in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hacluster.lint.facts import Resource

FILESYSTEM = "ocf:heartbeat:Filesystem"
VOLUMES = ("ocf:heartbeat:LVM-activate", "ocf:heartbeat:LVM")
CLUSTER_FILE_SYSTEMS = ("gfs2", "ocfs2")
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "ceph", "glusterfs", "cifs")
DLM_USERS = ("ocf:heartbeat:lvmlockd", "ocf:heartbeat:clvm", "ocf:lvm2:clvmd")
DLM = "ocf:pacemaker:controld"


def mount(resource: Resource) -> str | None:
    """Where a file system resource mounts, without a final slash."""
    directory = resource.parameters.get("directory", "") if resource.agent == FILESYSTEM else ""
    return re.sub(r"/+", "/", directory).rstrip("/") or None


def file_system(resource: Resource) -> str:
    """The type of a file system resource, empty for others."""
    return resource.parameters.get("fstype", "").lower() if resource.agent == FILESYSTEM else ""


def on_dlm(resource: Resource) -> bool:
    """Whether a resource works through the distributed lock manager."""
    return (
        file_system(resource) in CLUSTER_FILE_SYSTEMS
        or resource.agent in DLM_USERS
        or resource.parameters.get("vg_access_mode") in ("lvmlockd", "clvmd")
    )


class Places:
    """Where a cluster's storage is: asked for the resources that hold a path."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._mounts: list[tuple[str, Resource]] = []
        self._volumes: list[tuple[tuple[str, str], str | None, Resource]] = []
        for resource in resources:
            group = resource.parameters.get("vgname") or resource.parameters.get("volgrpname") or ""
            if (place := mount(resource)) is not None:
                self._mounts.append((place + "/", resource))
            elif resource.agent in VOLUMES and group:
                prefixes = (f"/dev/{group}/", f"/dev/mapper/{_mapped(group)}-")
                self._volumes.append((prefixes, resource.parameters.get("lvname"), resource))

    def holders(self, path: str) -> tuple[Resource, ...]:
        """The resources that hold a path: of nested mounts the innermost, or what activates the logical volume."""
        plain = re.sub(r"/+", "/", path)
        mounts = [(place, resource) for place, resource in self._mounts if plain.startswith(place)]
        if mounts:
            innermost = max(len(place) for place, _ in mounts)
            return tuple(resource for place, resource in mounts if len(place) == innermost)
        return tuple(
            resource
            for prefixes, volume, resource in self._volumes
            if any(_is(plain, prefix, volume) for prefix in prefixes)
        )


def _is(path: str, prefix: str, volume: str | None) -> bool:
    if not path.startswith(prefix):
        return False
    rest = path[len(prefix) :]
    if prefix.startswith("/dev/mapper/"):
        # In the device mapper's names a hyphen that belongs to a name is doubled: vg-a/b is vg--a-b.
        return not rest.startswith("-") and (volume is None or rest == _mapped(volume))
    return volume is None or rest == volume


def _mapped(name: str) -> str:
    return name.replace("-", "--")

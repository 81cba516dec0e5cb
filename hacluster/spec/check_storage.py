"""Are the storages distinct, does each fit this cluster, and are its locks left on? And which storage holds a path?"""

from __future__ import annotations

import re

from hacluster.spec import kinds
from hacluster.spec.check_fencing import unknown_node
from hacluster.spec.check_nodes import members
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.wording import join, quoted

FILE_SYSTEM_NAME = 30  # characters, mkfs.gfs2's limit

FILE_SYSTEMS = ("gfs2", "ocfs2", "nfs", "directory")
"""Types with a mount point where every node sees the same files."""
CLUSTERED = ("gfs2", "ocfs2", "shared-lvm")
"""Types with a volume manager, where they stand on a volume group."""

# mount(8), gfs2(5), nfs(5); an option counts with and without a value.
_UNLOCKED = {
    "gfs2": {"localflocks": "locks of one node only", "lockproto": "lock_nolock locks nothing"},
    "ocfs2": {"localflocks": "locks of one node only"},
    "nfs": {
        "nolock": "locks of one node only",
        "local_lock": "locks of one node only",
        "soft": "writes that are lost when the server is slow",
        "softerr": "writes that are lost when the server is slow",
        "vers": "the version is said by `version`",
        "nfsvers": "the version is said by `version`",
    },
}


def root(storage: Table) -> str | None:
    """What the paths of a storage's disks begin with: its mount point, or the directory of its devices."""
    kind, group, pool = storage["type"], storage.get("volume_group"), storage.get("pool")
    if kind == "shared-lvm":
        return f"/dev/{group}" if group else None
    if kind == "ceph-rbd":
        return (f"/dev/rbd/{pool}" if storage["access"] == "mapped" else f"rbd:{pool}") if pool else None
    path: str | None = storage["directory"] if kind in ("block", "local") else storage["mount"]
    return path


def holding(path: str, storages: dict[str, Table]) -> str | None:
    """The storage whose directory holds the path (the longest one that does), or None."""
    held = [(len(top), name) for name, storage in storages.items() if (top := root(storage)) and inside(path, top)]
    return max(held)[1] if held else None


def inside(path: str, top: str) -> bool:
    """Whether the path lies below the directory `top`, which is not itself meant."""
    return path.startswith(f"{top}/")


def device(storage: Table, path: str) -> str:
    """What a disk on it is to QEMU: file, block or network."""
    if storage["type"] == "ceph-rbd" and storage["access"] != "mapped":
        return "network"
    return "block" if storage["type"] in ("block", "shared-lvm") or path.startswith("/dev/") else "file"


def volume(storage: Table) -> tuple[str, str] | None:
    """The volume group and volume that carry a file system."""
    group, logical = storage.get("volume_group"), storage.get("logical_volume")
    return (group, logical) if group and logical else None


def lock_table(cluster: Table, name: str, storage: Table) -> str:
    """What the storage says, or CLUSTER:NAME."""
    return str(storage["lock_table"] or f"{cluster['name']}:{name}")


def check(cluster: Table, nodes: dict[str, Table], storages: dict[str, Table], found: Found) -> None:
    """Add what is wrong with the storages."""
    _nested(storages, found)
    _unique(cluster, storages, found)
    _managers(storages, found)
    for name, storage in storages.items():
        _options(storage, found)
        if storage["type"] == "gfs2":
            _lock_table(cluster, name, storage, found)
            _journals(storage, len(members(nodes)), found)
        elif storage["type"] == "nfs":
            _version(storage, found)
        elif storage["type"] == "ceph-rbd":
            _ceph(storage, found)
        elif storage["type"] == "local" and storage["node"] is not None and storage["node"] not in nodes:
            found.append(unknown_node(storage["node"], join(storage["where"], "node"), nodes))


def _journals(storage: Table, nodes: int, found: Found) -> None:
    journals = storage["journals"]
    if journals is not None and journals < nodes:
        found.append(
            kinds.JOURNALS(
                f"{journals} journals for {nodes} nodes",
                where=f"{storage['where']}.journals",
                remedy=f"make them with `gfs2_jadd -j {nodes - journals} {storage['mount']}`, "
                f"then write journals = {nodes}",
            )
        )


def _unique(cluster: Table, storages: dict[str, Table], found: Found) -> None:
    owners: dict[tuple[str, str], str] = {}
    for name, storage in storages.items():
        for key, value in _claims(cluster, name, storage):
            first = owners.setdefault((key, value), name)
            # Two volumes of one group share its device; that is what groups are for.
            group = storage.get("volume_group")
            shared_group = group is not None and storages[first].get("volume_group") == group
            if first != name and not (key == "device" and shared_group):
                found.append(
                    kinds.STORAGE_TWICE(
                        f"{name} and {first} have the same {key}",
                        where=f"{storage['where']}.{key}",
                        remedy=f"give {name} its own",
                        value=value,
                    )
                )


def _claims(cluster: Table, name: str, storage: Table) -> list[tuple[str, str]]:
    """What this storage must have for itself, by the key that says it."""
    claims = []
    if storage.get("device"):
        claims.append(("device", storage["device"]))
    if (carrier := volume(storage)) is not None:
        claims.append(("logical_volume", "/".join(carrier)))
    if storage["type"] == "gfs2":
        claims.append(("lock_table", lock_table(cluster, name, storage)))
    if storage["type"] == "shared-lvm" and storage["volume_group"]:
        claims.append(("volume_group", storage["volume_group"]))
    return claims


def _managers(storages: dict[str, Table], found: Found) -> None:
    used: dict[str, str] = {}
    for name, storage in storages.items():
        if storage["type"] in CLUSTERED and storage["volume_group"] and storage["volume_manager"]:
            used.setdefault(storage["volume_manager"], name)
    if len(used) > 1:
        (one, first), (other, second) = used.items()
        found.append(
            kinds.TWO_MANAGERS(
                f"{first} uses {one}, {second} uses {other}",
                where=join(storages[second]["where"], "volume_manager"),
                remedy=f'write volume_manager = "{one}", and change the volume group with `vgchange --locktype`',
            )
        )


def _options(storage: Table, found: Found) -> None:
    wrong = _UNLOCKED.get(storage["type"], {})
    for i, option in enumerate(storage.get("options") or ()):
        key = option.partition("=")[0]
        if key in wrong and option != "lockproto=lock_dlm":
            found.append(
                kinds.UNLOCKED_MOUNT(
                    f"the option {option} means {wrong[key]}",
                    where=f"{storage['where']}.options[{i}]",
                    remedy="remove it",
                )
            )


def _version(storage: Table, found: Found) -> None:
    version = storage["version"]
    if version in ("3", "4", "4.0"):
        found.append(
            kinds.NFS_VERSION(
                f"version {version} has no locks that end with their owner, and only with him",
                where=join(storage["where"], "version"),
                remedy='write version = "4.2", or "4.1" for a server that has no 4.2',
            )
        )


def _ceph(storage: Table, found: Found) -> None:
    where = storage["where"]
    if storage["access"] == "mapped":
        for key in ("monitors", "user", "secret"):
            if key in storage["given"]:
                message = "rbdmap maps the images, with what /etc/ceph/rbdmap says"
                found.append(kinds.BAD_VALUE(message, where=join(where, key), remedy="remove it"))
    elif ("user" in storage["given"]) != ("secret" in storage["given"]):
        present, missing = ("user", "secret") if "user" in storage["given"] else ("secret", "user")
        found.append(
            kinds.MISSING_KEY(
                f"{present} is given without {missing}, and QEMU logs in with both",
                where=join(where, missing),
                remedy="name libvirt's secret with the user's key: secret = \"UUID\" (virsh secret-list)"
                if missing == "secret"
                else 'name the Ceph user: user = "libvirt"',
            )
        )


def _nested(storages: dict[str, Table], found: Found) -> None:
    tops = [(top, name) for name, storage in storages.items() if (top := root(storage))]
    for i, (top, name) in enumerate(tops):
        for other, first in tops[:i]:
            apart = {
                storages[each].get("node") if storages[each]["type"] == "local" else None for each in (name, first)
            }
            if len(apart) == 2 and None not in apart:
                continue  # the own disks of two nodes
            if top == other or inside(top, other) or inside(other, top):
                found.append(
                    kinds.MOUNT_NESTED(
                        f"{name} ({top}) and {first} ({other}) lie in one another",
                        where=storages[name]["where"],
                        remedy=f"mount {name} elsewhere",
                    )
                )


def by_group(path: str, storages: dict[str, Table]) -> str | None:
    """How to write the path of a volume that was written as device mapper's, or None when it is none of ours."""
    match = re.fullmatch(r"/dev/mapper/((?:[^-]|--)+)-((?:[^-]|--)+)", path)
    if match is None:
        return None
    group, logical = (part.replace("--", "-") for part in match.groups())
    known = any(storage.get("volume_group") == group for storage in storages.values())
    return f"/dev/{group}/{logical}" if known else None


def _lock_table(cluster: Table, name: str, storage: Table, found: Found) -> None:
    if cluster["name"] is None or (storage["lock_table"] is None and "lock_table" in storage["given"]):
        return
    table = lock_table(cluster, name, storage)
    owner, colon, file_system = table.partition(":")
    if not colon or ":" in file_system or not file_system:
        wrong = f"{quoted(table)} is not CLUSTER:FILESYSTEM"
    elif owner != cluster["name"]:
        wrong = f"the lock table belongs to the cluster {quoted(owner)}, this one is {quoted(cluster['name'])}"
    elif len(file_system) > FILE_SYSTEM_NAME or not file_system.isascii():
        wrong = f"the file system's name {quoted(file_system)} is longer than {FILE_SYSTEM_NAME} ASCII characters"
    else:
        return
    right = f"{cluster['name']}:{file_system if 0 < len(file_system) <= FILE_SYSTEM_NAME else name[:FILE_SYSTEM_NAME]}"
    found.append(
        kinds.LOCK_TABLE(
            wrong,
            where=f"{storage['where']}.lock_table",
            remedy=f'write lock_table = "{right.replace(chr(34), "")}"; an existing file system is changed, '
            "unmounted everywhere, with `tunegfs2 -o locktable=…`",
        )
    )

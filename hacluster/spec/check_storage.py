"""Are the storages distinct, and does each GFS2 fit this cluster? And which storage holds a path?"""

from __future__ import annotations

from hacluster.spec import kinds
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.wording import quoted

FILE_SYSTEM_NAME = 30  # characters, mkfs.gfs2's limit


def root(storage: Table) -> str | None:
    """The directory below which a storage's disks lie: its mount point, or the directory of its devices."""
    path: str | None = storage["directory"] if storage["type"] == "block" else storage["mount"]
    return path


def holding(path: str, storages: dict[str, Table]) -> str | None:
    """The storage whose directory holds the path (the longest one that does), or None."""
    held = [(len(top), name) for name, storage in storages.items() if (top := root(storage)) and inside(path, top)]
    return max(held)[1] if held else None


def inside(path: str, top: str) -> bool:
    """Whether the path lies below the directory `top`, which is not itself meant."""
    return path.startswith(f"{top}/")


def lock_table(cluster: Table, name: str, storage: Table) -> str:
    """What the storage says, or CLUSTER:NAME."""
    return str(storage["lock_table"] or f"{cluster['name']}:{name}")


def check(cluster: Table, nodes: dict[str, Table], storages: dict[str, Table], found: Found) -> None:
    """Add what is wrong with the storages."""
    _nested(storages, found)
    owners: dict[tuple[str, str], str] = {}
    for name, storage in storages.items():
        if storage["type"] != "gfs2":
            continue
        _lock_table(cluster, name, storage, found)
        journals = storage["journals"]
        if journals is not None and journals < len(nodes):
            found.append(
                kinds.JOURNALS(
                    f"{journals} journals for {len(nodes)} nodes",
                    where=f"{storage['where']}.journals",
                    remedy=f"make them with `gfs2_jadd -j {len(nodes) - journals} {storage['mount']}`, "
                    f"then write journals = {len(nodes)}",
                )
            )
        for key, value in (
            ("device", storage["device"]),
            ("logical_volume", f"{storage['volume_group']}/{storage['logical_volume']}"),
            ("lock_table", lock_table(cluster, name, storage)),
        ):
            if key != "device" and "None" in value.split("/"):
                continue
            first = owners.setdefault((key, value), name)
            # Two volumes of one group share its device; that is what groups are for.
            shared_group = storages[first].get("volume_group") == storage["volume_group"]
            if first != name and value is not None and not (key == "device" and shared_group):
                found.append(
                    kinds.STORAGE_TWICE(
                        f"{name} and {first} have the same {key}",
                        where=f"{storage['where']}.{key}",
                        remedy=f"give {name} its own",
                        value=value,
                    )
                )


def _nested(storages: dict[str, Table], found: Found) -> None:
    tops = [(top, name) for name, storage in storages.items() if (top := root(storage))]
    for i, (top, name) in enumerate(tops):
        for other, first in tops[:i]:
            if top == other or inside(top, other) or inside(other, top):
                found.append(
                    kinds.MOUNT_NESTED(
                        f"{name} ({top}) and {first} ({other}) lie in one another",
                        where=storages[name]["where"],
                        remedy=f"mount {name} elsewhere",
                    )
                )


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

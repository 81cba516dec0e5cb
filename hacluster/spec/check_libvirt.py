"""Does libvirt's lock driver have a place for its leases that all nodes share, and what it relies on?"""

from __future__ import annotations

from hacluster.problems import Problem
from hacluster.spec import kinds
from hacluster.spec.check_storage import FILE_SYSTEMS, holding, root
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.wording import join, quoted


def check(libvirt: Table, storages: dict[str, Table], found: Found) -> None:
    """Add what is wrong with the lock driver."""
    driver, where = libvirt["lock_driver"], libvirt["where"]
    if driver == "none":
        for key in ("lockspace_dir", "watchdog"):
            if libvirt[key] is not None:
                found.append(_needs(join(where, key), "a lock driver", 'lock_driver = "lockd"'))
    if libvirt["handover"] == "running" and driver in ("none", "sanlock"):
        found.append(_needs(join(where, "handover"), "leases by lockd", 'lock_driver = "lockd"'))
    if driver in ("lockd", "sanlock"):
        _directory(libvirt, storages, found)
    if driver == "sanlock" and libvirt["watchdog"] is None and "watchdog" not in libvirt["given"]:
        found.append(
            kinds.NO_WATCHDOG(
                "sanlock is chosen and no watchdog is named",
                where=join(where, "watchdog"),
                remedy='name the device that every node has: watchdog = "/dev/watchdog"; or lock_driver = "lockd"',
            )
        )


def storage(libvirt: Table, storages: dict[str, Table]) -> str | None:
    """The storage that holds the leases; None without a lock driver, or if none of the file systems holds them."""
    if libvirt["lock_driver"] in ("none", None) or libvirt["lockspace_dir"] is None:
        return None
    name = holding(libvirt["lockspace_dir"], storages)
    return None if name is None or storages[name]["type"] not in FILE_SYSTEMS else name


def _needs(where: str, what: str, remedy: str) -> Problem:
    return kinds.BAD_VALUE(f"this needs {what}", where=where, remedy=f"write {remedy}, or remove it")


def _directory(libvirt: Table, storages: dict[str, Table], found: Found) -> None:
    directory, here = libvirt["lockspace_dir"], join(libvirt["where"], "lockspace_dir")
    shared = {name: top for name, each in storages.items() if each["type"] in FILE_SYSTEMS and (top := root(each))}
    example = f"{next(iter(shared.values()), '/shared')}/leases"
    if directory is None:
        if "lockspace_dir" not in libvirt["given"]:
            message = f"{libvirt['lock_driver']} has no directory for its leases"
            found.append(kinds.MISSING_KEY(message, where=here, remedy=f'write lockspace_dir = "{example}"'))
    elif storage(libvirt, storages) is None:
        found.append(
            kinds.LEASES_ASTRAY(
                f"{quoted(directory)} lies on no shared file system of the spec",
                where=here,
                remedy=f'write lockspace_dir = "{example}"'
                if shared
                else "describe a storage of type gfs2, ocfs2, nfs or directory",
                shared=", ".join(f"{name} {top}" for name, top in shared.items()) or "none",
            )
        )

"""Would every id in the CIB stand for one thing? Names and the ids derived from them share one namespace."""

from __future__ import annotations

from itertools import pairwise

from hacluster.spec import kinds
from hacluster.spec.names import SUFFIXES
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table


def check(draft: dict[str, dict[str, Table]], standing: dict[str, tuple[str, ...]], found: Found) -> None:
    """Add names that stand for two things. `standing` has the storages of each VM, sorted."""
    owners: dict[str, str] = {}
    nodes = {name.casefold(): name for name in draft["nodes"]}
    for part, what in (("storage", "storage"), ("fence_devices", "fence device"), ("vms", "VM")):
        for name, table in draft[part].items():
            first = owners.setdefault(name, what)
            if first == what and name.casefold() in nodes:
                first = "node"
            if first != what:
                message = f"the {what} {name} is named like a {first}"
                found.append(kinds.NAME_TWICE(message, where=table["where"], remedy=f"rename the {what}"))
    _derived(
        {name: table["where"] for part in ("storage", "fence_devices", "vms") for name, table in draft[part].items()},
        found,
    )
    _templates(draft["vms"], standing, found)


def _derived(names: dict[str, str], found: Found) -> None:
    for name, where in names.items():
        for cut in (i for i, c in enumerate(name) if c == "-"):
            base, rest = name[:cut], name[cut + 1 :]
            if base in names and any(rest == s or rest.startswith(f"{s}-") for s in SUFFIXES):
                message = f"hactl derives ids such as {name} from the name {base}"
                found.append(kinds.RESERVED_NAME(message, where=where, remedy="choose another name"))


def _templates(vms: dict[str, Table], standing: dict[str, tuple[str, ...]], found: Found) -> None:
    # A template is called vm-on- and its storages' names joined by hyphens, which names may contain themselves.
    sets = sorted({("-".join(storages), storages, name) for name, storages in standing.items()})
    for (one, storages, name), (two, others, other) in pairwise(sets):
        if one == two and storages != others:
            message = f"{name} on {', '.join(storages)} and {other} on {', '.join(others)} would share one template"
            remedy = "rename a storage so that it has no hyphen"
            found.append(kinds.NAME_TWICE(message, where=vms[other]["where"], remedy=remedy))

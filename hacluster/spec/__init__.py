"""The spec: cluster.toml in, the model out, with everything that is wrong with it found in one run.

Reads the spec and the domain XML files it names, and nothing else: no host, no cluster, no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hacluster.model import Cluster
from hacluster.problems import CATALOGUE, Problem, Refused, errors
from hacluster.spec import (
    build,
    check_fence_devices,
    check_fencing,
    check_ids,
    check_libvirt,
    check_nodes,
    check_order,
    check_placement,
    check_standing,
    check_storage,
    check_vms,
    domainfile,
    guest,
    placement_table,
    residue_file,
    source,
    table,
)
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table

Result = tuple[Cluster | None, tuple[Problem, ...]]

ACCEPTABLE = frozenset(code for code, kind in CATALOGUE.items() if kind.acceptable and code.startswith("HA1"))


def load(path: Path, accepted: frozenset[str] = frozenset()) -> Cluster:
    """The cluster that the file at `path` describes.

    Raises Refused with every finding when one of them is an error that `accepted` (codes) does not name.
    """
    cluster, found = check(path)
    if cluster is None or errors(found, accepted):
        raise Refused(found)
    return cluster


def check(path: Path) -> Result:
    """The cluster and all findings. There is no cluster when a finding is an error that nobody could accept."""
    found: Found = []
    content = source.read(path, found)
    if content is None:
        return None, tuple(found)
    return parse(content, path.parent)


def parse(text: bytes, base: Path) -> Result:
    """The same for the spec's bytes; `base` is the directory to which its relative paths belong."""
    found: Found = []
    raw = source.tables(text, found)
    read = None if raw is None else table.SPEC.read(raw, "", found)
    if read is None:
        return None, tuple(found)
    draft = _whole(read)
    guests = _guests(draft["vms"], base, found)
    _cross_check(draft, guests, found)
    residue = residue_file.read(draft["cluster"], base, found)
    if errors(found, ACCEPTABLE):
        return None, tuple(found)
    return build.cluster(draft, guests, base, residue), tuple(found)


def tentative(raw: Table, files: Mapping[str, bytes] = MappingProxyType({})) -> Result:
    """The same for tables that hactl has made itself, and for the domain files that they name, by their path.

    The cluster is built as long as every VM can be, whatever else stands against it: import wants to know what the
    tables mean also where an admin has to complete them first.
    """
    found: Found = []
    read = table.SPEC.read(raw, "", found)
    if read is None:
        return None, tuple(found)
    draft = _whole(read)
    guests = {}
    for name, vm in draft["vms"].items():
        made = domainfile.of_content(name, vm, files.get(vm["domain_xml"] or "", b""), found)
        if made is not None:
            guests[name] = made
    _cross_check(draft, guests, found)
    if any(p.where.startswith(_PARTS) for p in errors(found)):
        return None, tuple(found)
    return build.cluster(draft, guests, Path()), tuple(found)


_PARTS = ("vms.", "storage.", "networks.", "fence_devices.", "affinity.", "anti_affinity.", "start_order.")


def _whole(read: Table) -> dict[str, Any]:
    """The parts of the spec, an empty one where it was left out or could not be read, so that checks can go on."""
    parts: dict[str, Any] = {
        part: read[part] or {}
        for part in (
            *("nodes", "fence_devices", "storage", "networks", "vms"),
            *("groups", "affinity", "anti_affinity", "start_order"),
        )
    }
    parts["cluster"] = read["cluster"] or table.CLUSTER.read({}, "cluster", [])
    parts["placement"] = read["placement"] or placement_table.STRATEGY.read({}, "placement", [])
    parts["libvirt"] = read["libvirt"] or table.LIBVIRT.read({}, "libvirt", [])
    return parts


def _guests(vms: dict[str, Table], base: Path, found: Found) -> dict[str, guest.Guest]:
    guests = {}
    for name, vm in vms.items():
        made = guest.of_spec(name, vm) if vm["domain_xml"] is None else domainfile.read(name, vm, base, found)
        if made is not None:
            guests[name] = made
    return guests


def _cross_check(draft: dict[str, Any], guests: dict[str, guest.Guest], found: Found) -> None:
    head, nodes, storages = draft["cluster"], draft["nodes"], draft["storage"]
    check_nodes.check(head, nodes, found)
    check_fencing.check(head, nodes, draft["fence_devices"], found)
    check_fence_devices.check(draft, found)
    check_storage.check(head, nodes, storages, found)
    check_libvirt.check(draft["libvirt"], storages, found)
    check_vms.check(draft["vms"], guests, draft, found)
    check_placement.check(draft, guests, found)
    check_order.check(draft, found)
    standing = {name: build.storages_of(each, draft["vms"][name], draft) for name, each in guests.items()}
    check_standing.check(guests, draft, standing, found)
    check_ids.check(draft, standing, found)

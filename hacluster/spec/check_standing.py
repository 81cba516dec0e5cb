"""Does each VM fit what it stands on: the storages, with what they allow, and the nodes that have them?"""

from __future__ import annotations

from collections.abc import Mapping

from hacluster.spec import kinds
from hacluster.spec.check_nodes import members
from hacluster.spec.check_storage import volume
from hacluster.spec.check_vms import storage_of
from hacluster.spec.guest import Guest
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.wording import join
from hacluster.stacks import STACKS

Draft = dict[str, dict[str, Table]]


def check(guests: Mapping[str, Guest], draft: Draft, standing: Mapping[str, tuple[str, ...]], found: Found) -> None:
    """Add what does not fit. `standing` has the storages of each VM."""
    storages = draft["storage"]
    carriers = {carrier: name for name, each in storages.items() if (carrier := volume(each)) is not None}
    for name, guest in guests.items():
        vm = draft["vms"][name]
        stood = [storages[each] for each in standing[name] if each in storages]
        _moves(name, vm, stood, found)
        _disks(guest, storages, carriers, found)
        _nodes(name, vm, stood, draft["nodes"], found)


def _moves(name: str, vm: Table, stood: list[Table], found: Found) -> None:
    migration = vm["migration"] or {}
    if migration.get("mode", "live") != "live":
        return
    for storage in stood:
        home = storage.get("node") or "one node"
        if not STACKS[storage["type"]].live:
            found.append(
                kinds.NOT_MOVABLE(
                    f"{name} is to be moved live (the default), and a disk of it is {home}'s own",
                    where=f"{vm['where']}.migration.mode",
                    remedy=f'write {vm["where"]}.migration = {{ mode = "none" }}: it then runs on {home} '
                    "only, and is down while that is; or put its disks on storage that all nodes share",
                )
            )
            return


def _disks(guest: Guest, storages: dict[str, Table], carriers: Mapping[tuple[str, str], str], found: Found) -> None:
    for disk in guest.disks:
        storage = storages.get(storage_of(disk, storages) or "")
        if storage is None:
            continue
        if storage["type"] == "shared-lvm" and storage["volume_group"]:
            taken = carriers.get((storage["volume_group"], disk.path.rpartition("/")[2]))
            if taken is not None:
                found.append(
                    kinds.VOLUME_TAKEN(
                        f"{disk.path} carries the file system of {taken}",
                        where=disk.where,
                        remedy="make a volume of its own: "
                        f"lvcreate --activate sy --size SIZE --name {guest.name} {storage['volume_group']}",
                    )
                )
            if not disk.writable:
                found.append(
                    kinds.DOMAIN_UNFIT(
                        "a read-only medium on a logical volume: hactl activates the volumes that a VM writes to",
                        where=disk.where,
                        remedy="put the medium into a file on a shared file system",
                    )
                )


def _nodes(name: str, vm: Table, stood: list[Table], nodes: dict[str, Table], found: Found) -> None:
    """A local disk binds the VM to its node, the run-lock and the DLM bind it to members of the cluster."""
    placement = vm["placement"] or {}
    preferred = [node for node in (placement.get("prefer") or {}).get("rest", {}) if node in nodes]
    left = {node for node in nodes if node not in (placement.get("avoid") or ())}
    homes = sorted({storage["node"] for storage in stood if storage["type"] == "local" and storage["node"] in nodes})
    where = join(vm["where"], "placement")
    if len(homes) > 1:
        message = f"{name} has disks of {' and of '.join(homes)}, and no node has both"
        found.append(kinds.PLACEMENT(message, where=vm["where"], remedy="put its disks on one storage"))
        return
    needs = _members_only(vm, stood)
    joined = members(nodes)
    if homes:
        for node in [each for each in preferred if each != homes[0]]:
            message = f"{name} likes {node}, and its disk is {homes[0]}'s own"
            found.append(kinds.PLACEMENT(message, where=join(f"{where}.prefer", node), remedy="remove the preference"))
        if homes[0] not in left:
            message = f"{name} avoids {homes[0]}, whose own disk it has"
            found.append(kinds.PLACEMENT(message, where=f"{where}.avoid", remedy=f"take {homes[0]} out"))
    if needs is None:
        return
    remedy = (
        'agent = "heartbeat" and storage that needs no DLM (nfs, ceph-rbd, block, directory) could run there, without '
        "the run-lock"
    )
    for node in [each for each in preferred if each not in joined]:
        message = f"{name} likes the remote node {node}, where it never runs: {needs}"
        found.append(kinds.REMOTE_NODE(message, where=join(f"{where}.prefer", node), remedy=remedy))
    if homes and homes[0] not in joined:
        message = f"{name} has a disk of the remote node {homes[0]}, where it never runs: {needs}"
        found.append(kinds.REMOTE_NODE(message, where=vm["where"], remedy=remedy))
    elif left and not left & joined.keys():
        message = f"{name} avoids all nodes but remote ones, where it never runs: {needs}"
        found.append(kinds.REMOTE_NODE(message, where=f"{where}.avoid", remedy=remedy))


def _members_only(vm: Table, stood: list[Table]) -> str | None:
    """Why the VM cannot run on a remote node; None when it can."""
    if vm["agent"] != "heartbeat":
        return "its run-lock needs the DLM, which a remote node has not"
    needy = next((storage["type"] for storage in stood if STACKS[storage["type"]].dlm), None)
    return None if needy is None else f"its storage ({needy}) needs the DLM, which a remote node has not"

"""Is each VM whole, on storages and networks that exist, and nobody else's disk, card or identity?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hacluster.problems import Kind, Problem
from hacluster.spec import kinds
from hacluster.spec.check_fencing import unknown_node
from hacluster.spec.check_storage import by_group, holding, inside, root
from hacluster.spec.guest import Guest, GuestDisk, GuestNic
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.table import DEFAULT_MACHINE
from hacluster.spec.wording import join, nearest, quoted
from hacluster.stacks import STACKS


def check(vms: dict[str, Table], guests: dict[str, Guest], draft: dict[str, dict[str, Table]], found: Found) -> None:
    """Add what is wrong with the VMs; `draft` has the spec's nodes, storage, networks and libvirt."""
    nodes, storages, networks = draft["nodes"], draft["storage"], draft["networks"]
    for guest in guests.values():
        for disk in guest.disks:
            _disk(disk, storages, found)
        for nic in guest.nics:
            network_of(nic, networks, found)
        if guest.domain is None:
            _machine(guest, vms[guest.name], found)
        _policy(guest, vms[guest.name], draft, found)
    for vm in vms.values():
        for name in vm["storage"] or ():
            if name not in storages:
                _unknown_storage(name, f"{vm['where']}.storage", storages, found)
        _placement(vm, nodes, found)
    _unique(guests.values(), storages, found)


def storage_of(disk: GuestDisk, storages: dict[str, Table]) -> str | None:
    """The storage a disk lies on: the one it names, or the one that holds its path."""
    return disk.storage if disk.storage is not None else holding(disk.path, storages)


def network_of(nic: GuestNic, networks: dict[str, Table], found: Found) -> str | None:
    """The name of a card's network, found by its bridge where the card names that; None after adding a Problem."""
    by_bridge = {network["bridge"]: name for name, network in networks.items() if network["bridge"]}
    if nic.network is not None:
        if nic.network in networks:
            return nic.network
        meant = by_bridge.get(nic.network) or nearest(nic.network, networks)
        known, what = ", ".join(networks), f"network {quoted(nic.network)}"
    elif nic.bridge is not None:
        if nic.bridge in by_bridge:
            return by_bridge[nic.bridge]
        meant = nearest(nic.bridge, by_bridge)
        known, what = ", ".join(by_bridge), f"network with the bridge {quoted(nic.bridge)}"
    else:
        return None
    found.append(
        kinds.UNKNOWN_NETWORK(
            f"there is no {what}" + (f"; did you mean {meant}?" if meant else ""),
            where=f"{nic.where}.network" if nic.network is not None else nic.where,
            remedy=f"write {meant}" if meant else "describe it: [networks.NAME] with bridge = …",
            known=known or "none",
        )
    )
    return None


def _unknown_storage(name: str, where: str, storages: dict[str, Table], found: Found) -> None:
    meant = nearest(name, storages)
    found.append(
        kinds.UNKNOWN_STORAGE(
            f"there is no storage {quoted(name)}" + (f"; did you mean {meant}?" if meant else ""),
            where=where,
            remedy=f"write {meant}" if meant else "describe it: [storage.NAME]",
            known=", ".join(storages) or "none",
        )
    )


def _disk(disk: GuestDisk, storages: dict[str, Table], found: Found) -> None:
    if disk.storage is not None and disk.storage not in storages:
        _unknown_storage(disk.storage, f"{disk.where}.storage", storages, found)
        return
    name = storage_of(disk, storages)
    tops = {each: top for each, storage in storages.items() if (top := root(storage))}
    if name is not None and (name not in tops or inside(disk.path, tops[name])):
        own = disk.storage is None and name in tops and storages[name]["type"] == "local"
        others = [each for each, top in tops.items() if own and top == tops[name]]
        if len(others) > 1:
            found.append(
                kinds.DISK_OUTSIDE(
                    f"{disk.path} may lie on each of {', '.join(others)}",
                    where=disk.where,
                    remedy=f'name the one that is meant: storage = "{others[0]}"',
                )
            )
        return
    spelled = by_group(disk.path, storages)
    if spelled is not None:
        message = f"{disk.path} is device mapper's name of a volume that the spec knows by its group"
        found.append(kinds.DISK_OUTSIDE(message, where=disk.where, remedy=f"write {spelled}"))
        return
    if not disk.writable:
        message = f"the medium {disk.path} lies on no storage, so other nodes need not have it"
    elif name is not None:
        message = f"{disk.path} does not lie in {name}, which is {tops[name]}"
    else:
        message = f"{disk.path} lies on none of the storages"
    found.append(
        kinds.DISK_OUTSIDE(
            message,
            where=disk.where,
            remedy="move the image there, or name the storage it lies on",
            storages=", ".join(f"{each} {top}" for each, top in tops.items()) or "none",
        )
    )


def _machine(guest: Guest, vm: Table, found: Found) -> None:
    machine = vm["machine"] or DEFAULT_MACHINE
    if not machine.startswith("pc-q35"):
        return
    found.extend(
        kinds.HARDWARE(
            f"the machine {machine} has no IDE controller",
            where=f"{disk.where}.bus",
            remedy='use bus = "sata", or machine = "pc-i440fx-7.2"',
        )
        for disk in guest.disks
        if disk.bus == "ide"
    )


def _policy(guest: Guest, vm: Table, draft: dict[str, dict[str, Table]], found: Found) -> None:
    migration, where = vm["migration"] or {}, f"{vm['where']}.migration"
    if not migration.get("post_copy"):
        return
    writable = [disk for disk in guest.disks if disk.writable]
    bare = [disk.path for disk in writable if not _locked(disk, draft["storage"])]
    leased = draft["libvirt"]["handover"] == "running" and all(  # type: ignore[comparison-overlap]  # no tables
        STACKS[draft["storage"][name]["type"]].leases
        for disk in writable
        if (name := storage_of(disk, draft["storage"])) in draft["storage"]
    )
    if not writable or (bare and not leased):
        found.append(
            kinds.POST_COPY(
                f"{bare[0] if bare else guest.name} has no lock that would hold on every node",
                where=f"{where}.post_copy",
                remedy="use auto_converge = true instead, put the disks into files on GFS2, OCFS2 or NFS, or give "
                'them leases: [libvirt] lock_driver = "lockd", handover = "running"',
            )
        )
    if migration.get("parallel"):
        message = "post_copy and parallel exclude each other"
        found.append(kinds.POLICY(message, where=f"{where}.parallel", remedy="take one of them out"))


def _locked(disk: GuestDisk, storages: dict[str, Table]) -> bool:
    """Whether QEMU's image lock on a disk holds for all nodes; of one on no storage that is said elsewhere."""
    name = storage_of(disk, storages)
    return name not in storages or STACKS[storages[name]["type"]].image_lock


def _placement(vm: Table, nodes: dict[str, Table], found: Found) -> None:
    placement = vm["placement"]
    if placement is None:
        return
    where = f"{vm['where']}.placement"
    preferred = (placement["prefer"] or {}).get("rest", {})
    avoided = placement["avoid"] or ()
    found.extend(unknown_node(n, join(f"{where}.prefer", n), nodes) for n in preferred if n not in nodes)
    found.extend(unknown_node(n, f"{where}.avoid", nodes) for n in avoided if n not in nodes)
    both = [name for name in preferred if name in avoided]
    if both:
        message = f"{', '.join(both)} is both preferred and avoided"
        found.append(kinds.PLACEMENT(message, where=where, remedy="remove it from one of the two"))
    if nodes and set(nodes) <= set(avoided):
        message = "the VM avoids every node"
        found.append(kinds.PLACEMENT(message, where=f"{where}.avoid", remedy="leave it at least one node, better two"))


def _unique(guests: Iterable[Guest], storages: dict[str, Table], found: Found) -> None:
    uuids: dict[str, str] = {}
    macs: dict[str, str] = {}
    paths: dict[str, str] = {}
    folded: dict[str, str] = {}
    for guest in guests:
        spelling = folded.setdefault(guest.name.casefold(), guest.name)
        if spelling != guest.name:
            message = f"the VMs {spelling} and {guest.name} differ in upper and lower case only"
            found.append(kinds.NAME_TWICE(message, where=guest.where, remedy="give one of them another name"))
        if guest.uuid:
            remedy = f'give {guest.name} its own: uuid = "{suggested_uuid(guest)}"'
            found.extend(_claim(kinds.UUID_TWICE, uuids, guest.uuid, f"{guest.where}.uuid", remedy))
        for i, nic in enumerate(guest.nics):
            if nic.mac:
                remedy = f'give the card its own: mac = "{_suggested_mac(guest, i)}"'
                found.extend(_claim(kinds.MAC_TWICE, macs, nic.mac, nic.where, remedy))
        for disk in guest.disks:
            if disk.writable:
                remedy = "give each VM an image of its own (`qemu-img convert` copies one)"
                here = disk.path
                if (name := storage_of(disk, storages)) in storages and storages[name]["type"] == "local":
                    here = f"{disk.path} on {storages[name]['node']}"
                found.extend(_claim(kinds.DISK_TWICE, paths, here, disk.where, remedy))


def _claim(kind: Kind, owners: dict[str, str], key: str, where: str, remedy: str) -> list[Problem]:
    first = owners.setdefault(key, where)
    return [] if first == where else [kind(f"{key} is already used at {first}", where=where, remedy=remedy)]


def suggested_uuid(guest: Guest) -> str:
    """A uuid that is the same whenever it is suggested for this VM, in the form of a random one (RFC 9562)."""
    digits = hashlib.sha256(f"uuid of {guest.name} at {guest.where}".encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"


def _suggested_mac(guest: Guest, index: int) -> str:
    digits = hashlib.sha256(f"card {index} of {guest.name}".encode()).hexdigest()
    return f"52:54:00:{digits[:2]}:{digits[2:4]}:{digits[4:6]}"

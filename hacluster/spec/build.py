"""From the tables as read and checked to the model. Nothing is found wrong here: that has happened before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from hacluster import model
from hacluster.spec import check_fencing, check_libvirt, check_nodes, check_placement, check_storage, domain, domainfile
from hacluster.spec.check_vms import network_of, storage_of
from hacluster.spec.guest import Guest
from hacluster.spec.sections import Table


def cluster(draft: dict[str, Any], guests: dict[str, Guest], base: Path, residue: bytes = b"") -> model.Cluster:
    """The whole model. `base` is the spec's directory, to which its relative paths belong."""
    head = draft["cluster"]
    numbers = check_nodes.ids(draft["nodes"])
    return model.Cluster(
        name=head["name"],
        nodes=tuple(
            model.Node(
                name,
                numbers.get(name, 0),
                n["addresses"],
                n["migration_host"],
                n["ssh_host"],
                n["fencing"],
                check_placement.capacity(n, draft["placement"]),
                n["remote"],
                n["reconnect"],
                n["host_key"],
            )
            for name, n in draft["nodes"].items()
        ),
        fence_devices=tuple(_device(name, d, draft["nodes"], base) for name, d in draft["fence_devices"].items()),
        storages=tuple(_storage(name, s, head, len(numbers)) for name, s in draft["storage"].items()),
        networks=tuple(model.Network(name, n["bridge"], n["interface"]) for name, n in draft["networks"].items()),
        vms=tuple(_vm(guests[name], v, draft) for name, v in draft["vms"].items()),
        properties=MappingProxyType(dict((head["properties"] or {}).get("rest", {}))),
        stickiness=head["stickiness"],
        lock_manager=head["lock_manager"],
        lock_driver=_lock_driver(draft["libvirt"], draft["storage"]),
        migration_transport=head["migration_transport"],
        qdevice=head["qdevice"],
        fencing_proof=head["fencing_proof"],
        fencing_proof_age=head["fencing_proof_age"],
        strategy=cast(Any, check_placement.strategy(draft)),
        migration_limit=draft["placement"]["migration_limit"],
        affinities=check_placement.affinities(draft),
        anti_affinities=check_placement.anti_affinities(draft),
        start_orders=tuple(
            model.StartOrder(
                name,
                tuple(check_placement.members(step, draft) for step in order["steps"]),
                order["kind"] == "mandatory",
                order["delay"],
            )
            for name, order in draft["start_order"].items()
        ),
        residue=residue,
        wait_for_all=head["wait_for_all"],
    )


def storages_of(guest: Guest, vm: Table, draft: dict[str, Any]) -> tuple[str, ...]:
    """All storages that a VM stands on, sorted: those of its disks, those it names, and the one with its leases."""
    storages: dict[str, Table] = draft["storage"]
    disks = {name for disk in guest.disks if (name := storage_of(disk, storages)) is not None}
    leases = check_libvirt.storage(draft["libvirt"], storages)
    return tuple(sorted(disks | set(vm["storage"] or ()) | ({leases} if leases is not None else set())))


def _lock_driver(libvirt: Table, storages: dict[str, Table]) -> model.LockDriver:
    leases = check_libvirt.storage(libvirt, storages)
    if leases is None:
        return model.LockDriver()
    return model.LockDriver(
        libvirt["lock_driver"],
        libvirt["lockspace_dir"],
        storages[leases]["mount"],
        libvirt["handover"],
        libvirt["watchdog"],
    )


def _device(name: str, device: Table, nodes: dict[str, Table], base: Path) -> model.FenceDevice:
    secrets = {}
    for key, value in device["rest"].items():
        match = check_fencing.REFERENCE.fullmatch(value) if check_fencing.is_secret(key) else None
        if match is not None:
            argument = str(base / match[2]) if match[1] == "file" else match[2]
            secrets[key] = model.SecretRef(cast(Any, match[1]), argument)
    return model.FenceDevice(
        name=name,
        agent=device["agent"].removeprefix("stonith:"),
        targets=check_fencing.targets(name, device, nodes),
        parameters=MappingProxyType({k: v for k, v in device["rest"].items() if k not in secrets}),
        secrets=MappingProxyType(secrets),
        delay=device["delay"],
        delay_max=device["delay_max"],
        ports=MappingProxyType(dict((device["ports"] or {}).get("rest", {}))),
    )


def _storage(name: str, storage: Table, head: Table, members: int) -> model.Storage:
    kind, group = storage["type"], storage.get("volume_group")
    if kind == "block":
        return model.Block(name, storage["directory"])
    if kind == "directory":
        return model.Directory(name, storage["source"], storage["mount"], storage["options"])
    if kind == "local":
        return model.Local(name, storage["node"], storage["directory"])
    if kind == "shared-lvm":
        return model.SharedLvm(name, storage["volume_group"], storage["volume_manager"])
    if kind == "ceph-rbd":
        mapped = storage["access"] == "mapped"
        return model.CephRbd(name, storage["pool"], mapped, storage["monitors"], storage["user"], storage["secret"])
    if kind == "nfs":
        outside = storage["mounted"] == "outside"
        return model.Nfs(
            name,
            storage["server"],
            storage["export"],
            storage["mount"],
            storage["version"],
            outside,
            storage["options"],
        )
    if kind == "ocfs2":
        return model.Ocfs2(
            name=name,
            mount=storage["mount"],
            device=storage["device"],
            volume_group=group,
            logical_volume=storage["logical_volume"],
            volume_manager=storage["volume_manager"],
            o2cb=storage["o2cb"],
            options=storage["options"],
        )
    return model.Gfs2(
        name=name,
        device=storage["device"],
        volume_group=storage["volume_group"],
        logical_volume=storage["logical_volume"],
        mount=storage["mount"],
        lock_table=check_storage.lock_table(head, name, storage),
        volume_manager=storage["volume_manager"],
        journals=storage["journals"] or members,
        journal_size=storage["journal_size"],
        options=storage["options"],
        size=storage["size"],
    )


def _vm(guest: Guest, vm: Table, draft: dict[str, Any]) -> model.Vm:
    storages: dict[str, Table] = draft["storage"]
    disks = []
    for disk in guest.disks:
        name = cast(str, storage_of(disk, storages))
        device = check_storage.device(storages[name], disk.path)
        if disk.writable:
            disks.append(model.Disk(disk.path, cast(Any, disk.format), name, cast(Any, disk.bus), cast(Any, device)))
    networks = [cast(str, network_of(nic, draft["networks"], [])) for nic in guest.nics]
    if guest.domain is None:
        bridges = tuple(draft["networks"][name]["bridge"] for name in networks)
        backings = tuple(_backing(disk, storages[disk.storage]) for disk in disks)
        xml = domain.build(guest, vm, backings, bridges)
    else:
        xml = domainfile.canonical(guest)
    placement, migration = vm["placement"] or {}, vm["migration"] or {}
    return model.Vm(
        name=guest.name,
        uuid=cast(str, guest.uuid),
        domain_xml=xml,
        memory=cast(int, guest.memory),
        vcpus=cast(int, guest.vcpus),
        disks=tuple(disks),
        nics=tuple(model.Nic(n, cast(str, c.mac), c.model) for n, c in zip(networks, guest.nics, strict=True)),
        storages=storages_of(guest, vm, draft),
        placement=model.Placement(
            MappingProxyType(dict((placement.get("prefer") or {}).get("rest", {}))), tuple(placement.get("avoid") or ())
        ),
        priority=vm["priority"],
        stop_budget=vm["stop_budget"],
        migration=_migration(migration),
        agent=vm["agent"],
    )


def _backing(disk: model.Disk, storage: Table) -> domain.Backing:
    if disk.device != "network":
        return domain.Backing(disk.device)
    return domain.Backing(disk.device, storage["monitors"], storage["user"], storage["secret"])


def _migration(given: Mapping[str, Any]) -> model.Migration:
    keys = ("mode", "auto_converge", "bandwidth", "downtime", "timeout", "post_copy", "parallel")
    return model.Migration(**{key: given[key] for key in keys if key in given})

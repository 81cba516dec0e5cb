"""Rules of VMs: two with one identity, and what cannot be moved live. Pure; by the domain XML, where it is known."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator

from hacluster.lint import storage
from hacluster.lint.facts import Resource
from hacluster.lint.subject import Subject
from hacluster.lint.words import alike, listed, verb
from hacluster.problems import Kind, Problem, kind

ONE_CONFIG = kind(
    "HA850",
    "Two VMs with one configuration file",
    "Both resources start the same domain: it runs on two nodes, and each stop of the one kills the other.",
)
ONE_UUID = kind(
    "HA851",
    "Two VMs with one UUID",
    "libvirt knows a domain by its UUID: the second start on a node fails or meets the other VM, and a lock or proof "
    "that goes by UUID takes the two for one.",
)
ONE_DISK = kind(
    "HA852",
    "Two VMs with one disk",
    "Two guests that write to one disk destroy the file system on it.",
    acceptable=True,
)
ONE_MAC = kind(
    "HA853",
    "Two VMs with one MAC address",
    "Switches and neighbours send the one's packets to the other, now to this one and now to that one.",
    acceptable=True,
)
HOST_DEVICE = kind(
    "HA854",
    "A VM that is to move live has a part of its host",
    "QEMU cannot take a host's device along. Pacemaker tries all the same at every drain, and fails.",
    acceptable=True,
)
HOST_CPU = kind(
    "HA855",
    "A VM that is to move live has its host's own CPU",
    "host-passthrough shows the guest the CPU of the host it started on. On another model, stepping or microcode the "
    "migration is refused, or the guest goes on with features that are gone.",
    severity="warning",
)
BOUND_CPU = kind(
    "HA849",
    "A VM that is to move live has a CPU that cannot be migrated",
    "An invariant time stamp counter (invtsc) or migratable='off' binds the guest to its host: QEMU refuses to "
    "migrate.",
    acceptable=True,
)
LOCAL_DISK = kind(
    "HA856",
    "A VM that is to move live has a disk that one node alone can use",
    "Its file system is mounted on one node at a time, or lies in memory. A live migration needs the disk on both "
    "nodes at once, so each attempt fails, or is a cold restart.",
    acceptable=True,
)
SHAREABLE = kind(
    "HA857",
    "A disk whose image lock is switched off",
    "<shareable/> tells QEMU not to lock the image: a second QEMU opens it, and both write.",
    acceptable=True,
)

_ON_ONE_NODE = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs")


def twins(subject: Subject) -> Iterator[Problem]:
    """What only one VM may have."""
    vms, domains = subject.facts.vms, subject.domains
    known = [vm for vm in vms if vm.id in domains]
    uuids = [(vm, vm.parameters.get("uuid", "").lower() or domains[vm.id].uuid) for vm in known]
    uuids += [(vm, vm.parameters["uuid"].lower()) for vm in vms if vm.id not in domains and vm.parameters.get("uuid")]
    configs = [(vm, posixpath.normpath(vm.parameters["config"])) for vm in vms if vm.parameters.get("config")]
    yield from _same(ONE_CONFIG, "the configuration", configs)
    # Of two VMs with one configuration all else is one by its nature.
    shared = {vm.id for _, group in alike(configs, lambda pair: pair[1]) if len(group) > 1 for vm, _ in group}
    own = [vm for vm in known if vm.id not in shared]
    yield from _same(ONE_UUID, "the UUID", [pair for pair in uuids if pair[0].id not in shared])
    disks = [(vm, disk.path) for vm in own for disk in domains[vm.id].disks if disk.path and not disk.shareable]
    yield from _same(ONE_DISK, "the disk", disks)
    yield from _same(ONE_MAC, "the MAC address", [(vm, mac) for vm in own for mac in domains[vm.id].macs if mac])


def _same(found: Kind, what: str, pairs: Iterable[tuple[Resource, str]]) -> Iterator[Problem]:
    for value, group in alike(pairs, lambda pair: pair[1]):
        names = list(dict.fromkeys(vm.id for vm, _ in group))
        if value and len(names) > 1:
            yield found(
                f"{listed(names)} have {what} {value}",
                where=names[0],
                remedy=f"give each its own; until then: pcs resource disable {names[1]}",
            )


def bound(subject: Subject) -> Iterator[Problem]:
    """VMs that Pacemaker may migrate, and that cannot be."""
    moving = [vm for vm in subject.facts.vms if vm.moves_live and vm.id in subject.domains]
    forbid = "pcs resource meta {} allow-migrate=false"
    for vm in moving:
        domain = subject.domains[vm.id]
        if domain.held:
            yield HOST_DEVICE(
                f"{vm.id} has {listed(domain.held)}", where=vm.id, remedy=forbid.format(vm.id) + ", or take it out"
            )
        if not domain.migratable:
            yield BOUND_CPU(
                f"{vm.id} has a CPU that QEMU does not migrate",
                where=vm.id,
                remedy=f"take invtsc or migratable='off' out of its <cpu>, or: {forbid.format(vm.id)}",
            )
        local = [disk.path for disk in domain.disks if disk.path and _on_one_node(disk.path, subject)]
        if local:
            yield LOCAL_DISK(
                f"{listed(local)} of {vm.id} {verb(local, 'is', 'are')} there on one node at a time",
                where=vm.id,
                remedy=forbid.format(vm.id) + ", or put the disk on storage that all nodes have",
            )
    hosts = [vm.id for vm in moving if subject.domains[vm.id].cpu_mode == "host-passthrough"]
    if hosts:
        yield HOST_CPU(
            f"{listed(hosts)} {verb(hosts, 'has', 'have')} host-passthrough",
            where=hosts[0],
            remedy="name a CPU model that every host has: virsh hypervisor-cpu-baseline",
        )


def _on_one_node(path: str, subject: Subject) -> bool:
    """Whether a file system that Pacemaker mounts holds the path, and it is one that only one node can mount."""
    held = subject.holders(path)
    return bool(held) and all(storage.file_system(each) in _ON_ONE_NODE for each in held)


def shareable(subject: Subject) -> Iterator[Problem]:
    """Writable disks without QEMU's lock."""
    for vm in subject.facts.vms:
        domain = subject.domains.get(vm.id)
        paths = [] if domain is None else [disk.path or disk.kind for disk in domain.disks if disk.shareable]
        if paths:
            yield SHAREABLE(
                f"{listed(paths)} of {vm.id} {verb(paths, 'is', 'are')} <shareable/>",
                where=vm.id,
                remedy=f"virsh edit {vm.id}: take <shareable/> out, unless the guests have a cluster file system on it",
            )


RULES: tuple[Callable[[Subject], Iterator[Problem]], ...] = (twins, bound, shareable)

"""Rules of storage: does a VM wait for what its disks lie on, and does that stand on the lock manager? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hacluster.lint import storage
from hacluster.lint.facts import Resource
from hacluster.lint.subject import Subject
from hacluster.lint.words import alike, listed, verb
from hacluster.problems import Problem, kind

NOT_ORDERED = kind(
    "HA840",
    "A VM does not wait for the storage that its disks lie on",
    "At boot and after a failure both start at once: the VM finds no disk, fails, and may be banned from the node. At "
    "a shutdown the storage goes first and hangs, because the VM still uses it, and the node is fenced.",
    acceptable=True,
)
NOT_COLOCATED = kind(
    "HA841",
    "A VM may run where its storage does not",
    "Pacemaker may choose a node on which the storage has failed or is disabled, and the VM cannot start there.",
    severity="warning",
)
NO_LOCK_MANAGER = kind(
    "HA848",
    "Cluster storage does not wait for the lock manager",
    "GFS2, OCFS2, lvmlockd and shared volume groups work through the DLM. Without an order after it they fail at boot; "
    "without a colocation they are tried on nodes where it does not run.",
    acceptable=True,
)
LOCKS_OFF = kind(
    "HA827",
    "A file system is mounted with its locks switched off",
    "localflocks, nolock and NFS before version 4 leave QEMU's lock on a disk image on one node: a second QEMU "
    "elsewhere opens the same image and destroys it.",
    acceptable=True,
)
TWO_PRIMARIES = kind(
    "HA819",
    "A replicated disk may be writable on two nodes",
    "Dual-primary DRBD is meant for the moment of a live migration, or for a cluster file system. Left on, it lets two "
    "nodes write, and a broken replication link makes two different disks of one.",
    severity="warning",
)

_OFF = re.compile(
    r"(^|,)(localflocks|nolock|local_lock=(flock|posix|all)|(nfs)?vers=[23](\.\d+)?|localalloc=none)(,|$)"
)


def vms(subject: Subject) -> Iterator[Problem]:
    """Each VM against the storage that its paths lie on."""
    relations = subject.relations
    unordered: list[tuple[Resource, Resource]] = []
    apart: list[tuple[Resource, Resource]] = []
    for vm in subject.facts.vms:
        held = subject.standing[vm.id]
        if not held:
            continue
        before = relations.before(vm.id)
        # Of two resources that hold one path (a failover pair, each on its own nodes) one is enough.
        if not any(each.id in before for each in held):
            unordered.append((held[0], vm))
        if not any(relations.together(vm.id, each.id) for each in held):
            apart.append((held[0], vm))
    for top, pairs in alike(unordered, lambda pair: pair[0].top):
        names = [vm.id for _, vm in pairs]
        weak = _weak(subject, pairs[0][0], pairs[0][1])
        yield NOT_ORDERED(
            f"{listed(names)} {verb(names, 'does', 'do')} not wait for {top}, on which {verb(names, 'it', 'they')} "
            f"{verb(names, 'lies', 'lie')}" + (f": {weak}" if weak else ""),
            where=names[0],
            remedy=f"pcs constraint order start {top} then start {names[0]}",
            path=subject.paths(pairs[0][1])[0],
        )
    for top, pairs in alike(apart, lambda pair: pair[0].top):
        names = [vm.id for _, vm in pairs]
        yield NOT_COLOCATED(
            f"{listed(names)} may run where {top}, on which {verb(names, 'it', 'they')} {verb(names, 'lies', 'lie')}, "
            "does not",
            where=names[0],
            remedy=f"pcs constraint colocation add {names[0]} with {top}",
            path=subject.paths(pairs[0][1])[0],
        )


def _weak(subject: Subject, held: Resource, vm: Resource) -> str:
    """Why an order between the two that exists does not count, in words."""
    members = subject.relations.primitives
    for order in subject.relations.orders:
        joins = any(held.id in members(n) for n in order.first) and any(vm.id in members(n) for n in order.then)
        if joins and not order.mandatory:
            reason = "not symmetrical" if not order.symmetrical else f"only {order.kind}"
            return f"{order.id} is {reason if order.starts else 'about another action than start'}"
    return ""


def lock_manager(subject: Subject) -> Iterator[Problem]:
    """What works through the DLM, against the DLM's own resource. A DLM that systemd runs is outside Pacemaker."""
    facts, relations = subject.facts, subject.relations
    managers = {resource.id for resource in facts.resources if resource.agent == storage.DLM}
    if not managers:
        return
    lacking: dict[str, list[str]] = {}
    for resource in facts.resources:
        if storage.on_dlm(resource):
            found = {"order": relations.before(resource.id), "colocation": relations.beside(resource.id)}
            lacking[resource.id] = [what for what, names in found.items() if not managers & names]
    manager = facts.resource[min(managers)].top
    for name, what in lacking.items():
        # What stands on another that lacks it is mended with that one.
        below = relations.before(name) | relations.beside(name)
        if what and not any(lacking.get(other) for other in below):
            top = facts.resource[name].top
            yield NO_LOCK_MANAGER(
                f"{name} has no {listed(what)} with {manager}",
                where=name,
                remedy=f"pcs constraint order start {manager} then start {top}; "
                f"pcs constraint colocation add {top} with {manager}",
            )


def locks_off(subject: Subject) -> Iterator[Problem]:
    """Mount options that keep locks on one node."""
    carrying = {held.id for group in subject.standing.values() for held in group}
    for resource in subject.facts.resources:
        options = resource.parameters.get("options", "") if storage.mount(resource) else ""
        found = _OFF.search(options)
        if found is not None and (
            storage.file_system(resource) in storage.CLUSTER_FILE_SYSTEMS or resource.id in carrying
        ):
            yield LOCKS_OFF(
                f"{resource.id} is mounted with {found[2]}",
                where=resource.id,
                remedy=f"pcs resource update {resource.id} options=…, without {found[2]}",
            )


def two_primaries(subject: Subject) -> Iterator[Problem]:
    """DRBD that may be promoted twice, without a cluster file system to use it."""
    facts = subject.facts
    if any(storage.file_system(resource) in storage.CLUSTER_FILE_SYSTEMS for resource in facts.resources):
        return
    for resource in facts.resources:
        if resource.agent == "ocf:linbit:drbd" and resource.clone is not None:
            meta = facts.clones.get(resource.clone, {})
            many = meta.get("promoted-max") or meta.get("master-max") or "1"
            if many.isdecimal() and int(many) > 1:
                yield TWO_PRIMARIES(
                    f"{resource.clone} may be promoted on {many} nodes at once",
                    where=resource.clone,
                    remedy=f"pcs resource meta {resource.clone} promoted-max=1",
                )


RULES = (vms, lock_manager, locks_off, two_primaries)

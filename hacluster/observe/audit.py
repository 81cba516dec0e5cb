"""What an audit finds beyond `findings`: states that hurt nobody yet, and would at the next fault. Pure.

`hactl verify` shows both. Nothing is said twice: what `findings` says of a cluster is not repeated here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from hacluster.cib.managed import ManagedVm
from hacluster.observe import audit_vms as vms
from hacluster.observe.barriers import Audits, Barriers, manager
from hacluster.observe.draining import DRAIN, complaint
from hacluster.observe.findings import DEFINED_TWICE, NO_LOCK, SECOND_COPY
from hacluster.observe.views import NodeView, Observation
from hacluster.ports import HostAudit, HostFacts, Unknown
from hacluster.problems import Problem, kind

AUTOSTART = kind(
    "HA501",
    "libvirt starts a managed VM by itself",
    "Its autostart flag is set: when libvirt starts on that node, after a power cut for instance, it tries to start "
    "the VM, wherever Pacemaker runs it. The hook refuses that; without the hook the VM would run twice.",
)
GUESTS_SERVICE = kind(
    "HA502",
    "libvirt-guests acts on guests beside Pacemaker",
    "At a host's shutdown it stops or suspends all guests, also managed ones, at its boot it starts them again. Do not "
    "stop the service while guests run: that is how it is told to stop them.",
    severity="warning",
)
XML_DIFFERS = kind(
    "HA503",
    "A node's domain XML is not the one that the CIB names",
    "The agent refuses to start the VM there, because it would be another machine than the one that was planned.",
)
VERSIONS_DIFFER = kind(
    "HA504",
    "The nodes have different versions of the guard or its agents",
    "A move between two formats of the guard is refused, and nodes with different code behave differently in a fault.",
)
WITHDRAWN = kind(
    "HA505",
    "A node's guard is withdrawn",
    "The node is online and does not say that its guard stands, so no guarded VM can run there.",
    severity="warning",
)
OLD_PACEMAKER = kind(
    "HA506",
    "A node's Pacemaker is too old",
    "Before 2.1.5 an interrupted migration whose target changed could leave two active copies.",
)
NOT_FENCEABLE = kind(
    "HA507",
    "A node has no fence device",
    "When it is lost, its VMs stay lost with it: nothing can prove that they have ended there.",
)
STRANGER = kind(
    "HA508",
    "Something else than a VM's own QEMU has its disk open",
    "A clone with another UUID, qemu-nbd, guestfish: the run-lock is named after the VM and does not see them. If it "
    "writes, the disk is being destroyed.",
)
FOREIGN_LOCK = kind(
    "HA511",
    "There is a run-lock of a VM that the cluster does not manage",
    "The VM was taken out of the cluster while a node held its lock. It hinders nobody until the VM comes back.",
    severity="warning",
)
NOT_AUDITED = kind(
    "HA515",
    "A node could not be audited",
    "It says what it runs, but not all of what an audit asks: that part of it is unknown, not all right.",
    severity="warning",
)
DRIVERS_DIFFER = kind(
    "HA517",
    "libvirt's lock driver differs between nodes",
    "A lease that one node does not ask for protects nothing.",
    severity="warning",
)

TRANSIENT = frozenset(each.code for each in (vms.LOCK_LEFT, vms.STUCK, vms.HALF_MOVED, WITHDRAWN, NO_LOCK, SECOND_COPY))
"""Findings that are also a moment of any start, stop or move: one look is not enough to say them."""
OLDEST = (2, 1, 5)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged. `configured` and `barriers` are by VM name; `audits` are each node's answers."""

    seen: Observation
    configured: Mapping[str, ManagedVm]
    audits: Audits
    barriers: Mapping[str, Barriers]
    unfenceable: tuple[str, ...]


def judge(subject: Subject) -> tuple[Problem, ...]:
    """All findings: the nodes' first, then the VMs'."""
    found = [*_fencing(subject), *_versions(subject), *_drivers(subject)]
    for node in subject.seen.nodes:
        found += _node(node, subject)
    for vm in subject.seen.vms:
        found += vms.judge(vm, subject.barriers[vm.name], subject.seen)
    return tuple(found)


def _fencing(subject: Subject) -> Iterator[Problem]:
    for node in subject.unfenceable:
        yield NOT_FENCEABLE(
            f"no fence device targets {node}", where=f"node {node}", remedy="add it to the spec, then: hactl apply"
        )


def _versions(subject: Subject) -> Iterator[Problem]:
    told = {node.name: node.facts for node in subject.seen.nodes if isinstance(node.facts, HostFacts)}
    codes = {name: told.code for name, told in subject.audits.items() if isinstance(told, HostAudit) and told.code}
    if len({facts.guard_version for facts in told.values()}) > 1 or len(set(codes.values())) > 1:
        yield VERSIONS_DIFFER(
            "the nodes do not have the same guard",
            where="guard",
            remedy=f"hactl node bootstrap {' '.join(sorted(told))}",
            **{name: f"{facts.guard_version} ({codes.get(name, '?')[:8]})" for name, facts in sorted(told.items())},
        )


def _drivers(subject: Subject) -> Iterator[Problem]:
    """Where the CIB asks for a driver, `leases` has compared each node with it."""
    known = {
        node.name: node.facts.leases
        for node in subject.seen.nodes
        if isinstance(node.facts, HostFacts) and node.facts.leases is not None
    }
    if subject.seen.lock_driver.name == "none" and len({manager(leases) for leases in known.values()}) > 1:
        yield DRIVERS_DIFFER(
            "the nodes' lock_manager settings differ, and the spec asks for none",
            where="libvirt",
            remedy="name one in the spec, as docs/lock-driver.md says, or take the setting out of qemu.conf",
            **{name: manager(leases) or "none" for name, leases in sorted(known.items())},
        )


def _node(node: NodeView, subject: Subject) -> Iterator[Problem]:
    if not isinstance(node.facts, HostFacts):
        return
    where = f"node {node.name}"
    managed = {vm.uuid: vm.name for vm in subject.seen.vms if vm.uuid}
    guarded = any(clone.agent == "ocf:hacluster:lockspace" for clone in subject.seen.clones)
    if guarded and node.state == "online" and node.guard is None:
        yield WITHDRAWN(
            f"{node.name} does not announce its guard",
            where=where,
            remedy=f"hactl node bootstrap {node.name}; pcs resource cleanup hacluster-lockspace-clone",
        )
    for held in node.facts.locks or ():
        if held.uuid not in managed:
            yield FOREIGN_LOCK(
                f"{node.name} holds the run-lock of {held.uuid}, which the cluster does not manage",
                where=where,
                remedy=f"hactl lock clear {held.uuid} --node {node.name}",
                mode=held.mode,
            )
    told = subject.audits.get(node.name, Unknown("it was not asked"))
    if isinstance(told, Unknown):
        yield NOT_AUDITED(f"{node.name}: {told.reason}", where=where, remedy=f"hactl node bootstrap {node.name}")
        return
    yield from _audited(told, node.facts, managed)
    yield from _files(told, node, subject)
    yield from _disks(told, managed)


def _audited(told: HostAudit, facts: HostFacts, managed: Mapping[str, str]) -> Iterator[Problem]:
    name, where = told.node, f"node {told.node}"
    blind = [
        what
        for what, part in {
            "its Pacemaker's version": told.pacemaker,
            "whether libvirt-guests is enabled": told.guests_service,
            "whether a shutdown drains it": told.drain,
            "its storage, which did not answer in time": told.disks,
        }.items()
        if part is None
    ]
    if blind:
        yield NOT_AUDITED(f"{name} does not tell {', nor '.join(blind)}", where=where, remedy=f"ssh root@{name}")
    version = _version(told.pacemaker or "")
    if version and version < OLDEST:
        yield OLD_PACEMAKER(
            f"{name} has Pacemaker {told.pacemaker}", where=where, remedy="install Pacemaker 2.1.5 or newer"
        )
    if told.guests_service:
        yield GUESTS_SERVICE(
            f"libvirt-guests is enabled on {name}",
            where=where,
            remedy=f"ssh root@{name} systemctl disable libvirt-guests, and stop it once no guest runs there",
        )
    if told.drain is not None and (said := complaint(told.drain)):
        yield DRAIN(f"{name}: {said}", where=where, remedy=f"hactl node bootstrap {name}")
    for defined in told.definitions or ():
        if defined.uuid not in managed:
            continue
        if defined.autostart:
            yield AUTOSTART(
                f"{name} starts {defined.name} when its libvirt starts",
                where=where,
                remedy=f"ssh root@{name} virsh autostart --disable {defined.name}",
            )
        if facts.domains is None:
            yield DEFINED_TWICE(
                f"{defined.name} is defined in libvirt on {name}",
                where=where,
                remedy=f"ssh root@{name} virsh undefine {defined.name}",
            )


def _files(told: HostAudit, node: NodeView, subject: Subject) -> Iterator[Problem]:
    for name, configured in sorted(subject.configured.items()):
        wanted = configured.parameters.get("xml_sha256", "")
        path = PurePosixPath(configured.config)
        there = (told.domain_sums or {}).get(path.name)
        if wanted and there is not None and there != wanted:
            yield XML_DIFFERS(
                f"{node.name}'s domain XML of {name} was changed",
                where=f"vm {name}",
                remedy=f"ssh root@{node.name} rm {path}; hactl apply",
                file=path,
                sha256=there[:16],
                wanted=wanted[:16],
            )


def _disks(told: HostAudit, managed: Mapping[str, str]) -> Iterator[Problem]:
    disks = told.disks or ()
    for path in dict.fromkeys(disk.path for disk in disks if disk.uuid in managed):
        owners = {disk.uuid for disk in disks if disk.path == path}
        users = {user.pid: user for disk in disks if disk.path == path for user in disk.users}
        for user in users.values():
            if user.uuid not in owners:
                names = ", ".join(sorted(managed[uuid] for uuid in owners if uuid in managed))
                yield STRANGER(
                    f"{user.program} (pid {user.pid}) on {told.node} has {names}'s disk {path} open",
                    where=f"node {told.node}",
                    remedy=f"ssh root@{told.node} ps -fp {user.pid}",
                    uuid=user.uuid or "none",
                    managed="yes" if user.uuid in managed else "no",
                )


def _version(text: str) -> tuple[int, ...]:
    """The leading dotted number of a version; () when there is none."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(word) for word in found.group().split(".")) if found else ()

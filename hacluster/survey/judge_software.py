"""What stands against the hosts' software: versions, machine types, CPUs, daemons, and who else starts guests. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lxml import etree

from hacluster import model
from hacluster.observe.audit import AUTOSTART, GUESTS_SERVICE, OLD_PACEMAKER, OLDEST
from hacluster.observe.draining import DRAIN, UNIT, complaint
from hacluster.ports import DrainUnit
from hacluster.problems import Problem, kind
from hacluster.survey.facts import Host, Survey

MISSING = kind(
    "HA646",
    "A host lacks a program that the cluster stands on",
    "Corosync and Pacemaker on members, pcs, libvirt and QEMU on all.",
)
DIFFERENT = kind(
    "HA647",
    "The hosts have different versions of a program",
    "It may well work, as it must during an upgrade: a guest moves to a newer QEMU, and not surely back to an older.",
    severity="warning",
)
NO_MACHINE = kind(
    "HA648",
    "A host's QEMU lacks the machine type of a VM",
    "A VM is moved and started with the machine type it was made with; a host whose QEMU lacks it cannot take it.",
)
NO_KVM = kind(
    "HA649",
    "A VM wants KVM and a host has none",
    "Hardware virtualisation is off in the firmware, or the kvm module is not loaded.",
)
CPUS_DIFFER = kind(
    "HA650",
    "A VM's CPU is not one that every host can give",
    "A guest keeps the CPU it was started with. The common baseline is what libvirt itself names for these hosts "
    "(virsh hypervisor-cpu-baseline).",
)
LIBVIRT_SILENT = kind(
    "HA668", "A host's libvirt does not answer", "No VM can run or be moved there, and nothing of it could be compared."
)
STARTER = kind(
    "HA662",
    "Something outside the cluster starts guests",
    "A cron table, rc.local or a unit of the admin's that starts guests does it at boot, wherever Pacemaker runs them. "
    "With the guard's hook in place a managed VM is refused; others of its kind are the classical second copy.",
)
TWO_DAEMONS = kind(
    "HA663",
    "A host has both kinds of libvirt daemon, or another kind than the rest",
    "libvirtd is the whole in one process, virtqemud a part of the newer set. Both at once do not see each other's "
    "guests; hosts of different kinds work, and are called by different names in every runbook.",
)

_NEEDED = ("corosync", "pacemaker", "pcs", "libvirt")
_MEMBERS_ONLY = ("corosync",)


def judge(cluster: model.Cluster, survey: Survey, baseline: str | None) -> Iterator[Problem]:
    """Every finding about the hosts that answered."""
    hosts = {name: host for name, host in survey.items() if isinstance(host, Host)}
    yield from _versions(cluster, hosts)
    for vm in cluster.vms:
        yield from _vm(vm, hosts, baseline)
    kinds = {name: daemon for name, host in hosts.items() if (daemon := daemon_of(host))}
    for name, host in hosts.items():
        yield from _daemons(name, kinds)
        yield from _others(cluster, host)
        drain = host.unit(UNIT)
        said = drain and complaint(DrainUnit(drain.loaded, drain.enabled, drain.active, drain.after))
        if said:
            yield DRAIN(f"{name}: {said}", where=f"node {name}", remedy=f"hactl node bootstrap {name}")


def daemon_of(host: Host) -> str | None:
    """libvirtd, virtqemud, both or none; None where systemd did not answer."""
    if host.units is None:
        return None
    seen = [
        name
        for name in ("libvirtd", "virtqemud")
        if any((unit := host.unit(f"{name}.{way}")) and (unit.active or unit.enabled) for way in ("service", "socket"))
    ]
    return " and ".join(seen) or "none"


def _versions(cluster: model.Cluster, hosts: Mapping[str, Host]) -> Iterator[Problem]:
    members = {node.name for node in cluster.members}
    for name, host in hosts.items():
        told = host.versions or {}
        lacking = [
            program
            for program in _NEEDED
            if program in told and told[program] is None and (name in members or program not in _MEMBERS_ONLY)
        ]
        if lacking:
            yield MISSING(
                f"{name} has no {', no '.join(lacking)}",
                where=f"node {name}",
                remedy=f"install {' '.join(lacking)} there from its distribution",
            )
        version = told.get("pacemaker")
        if version is not None and tuple(int(n) for n in version.split(".")) < OLDEST:
            yield OLD_PACEMAKER(
                f"{name} has Pacemaker {version}", where=f"node {name}", remedy="install Pacemaker 2.1.5 or newer"
            )
        if host.hypervisor is not None and not host.hypervisor.answers and told.get("libvirt"):
            yield LIBVIRT_SILENT(
                f"{name}'s libvirt does not answer",
                where=f"node {name}",
                remedy=f"ssh root@{name} systemctl start libvirtd (or virtqemud.socket)",
                virsh=host.hypervisor.said,
            )
    for program in ("corosync", "pacemaker", "libvirt", "qemu"):
        there = {name: version for name, host in hosts.items() if (version := _version(host, program))}
        if len(set(there.values())) > 1:
            yield DIFFERENT(
                f"the hosts do not have the same {program}", where=program, remedy="upgrade host by host", **there
            )


def _version(host: Host, program: str) -> str | None:
    if program == "qemu":
        return host.hypervisor.qemu if host.hypervisor else None
    return (host.versions or {}).get(program)


def _vm(vm: model.Vm, hosts: Mapping[str, Host], baseline: str | None) -> Iterator[Problem]:
    domain = etree.fromstring(vm.domain_xml)
    kvm, machine = domain.get("type") == "kvm", domain.find("./os/type")
    wanted = "" if machine is None else machine.get("machine", "")
    for name, host in hosts.items():
        libvirt = host.hypervisor
        if libvirt is None or not libvirt.answers:
            continue
        if kvm and not libvirt.kvm:
            yield NO_KVM(
                f"{vm.name} wants KVM, and {name} has none",
                where=f"node {name}",
                remedy=f"ssh root@{name} modprobe kvm_intel (or kvm_amd), after it is switched on in the firmware",
            )
        if wanted and libvirt.machines and wanted not in libvirt.machines:
            yield NO_MACHINE(
                f"{name} has no machine type {wanted}, which {vm.name} has",
                where=f"node {name}",
                remedy="choose one that all hosts have (vms.NAME.machine), or upgrade QEMU there",
                newest=", ".join(sorted((m for m in libvirt.machines if re.match(r"pc-\w+-\d", m)), key=_age)[-2:]),
            )
    if kvm:
        yield from _cpu(vm, domain, hosts, baseline)


def _age(machine: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", machine.rpartition("-")[2]))


def _cpu(vm: model.Vm, domain: etree._Element, hosts: Mapping[str, Host], baseline: str | None) -> Iterator[Problem]:
    """A CPU that is the host's own is only the same where the hosts are; a named one must be usable on each."""
    cpu = domain.find("./cpu")
    mode = "" if cpu is None else cpu.get("mode", "custom")
    kinds = {name: host.hypervisor.cpu or "?" for name, host in hosts.items() if host.hypervisor}
    remedy = f"vms.{vm.name}.cpu = {baseline!r}" if baseline else "hactl check --hosts, once every host answers"
    if mode in ("host-model", "host-passthrough") and len(set(kinds.values())) > 1:
        yield CPUS_DIFFER(
            f"{vm.name} takes its host's own CPU, and the hosts' differ", where=f"vm {vm.name}", remedy=remedy, **kinds
        )
    model_name = (domain.findtext("./cpu/model") or "").strip()
    lacking = [
        name
        for name, host in hosts.items()
        if host.hypervisor and host.hypervisor.models and model_name and model_name not in host.hypervisor.models
    ]
    if mode == "custom" and lacking:
        yield CPUS_DIFFER(
            f"{', '.join(lacking)} cannot give {vm.name} the CPU {model_name}",
            where=f"vm {vm.name}",
            remedy=remedy,
            **kinds,
        )


def _daemons(name: str, kinds: Mapping[str, str]) -> Iterator[Problem]:
    mine = kinds.get(name)
    if mine == "libvirtd and virtqemud":
        yield TWO_DAEMONS(
            f"{name} runs both libvirtd and virtqemud",
            where=f"node {name}",
            remedy=f"ssh root@{name} systemctl disable --now libvirtd.service libvirtd.socket (or virtqemud's)",
        )
    most = max(kinds.values(), key=list(kinds.values()).count)
    if mine in ("libvirtd", "virtqemud") and most in ("libvirtd", "virtqemud") and mine != most:
        yield TWO_DAEMONS(f"{name} runs {mine}, most others {most}", where=f"node {name}", **kinds)


def _others(cluster: model.Cluster, host: Host) -> Iterator[Problem]:
    where, managed = f"node {host.name}", {vm.name for vm in cluster.vms}
    guests = host.unit("libvirt-guests.service")
    if guests is not None and (guests.enabled or guests.active):
        yield GUESTS_SERVICE(
            f"libvirt-guests is enabled on {host.name}",
            where=where,
            remedy=f"ssh root@{host.name} systemctl disable libvirt-guests, and stop it once no guest runs there",
        )
    for name in host.autostart or ():
        if name in managed:
            yield AUTOSTART(
                f"{host.name} starts {name} when its libvirt starts",
                where=where,
                remedy=f"ssh root@{host.name} virsh autostart --disable {name}",
            )
    for starter in host.starters or ():
        yield STARTER(
            f"{host.name} starts guests from {starter.where}",
            where=where,
            remedy=f"take the line out of {starter.where.rpartition(':')[0]} on {host.name}; Pacemaker starts VMs",
            line=starter.text,
        )

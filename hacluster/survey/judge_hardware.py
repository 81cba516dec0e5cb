"""What stands against the hosts' hardware and networks: shared disks, memory, bridges, MTU, clocks, watchdogs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lxml import etree

from hacluster import model
from hacluster.problems import Problem, kind
from hacluster.survey.ask import shared_devices
from hacluster.survey.facts import Host, Link, Survey

NO_DEVICE = kind(
    "HA651",
    "A host does not see a shared device",
    "What stands on it, a file system or a VM's disk, cannot be there.",
)
OTHER_LUN = kind(
    "HA652",
    "A path leads to different disks on different hosts",
    "The world-wide names differ: a VM that moves would find another disk under the same name. Address shared disks by "
    "/dev/disk/by-id or by multipath's names bound to their WWIDs.",
)
NO_NAME = kind(
    "HA653",
    "It cannot be told whether a shared device is the same disk on every host",
    "It has no world-wide name on some host, so that the paths are all that agree.",
    severity="warning",
)
PATHS = kind(
    "HA654",
    "A shared disk has too few working paths",
    "With one path the next cable takes the storage away, and the node is fenced for it.",
    severity="warning",
)
LUN_MISSING = kind(
    "HA669",
    "Some hosts see a disk that another does not",
    "A LUN that is shown to several hosts and not to all is usually a zone or an initiator that was forgotten.",
    severity="warning",
)
NO_ROOM = kind(
    "HA655",
    "A host has less memory than it is counted on for",
    "The spec's capacity, or the VMs, ask for more than the machine has.",
)
NO_SPARE = kind(
    "HA656",
    "The hosts' memory does not suffice once one of them is gone",
    "All VMs together, what QEMU needs beside them included, against the memory of all hosts but the largest.",
    severity="warning",
)
NO_BRIDGE = kind(
    "HA658",
    "A host lacks a bridge, or it has another MTU or no way out there",
    "A VM that is moved there would have no network, or one that loses large packets.",
)
NO_ADDRESS = kind(
    "HA659", "A host does not have an address that the spec gives it", "Corosync would not find its link there."
)
SKEW = kind(
    "HA660",
    "A host's clock is wrong, or nobody keeps it",
    "Logs of different hosts cannot be compared, certificates fail, and Pacemaker's time rules act at other times.",
    severity="warning",
)
NO_IOMMU = kind("HA661", "A VM has a host device and a host has no IOMMU", "The device cannot be given to a guest.")
NO_WATCHDOG = kind(
    "HA664",
    "A host has no watchdog, and something counts on one",
    "sbd and sanlock prove a node's death by its watchdog. One in software (softdog) hangs with the kernel it guards.",
)
TWINS = kind(
    "HA665",
    "Two hosts are the same machine, or one is a clone of the other",
    "libvirt refuses to migrate to a host with its own uuid, and nodes with one machine id are one node to others.",
)

MOST_SKEW = 1.0
"""Seconds that two hosts' clocks may be apart beyond what the measuring leaves open."""


def judge(cluster: model.Cluster, survey: Survey) -> Iterator[Problem]:
    """Every finding about the hosts that answered."""
    hosts = {name: host for name, host in survey.items() if isinstance(host, Host)}
    yield from _twins(hosts)
    yield from _devices(cluster, hosts)
    yield from _luns(hosts)
    yield from _memory(cluster, hosts)
    yield from _networks(cluster, hosts)
    yield from _clocks(hosts)
    needs = [vm.name for vm in cluster.vms if etree.fromstring(vm.domain_xml).find("./devices/hostdev") is not None]
    for name, host in hosts.items():
        if needs and host.iommu is not None and not host.iommu.groups:
            yield NO_IOMMU(
                f"{name} has no IOMMU, and {', '.join(needs)} has a host device",
                where=f"node {name}",
                remedy="switch it on in the firmware, and intel_iommu=on on the kernel's command line",
            )
        yield from _watchdog(cluster, host)


def _twins(hosts: Mapping[str, Host]) -> Iterator[Problem]:
    for what, told in {
        "machine id": {n: h.system.machine_id for n, h in hosts.items() if h.system},
        "product uuid": {n: h.system.product_uuid for n, h in hosts.items() if h.system},
        "libvirt host uuid": {n: h.hypervisor.uuid for n, h in hosts.items() if h.hypervisor},
    }.items():
        for value in sorted({each for each in told.values() if each}):
            twins = [name for name, each in told.items() if each == value]
            if len(twins) > 1:
                yield TWINS(
                    f"{' and '.join(twins)} have one {what}",
                    where=f"node {twins[1]}",
                    remedy="host_uuid in libvirtd.conf (virtqemud.conf) if the board's is wrong; "
                    "systemd-machine-id-setup after rm /etc/machine-id on a clone",
                    uuid=value,
                )


def _devices(cluster: model.Cluster, hosts: Mapping[str, Host]) -> Iterator[Problem]:
    nameless: dict[str, list[str]] = {}
    for path in shared_devices(cluster):
        seen = {name: host.devices[path] for name, host in hosts.items() if host.devices and path in host.devices}
        for name, device in seen.items():
            if not device.block:
                yield NO_DEVICE(
                    f"{name} has no block device {path}"
                    if not device.exists
                    else f"{path} on {name} is no block device",
                    where=f"node {name}",
                    remedy=f"on {name}: lsblk -o NAME,WWN,SERIAL; multipath -ll; iscsiadm -m session",
                )
        names = {name: device.wwid for name, device in seen.items() if device.block}
        known = {name: wwid for name, wwid in names.items() if wwid}
        if len(set(known.values())) > 1:
            yield OTHER_LUN(
                f"{path} is not the same disk on all hosts", where=path, remedy="ls -l /dev/disk/by-id", **known
            )
        if len(known) < len(names):
            nameless.setdefault(", ".join(name for name in names if name not in known), []).append(path)
    for names_of, paths in nameless.items():
        yield NO_NAME(
            f"{', '.join(paths)} {'has' if len(paths) == 1 else 'have'} no world-wide name on {names_of}",
            where=paths[0],
            remedy="compare them by hand: lsblk -o NAME,SIZE,SERIAL, or their first blocks",
        )


def _luns(hosts: Mapping[str, Host]) -> Iterator[Problem]:
    for lun in sorted({lun for host in hosts.values() for lun in host.luns or ()}):
        asked = [name for name, host in hosts.items() if host.luns is not None]
        seeing = [name for name in asked if lun in (hosts[name].luns or ())]
        if 1 < len(seeing) < len(asked):
            blind = [name for name in asked if name not in seeing]
            yield LUN_MISSING(
                f"{', '.join(blind)} does not see the disk {lun}, which {', '.join(seeing)} see",
                where=f"node {blind[0]}",
                remedy="show it to that host's initiator, then there: rescan-scsi-bus.sh; multipath -ll",
            )
    for name, host in hosts.items():
        for each in host.multipath.maps if host.multipath else ():
            if each.active < 2 or each.active < each.paths:
                yield PATHS(
                    f"{each.active} of {each.paths} paths of {each.name} work on {name}",
                    where=f"node {name}",
                    remedy=f"on {name}: multipath -ll {each.name}",
                    wwid=each.wwid,
                )


def _memory(cluster: model.Cluster, hosts: Mapping[str, Host]) -> Iterator[Problem]:
    has = {name: host.memory.total for name, host in hosts.items() if host.memory}
    for node in cluster.nodes:
        total = has.get(node.name)
        if total is not None and node.capacity is not None and node.capacity.memory > total:
            yield NO_ROOM(
                f"{node.name} has {_mib(total)}, and the spec gives VMs {_mib(node.capacity.memory)} of it",
                where=f"nodes.{node.name}.capacity",
                remedy=f"nodes.{node.name}.capacity in the spec",
            )
    if not has:
        return
    for vm in cluster.vms:
        if vm.host_memory > max(has.values()):
            yield NO_ROOM(f"no host has the {_mib(vm.host_memory)} that {vm.name} takes", where=f"vms.{vm.name}.memory")
    wanted, left = sum(vm.host_memory for vm in cluster.vms), sum(has.values()) - max(has.values())
    if len(has) > 1 and wanted > left:
        yield NO_SPARE(
            f"the VMs take {_mib(wanted)}; without {max(has, key=lambda name: has[name])} the hosts have {_mib(left)}",
            where="memory",
            remedy="more memory, fewer VMs, or priorities that say which stay down",
        )


def _mib(size: int) -> str:
    return f"{size >> 20} MiB"


def _networks(cluster: model.Cluster, hosts: Mapping[str, Host]) -> Iterator[Problem]:
    there = {name: {link.name: link for link in host.links} for name, host in hosts.items() if host.links is not None}
    for network in cluster.networks:
        mtus = {name: links[network.bridge].mtu for name, links in there.items() if network.bridge in links}
        for name, links in there.items():
            bridge = links.get(network.bridge)
            said = _bridge(bridge, links)
            if said:
                yield NO_BRIDGE(
                    f"{name}: {network.bridge} {said}",
                    where=f"node {name}",
                    remedy=f"make it in {name}'s network configuration: ip -d link show {network.bridge}",
                )
        if len(set(mtus.values())) > 1:
            yield NO_BRIDGE(
                f"{network.bridge} has not the same MTU on all hosts",
                where=f"networks.{network.name}",
                remedy="one MTU on all hosts and switches: a guest keeps the one it was started with",
                **mtus,
            )
    for node in cluster.nodes:
        held = {address for link in there.get(node.name, {}).values() for address in link.addresses}
        for address in node.addresses if node.name in there else ():
            if address.replace(".", "").isdecimal() and address not in held:
                yield NO_ADDRESS(
                    f"{node.name} does not have the address {address}",
                    where=f"nodes.{node.name}.addresses",
                    remedy=f"ssh root@{node.name} ip address",
                    has=", ".join(sorted(each for each in held if "." in each)),
                )


def _bridge(bridge: Link | None, links: Mapping[str, Link]) -> str:
    if bridge is None:
        return "is not there"
    if bridge.kind not in ("bridge", "openvswitch"):
        return f"is no bridge but {bridge.kind or 'a plain interface'}"
    # libvirt calls guests' ends vnetN; what is left leads out of the host.
    wired = [link for link in links.values() if link.master == bridge.name and not link.name.startswith("vnet")]
    if not wired:
        return "has no port that leads out of the host"
    small = [link.name for link in wired if link.mtu < bridge.mtu]
    return f"has the MTU {bridge.mtu}, and its port {small[0]} a smaller one" if small else ""


def _clocks(hosts: Mapping[str, Host]) -> Iterator[Problem]:
    told = {name: (host.skew, host.doubt) for name, host in hosts.items() if host.skew is not None}
    middle = sorted(skew for skew, _ in told.values() if skew is not None)[len(told) // 2] if told else 0.0
    for name, (skew, doubt) in told.items():
        if skew is not None and abs(skew - middle) - (doubt or 0.0) > MOST_SKEW:
            yield SKEW(
                f"{name}'s clock is {abs(skew - middle):.1f} s {'ahead of' if skew > middle else 'behind'} the others'",
                where=f"node {name}",
                remedy=f"ssh root@{name} systemctl status chrony; chronyc makestep",
            )
    for name, host in hosts.items():
        if host.synchronized is False:
            yield SKEW(
                f"nobody keeps {name}'s clock",
                where=f"node {name}",
                remedy=f"install chrony on {name} and give it a server that all hosts share",
            )


def _watchdog(cluster: model.Cluster, host: Host) -> Iterator[Problem]:
    sbd = host.unit("sbd.service")
    who = "sbd" if sbd is not None and (sbd.enabled or sbd.active) else None
    who = who or ("sanlock" if cluster.lock_driver.name == "sanlock" else None)
    if who is None or host.watchdogs is None:
        return
    if not host.watchdogs:
        yield NO_WATCHDOG(f"{host.name} has no watchdog, and {who} counts on one", where=f"node {host.name}",
                          remedy="load the board's driver (ipmi_watchdog, iTCO_wdt, i6300esb)")  # fmt: skip
    elif all("oftware" in each.identity for each in host.watchdogs):
        yield NO_WATCHDOG(f"{host.name}'s only watchdog is one in software, and {who} counts on it",
                          where=f"node {host.name}", remedy="load the board's driver instead of softdog")  # fmt: skip

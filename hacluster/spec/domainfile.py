"""Reads a libvirt domain XML file that an admin brings along: what it says, and what keeps it from being moved.

The file is parsed without entities, DTD or network, and in UTF-8 whatever it claims, so that nothing in it can
reach beyond itself or grow. What hactl does not know in it is kept as it stands.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

from lxml import etree

from hacluster import strict_xml
from hacluster.spec import kinds, source
from hacluster.spec.guest import Guest, GuestDisk, GuestNic
from hacluster.spec.names import of_resource
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.values import BRIDGE, DISK_PATH, MAC, UUID
from hacluster.spec.wording import clipped, quoted

LIMIT = 1 << 20  # bytes; libvirt's own documents are a few kilobytes

# libvirt's scaled integers (virScaleInteger): K and KiB are binary, KB is decimal.
_UNITS = {"b": 1, "bytes": 1} | {
    f"{letter}{suffix}": (1000 if suffix == "b" else 1024) ** power
    for power, letter in enumerate("kmgt", 1)
    for suffix in ("", "b", "ib")
}


def read(name: str, vm: Table, base: Path, found: Found) -> Guest | None:
    """The guest that the VM's domain_xml describes, or None when the file says nothing usable."""
    where = f"{vm['where']}.domain_xml"
    noted = len(found)
    content = source.read(base / vm["domain_xml"], found, LIMIT)
    if content is None:
        found[noted:] = [
            kinds.BAD_DOMAIN(p.message, where=where, remedy="correct the path", file=p.where) for p in found[noted:]
        ]
        return None
    return of_content(name, vm, content, found)


def of_content(name: str, vm: Table, content: bytes, found: Found) -> Guest | None:
    """The same from the file's content."""
    where = f"{vm['where']}.domain_xml"
    domain = parse(content, where, found)
    if domain is None:
        return None
    live = (vm["migration"] or {}).get("mode", "live") == "live"
    guest = Guest(
        name=name,
        where=vm["where"],
        uuid=_identity(name, vm, domain, where, found),
        memory=_memory(domain, where, found),
        vcpus=_vcpus(domain, where, found),
        disks=_disks(domain, where, found),
        nics=_nics(domain, where, found),
        domain=domain,
    )
    if live and domain.find("devices/hostdev") is not None:
        found.append(
            kinds.HOST_DEVICE(
                "the VM has a device passed through from its host",
                where=where,
                remedy=f'set {vm["where"]}.migration = {{ mode = "cold" }}, or take the <hostdev> out',
            )
        )
    return guest


def parse(content: bytes, where: str, found: Found) -> etree._Element | None:
    """The <domain> element, comments and ignorable blanks removed, or None after adding why not."""
    try:
        root = strict_xml.parse(content, encoding="utf-8", bare=True)
    except ValueError as error:
        message = clipped(str(error))
        found.append(kinds.BAD_DOMAIN(message, where=where, remedy="write it anew with `virsh dumpxml --inactive`"))
        return None
    if root.tag != "domain":
        message = f"the root element is {quoted(str(root.tag))}, not domain"
        found.append(kinds.BAD_DOMAIN(message, where=where, remedy="write it anew with `virsh dumpxml --inactive`"))
        return None
    return root


def canonical(guest: Guest) -> bytes:
    """The file's domain with the guest's name and uuid, always in the same bytes, one element a line.

    (ocf:heartbeat:VirtualDomain finds the name by a regular expression over lines.)
    """
    root = copy.deepcopy(guest.domain)
    if root is None:
        raise ValueError(f"{guest.name} has no domain XML of its own")
    root.attrib.pop("id", None)  # a running domain's number on one host
    for tag, text in (("uuid", guest.uuid), ("name", guest.name)):
        element = root.find(tag)
        if element is None:
            element = etree.Element(tag)
            root.insert(0, element)
        element.text = text
    made: bytes = etree.tostring(root, pretty_print=True, encoding="utf-8", xml_declaration=False)
    return made


def _text(domain: etree._Element, path: str) -> str:
    return str(domain.findtext(path) or "").strip()


def _identity(name: str, vm: Table, domain: etree._Element, where: str, found: Found) -> str | None:
    called = _text(domain, "name")
    if called and called != name:
        found.append(
            kinds.DOMAIN_DIFFERS(
                f"the domain is called {quoted(called)}, the VM {quoted(name)}",
                where=where,
                remedy=f"write <name>{name}</name>" if of_resource(name) is None else "give both one name",
            )
        )
    written = _text(domain, "uuid")
    theirs = UUID.read(written, f"{where}: <uuid>", found) if written else None
    ours: str | None = vm["uuid"]
    if theirs and ours and theirs != ours:
        found.append(
            kinds.DOMAIN_DIFFERS(
                "the domain's uuid is not the VM's",
                where=where,
                remedy="keep the one the guest knows",
                xml=theirs,
                spec=ours,
            )
        )
    if not written and "uuid" not in vm["given"]:
        found.append(
            kinds.MISSING_KEY("neither the spec nor the domain XML has a uuid", where=where, remedy="add <uuid>")
        )
    return ours or theirs


def _memory(domain: etree._Element, where: str, found: Found) -> int | None:
    element = domain.find("memory")
    text = _text(domain, "memory")
    unit = str(element.get("unit", "KiB")).lower() if element is not None else ""
    if re.fullmatch("[0-9]{1,18}", text) and unit in _UNITS:
        return int(text) * int(_UNITS[unit])
    found.append(kinds.BAD_DOMAIN("no <memory> that can be read", where=where, remedy="write <memory unit='KiB'>…"))
    return None


def _vcpus(domain: etree._Element, where: str, found: Found) -> int | None:
    text = _text(domain, "vcpu") or "1"
    if re.fullmatch("[1-9][0-9]{0,3}", text):
        return int(text)
    found.append(kinds.BAD_DOMAIN(f"<vcpu> is {quoted(text)}", where=where, remedy="write <vcpu>NUMBER</vcpu>"))
    return None


def _unfit(message: str, where: str, remedy: str, found: Found) -> None:
    found.append(kinds.DOMAIN_UNFIT(message, where=where, remedy=remedy))


def _disks(domain: etree._Element, where: str, found: Found) -> tuple[GuestDisk, ...]:
    disks = []
    for i, disk in enumerate(domain.findall("devices/disk")):
        here = f"{where}: disk[{i}]"
        writable = disk.get("device", "disk") in ("disk", "lun") and disk.find("readonly") is None
        source_element = disk.find("source")
        if source_element is None:
            continue  # an empty drive
        path = source_element.get({"file": "file", "block": "dev"}.get(str(disk.get("type")), "none"))
        if disk.get("type") == "network" and source_element.get("protocol") == "rbd":
            path = f"rbd:{source_element.get('name', '')}"
        if path is None:
            kind = quoted(str(disk.get("type")))
            _unfit(
                f"a disk of type {kind} lies on no storage of the spec",
                here,
                "use a file, a block device or an RBD image",
                found,
            )
            continue
        if writable and disk.find("shareable") is not None:
            _unfit("<shareable/> switches off the image lock", here, "remove <shareable/>", found)
        driver, target = disk.find("driver"), disk.find("target")
        form = str(driver.get("type", "raw")) if driver is not None else "raw"
        bus = str(target.get("bus", "virtio")) if target is not None else "virtio"
        if writable and form not in ("raw", "qcow2"):
            _unfit(f"the disk's format is {quoted(form)}", here, "convert it to qcow2 or raw", found)
        if writable and bus not in ("virtio", "scsi", "sata", "ide"):
            _unfit(f"the disk's bus is {quoted(bus)}", here, "use virtio, scsi, sata or ide", found)
        if DISK_PATH.read(path, here, found) is not None:
            disks.append(GuestDisk(here, path, form, bus, writable=writable))
    return tuple(disks)


def _nics(domain: etree._Element, where: str, found: Found) -> tuple[GuestNic, ...]:
    nics = []
    for i, card in enumerate(domain.findall("devices/interface")):
        here = f"{where}: interface[{i}]"
        link, mac, model = card.find("source"), card.find("mac"), card.find("model")
        bridge = link.get("bridge") if link is not None and card.get("type") == "bridge" else None
        if bridge is None:
            kind = quoted(str(card.get("type")))
            _unfit(f"an interface of type {kind} is another network on each host", here, "use type='bridge'", found)
        elif BRIDGE.read(bridge, here, found) is None:
            bridge = None
        address = None
        if mac is None or not mac.get("address"):
            _unfit("libvirt would give the card a new MAC at every start", here, "write <mac address='…'/>", found)
        else:
            address = MAC.read(str(mac.get("address")), here, found)
        name = str(model.get("type", "virtio")) if model is not None else "virtio"
        nics.append(GuestNic(here, address, name, bridge=bridge))
    return tuple(nics)

"""What lint reads of a VM's domain XML: its identity, its disks and cards, and what keeps it on its host. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from hacluster import strict_xml

LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Disk:
    """A writable disk.

    `path` is a file's or device's, `rbd:POOL/IMAGE` for one on the network, `POOL:VOLUME` for one of a libvirt pool;
    empty for what names none.
    """

    path: str
    kind: str
    shareable: bool


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain. `held` says in words what cannot be migrated: host devices, mediated devices, host directories."""

    name: str
    uuid: str
    disks: tuple[Disk, ...]
    macs: tuple[str, ...]
    held: tuple[str, ...]
    cpu_mode: str
    migratable: bool


def read(text: bytes) -> Domain | None:
    """The domain, or None for what is no domain XML."""
    if len(text) > LIMIT:
        return None
    try:
        root = strict_xml.parse(text)
    except ValueError:
        return None
    if root.tag == "domstatus":  # libvirt's record of a running domain
        root = root.find("domain")
    if root is None or root.tag != "domain":
        return None
    cpu = root.find("cpu")
    return Domain(
        name=(root.findtext("name") or "").strip(),
        uuid=(root.findtext("uuid") or "").strip().lower(),
        disks=tuple(_disk(each) for each in root.iterfind("devices/disk") if _writable(each)),
        macs=tuple(each.get("address", "").lower() for each in root.iterfind("devices/interface/mac")),
        held=tuple(_held(root)),
        cpu_mode="" if cpu is None else cpu.get("mode", ""),
        migratable=cpu is None or not _bound(cpu),
    )


def _writable(disk: etree._Element) -> bool:
    return disk.get("device", "disk") in ("disk", "lun") and disk.find("readonly") is None


def _disk(disk: etree._Element) -> Disk:
    source = disk.find("source")
    kind = disk.get("type", "")
    parts = {"file": ("file",), "block": ("dev",), "network": ("protocol", "name"), "volume": ("pool", "volume")}
    named = [] if source is None else [source.get(part, "") for part in parts.get(kind, ())]
    return Disk(":".join(named) if all(named) else "", kind, disk.find("shareable") is not None)


def _held(root: etree._Element) -> list[str]:
    found = []
    for device in root.iterfind("devices/hostdev"):
        found.append(f"a host device ({device.get('type', 'unknown')})")
    if any(each.get("type") == "hostdev" for each in root.iterfind("devices/interface")):
        found.append("a network card of its host (hostdev)")
    for each in root.iterfind("devices/filesystem"):
        driver = each.find("driver")
        if driver is None or driver.get("type") != "virtiofs":
            found.append("a directory of its host (9p)")
    return found


def _bound(cpu: etree._Element) -> bool:
    """Whether QEMU refuses to migrate this CPU: a time stamp counter that must not change its pace, or by request."""
    if cpu.get("migratable") == "off":
        return True
    return any(f.get("name") == "invtsc" and f.get("policy") in ("require", "force") for f in cpu.iterfind("feature"))

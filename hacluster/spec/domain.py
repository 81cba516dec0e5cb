"""Builds libvirt's domain XML from what the spec says about a VM's hardware: the same words give the same bytes.

What a guest sees is pinned, because it must be the same on every host and after every migration: a versioned machine
type, a named CPU model, and each card's MAC. Guests below TINY get no device that they could not drive anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lxml import etree

from hacluster.spec.guest import Guest
from hacluster.spec.table import DEFAULT_MACHINE, KVM_CPU, QEMU_CPU

TINY = 64 << 20  # bytes; below it no operating system runs that knows a balloon or a guest agent

_TARGETS = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}


@dataclass(frozen=True, slots=True)
class Backing:
    """What a disk is to QEMU. For an RBD image (network): the monitors and login, as in model.CephRbd."""

    device: Literal["file", "block", "network"]
    monitors: tuple[str, ...] = ()
    user: str | None = None
    secret: str | None = None


def build(guest: Guest, vm: Mapping[str, Any], backings: tuple[Backing, ...], bridges: tuple[str, ...]) -> bytes:
    """The domain XML. `vm` is the VM's table as read; `backings` say what each disk is, `bridges` the
    bridge of each card. The guest must be complete (uuid, memory and vcpus known).
    """
    kvm = (vm["domain_type"] or "kvm") == "kvm"
    root = etree.Element("domain", type="kvm" if kvm else "qemu")
    _add(root, "name", guest.name)
    _add(root, "uuid", guest.uuid)
    _add(root, "memory", str((guest.memory or 0) >> 10), unit="KiB")
    _add(root, "vcpu", str(guest.vcpus))
    system = _add(root, "os")
    _add(system, "type", "hvm", arch="x86_64", machine=vm["machine"] or DEFAULT_MACHINE)
    _add(system, "boot", dev="hd")
    features = _add(root, "features")
    _add(features, "acpi")
    if (guest.memory or 0) >= TINY:
        _add(features, "apic")
    _cpu(root, vm["cpu"] or (KVM_CPU if kvm else QEMU_CPU), kvm)
    clock = _add(root, "clock", offset="utc")
    if kvm:
        _add(clock, "timer", name="rtc", tickpolicy="catchup")
        _add(clock, "timer", name="pit", tickpolicy="delay")
        _add(clock, "timer", name="hpet", present="no")
    # A guest that ends must be gone, so that Pacemaker alone decides whether and where it starts again.
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _add(root, event, action)
    _devices(_add(root, "devices"), guest, vm, backings, bridges)
    made: bytes = etree.tostring(root, pretty_print=True, encoding="utf-8", xml_declaration=False)
    return made


def _add(parent: etree._Element, tag: str, text: str | None = None, **attributes: str) -> etree._Element:
    element = etree.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _cpu(root: etree._Element, model: str, kvm: bool) -> None:
    if model in ("host-model", "host-passthrough"):
        _add(root, "cpu", mode=model)
        return
    cpu = _add(root, "cpu", mode="custom", match="exact")
    # With KVM a host that lacks the model must refuse; emulation drops the features that it cannot do.
    _add(cpu, "model", model, fallback="forbid" if kvm else "allow")


def _devices(
    root: etree._Element, guest: Guest, vm: Mapping[str, Any], backings: tuple[Backing, ...], bridges: tuple[str, ...]
) -> None:
    counts: dict[str, int] = {}
    for disk, backing in zip(guest.disks, backings, strict=True):
        prefix = _TARGETS[disk.bus]
        number = counts[prefix] = counts.get(prefix, -1) + 1
        element = _add(root, "disk", type=backing.device, device="disk")
        _add(element, "driver", name="qemu", type=disk.format, cache="none")
        if backing.device == "network":
            _rbd(element, disk.path.removeprefix("rbd:"), backing)
        else:
            _add(element, "source", **{"file" if backing.device == "file" else "dev": disk.path})
        _add(element, "target", dev=prefix + _letters(number), bus=disk.bus)
    if any(disk.bus == "scsi" for disk in guest.disks):
        _add(root, "controller", type="scsi", index="0", model="virtio-scsi")
    for nic, bridge in zip(guest.nics, bridges, strict=True):
        card = _add(root, "interface", type="bridge")
        _add(card, "mac", address=nic.mac or "")
        _add(card, "source", bridge=bridge)
        _add(card, "model", type=nic.model)
    if vm["serial"]:
        serial = _add(root, "serial", type="file")
        _add(serial, "source", path=vm["serial"], append="on")
    else:
        serial = _add(root, "serial", type="pty")
    _add(serial, "target", port="0")
    _comfort(root, tiny=(guest.memory or 0) < TINY, vnc=vm["graphics"] == "vnc")


def _rbd(disk: etree._Element, image: str, backing: Backing) -> None:
    """An image of Ceph. Without monitors librbd reads the node's own ceph.conf."""
    if backing.user is not None:
        _add(_add(disk, "auth", username=backing.user), "secret", type="ceph", uuid=backing.secret or "")
    source = _add(disk, "source", protocol="rbd", name=image)
    for monitor in backing.monitors:
        host, colon, port = monitor.rpartition(":") if not monitor.endswith("]") else (monitor, "", "")
        name = (host if colon else monitor).strip("[]")
        _add(source, "host", name=name, **({"port": port} if colon else {}))


def _comfort(root: etree._Element, *, tiny: bool, vnc: bool) -> None:
    if vnc:
        _add(root, "controller", type="usb", index="0", model="qemu-xhci")
        _add(root, "input", type="tablet", bus="usb")
        _add(root, "graphics", type="vnc", autoport="yes", listen="127.0.0.1")
        _add(_add(root, "video"), "model", type="vga")
    else:
        _add(root, "controller", type="usb", index="0", model="none")
    if tiny:
        _add(root, "memballoon", model="none")
        return
    agent = _add(root, "channel", type="unix")
    _add(agent, "target", type="virtio", name="org.qemu.guest_agent.0")
    _add(root, "memballoon", model="virtio")
    _add(_add(root, "rng", model="virtio"), "backend", "/dev/urandom", model="random")


def _letters(number: int) -> str:
    """a … z, aa, ab …, as libvirt numbers disks."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters

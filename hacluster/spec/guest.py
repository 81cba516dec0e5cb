"""A VM's hardware as the checks see it, whether it stands in the spec or in a domain XML file.

Values are None where the file gave them wrongly (and a Problem says so). Nothing is checked here.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from hacluster.spec.sections import Table


@dataclass(frozen=True, slots=True)
class GuestDisk:
    """A disk. `writable` is False for what several guests may share; `storage` is what the spec names, if it does."""

    where: str
    path: str
    format: str
    bus: str
    storage: str | None = None
    writable: bool = True


@dataclass(frozen=True, slots=True)
class GuestNic:
    """A network card. The spec names a network, domain XML a bridge; `mac` and `model` are None where not readable."""

    where: str
    mac: str | None
    model: str
    network: str | None = None
    bridge: str | None = None


@dataclass(frozen=True, slots=True)
class Guest:
    """One VM's hardware. `domain` is the element tree of its domain XML file, None when the spec describes it."""

    name: str
    where: str
    uuid: str | None
    memory: int | None
    vcpus: int | None
    disks: tuple[GuestDisk, ...]
    nics: tuple[GuestNic, ...]
    domain: etree._Element | None = None


def of_spec(name: str, vm: Table) -> Guest:
    """The hardware that the spec itself describes."""
    return Guest(
        name=name,
        where=vm["where"],
        uuid=vm["uuid"],
        memory=vm["memory"],
        vcpus=vm["vcpus"],
        disks=tuple(
            GuestDisk(d["where"], d["path"], d["format"] or "raw", d["bus"] or "virtio", d["storage"])
            for d in vm["disks"] or ()
            if d["path"] is not None
        ),
        nics=tuple(
            GuestNic(n["where"], n["mac"], n["model"] or "virtio", network=n["network"]) for n in vm["nics"] or ()
        ),
    )

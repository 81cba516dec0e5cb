"""What libvirt keeps of a domain that does not run: persistent definitions, autostart, saved images, snapshots.

Every one of them starts a QEMU without asking the cluster; the hook sees it as LIBVIRT.md's table says. A guest that
an admin puts back to an earlier state has its memory and disk put back together, as far as the witness is concerned.
"""

from __future__ import annotations

from dataclasses import dataclass

from hacluster.sim.daemon import LibvirtError
from hacluster.sim.libvirt import Domain, Libvirt, text_of


@dataclass
class Definition:
    """A domain as `virsh define` left it."""

    name: str
    uuid: str
    xml: str
    autostart: bool = False


class Definitions:
    """One daemon's. They lie on disk, so they outlast the machine's power."""

    def __init__(self, libvirt: Libvirt) -> None:
        self._libvirt = libvirt
        self.known: dict[str, Definition] = {}
        self.images: dict[str, Definition] = {}
        libvirt.at_boot.append(self._autostart)

    def define(self, xml: str) -> Definition:
        """Make a domain persistent, running or not."""
        found = Definition(text_of(xml, "name"), text_of(xml, "uuid").lower(), xml)
        self.known[found.uuid] = found
        return found

    def find(self, key: str) -> Definition:
        """A definition by name or uuid. Raises LibvirtError."""
        for found in self.known.values():
            if key in (found.name, found.uuid):
                return found
        raise LibvirtError(f"failed to get domain '{key}'")

    def start(self, key: str) -> Domain:
        """virsh start."""
        return self._libvirt.create(self.find(key).xml)

    def save(self, key: str) -> None:
        """virsh save: the guest ends, its memory lies in a file."""
        domain = self._libvirt.find(key)
        domain.alive.halt()
        self.images[domain.name] = Definition(domain.name, domain.uuid, domain.xml)
        self._libvirt.take_down(domain)

    def restore(self, key: str) -> None:
        """virsh restore: the hook is asked twice, for the image and for the start."""
        saved = self.images.get(key)
        if saved is None:
            raise LibvirtError(f"cannot read image of '{key}'")
        self._libvirt.hook(Domain(saved.name, saved.uuid, saved.xml), "restore")
        self._libvirt.create(saved.xml)

    def revert(self, key: str) -> None:
        """virsh snapshot-revert: a running guest ends, and begins anew from the snapshot."""
        running = [one for one in self._libvirt.domains.values() if key in (one.name, one.uuid)]
        xml = running[0].xml if running else self.find(key).xml
        for domain in running:
            self._libvirt.take_down(domain)
        self._libvirt.create(xml)

    def _autostart(self) -> None:
        for found in list(self.known.values()):
            if found.autostart:
                try:
                    self._libvirt.create(found.xml)
                except LibvirtError:
                    continue  # libvirt logs it and goes on

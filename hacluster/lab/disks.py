"""The lab's storage: what stands behind the VMs' disks, on the machine that runs the lab.

A block disk is a sparse image behind a loop device; each node makes a device file of its own for it, so that, as
on real hosts, the device inodes differ and no lock of QEMU or the kernel sees both. A directory storage is a
directory of one ext4 file system (direct I/O works there on every kernel) that all nodes mount.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hacluster.lab import guest, host
from hacluster.lab.layout import Layout

DISK_SIZE = 32 << 20
SHARED_SIZE = 2 << 30


@dataclass(frozen=True, slots=True)
class Device:
    """A device file that every node gets: its path there and the device's numbers."""

    path: str
    major: int
    minor: int


def build(layout: Layout) -> list[Device]:
    """Make all disks of the lab; the devices that nodes must see. Raises Refused (HA706)."""
    image = guest.assemble(layout.run / "guest")
    if layout.directories():
        shared = layout.run / "shared"
        shared.mkdir()
        _sparse(layout.run / "shared.img", SHARED_SIZE)
        host.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1", layout.run / "shared.img"])
        host.run(["mount", "-o", "loop,noatime", layout.run / "shared.img", shared])
        for storage in layout.directories():
            layout.shared(storage).mkdir(parents=True)
    for file_disk in layout.file_disks():
        file_disk.image.parent.mkdir(parents=True, exist_ok=True)
        if file_disk.format == "raw":
            _boot_disk(file_disk.image, image)
        else:
            _boot_disk(raw := layout.run / "disk.raw", image)
            host.run(["qemu-img", "convert", "-O", file_disk.format, raw, file_disk.image])
            raw.unlink()
    (layout.run / "disks").mkdir()
    devices = []
    for block_disk in layout.block_disks():
        _boot_disk(block_disk.image, image)
        loop = host.run(["losetup", "--find", "--show", block_disk.image]).strip()
        numbers = Path(loop).stat().st_rdev
        devices.append(Device(block_disk.path, os.major(numbers), os.minor(numbers)))
    return devices


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _boot_disk(path: Path, image: bytes) -> None:
    with path.open("wb") as file:
        file.write(image)
        file.truncate(DISK_SIZE)


def loops(run: Path) -> list[tuple[str, str]]:
    """The loop devices whose backing file is below `run`: (device, backing file)."""
    found = []
    for block in Path("/sys/block").glob("loop*"):
        try:
            backing = (block / "loop/backing_file").read_text().strip()
        except OSError:
            continue
        if backing.removesuffix(" (deleted)").startswith(f"{run}/"):
            found.append((f"/dev/{block.name}", backing))
    return sorted(found)


def take_apart(run: Path) -> None:
    """Let go of all loop devices of a lab. Its processes must be dead already."""
    if os.path.ismount(run / "shared"):
        host.run(["umount", run / "shared"], check=False)
    for device, _ in loops(run):
        host.run(["losetup", "--detach", device], check=False)

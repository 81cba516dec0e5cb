"""The machines' image: Debian 12 from Debian's packages, made once and kept outside of the repository.

A folder per way of making it: kernel, initrd, root file system, the key that ssh enters with, and the snapshots of
clusters that were started from it. Nothing is mounted; a build that is interrupted leaves nothing that is used.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hacluster.lab import host
from hacluster.lab.machines.packages import AT_HAND, INSTALLED
from hacluster.problems import Refused, kind

NO_KERNEL = kind(
    "HA751",
    "The image's kernel cannot be unpacked",
    "Debian compresses its kernel with xz; an emulated machine would take longer to unpack it than to boot.",
)

RELEASE = "bookworm"
SIZE = "6G"
BUILD_WITHIN = 1800.0
ASSETS = Path(__file__).parent / "assets"

# Recommended packages are a third of the size; nobody reads the manual in a machine that lives for an hour.
OPTIONS = (
    "--mode=root", "--variant=minbase", "--components=main",
    '--aptopt=Apt::Install-Recommends "false"', '--aptopt=DPkg::Lock::Timeout "600"',
    "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
)  # fmt: skip

XZ = b"\xfd7zXZ\x00"


def cache() -> Path:
    """Where images are kept: below XDG_CACHE_HOME if that is set, else in /var/cache."""
    return Path(os.environ.get("XDG_CACHE_HOME", "/var/cache"), "hacluster", "machines")


def key() -> str:
    """What an image is known by: everything that it is made from, but for the versions that Debian has that day."""
    made_from = repr((RELEASE, SIZE, OPTIONS, INSTALLED, AT_HAND)).encode()
    for asset in ("early.sh", "customize.sh"):
        made_from += (ASSETS / asset).read_bytes()
    return hashlib.sha256(made_from).hexdigest()[:16]


def ready(step: Callable[[str], None]) -> Path:
    """The folder of the image; it is built first if there is none. Raises Refused when a tool fails."""
    place = cache() / key()
    if place.is_dir():
        return place
    cache().mkdir(parents=True, exist_ok=True)
    build = Path(tempfile.mkdtemp(prefix=".building-", dir=cache()))
    try:
        build.chmod(0o755)
        _build(build, step)
        build.rename(place)
    finally:
        shutil.rmtree(build, ignore_errors=True)
    return place


def _build(place: Path, step: Callable[[str], None]) -> None:
    host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hactl lab", "-f", place / "id"])
    root = place / "root"
    public = (place / "id.pub").read_text(encoding="ascii").strip()
    customize = f'PUBLIC_KEY="{public}" AT_HAND="{" ".join(AT_HAND)}" sh {ASSETS}/customize.sh "$1"'
    host.run(
        ["mmdebstrap", *OPTIONS, f"--include={','.join(INSTALLED)}", "--skip=cleanup/apt/lists",
         f'--essential-hook=sh {ASSETS}/early.sh "$1"', f"--customize-hook={customize}", RELEASE, root],
        timeout=BUILD_WITHIN,
    )  # fmt: skip
    step("Debian's packages")
    kernel = next((root / "boot").glob("vmlinuz-*"))
    (place / "vmlinux").write_bytes(unpacked(kernel.read_bytes()))
    shutil.copy(next((root / "boot").glob("initrd.img-*")), place / "initrd")
    # Without its journal a file system does not survive the power cuts that this bed is for.
    host.run(
        ["mkfs.ext4", "-q", "-F", "-J", "size=32", "-E", "lazy_itable_init=1", "-d", root, place / "root.ext4", SIZE],
        timeout=BUILD_WITHIN,
    )
    shutil.rmtree(root)
    (place / "snapshots").mkdir()
    step("image")


def unpacked(kernel: bytes) -> bytes:
    """The kernel within a bzImage. Raises Refused (HA751) when there is no xz stream in it."""
    start = kernel.find(XZ)
    try:
        if start >= 0:
            return lzma.LZMADecompressor().decompress(kernel[start:])
    except lzma.LZMAError:
        pass
    raise Refused(NO_KERNEL("There is no xz stream in the kernel's image.", where="/boot/vmlinuz"))

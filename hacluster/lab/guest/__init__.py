"""The counting guest: a few boot sectors that count on their own disk, and so show a second writer (see canary)."""

from __future__ import annotations

from pathlib import Path

from hacluster.lab import host

SOURCE = Path(__file__).with_name("counter.S")


def assemble(into: Path) -> bytes:
    """The guest's boot sectors, assembled with binutils in the directory `into` unless they are there already.

    Raises Refused (HA706) when the assembler refuses.
    """
    image = into / "counter.bin"
    if not image.exists():
        into.mkdir(parents=True, exist_ok=True)
        host.run(["as", "--32", "-o", into / "counter.o", SOURCE])
        host.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", image, into / "counter.o"])
    return image.read_bytes()

"""The counting guest: a few boot sectors that count on their own disk, and so show a second writer (see canary)."""

from __future__ import annotations

from pathlib import Path

from hacluster.lab import host

SOURCE = Path(__file__).with_name("counter.S")


def assemble(into: Path, *, spin: int | None = None) -> bytes:
    """The guest's boot sectors, assembled with binutils in the directory `into` unless they are there already.

    With `spin` it changes its memory all the time (256 MiB of it are needed), the faster the smaller the number is;
    see counter.S. Raises Refused (HA706) when the assembler refuses.
    """
    name = "counter" if spin is None else f"counter-{spin}"
    image = into / f"{name}.bin"
    if not image.exists():
        into.mkdir(parents=True, exist_ok=True)
        symbols = [] if spin is None else ["--defsym", f"SPIN={spin}"]
        host.run(["as", "--32", *symbols, "-o", into / f"{name}.o", SOURCE])
        host.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", image, into / f"{name}.o"])
    return image.read_bytes()

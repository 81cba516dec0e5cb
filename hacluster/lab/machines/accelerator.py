"""Whether this machine's KVM runs virtual machines, by trying: /dev/kvm says nothing about it.

A /dev/kvm that is itself emulated can run a program and be fifty times slower than QEMU's own emulation. So a small
program counts under both, and KVM is used when it comes to the end and is the faster one.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from hacluster.lab.power import ENVIRONMENT

KVM = ("-accel", "kvm", "-cpu", "host")
EMULATED = ("-accel", "tcg,thread=multi,tb-size=256", "-cpu", "qemu64")

ROUNDS = 50_000_000
PATIENCE = 10.0
FINISHED = (0x31 << 1) | 1
"""QEMU's exit code when the program has written 0x31 to the port of isa-debug-exit."""

# mov ecx, ROUNDS; again: loop again; mov al, 0x31; out 0xf4, al; hlt — in 16-bit mode, with 32-bit counting.
_PROGRAM = b"\x66\xb9" + ROUNDS.to_bytes(4, "little") + b"\x67\xe2\xfd" + b"\xb0\x31\xe6\xf4\xf4"


def choose() -> tuple[str, ...]:
    """QEMU's arguments for the faster of KVM and emulation, as measured now; some seconds at the most."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATED
    emulated, with_kvm = _seconds(("-accel", "tcg")), _seconds(("-accel", "kvm"))
    return KVM if with_kvm is not None and (emulated is None or with_kvm < emulated) else EMULATED


def _seconds(accelerator: tuple[str, ...]) -> float | None:
    """How long the program takes there; None when it does not come to its end."""
    with tempfile.TemporaryDirectory() as directory:
        disk = Path(directory, "boot")
        disk.write_bytes(_PROGRAM.ljust(510, b"\0") + b"\x55\xaa")
        begun = time.monotonic()
        try:
            done = subprocess.run(
                ["qemu-system-x86_64", "-M", "pc", *accelerator, "-m", "16", "-nodefaults", "-display", "none",
                 "-drive", f"file={disk},format=raw,if=ide", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"],
                env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
        except (subprocess.TimeoutExpired, OSError):
            return None
        return time.monotonic() - begun if done.returncode == FINISHED else None

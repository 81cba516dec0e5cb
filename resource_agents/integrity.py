"""Is the libvirt hook in place? A missing or non-executable one is silently skipped by libvirt: everything starts."""

from __future__ import annotations

import os

INSTALLED = "/etc/libvirt/hooks/qemu.d/hacluster"
EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hooks", "qemu")


def hook_problem(installed: str = INSTALLED, expected: str = EXPECTED) -> str:
    """What is wrong with the hook, as a sentence part with its remedy; empty when it stands as delivered."""
    remedy = "hactl node bootstrap installs it"
    try:
        with open(installed, "rb") as file:
            content = file.read()
        with open(expected, "rb") as file:
            wanted = file.read()
    except OSError as problem:
        return f"the libvirt hook is not in place ({problem.filename}: {problem.strerror}); {remedy}"
    if content != wanted:
        return f"{installed} is not the hook that was delivered; {remedy}"
    if not os.access(installed, os.X_OK):
        return f"{installed} is not executable, so libvirt skips it; {remedy}"
    return ""

"""One at a time: building a lab and removing it, by name."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hacluster.lab.layout import RUNS
from hacluster.problems import Refused, kind

BUSY = kind("HA707", "Somebody else is working on this lab", "Two that build or remove one lab would break it.")


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Keep everybody else from building or removing the lab of that name meanwhile. Raises Refused (HA707)."""
    RUNS.mkdir(exist_ok=True)
    fd = os.open(RUNS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock = os.open(f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=fd)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Refused(
                BUSY(
                    f"The lab {name} is being brought up or down right now.",
                    where=name,
                    remedy=f"wait, then: hactl lab status --name {name}",
                )
            ) from None
        try:
            yield
        finally:
            if not (RUNS / name).exists():
                (RUNS / f".{name}.lock").unlink(missing_ok=True)
            os.close(lock)
    finally:
        os.close(fd)
        with suppress(OSError):  # another lab lives there
            RUNS.rmdir()

"""The seam between bootstrap and a machine: a command, a file. `edge` has it over ssh, the tests in memory too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hacluster.ports import Completed, NodeFile

PATIENCE = 120.0
"""Seconds for a command that only looks. A machine that is installing packages or is emulated may take long."""


class Host(Protocol):
    """One machine, as root. Nothing needs to be installed there beyond what every distribution's smallest system has.

    Everything raises Unreachable when the machine does not answer in time, and Refused when it must not be talked to
    (its host key, our login).
    """

    @property
    def name(self) -> str:
        """The node's name in the spec."""
        ...

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = PATIENCE) -> Completed:
        """Run one command; `deadline` is seconds. A program that is not there is exit code 127. Never retried."""
        ...

    def read(self, path: str) -> bytes | None:
        """A file's content, None when there is no such file. Raises OSError when it is there and cannot be read."""
        ...

    def write(self, *files: NodeFile) -> None:
        """Write files, each whole or not at all, with their modes, and make the folders above them (0755).

        All are on the disk before the first takes its place, and they take it in this order. Idempotent. Raises
        OSError.
        """
        ...

    def remove(self, path: str) -> None:
        """Delete a file; one that is gone already is no error. Raises OSError."""
        ...

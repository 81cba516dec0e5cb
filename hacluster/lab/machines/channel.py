"""One JSON document a line over a Unix socket: how QEMU is told things (QMP), and how its guest agent is.

Both speak the same dialect: {"execute": NAME, "arguments": {…}}, answered by {"return": …} or {"error": …}, with
events between. One question a connection: the sockets take one client at a time, and the next one waits its turn.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from pathlib import Path


class NoAnswer(Exception):
    """Nobody listens at the socket, or nothing came back in time."""


class Declined(Exception):
    """The other side answered with an error; the text is its own."""


def ask_qemu(path: Path, command: str, /, *, within: float = 10, **arguments: object) -> object:
    """Ask QEMU's monitor. Raises NoAnswer, Declined."""
    with _Line(path, within) as line:
        line.read()  # its greeting
        line.send({"execute": "qmp_capabilities"})
        line.answer()
        line.send({"execute": command, "arguments": arguments})
        return line.answer()


def ask_agent(path: Path, command: str, /, *, within: float = 10, **arguments: object) -> object:
    """Ask the guest agent behind a virtio-serial port. Raises NoAnswer, Declined.

    The port may hold half an answer to somebody who has given up: guest-sync-delimited says from where to read.
    """
    with _Line(path, within) as line:
        number = secrets.randbelow(1 << 31)
        line.raw(b"\xff" + json.dumps({"execute": "guest-sync-delimited", "arguments": {"id": number}}).encode())
        line.skip_to(b"\xff")
        while line.answer() != number:
            pass
        line.send({"execute": command, "arguments": arguments})
        return line.answer()


class _Line:
    """One connection, with one deadline for all that is said on it."""

    def __init__(self, path: Path, within: float) -> None:
        self._path = path
        self._until = time.monotonic() + within
        self._socket = socket.socket(socket.AF_UNIX)
        self._rest = b""

    def __enter__(self) -> _Line:
        try:
            self._socket.settimeout(self._left())
            self._socket.connect(str(self._path))
        except OSError as problem:
            self._socket.close()
            raise NoAnswer(f"{self._path}: {problem}") from problem
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise NoAnswer(f"{self._path}: no answer in time")
        return left

    def raw(self, text: bytes) -> None:
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(text + b"\n")
        except OSError as problem:
            raise NoAnswer(f"{self._path}: {problem}") from problem

    def send(self, document: object) -> None:
        self.raw(json.dumps(document).encode())

    def _more(self) -> None:
        try:
            self._socket.settimeout(self._left())
            got = self._socket.recv(1 << 16)
        except OSError as problem:
            raise NoAnswer(f"{self._path}: {problem}") from problem
        if not got:
            raise NoAnswer(f"{self._path}: the other side has hung up")
        self._rest += got

    def skip_to(self, mark: bytes) -> None:
        while mark not in self._rest:
            self._rest = b""
            self._more()
        self._rest = self._rest.partition(mark)[2]

    def read(self) -> dict[str, object]:
        while b"\n" not in self._rest:
            self._more()
        text, _, self._rest = self._rest.partition(b"\n")
        document = json.loads(text)
        assert isinstance(document, dict)
        return document

    def answer(self) -> object:
        """The next document that is an answer: events stand between them."""
        while True:
            document = self.read()
            if "error" in document:
                raise Declined(json.dumps(document["error"]))
            if "return" in document:
                return document["return"]

"""SSH host keys: pinned in the spec, or shown to an admin who confirms them once. They are never taken silently."""

from __future__ import annotations

import base64
import hashlib
import socket
from pathlib import Path

import paramiko

from hacluster.ports import Unreachable

OWN = "/etc/ssh/ssh_host_ed25519_key.pub"
"""Where a machine has its own public host key."""

_LIMIT = 8.0
"""Seconds for a connection and the key exchange."""


class NotPinned(Exception):
    """A machine shows a key that is not the pinned one; the message is its fingerprint."""


class Pinned(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # paramiko has no types
    """Takes one key: the one given as a public key (`ssh-ed25519 AAAA…`) or as its fingerprint (`SHA256:…`)."""

    def __init__(self, pin: str) -> None:
        self._wanted = fingerprint(pin)

    def missing_host_key(self, client: object, hostname: str, key: paramiko.PKey) -> None:
        """paramiko asks for every key, as it is given no known_hosts. Raises NotPinned."""
        del client, hostname
        shown = _of_blob(key.asbytes())
        if shown != self._wanted:
            raise NotPinned(shown)


def fingerprint(pin: str) -> str:
    """The fingerprint of a pinned key, as `ssh-keygen -l` prints it; that of one given as a fingerprint is itself."""
    words = pin.split()
    return _of_blob(base64.b64decode(words[1])) if len(words) > 1 else pin


def shown(host: str, port: int = 22) -> tuple[str, str]:
    """The key that a machine shows, as a line for known_hosts without its host, and its fingerprint. Nothing is
    logged in to, and nothing is believed. Raises Unreachable."""
    try:
        with socket.create_connection((host, port), timeout=_LIMIT) as connection:
            transport = paramiko.Transport(connection)
            try:
                transport.start_client(timeout=_LIMIT)
                key = transport.get_remote_server_key()
            finally:
                transport.close()
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise Unreachable(f"{host} cannot be reached by ssh ({error})") from error
    return f"{key.get_name()} {key.get_base64()}", _of_blob(key.asbytes())


def known(host: str, files: tuple[Path, ...], port: int = 22) -> bool:
    """Whether known_hosts has any key for a machine; whether it is the right one, a connection decides."""
    keys = paramiko.HostKeys()
    for path in files:
        try:
            keys.load(str(path.expanduser()))
        except OSError:
            continue  # no such file: nothing is known from it
    return keys.lookup(_entry(host, port)) is not None


def remember(host: str, key: str, port: int = 22) -> Path:
    """Write a confirmed key into root's known_hosts, and say where. Raises OSError."""
    path = Path("~/.ssh/known_hosts").expanduser()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with path.open("a") as file:
        file.write(f"{_entry(host, port)} {key}\n")
    return path


def _entry(host: str, port: int) -> str:
    return host if port == 22 else f"[{host}]:{port}"


def _of_blob(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")

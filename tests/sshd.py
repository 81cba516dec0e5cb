"""A real sshd for tests: in a network and a mount namespace of its own, with an /etc that this machine never sees.

The test process joins that network while it lasts, so that its connections find the server, and nothing else can. The
server's /etc, /root, /usr/lib and /var/lib are overlays that end with it. It listens on all of 127.0.0.0/8.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_CLONE_NEWNET = 0x40000000

_BOOT = """
set -eu
ip link set lo up
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/upper"
for each in etc root var/lib usr/lib; do
  mkdir -p "$1/upper/$each" "$1/upper/work/$each"
  mount -t overlay overlay -o "lowerdir=/$each,upperdir=$1/upper/$each,workdir=$1/upper/work/$each" "/$each"
done
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -e -f /dev/null -o HostKey="$1/host" -o AuthorizedKeysFile="$1/client.pub" \\
  -o PermitRootLogin=prohibit-password -o StrictModes=no -o UsePAM=no -o PidFile=none -o ListenAddress=0.0.0.0
"""


class Sshd:
    """What a test needs of it. `etc` is its /etc as this machine's files see it (the changes alone)."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.address = "127.0.0.1"
        self.host_key = " ".join((folder / "host.pub").read_text().split()[:2])
        self.process = process

    @property
    def etc(self) -> Path:
        return Path(f"/proc/{self.process.pid}/root/etc")


class network:
    """A context: the server runs, and this thread's process is in its network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Sshd:
        folder = self._folder
        for name in ("host", "client", "other"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        (folder / ".ssh").mkdir(mode=0o700)
        (folder / "client").rename(folder / ".ssh" / "id_ed25519")
        (folder / "upper").mkdir()
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--uts", "sh", "-c", _BOOT, "sshd", str(folder)],
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 30
        while time.monotonic() < until and self._process.poll() is None:
            if self._join():
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", 22)) == 0:
                        return Sshd(folder, self._process)
            time.sleep(0.05)
        self.__exit__(None, None, None)
        raise RuntimeError("sshd did not start")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _setns(self._home)
        os.close(self._home)
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)

    def _join(self) -> bool:
        """Enter the server's network, once it has one. Every thread started from here on is in it too."""
        theirs = Path(f"/proc/{self._process.pid}/ns/net")
        try:
            if theirs.stat().st_ino == os.fstat(self._home).st_ino:
                return False
            there = os.open(theirs, os.O_RDONLY)
        except OSError:
            return False
        try:
            _setns(there)
        finally:
            os.close(there)
        return True


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

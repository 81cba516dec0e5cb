"""The values of the spec that have a form of their own: paths, uuids, MACs, times, sizes, agents.

Each says what it wants in words, so that the message for a wrong one can say it. Nothing here knows the tables.
"""

from __future__ import annotations

import re
import uuid as uuids

from hacluster.spec import names
from hacluster.spec.scalars import Quantity, Text, one_line
from hacluster.spec.wording import quoted

_UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
_MAC = r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}"
_SIZES = {"": 1, "B": 1} | {
    letter + suffix: 1 << 10 * power for power, letter in enumerate("KMGT", 1) for suffix in ("", "iB")
}


def _path(text: str) -> str | None:
    wrong = one_line(text)
    if wrong is not None:
        return wrong
    parts = text.split("/")
    if parts[0] != "" or text == "/" or any(part in ("", ".", "..") for part in parts[1:]):
        return f"{quoted(text)} is not an absolute path without empty parts, . and .."
    return None


def _shell_safe_path(text: str) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9/._:@%+=,\-]+", text) is None:
        return f"{quoted(text)} has characters that OCF agents, which are shell scripts, do not all survive"
    return _path(text)


def _disk(text: str) -> str | None:
    if not text.startswith("rbd:"):
        return _path(text)
    if re.fullmatch(r"rbd:[A-Za-z0-9_.\-]+(/[A-Za-z0-9_.\-]+){1,2}", text) is None:
        return f"{quoted(text)} is not rbd:POOL/IMAGE"
    return None


def _uuid(text: str) -> str | None:
    # libvirt takes a uuid whose bytes are all the same for one that was never set (virUUIDIsValid).
    return f"{text} is no real uuid" if len(set(uuids.UUID(text).bytes)) == 1 else None


def _mac(text: str) -> str | None:
    if int(text[:2], 16) & 1:
        return f"{text} is a multicast address: the second digit must be even"
    return f"{text} is no card's address" if set(text) <= {"0", ":"} else None


def _seconds(value: int) -> str:
    return f"{value} s"


def _milliseconds(value: int) -> str:
    return f"{value} ms"


def spelled_size(value: int) -> str:
    """A number of bytes in the largest binary unit that divides it."""
    power = next((p for p in (4, 3, 2, 1) if value and value % (1 << 10 * p) == 0), 0)
    return f"{value >> 10 * power} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def duration(low: int, high: int, example: str) -> Quantity:
    """A time in seconds."""
    units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
    return Quantity('a time such as 90, "90s" or "2m"', units, low, high, _seconds, example)


def milliseconds(low: int, high: int, example: str) -> Quantity:
    """A time in milliseconds."""
    units = {"": 1, "ms": 1, "s": 1000}
    return Quantity('a time such as 300, "300ms" or "1s"', units, low, high, _milliseconds, example)


def size(low: int, high: int, example: str) -> Quantity:
    """A number of bytes; units are binary."""
    return Quantity('a size such as "512M", "2GiB" or bytes', _SIZES, low, high, spelled_size, example)


NAME = Text("a name", limit=256)
LINE = Text("a line of text", check=one_line)
PATH = Text("an absolute path", check=_path)
DISK_PATH = Text("an absolute path, or rbd:POOL/IMAGE", check=_disk)
AGENT_PATH = Text("an absolute path", check=_shell_safe_path)
HOST = Text("an IP address or a host name", check=names.host_or_address, example="10.0.1.51")
HOST_KEY = Text(
    "an ssh host key, or its SHA256 fingerprint",
    r"SHA256:[A-Za-z0-9+/]{43}"
    r"|(ssh|ecdsa)-[a-z0-9-]+ ([A-Za-z0-9+/]{4})+([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?( [^\n]*)?",
    example="ssh-ed25519 AAAA…",
)
MONITOR = Text("a host, or HOST:PORT", r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?")
UUID = Text("a uuid", _UUID, _uuid, normal=str.lower)
MAC = Text("a MAC address", _MAC, _mac, example="52:54:00:12:34:56", normal=str.lower)
AGENT = Text("a fence agent's name", r"(stonith:)?[A-Za-z0-9_.\-]+(/[A-Za-z0-9_.\-]+)?", example="fence_ipmilan")
# 15 characters: the kernel's limit for an interface (IFNAMSIZ less its zero byte).
BRIDGE = Text("a bridge's name of at most 15 characters", r"[A-Za-z0-9_.\-]{1,15}", example="br0")
LVM_NAME = Text("a name that LVM takes", r"[A-Za-z0-9+_.][A-Za-z0-9+_.\-]{0,126}", example="vg_cluster")
MOUNT_OPTION = Text("one mount option", r"[A-Za-z0-9_=:./\-]+", example="noatime")
WORD = Text("a word", r"[A-Za-z0-9_.\-]+")
# Only versioned machine types mean the same machine on every host; `pc` and `q35` follow each host's QEMU.
MACHINE = Text("a versioned x86 machine type", r"pc-(q35|i440fx)-[A-Za-z0-9.]+", example="pc-q35-7.2")
# pcs and mkfs.gfs2 take a cluster's name for GFS2 in this form.
CLUSTER_NAME = Text("at most 32 letters, digits, - and _", r"[A-Za-z0-9_\-]{1,32}", example="kvm_cluster")

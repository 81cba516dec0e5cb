"""What may be a name, and which names are taken by hactl and Pacemaker.

Names become ids in the CIB (XML NCNames), libvirt domain names, file names and, for nodes, host names; the
strictest of these rules holds for all, so that no name has to be quoted or translated anywhere.
"""

from __future__ import annotations

import ipaddress
import re

from hacluster.problems import Kind
from hacluster.spec import kinds
from hacluster.spec.wording import quoted

# An NCName in ASCII. 64 characters: systemd-machined, with which libvirt registers a guest, takes no more.
ID = r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}"
# RFC 1123. Linux keeps 64 characters of a host name.
NODE = r"[A-Za-z0-9]([A-Za-z0-9\-]{0,62}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9\-]{0,62}[A-Za-z0-9])?)*"
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")

# What hactl and Pacemaker call their own things (cib.names): a name may neither be one of these nor begin with one
# and a hyphen.
RESERVED = (
    *("hacluster", "hactl", "dlm", "lvmlockd", "clvmd", "o2cb", "vm-on", "heartbeat-vm-on", "cib", "rsc", "op", "cli"),
    *("affinity", "anti-affinity", "start-order"),
)
_CONSTRAINT = re.compile(r"order-.*-then-.*|colocate-.*-with-.*|fencing-.*-level-.*")
# What is appended to a name for the ids of its parts: `web-monitor-20s` is an operation of `web`.
SUFFIXES = (
    *(
        "clone",
        "fs",
        "lv",
        "lvs",
        "not-on",
        "prefers",
        "avoids",
        "meta_attributes",
        "instance_attributes",
        "utilization",
    ),
    *("start", "stop", "monitor", "reload", "reload-agent", "migrate_to", "migrate_from"),
)

Wrong = tuple[Kind, str, str] | None


def of_resource(name: str) -> Wrong:
    """What keeps the name from being the id of a VM, a storage, a network or a fence device."""
    if not re.fullmatch(ID, name) or ".." in name:
        message = f"{quoted(name)} cannot be a name"
        return kinds.BAD_NAME, message, "use letters, digits, - _ and single dots, at most 64, and begin with a letter"
    word = next((w for w in RESERVED if name == w or name.startswith(f"{w}-")), None)
    if word is not None:
        return (
            kinds.RESERVED_NAME,
            f"names that begin with {word} are used by the cluster itself",
            "choose another name",
        )
    if _CONSTRAINT.fullmatch(name):
        return kinds.RESERVED_NAME, f"{name} looks like the id of a constraint that hactl writes", "choose another name"
    return None


def of_node(name: str) -> Wrong:
    """What keeps the name from being a node's."""
    if len(name) <= 64 and is_host(name):
        return None
    message = f"{quoted(name)} cannot be a node's name"
    return kinds.BAD_NAME, message, "use the host name as `uname -n` prints it: letters, digits, hyphens and dots"


def is_host(text: str) -> bool:
    """Whether the text is a host name (RFC 1123); an all-numeric last label would be a broken IPv4 address."""
    labels = text.split(".")
    return len(text) <= 253 and all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdecimal()


def host_or_address(text: str) -> str | None:
    """What keeps the text from being an address that a node can have, or None."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None if is_host(text) else f"{quoted(text)} is neither an IP address nor a host name"
    if address.is_unspecified or address.is_multicast:
        return f"{text} is not the address of one host"
    return None


def same_address(text: str) -> str:
    """One spelling for all ways to write an address, to compare by."""
    try:
        return ipaddress.ip_address(text).compressed
    except ValueError:
        return text.casefold()

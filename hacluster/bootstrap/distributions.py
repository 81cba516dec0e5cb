"""What each distribution calls what a cluster host needs. Data, and how to choose from it. Pure.

Debian 12 is the one on which bootstrap has been run. The names of the others are from their own documentation and
were never installed by hactl: bootstrap says so and stops (HA614).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hacluster import model


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution's names. `packages` are by need (see `needs`); `tried` says whether hactl was ever run on it."""

    title: str
    ident: str
    major: str
    packages: Mapping[str, tuple[str, ...]]
    tried: bool = False


DEBIAN_12 = Distribution(
    "Debian 12",
    "debian",
    "12",
    {
        "cluster": ("corosync", "pacemaker", "pacemaker-cli-utils", "pcs", "resource-agents"),
        "fencing": ("fence-agents",),
        "libvirt": (
            "libvirt-clients",
            "libvirt-daemon",
            "libvirt-daemon-driver-qemu",
            "libvirt-daemon-system",
            "qemu-system-x86",
            "qemu-utils",
        ),
        "guard": ("libdlm3", "python3", "python3-libvirt"),
        "ssh": ("openssh-client", "openssh-server"),
        "dlm": ("dlm-controld", "kmod"),
        "lvmlockd": ("lvm2", "lvm2-lockd"),
        "gfs2": ("gfs2-utils",),
        "ocfs2": ("ocfs2-tools",),
        "nfs": ("nfs-common",),
        "bridge": ("ifupdown", "iproute2"),
        "ipmi": ("ipmitool",),
        "sbd": ("sbd",),
        "sanlock": ("sanlock", "libvirt-daemon-plugin-sanlock"),
    },
    tried=True,
)

RHEL_9 = Distribution(
    "RHEL 9",
    "rhel",
    "9",
    {
        "cluster": ("corosync", "pacemaker", "pacemaker-cli", "pcs", "resource-agents"),
        "fencing": ("fence-agents-all",),
        "libvirt": ("libvirt-client", "libvirt-daemon-kvm", "qemu-img", "qemu-kvm"),
        "guard": ("dlm-lib", "python3", "python3-libvirt"),
        "ssh": ("openssh-clients", "openssh-server"),
        "dlm": ("dlm", "kmod"),
        "lvmlockd": ("lvm2", "lvm2-lockd"),
        "gfs2": ("gfs2-utils",),
        "nfs": ("nfs-utils",),
        "bridge": ("NetworkManager",),
        "ipmi": ("ipmitool",),
        "sbd": ("sbd",),
        "sanlock": ("sanlock", "libvirt-lock-sanlock"),
    },
)

SLES_15 = Distribution(
    "SLES 15",
    "sles",
    "15",
    {
        "cluster": ("corosync", "pacemaker", "pacemaker-cli", "pcs", "resource-agents"),
        "fencing": ("fence-agents",),
        "libvirt": ("libvirt-client", "libvirt-daemon-qemu", "qemu-tools", "qemu-x86"),
        "guard": ("libdlm3", "python3", "python3-libvirt-python"),
        "ssh": ("openssh",),
        "dlm": ("libdlm", "kmod"),
        "lvmlockd": ("lvm2", "lvm2-lockd"),
        "gfs2": ("gfs2-utils",),
        "ocfs2": ("ocfs2-tools",),
        "nfs": ("nfs-client",),
        "bridge": ("wicked",),
        "ipmi": ("ipmitool",),
        "sbd": ("sbd",),
        "sanlock": ("sanlock", "libvirt-lock-sanlock"),
    },
)

DISTRIBUTIONS = (DEBIAN_12, RHEL_9, SLES_15)

_SAME = {"almalinux": "rhel", "rocky": "rhel", "centos": "rhel", "sles_sap": "sles"}
"""Rebuilds, whose packages have the names of what they are built from."""


def of_release(text: str) -> Distribution | None:
    """The distribution that an os-release file names (os-release(5)); None for one of which no names are known."""
    told = dict(re.findall(r"^([A-Z_]+)=\"?([^\"\n]*)\"?$", text, re.MULTILINE))
    ident, major = told.get("ID", ""), told.get("VERSION_ID", "").split(".")[0]
    ident = _SAME.get(ident, ident)
    return next((each for each in DISTRIBUTIONS if (each.ident, each.major) == (ident, major)), None)


def needs(cluster: model.Cluster) -> tuple[str, ...]:
    """What a member of this cluster needs, in the words of `Distribution.packages`."""
    found = ["cluster", "fencing", "libvirt", "guard", "ssh"]
    agents = {device.agent for device in cluster.fence_devices}
    shared = [
        storage
        for storage in cluster.storages
        if isinstance(storage, model.Gfs2 | model.SharedLvm)
        or (isinstance(storage, model.Ocfs2) and storage.volume_group is not None)
    ]
    said = {
        "dlm": cluster.lock_manager == "dlm",
        "lvmlockd": any(s.volume_manager == "lvmlockd" for s in shared),
        "gfs2": any(isinstance(s, model.Gfs2) for s in cluster.storages),
        "ocfs2": any(isinstance(s, model.Ocfs2) for s in cluster.storages),
        "nfs": any(isinstance(s, model.Nfs) for s in cluster.storages),
        "bridge": bool(cluster.networks),
        "ipmi": bool(agents & {"fence_ipmilan", "fence_ilo4", "fence_ilo5", "fence_idrac", "fence_imm"}),
        "sbd": "fence_sbd" in agents,
        "sanlock": cluster.lock_driver.name == "sanlock",
    }
    return (*found, *(name for name, wanted in said.items() if wanted))


def packages(distribution: Distribution, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The names to install, sorted. Raises KeyError for a need that the distribution has nothing for."""
    return tuple(sorted({name for need in wanted for name in distribution.packages[need]}))

"""The Debian packages of the virtual machines, and what building and running them needs here beside the lab's own.

Run as a script it prints the latter, so that the Makefile can use it before anything of the project is installed.
"""

from __future__ import annotations

PACKAGES = ("mmdebstrap", "qemu-system-x86", "qemu-utils", "zstd", "e2fsprogs", "openipmi", "openssh-client")
"""What this machine needs, beside what a lab of namespaces stands on."""

COMMANDS = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "zstd": "zstd",
    "ipmi_sim": "openipmi",
    "ssh": "openssh-client",
    "ip": "iproute2",
}
"""A command each of them brings."""

INSTALLED = (
    # The cloud flavour of the kernel has no dlm, no gfs2, no ocfs2 and no i6300esb.
    "linux-image-amd64", "initramfs-tools", "systemd", "systemd-sysv", "udev", "dbus", "kmod", "qemu-guest-agent",
    "openssh-server", "apt-utils", "ca-certificates", "chrony", "iproute2", "iputils-ping", "less", "netbase",
    "procps", "psmisc", "e2fsprogs", "ipmitool", "lvm2", "nftables",
    "corosync", "pacemaker", "pacemaker-cli-utils", "pcs", "fence-agents", "resource-agents",
    "libvirt-daemon-system", "libvirt-daemon-driver-qemu", "libvirt-clients", "qemu-system-x86", "qemu-utils",
    "python3", "python3-libvirt", "python3-lxml",
)  # fmt: skip
"""What a fresh machine has. Unpacking it in three emulated machines would take longer than everything else."""

AT_HAND = ("dlm-controld", "gfs2-utils", "libdlm3", "lvm2-lockd", "sbd", "multipath-tools")
"""What a machine does not have yet, but can have at once: packages in a folder of its own that apt knows."""


if __name__ == "__main__":
    print("\n".join(PACKAGES))

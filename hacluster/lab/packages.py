"""The Debian packages a lab stands on. The Makefile installs from this list; a missing one is named by `hactl lab up`.

Run as a script it prints them, so that it can be used before anything of the project is installed.
"""

from __future__ import annotations

PACKAGES = (
    "binutils",
    "corosync",
    "dbus",
    "e2fsprogs",
    "fence-agents",
    "fence-virt",
    "gcc",
    "iproute2",
    "ipmitool",
    "kmod",
    "libc6-dev",
    "libvirt-clients",
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "libvirt-daemon-system",
    "libxml2-utils",
    "openipmi",
    "openssh-client",
    "openssh-server",
    "openssl",
    "pacemaker",
    "pacemaker-cli-utils",
    "pcs",
    "procps",
    "python3",
    "python3-libvirt",
    "python3-lxml",
    "python3-paramiko",
    "qemu-system-x86",
    "qemu-utils",
    "resource-agents",
    "systemd",
    "util-linux",
)
"""Install with --no-install-recommends, and with a policy-rc.d that starts nothing."""

COMMANDS = {
    "as": "binutils",
    "ld": "binutils",
    "corosync": "corosync",
    "mkfs.ext4": "e2fsprogs",
    "fence_ipmilan": "fence-agents",
    "gcc": "gcc",
    "ip": "iproute2",
    "ipmitool": "ipmitool",
    "modprobe": "kmod",
    "virsh": "libvirt-clients",
    "libvirtd": "libvirt-daemon",
    "xmllint": "libxml2-utils",
    "ipmi_sim": "openipmi",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "openssl": "openssl",
    "pacemakerd": "pacemaker",
    "crm_mon": "pacemaker-cli-utils",
    "pcs": "pcs",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "losetup": "util-linux",
}
"""A command each of them brings, by which its presence is known without asking dpkg."""


if __name__ == "__main__":
    print("\n".join(PACKAGES))

"""What a lab node's own disk holds: the files laid over the machine's root, as values.

A node boots the machine's own Debian through an overlay; what makes it *this* node is listed here. `systemd`, `ssh`,
`cluster` and `libvirt` are each a list of files; `bed` writes them. Nothing here writes or runs anything.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hacluster import lock_driver
from hacluster.cib import corosync
from hacluster.lab.layout import DLM_PORT, Layout
from hacluster.model import Node

UNITS = Path("/lib/systemd/system")
BOOTED = (
    "dbus.service",
    "systemd-ask-password-wall.path",
    "systemd-journald.service",
    "systemd-journal-flush.service",
    "systemd-tmpfiles-setup.service",
    "systemd-tmpfiles-setup-dev.service",
    "dbus.socket",
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
    "cryptsetup.target",
    "integritysetup.target",
    "veritysetup.target",
)
"""Units of Debian's own targets that a node keeps. Others (udev, login, sysctl, …) would touch the shared kernel."""

WANTED = {
    "multi-user.target": (
        "corosync.service", "pacemaker.service", "pcsd.service", "libvirtd.service", "ssh.service",
        "hacluster-drain.service",
    ),
    "sockets.target": (
        "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd-tcp.socket",
        "virtlogd.socket", "virtlogd-admin.socket", "virtlockd.socket", "virtlockd-admin.socket",
    ),
}  # fmt: skip

OPAQUE = (
    ("/etc/systemd/system", 0o755, "root"),
    ("/etc/init.d", 0o755, "root"),
    ("/etc/corosync", 0o755, "root"),
    ("/etc/pacemaker", 0o750, "hacluster"),
    ("/etc/libvirt/qemu", 0o755, "root"),
    ("/etc/libvirt/hooks", 0o755, "root"),
    ("/etc/ssh", 0o755, "root"),
    ("/etc/hacluster", 0o755, "root"),
    ("/root", 0o700, "root"),
    ("/usr/lib/hacluster", 0o755, "root"),
    ("/usr/lib/ocf/resource.d/hacluster", 0o755, "root"),
    ("/var/lib/pacemaker", 0o750, "hacluster"),
    ("/var/lib/pacemaker/cib", 0o750, "hacluster"),
    ("/var/lib/pacemaker/pengine", 0o750, "hacluster"),
    ("/var/lib/pacemaker/blackbox", 0o750, "hacluster"),
    ("/var/lib/pacemaker/cores", 0o750, "hacluster"),
    ("/var/lib/corosync", 0o755, "root"),
    ("/var/lib/pcsd", 0o755, "root"),
    ("/var/lib/libvirt", 0o755, "root"),
    ("/var/log/pacemaker", 0o770, "hacluster"),
    ("/var/log/corosync", 0o755, "root"),
    ("/var/log/pcsd", 0o755, "root"),
    ("/var/log/libvirt", 0o755, "root"),
    ("/var/log/hacluster", 0o755, "root"),
    ("/var/log/journal", 0o755, "root"),
)
"""Directories a node does not share with the machine below it: path, mode, owner (of group haclient if hacluster)."""

LIBVIRT_DIRECTORIES = (
    "images", "qemu", "qemu/nvram", "qemu/save", "dnsmasq", "lockd", "lockd/files", "boot", "network", "swtpm",
)  # fmt: skip
EMPTY = (
    *(f"/var/lib/libvirt/{name}" for name in LIBVIRT_DIRECTORIES),
    "/var/log/libvirt/qemu",
    "/etc/libvirt/qemu/autostart",
    "/etc/libvirt/qemu/networks",
)
"""Directories that Debian's packages bring and that stand empty in a node."""


@dataclass(frozen=True, slots=True)
class NodeFile:
    """One file of a node. `link` makes it a symbolic link to `content`."""

    path: str
    content: str | bytes
    mode: int = 0o644
    owner: str = "root"
    link: bool = False


@dataclass(frozen=True, slots=True)
class Keys:
    """What the nodes of a lab know each other by. `hosts` and `roots` map a node's name to (private, public) key."""

    corosync: bytes
    pacemaker: bytes
    hosts: dict[str, tuple[str, str]]
    roots: dict[str, tuple[str, str]]


def masked() -> list[str]:
    """The units Debian's targets pull in on this machine that a node does not boot."""
    found: set[str] = {"systemd-udevd.service", "systemd-logind.service", "systemd-machined.service", "tmp.mount"}
    for target in (
        "sysinit",
        "multi-user",
        "sockets",
        "local-fs",
        "basic",
        "timers",
        "graphical",
        "systemd-udevd.service",
    ):
        wants = UNITS / f"{target}.target.wants"
        if wants.is_dir():
            found.update(unit.name for unit in wants.iterdir() if unit.name not in BOOTED)
    return sorted(found)


def systemd(layout: Layout, node: Node, masks: Iterable[str]) -> list[NodeFile]:
    """The units a node boots, its name and its journal."""
    units = "/etc/systemd/system"
    files = [NodeFile(f"{units}/{unit}", "/dev/null", link=True) for unit in masks]
    files.append(NodeFile(f"{units}/default.target", f"{UNITS}/multi-user.target", link=True))
    for target, wanted in WANTED.items():
        files += [NodeFile(f"{units}/{target}.wants/{unit}", f"{UNITS}/{unit}", link=True) for unit in wanted]
    hosts = "127.0.0.1 localhost\n"
    for other in layout.cluster.nodes:
        for link, address in enumerate(other.addresses):
            hosts += f"{address} {other.name if link == 0 else f'{other.name}-link{link}'}\n"
    return [
        *files,
        # Nobody logs in at a console, and `network-online` is true as soon as systemd runs: the wires are in place.
        NodeFile("/etc/hostname", node.name + "\n"),
        NodeFile("/etc/machine-id", f"{_identity(layout, node):032x}\n", 0o444),
        NodeFile("/etc/fstab", ""),
        NodeFile("/etc/hosts", hosts),
        NodeFile("/etc/resolv.conf", ""),
        NodeFile(
            "/etc/systemd/journald.conf",
            "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSystemMaxUse=32M\nSyncIntervalSec=5s\n",
        ),
        NodeFile("/etc/systemd/system.conf", "[Manager]\nDefaultTimeoutStopSec=20s\nStatusUnitFormat=name\n"),
    ]


def _identity(layout: Layout, node: Node) -> int:
    seed = f"{layout.name}/{layout.cluster.name}/{node.name}".encode()
    return int.from_bytes(hashlib.sha256(seed).digest()[:16], "big")


def accounts(shadow: str, password_hash: str) -> NodeFile:
    """/etc/shadow of a node: the machine's, with a password for hacluster (pcsd) and none at all for root."""
    rows = [row.split(":") for row in shadow.splitlines()]
    for row in rows:
        if row[0] == "hacluster":
            row[1] = password_hash
        if row[0] == "root":
            row[1] = "*"
    return NodeFile("/etc/shadow", "".join(":".join(row) + "\n" for row in rows), 0o640)


def ssh(layout: Layout, node: Node, keys: Keys) -> list[NodeFile]:
    """sshd as on a real host: each node has its own host key and its own root key, and all know each other's."""
    private, public = keys.hosts[node.name]
    own_private, own_public = keys.roots[node.name]
    known = ""
    for other in layout.cluster.nodes:
        names = [other.name, *(f"{other.name}-link{n}" for n in range(1, len(other.addresses))), *other.addresses]
        known += f"{','.join(names)} {keys.hosts[other.name][1]}"
    settings = (
        "HostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nPrintMotd no\nMaxStartups 100\nMaxSessions 100\n"
        "AcceptEnv LANG LC_*\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
    )
    return [
        NodeFile("/etc/ssh/sshd_config", settings),
        NodeFile("/etc/ssh/ssh_config", "Host *\n    BatchMode yes\n    HashKnownHosts no\n"),
        NodeFile("/etc/ssh/ssh_host_ed25519_key", private, 0o600),
        NodeFile("/etc/ssh/ssh_host_ed25519_key.pub", public),
        NodeFile("/etc/ssh/ssh_known_hosts", known),
        NodeFile("/root/.ssh/id_ed25519", own_private, 0o600),
        NodeFile("/root/.ssh/id_ed25519.pub", own_public),
        NodeFile("/root/.ssh/authorized_keys", "".join(pair[1] for pair in keys.roots.values()), 0o600),
    ]


def cluster(layout: Layout, node: Node, keys: Keys) -> list[NodeFile]:
    """Corosync, Pacemaker and the first CIB. With dc-deadtime in it the first election takes 2 s instead of 20."""
    del node
    cib = (
        '<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">'
        '<configuration><crm_config><cluster_property_set id="cib-bootstrap-options">'
        '<nvpair id="cib-bootstrap-options-dc-deadtime" name="dc-deadtime" value="2s"/></cluster_property_set>'
        "</crm_config><nodes/><resources/><constraints/></configuration><status/></cib>\n"
    )
    return [
        NodeFile("/etc/corosync/corosync.conf", corosync_conf(layout)),
        NodeFile("/etc/corosync/authkey", keys.corosync, 0o400),
        NodeFile("/etc/pacemaker/authkey", keys.pacemaker, 0o440, "hacluster"),
        NodeFile("/etc/default/pacemaker", "PCMK_logfile=/var/log/pacemaker/pacemaker.log\nPCMK_logfacility=none\n"),
        NodeFile("/var/lib/pacemaker/cib/cib.xml", cib, 0o600, "hacluster"),
    ]


def corosync_conf(layout: Layout) -> str:
    """corosync.conf with two encrypted knet links; it may not leave its cgroup nor ask for real-time scheduling."""
    return corosync.conf(
        layout.cluster,
        totem={"token": "1000"},
        beside="logging {\n  to_logfile: yes\n  logfile: /var/log/corosync/corosync.log\n  to_syslog: no\n"
        "  timestamp: hires\n}\nsystem {\n  move_to_root_cgroup: no\n  sched_rr: no\n}\n",
    )


def libvirt(layout: Layout, node: Node, shim: bytes | None) -> list[NodeFile]:
    """libvirtd with a tcp socket and the spec's lock driver, QEMU without a sandbox. `shim` makes statfs call the
    shared directories GFS2."""
    host_uuid = uuid.UUID(int=_identity(layout, node), version=4)
    wanted = lock_driver.settings(layout.cluster.lock_driver, node.id)
    leases = [
        NodeFile(path, lock_driver.text(names)) for path, names in wanted.items() if path != lock_driver.QEMU_CONF
    ]
    migration = node.migration_host or node.addresses[-1]
    files = [
        NodeFile(
            "/etc/libvirt/libvirtd.conf",
            'auth_tcp = "none"\nlisten_tcp = 1\nauth_unix_ro = "none"\nauth_unix_rw = "none"\n'
            f'host_uuid = "{host_uuid}"\n',
        ),
        NodeFile("/etc/default/libvirtd", 'LIBVIRTD_ARGS=""\n'),
        NodeFile(
            "/etc/libvirt/qemu.conf",
            'user = "root"\ngroup = "root"\ndynamic_ownership = 0\nremember_owner = 0\nsecurity_driver = "none"\n'
            "cgroup_controllers = []\nnamespaces = []\nseccomp_sandbox = 0\n"
            f'migration_address = "0.0.0.0"\nmigration_host = "{migration}"\nstdio_handler = "logd"\n'
            + lock_driver.text(wanted[lock_driver.QEMU_CONF]),
        ),
        *leases,
    ]
    # A host's AppArmor profiles name the host's paths; in a node's own root they would confine libvirtd to nothing.
    unit = "[Service]\nAppArmorProfile=-unconfined\n"
    shared = [path for storage in layout.directories() for path in (storage.source, storage.mount)]
    if shim is not None and shared:
        files.append(NodeFile("/usr/local/lib/hacluster-lab-statfs.so", shim, 0o755))
        unit += "Environment=LD_PRELOAD=/usr/local/lib/hacluster-lab-statfs.so\n"
        unit += f"Environment=HACLUSTER_LAB_GFS2={':'.join(shared)}\n"
    files.append(NodeFile("/etc/systemd/system/libvirtd.service.d/lab.conf", unit))
    return files


def guard(layout: Layout) -> list[NodeFile]:
    """Which lock manager a lab node's guard uses, and where it is: the DLM stand-in in the switch."""
    addresses = "".join(f"{address} {DLM_PORT}\n" for address in layout.switch_addresses())
    return [
        NodeFile("/etc/hacluster/lab_dlm.conf", addresses),
        NodeFile(
            "/etc/hacluster/guard.conf",
            "dlm=module:/usr/lib/hacluster/lab_dlm.py:StandIn\nlockspace=hacluster\n",
        ),
    ]


def commands(project: Path, interpreter: str) -> list[NodeFile]:
    """`hactl` in a node: the interpreter and the code that made the lab, mounted at their own paths."""
    script = (
        f"#!{interpreter} -I\n"
        "import sys\n"
        f"sys.path.insert(0, {str(project)!r})\n"
        "from hacluster.cli.main import main\n"
        "main()\n"
    )
    return [NodeFile("/usr/local/bin/hactl", script, 0o755)]


def write(upper: Path, files: Sequence[NodeFile]) -> None:
    """Lay files into a node's disk, replacing what is there. Raises OSError."""
    for file in files:
        path = upper / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if file.link:
            path.symlink_to(str(file.content))
            continue
        path.write_bytes(file.content if isinstance(file.content, bytes) else file.content.encode())
        path.chmod(file.mode)
        if file.owner != "root":
            shutil.chown(path, file.owner, "haclient")

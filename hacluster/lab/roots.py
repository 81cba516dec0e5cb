"""Makes the nodes' disks: the upper layer that turns the machine's own Debian into each of them.

`node_files` says what is in it; here it is written, with keys made for this lab alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hacluster.host import payload
from hacluster.lab import host, node_files
from hacluster.lab.disks import Device
from hacluster.lab.layout import HACLUSTER_PASSWORD, Bmc, Layout
from hacluster.lab.power import PYTHON
from hacluster.model import Cluster

CHARACTER_DEVICES = (
    ("/dev/null", 1, 3), ("/dev/zero", 1, 5), ("/dev/full", 1, 7), ("/dev/random", 1, 8), ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0), ("/dev/net/tun", 10, 200),
)  # fmt: skip


def lay(layout: Layout, devices: Sequence[Device], bmcs: Sequence[Bmc], project: Path, spec: bytes | None) -> None:
    """Write all nodes' disks. `devices` are the shared disks' device files, `project` is what `hactl` there runs.

    Raises Refused (HA706) when a tool fails, OSError when the disk is full.
    """
    nodes = layout.cluster.nodes
    keys = make_keys(layout.run / "keys", [node.name for node in nodes])
    masks = node_files.masked()
    shim = build_shim(layout.run) if layout.directories() else None
    password = host.run(["openssl", "passwd", "-6", HACLUSTER_PASSWORD]).strip()
    common = [
        node_files.accounts(Path("/etc/shadow").read_text(encoding="utf-8"), password),
        *node_files.commands(project, sys.executable),
        *secret_files(layout.cluster, bmcs),
        *node_files.guard(layout),
        *guard_files(),
    ]
    if spec is not None:
        common.append(node_files.NodeFile("/etc/hacluster/cluster.toml", spec, 0o600))
    for node in nodes:
        own = layout.directory(node.name)
        lay_directories(own / "upper")
        (own / "work").mkdir()
        node_files.write(
            own / "upper",
            [
                *node_files.systemd(layout, node, masks),
                *node_files.ssh(layout, node, keys),
                *node_files.cluster(layout, node, keys),
                *node_files.libvirt(layout, node, shim),
                *common,
            ],
        )
        compile_guard(own / "upper")
        for storage in layout.directories():
            (own / "upper" / storage.mount.lstrip("/")).mkdir(parents=True, exist_ok=True)
        lines = [f"{path} c {major} {minor}" for path, major, minor in CHARACTER_DEVICES]
        lines += [f"{device.path} b {device.major} {device.minor}" for device in devices]
        (own / "devices").write_text("\n".join(lines) + "\n", encoding="utf-8")
        binds = [f"{layout.shared(storage)} {storage.source} rw" for storage in layout.directories()]
        binds += [f"{place} {place} ro" for place in mounted(project, Path(sys.prefix))]
        (own / "binds").write_text("\n".join(binds) + "\n", encoding="utf-8")


def secret_files(cluster: Cluster, bmcs: Sequence[Bmc]) -> Iterator[node_files.NodeFile]:
    """The files that the spec's fence devices take their passwords from."""
    passwords = {bmc.device: bmc.password for bmc in bmcs}
    for device in cluster.fence_devices:
        secret = device.secrets.get("password")
        if secret is not None and secret.scheme == "file" and device.name in passwords:
            yield node_files.NodeFile(secret.argument, passwords[device.name] + "\n", 0o600)


def mounted(*places: Path) -> list[Path]:
    """Which of these directories a node must be given: not what /usr brings, and nothing twice."""
    kept: list[Path] = []
    for place in sorted({place.resolve() for place in places}):
        if place != Path("/usr") and not any(place.is_relative_to(other) for other in kept):
            kept.append(place)
    return kept


def make_keys(directory: Path, names: Sequence[str]) -> node_files.Keys:
    """Fresh keys for a lab: corosync's, Pacemaker's, and for each node a host key and a root key. Raises Refused."""
    directory.mkdir(mode=0o700)

    def pair(owner: str, comment: str) -> tuple[str, str]:
        path = directory / f"{owner}"
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
        return path.read_text(), path.with_name(path.name + ".pub").read_text()

    return node_files.Keys(
        corosync=secrets.token_bytes(256),
        pacemaker=secrets.token_bytes(256),
        hosts={name: pair(f"host-{name}", name) for name in names},
        roots={name: pair(f"root-{name}", f"root@{name}") for name in names},
    )


def build_shim(run: Path) -> bytes:
    """Compile the statfs shim. Raises Refused when the compiler refuses."""
    out = run / "statfs.so"
    host.run(["gcc", "-shared", "-fPIC", "-O1", "-o", out, Path(__file__).parent / "assets" / "statfs.c"])
    return out.read_bytes()


def guard_files() -> list[node_files.NodeFile]:
    """The guard of a lab node: what `hactl node bootstrap` installs, and the client of the lock server."""
    client = (Path(__file__).parent / "dlm_client.py").read_bytes()
    return [
        *(node_files.NodeFile(file.destination, file.content, file.mode) for file in payload.files()),
        node_files.NodeFile("/usr/lib/hacluster/lab_dlm.py", client),
    ]


def compile_guard(root: Path) -> None:
    """Byte-compile the guard below a node's root, as its installation on a real host does. Raises Refused."""
    library = root / "usr/lib/hacluster"
    host.run([PYTHON, "-IS", "-m", "compileall", "-q", "-s", root, "-p", "/", library], timeout=60)


def lay_directories(upper: Path) -> None:
    """Make the directories of a node that nothing of the machine shows through."""
    for path, mode, owner in node_files.OPAQUE:
        directory = upper / path.lstrip("/")
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(mode)
        if owner != "root":
            shutil.chown(directory, owner, "haclient")
        os.setxattr(directory, "trusted.overlay.opaque", b"y")
    for path in node_files.EMPTY:
        (upper / path.lstrip("/")).mkdir(parents=True, exist_ok=True)

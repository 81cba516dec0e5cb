"""Makes the cluster of a spec out of bare machines, as a starting point for tests: by the shortest way, not an admin's.

`hactl node bootstrap` is the admin's way, over ssh. Here the machines are told through their agents, nothing is asked
twice, and everything waits long enough for an emulated machine.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from hacluster.cib import corosync
from hacluster.cib.compile import compile as compile_cib
from hacluster.host import payload
from hacluster.lab.machines.bed import Machines
from hacluster.lab.machines.description import Description
from hacluster.model import Cluster, Gfs2
from hacluster.problems import Problem, Refused, kind

NOT_THESE = kind(
    "HA757",
    "The machines are not this cluster's",
    "Nodes, addresses and BMCs of a spec for virtual machines must be those of vagrant/machines.json.",
)
STEP_FAILED = kind("HA758", "The cluster could not be made", "A command in a machine did not succeed in time.")

PACKAGES = ("dlm-controld", "gfs2-utils", "libdlm3", "lvm2-lockd")
SECRETS = "/var/lib/pacemaker/lrm/secrets"
SLOWER = 4
"""How many times as long an operation may take in an emulated machine beside busy others as on a host."""

TOKEN = "10000"
INSTALLS_WITHIN = 600.0
STARTS_WITHIN = 600.0
Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    content: bytes
    mode: int = 0o644
    owner: str = "root:root"


def check(cluster: Cluster, description: Description) -> None:
    """Raise Refused unless the spec's nodes, addresses and BMCs are the machines'."""
    problems = list(_findings(cluster, description))
    if problems:
        raise Refused(problems)


def _findings(cluster: Cluster, description: Description) -> Iterator[Problem]:
    machines = {machine.name: machine for machine in description.machines}
    if [node.name for node in cluster.nodes] != list(machines):
        yield NOT_THESE(f"The machines are {', '.join(machines)}.", where="nodes")
        return
    for node in cluster.nodes:
        if node.addresses != machines[node.name].addresses:
            yield NOT_THESE(
                f"{node.name}'s addresses are {', '.join(machines[node.name].addresses)}.",
                where=f"nodes.{node.name}.addresses",
            )
    for device in cluster.fence_devices:
        boards = [machines[target].bmc for target in device.targets if target in machines]
        if device.agent != "fence_ipmilan" or [device.parameters.get("ip", "")] != boards:
            yield NOT_THESE(
                f"{device.name} must be the fence_ipmilan of one machine: {', '.join(boards)}.",
                where=f"fence_devices.{device.name}",
            )


def state(spec: bytes) -> str:
    """The name of the snapshot of this cluster: another spec, another guard or another way to it is another one."""
    digest = hashlib.sha256(spec + Path(__file__).read_bytes())
    for file in payload.files():
        digest.update(file.content)
    return f"cluster-{digest.hexdigest()[:12]}"


def make(bed: Machines, cluster: Cluster, spec: bytes, step: Step) -> None:
    """Turn the bare machines into the cluster: every node online, the storage mounted on each. Raises Refused."""
    check(cluster, bed.description)
    names = [machine.name for machine in bed.description.machines]
    keys = {"corosync": secrets.token_bytes(256), "pacemaker": secrets.token_bytes(256)}
    work = _Work(bed)
    work.everywhere(
        f"DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends {' '.join(PACKAGES)}",
        INSTALLS_WITHIN,
    )
    step("packages")
    script = _put(_files(cluster, bed.description, spec, keys))
    # lvmlockd's host id comes from the DLM; without locking LVM would take a shared volume group for a foreign one.
    script += "sed -i 's/^[# \\t]*use_lvmlockd *=.*/\\tuse_lvmlockd = 1/' /etc/lvm/lvm.conf\n"
    script += "".join(f"mkdir -p {storage.mount}\n" for storage in cluster.storages if isinstance(storage, Gfs2))
    script += "systemctl enable -q corosync pacemaker && systemctl start pacemaker\n"
    work.everywhere(script, STARTS_WITHIN)
    step("Corosync and Pacemaker run")
    first = names[0]
    work.until(first, f"test $(crm_node -l | grep -c member) = {len(names)} && crmadmin -t 20 -D", STARTS_WITHIN)
    held_back = [f"{storage.name}-lv-clone" for storage in cluster.storages if isinstance(storage, Gfs2)]
    work.once(first, "cibadmin --replace --xml-pipe", stdin=cib(cluster, held_back))
    work.everywhere_until("pidof lvmlockd && test -d /sys/kernel/dlm/hacluster", STARTS_WITHIN)
    step("DLM, lockspace and lvmlockd on all nodes")
    for storage in cluster.storages:
        if isinstance(storage, Gfs2):
            work.once(first, _formatted(storage), STARTS_WITHIN)
            work.everywhere(f"vgchange --lock-start {storage.volume_group}", STARTS_WITHIN)
    for clone in held_back:
        work.once(first, f"crm_resource --resource {clone} --meta --delete-parameter target-role")
    for storage in cluster.storages:
        if isinstance(storage, Gfs2):
            work.everywhere_until(f"mountpoint -q {storage.mount}", STARTS_WITHIN)
            step(f"{storage.mount} is mounted on all nodes")


def cib(cluster: Cluster, held_back: Sequence[str]) -> str:
    """The spec's CIB, for slow machines; the clones in `held_back` start when their storage has been made."""
    root = etree.fromstring(compile_cib(cluster))
    root.set("admin_epoch", "1")  # newer than the empty one that Pacemaker has begun with
    for operation in root.iter("op"):
        seconds = operation.get("timeout", "20s").removesuffix("s")
        operation.set("timeout", f"{int(seconds) * SLOWER}s")
    for clone in root.iter("clone"):
        if clone.get("id") in held_back:
            attributes = clone.find("meta_attributes")
            assert attributes is not None
            name = f"{attributes.get('id')}-target-role"
            etree.SubElement(attributes, "nvpair", id=name, name="target-role", value="Stopped")
    text: bytes = etree.tostring(root)
    return text.decode()


def _formatted(storage: Gfs2) -> str:
    """The commands that make the shared volume group, the volume and the file system."""
    size = f"-J {storage.journal_size >> 20} -j {storage.journals}"
    return (
        f"vgcreate --shared {storage.volume_group} {storage.device}\n"
        f"lvcreate --yes --activate sy -l 100%FREE -n {storage.logical_volume} {storage.volume_group}\n"
        f"mkfs.gfs2 -q -O -p lock_dlm -t {storage.lock_table} {size} "
        f"/dev/{storage.volume_group}/{storage.logical_volume}\n"
    )


def _files(cluster: Cluster, description: Description, spec: bytes, keys: dict[str, bytes]) -> Iterator[_File]:
    """What a node of the cluster has beside Debian's packages; the same for each of them."""
    conf = corosync.conf(cluster, totem={"token": TOKEN})
    hosts = "127.0.0.1 localhost\n"
    for machine in description.machines:
        hosts += f"{machine.addresses[0]} {machine.name}\n"
    yield _File("/etc/hosts", hosts.encode())
    yield _File("/etc/corosync/corosync.conf", conf.encode())
    yield _File("/etc/corosync/authkey", keys["corosync"], 0o400)
    yield _File("/etc/pacemaker/authkey", keys["pacemaker"], 0o440, "hacluster:haclient")
    yield _File("/etc/hacluster/cluster.toml", spec, 0o600)
    password = description.bmc_password.encode()
    for device in cluster.fence_devices:
        store = f"{SECRETS}/{device.name}/password"
        digest = hashlib.md5(password, usedforsecurity=False).hexdigest()
        yield _File(store, password + b"\n", 0o600)
        yield _File(f"{store}.sign", f"{digest}\n".encode(), 0o600)
        secret = device.secrets.get("password")
        if secret is not None and secret.scheme == "file":
            yield _File(secret.argument, password + b"\n", 0o600)
    for file in payload.files():
        yield _File(file.destination, file.content, file.mode)


def _put(files: Iterable[_File]) -> str:
    """A script that writes the files."""
    script = "set -e\n"
    for file in files:
        path = shlex.quote(file.path)
        text = base64.b64encode(file.content).decode()
        script += f"install -D -m {file.mode:o} /dev/null {path}\nbase64 -d > {path} <<'END'\n{text}\nEND\n"
        if file.owner != "root:root":
            script += f"chown {file.owner} {path}\n"
    return script


class _Work:
    """Shell scripts in the machines: in one or in all at once, once or until they succeed. Raises Refused."""

    def __init__(self, bed: Machines) -> None:
        self._bed = bed
        self._names = [machine.name for machine in bed.description.machines]

    def once(self, node: str, script: str, timeout: float = 120, stdin: str | None = None) -> None:
        """Run it; it must succeed."""
        argv = ["sh", "-ec", script] if stdin is not None else ["sh", "-es"]
        done = self._bed.exec(node, argv, stdin=script if stdin is None else stdin, timeout=timeout)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
            raise Refused(STEP_FAILED(" / ".join(said) or script[:80], where=node, rc=done.returncode))

    def until(self, node: str, script: str, within: float) -> None:
        """Run it again and again until it succeeds."""
        end = time.monotonic() + within
        while self._bed.exec(node, ["sh", "-c", script], timeout=60).returncode:
            if time.monotonic() > end:
                raise Refused(STEP_FAILED(f"Not within {within:.0f} s: {script}", where=node))
            time.sleep(2)

    def everywhere(self, script: str, within: float) -> None:
        """`once` in all machines at the same time."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: self.once(node, script, within), self._names))

    def everywhere_until(self, script: str, within: float) -> None:
        """`until` in all machines at the same time."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: self.until(node, script, within), self._names))

"""A lab: a whole Pacemaker cluster on this machine, brought up from a Cluster and taken down without a trace.

A Bed is only a name and a Cluster; everything it knows about a running lab it reads from the kernel and from the
lab's run directory, so any process can use a lab that another one made, also after that one was killed. `down` needs
nothing but the name.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lxml import etree

from hacluster.lab import disks, fabric, host, node_files, power, roots, teardown
from hacluster.lab.alone import alone
from hacluster.lab.canary import Canary
from hacluster.lab.layout import RUNS, Layout, bmcs, check, check_name
from hacluster.model import Cluster
from hacluster.problems import Problem, Refused, kind

ALREADY = kind("HA708", "Another lab of this name is up", "A lab is built from one spec; it is not changed in place.")
NO_LAB = kind("HA709", "There is no such lab", "The command needs a lab that is up.")
NO_NODE = kind("HA710", "There is no such node", "The lab has the nodes of its spec.")
NO_LINK = kind("HA717", "There is no such link", "A node has one Corosync link for each of its addresses, from 0.")
NODE_OFF = kind("HA711", "The node is off", "Nothing runs in a node without power.")
NOT_ONLINE = kind("HA712", "The cluster did not come up", "Every node must be online, with a DC, within the deadline.")
LEFT_OVER = kind("HA713", "Something of the lab is left over", "A lab leaves nothing behind.")
NO_DISK = kind(
    "HA716", "There is no such disk", "The lab judges a counting guest by the disk of a VM that its spec has."
)
POWER_FAILED = kind("HA714", "A node could not be switched", "The kernel did not do it within its deadline.")

ONLINE_WITHIN = 60.0
Report = Callable[[str], None]


def _silent(line: str) -> None:
    del line


class Bed:
    """The lab called `name`. `cluster` is needed to bring it up; for everything else the name is enough.

    Raises Refused for a name that no lab can have.
    """

    def __init__(self, name: str = "lab", cluster: Cluster | None = None) -> None:
        check_name(name)
        self.name = name
        self.cluster = cluster
        self.run = RUNS / name

    # ---- the whole lab

    def up(self, report: Report = _silent, *, project: Path | None = None, spec: bytes | None = None) -> None:
        """Bring the lab up and wait until every node is online. A half-built lab of this name is removed first.

        `project` is mounted read-only in each node (default: where this code is); `spec` becomes each node's
        /etc/hacluster/cluster.toml. `report` gets a line per step. Raises Refused.
        """
        started = time.monotonic()

        def step(line: str) -> None:
            report(f"{time.monotonic() - started:5.1f} s  {line}")

        if self.cluster is None:
            raise ValueError("a lab is brought up from a Cluster")
        check(self.name, self.cluster)
        if problems := host.findings():
            raise Refused(problems)
        cgroups = host.cgroup2()
        assert cgroups is not None
        layout = Layout(self.name, self.cluster, cgroups)
        digest = hashlib.sha256(repr(self.cluster).encode()).hexdigest()
        with alone(self.name):
            if self.is_up():
                if self._state()["cluster"] != digest:
                    raise Refused(
                        ALREADY(
                            f"The lab {self.name} is up, with another cluster in it.",
                            where=self.name,
                            remedy=f"hactl lab down --name {self.name}",
                        )
                    )
                step("already up")
            else:
                teardown.remove(self.name, step)
                try:
                    self._build(layout, digest, project or Path(__file__).parents[2], spec, step)
                except BaseException:
                    teardown.remove(self.name, _silent)
                    raise
            for node in self.cluster.nodes:
                self._switch(node.name, "on")
            self._wait_online(layout, step)

    def down(self, report: Report = _silent) -> list[str]:
        """Remove the lab, whatever state it is in, and return what is left over: nothing, or what would not go."""
        with alone(self.name):
            teardown.remove(self.name, report)
        return teardown.leftovers(self.name)

    def is_up(self) -> bool:
        """True when the lab was built to its end. Its nodes may be on or off."""
        return (self.run / "ready").exists()

    def _build(self, layout: Layout, digest: str, project: Path, spec: bytes | None, step: Report) -> None:
        assert self.cluster is not None
        self.run.mkdir(parents=True, mode=0o755)
        host.run(["mount", "-t", "tmpfs", "-o", "size=50%,mode=755", "hacluster-lab", self.run])
        host.run(["mount", "--make-private", self.run])
        for name in ("ns", "nodes", "bmc"):
            (self.run / name).mkdir()
        (layout.cgroup / "fabric").mkdir(parents=True)
        devices = disks.build(layout)
        step("disks and guest")
        controllers = bmcs(self.cluster, secrets.token_hex(8))
        state = {
            "lab": self.name,
            "cluster": digest,
            "cgroup": str(layout.cgroup),
            "nodes": {node.name: {"ports": layout.ports(node)} for node in self.cluster.nodes},
            "bmcs": {bmc.device: {"node": bmc.node, "address": bmc.address} for bmc in controllers},
            "block": [[disk.vm, disk.path, str(disk.image)] for disk in layout.block_disks()],
            "file": [[disk.vm, disk.path, str(disk.image)] for disk in layout.file_disks()],
        }
        (self.run / "bed.json").write_text(json.dumps(state, indent=1))
        roots.lay(layout, devices, controllers, project, spec)
        step("the nodes' disks")
        fabric.build_switch(layout, controllers)
        fabric.start_lock_server(layout)
        for bmc in controllers:
            fabric.start_bmc(layout, bmc)
        step("switch, BMCs, lock server")
        for node in self.cluster.nodes:
            supply = power.Supply(str(self.run), node.name)
            power.on(supply, wait=False)
        for node in self.cluster.nodes:
            power.wait_until_up(power.Supply(str(self.run), node.name))
        step("nodes have booted")
        (self.run / "ready").touch()

    def _wait_online(self, layout: Layout, step: Report) -> None:
        assert self.cluster is not None
        wanted = {node.name for node in self.cluster.nodes}
        end = time.monotonic() + ONLINE_WITHIN
        first = self.cluster.nodes[0].name
        online: set[str] = set()
        while time.monotonic() < end:
            online = self.online(first)
            if online >= wanted:
                step(f"online: {' '.join(sorted(online))}")
                return
            time.sleep(0.2)
        raise Refused(
            NOT_ONLINE(
                f"Not online after {ONLINE_WITHIN:.0f} s: {', '.join(sorted(wanted - online))}.",
                where=layout.name,
                remedy=f"hactl lab exec --name {self.name} {sorted(wanted - online)[0]} -- journalctl -b",
            )
        )

    def online(self, witness: str) -> set[str]:
        """The nodes that `witness` sees online while there is a DC; empty when it does not answer."""
        done = self.exec(witness, ["crm_mon", "-1", "--output-as=xml"], timeout=10)
        if done.returncode:
            return set()
        tree = etree.fromstring(done.stdout.encode())
        if tree.find("summary/current_dc[@present='true']") is None:
            return set()
        return {str(node.get("name")) for node in tree.iterfind("nodes/node[@online='true']")}

    def deploy(self) -> list[str]:
        """Lay the guard's files into the nodes again; the nodes they went to. Those that are off get them, too.

        A running node's libvirtd is told to reload, as it looks for hooks only when it starts. Raises Refused.
        """
        names = self.nodes() if self.is_up() else []
        if not names:
            raise Refused(self._none())
        for name in names:
            leader = self._supply(name).leader()
            # An overlay's upper layer may not be written to below a mounted overlay: go in through its root.
            root = self.run / "nodes" / name / "upper" if leader is None else Path(f"/proc/{leader}/root")
            node_files.write(root, roots.guard_files())
            roots.compile_guard(root)
            if leader is not None:
                self.exec(name, ["systemctl", "daemon-reload"], timeout=20)
                self.exec(name, ["systemctl", "reload", "libvirtd"], timeout=20)
        return names

    def canary(self, vm: str) -> Canary:
        """The counting disk of a VM, to be read from this machine. Raises Refused when there is none."""
        disks_by_vm = self.disks()
        if vm not in disks_by_vm:
            raise Refused(
                NO_DISK(
                    f"{vm} has no disk in the lab {self.name}.",
                    where=vm,
                    remedy=f"hactl lab check --name {self.name}",
                    disks=", ".join(disks_by_vm),
                )
            )
        return Canary(disks_by_vm[vm])

    def disks(self) -> dict[str, Path]:
        """Where this machine finds the first disk of each VM: a loop device, or a file. Raises Refused (HA709)."""
        if not self.is_up():
            raise Refused(self._none())
        state = self._state()
        loops = {backing: device for device, backing in disks.loops(self.run)}
        found: dict[str, Path] = {}
        for vm, _, image in [*_rows(state["block"]), *_rows(state["file"])]:
            found.setdefault(vm, Path(loops.get(image, image)))
        return found

    # ---- one node

    def _state(self) -> dict[str, object]:
        return dict(json.loads((self.run / "bed.json").read_text()))

    def _supply(self, node: str) -> power.Supply:
        if not self.is_up():
            raise Refused(self._none())
        try:
            return power.Supply(str(self.run), node)
        except KeyError:
            names = ", ".join(self.nodes())
            raise Refused(
                NO_NODE(
                    f"The lab {self.name} has no node {node}.",
                    where=node,
                    remedy=f"hactl lab status --name {self.name}",
                    nodes=names,
                )
            ) from None

    def nodes(self) -> list[str]:
        """The lab's nodes, in the spec's order."""
        nodes = self._state()["nodes"]
        assert isinstance(nodes, dict)
        return list(nodes)

    def leader(self, node: str) -> int | None:
        """This machine's pid of a node's systemd, whose /proc/PID/root is the node's; None while it is off."""
        return self._supply(node).leader()

    def command(self, node: str, argv: Sequence[str]) -> list[str]:
        """The command of this machine that runs `argv` in a node, in the node's cgroup, as root.

        Raises Refused when there is no such node or it is off.
        """
        supply = self._supply(node)
        leader = supply.leader()
        if leader is None:
            raise Refused(self._off(node))
        group = Path(supply.cgroup) / "exec"
        try:
            group.mkdir(exist_ok=True)
        except OSError as gone:  # it lost its power since
            if gone.errno not in (errno.ENOENT, errno.ENODEV):
                raise
            raise Refused(self._off(node)) from None
        return [
            "/bin/sh", "-c", 'echo 0 >"$0" && exec "$@"', str(group / "cgroup.procs"),
            "nsenter", "-t", str(leader), "-m", "-u", "-i", "-n", "-p", "-C", "--wdns=/root", "--", *argv,
        ]  # fmt: skip

    def _none(self) -> Problem:
        return NO_LAB(
            f"There is no lab called {self.name}.", where=self.name, remedy=f"hactl lab up --name {self.name}"
        )

    def _off(self, node: str) -> Problem:
        return NODE_OFF(f"{node} is off.", where=node, remedy=f"hactl lab power on {node} --name {self.name}")

    @staticmethod
    def environment() -> dict[str, str]:
        """The environment of a command in a node: the node's, and the caller's terminal."""
        return {**power.ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb"), "container": "hacluster-lab"}

    def exec(
        self, node: str, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a node to its end. One that does not end is killed after `timeout` seconds: 124 or 137."""
        bounded = ["timeout", "--kill-after=1", str(timeout), *argv]
        return subprocess.run(
            self.command(node, bounded), env=self.environment(), input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True, text=True, errors="replace", check=False, timeout=timeout + 30,
        )  # fmt: skip

    def power(self, node: str, order: str) -> str:
        """`on`, `off`, `cycle`, `freeze`, `thaw`, or `status`; the node's power afterwards: on, off or frozen.

        Raises Refused.
        """
        supply = self._supply(node)
        if order in ("freeze", "thaw"):
            with _as_problem(node):
                power.freeze(str(self.run), node, order == "freeze")
        elif order != "status":
            self._switch(node, order)
        return supply.status()

    def _switch(self, node: str, order: str) -> None:
        with _as_problem(node):
            power.switch(str(self.run), node, order)

    def link(self, node: str, up: bool, link: int | None = None) -> None:
        """Plug a node's corosync links in or pull them; `link` None means all of them. Raises Refused.

        A node that is switched on has all of them plugged in.
        """
        supply = self._supply(node)
        if supply.leader() is None:
            raise Refused(self._off(node))
        bridges = sorted(bridge for _, bridge, *_ in supply.ports if bridge.startswith("link"))
        if link is not None and f"link{link}" not in bridges:
            raise Refused(
                NO_LINK(
                    f"{node} has no link {link}.",
                    where=node,
                    remedy=f"hactl lab status --name {self.name}",
                    links=", ".join(bridges),
                )
            )
        for port, bridge, *_ in supply.ports:
            if bridge == f"link{link}" or (link is None and bridge.startswith("link")):
                state = "up" if up else "down"
                host.run(["nsenter", f"--net={supply.switch}", "ip", "link", "set", port, state])

    def links(self, node: str) -> dict[str, bool]:
        """Each corosync link of a node: True when it is plugged in and the node has power."""
        supply = self._supply(node)
        shown = host.run(["nsenter", f"--net={supply.switch}", "ip", "-o", "link"])
        plugged = {line.split(": ")[1].split("@")[0] for line in shown.splitlines() if "state UP" in line}
        return {bridge: port in plugged for port, bridge, *_ in supply.ports if bridge.startswith("link")}


@contextmanager
def _as_problem(node: str) -> Iterator[None]:
    try:
        yield
    except power.PowerError as error:
        raise Refused(POWER_FAILED(str(error), where=node)) from error


def _rows(value: object) -> list[list[str]]:
    assert isinstance(value, list)
    return value

"""The power switch of a lab node: on, off, and what the BMC of the node answers.

Every way a node can lose its power ends here: the operator's `hactl lab power`, the BMC that fence_ipmilan talks to,
and a node that shuts itself down. It also runs as a script, `python3 -IS power.py ...`, once per question that
ipmi_sim asks, so this module imports little, needs only the standard library, and reads no configuration but the
lab's own `bed.json`. It may not build or tear down a lab; that is `bed`'s business.

Order of a power-off: the node's wires go down first, because a machine that loses its power sends no FIN and no RST,
then its processes are killed, then its network namespace goes.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from itertools import count

PYTHON = "/usr/bin/python3"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
DIES_WITHIN = 20.0
BOOTS_WITHIN = 30.0
SELF_TEST = 10
"""Seconds from a BMC's power-on to the start of systemd. Firmware takes minutes; a node that is back within a second
of its own fencing would be given its VMs again before the others have begun to start them."""


class PowerError(Exception):
    """A node could not be switched within its deadline; the text says which and why."""


class Supply:
    """The power supply of one node: where its cgroup, its run directory and its wires are.

    Reads `bed.json` of the lab whose run directory is `run`. Raises FileNotFoundError when there is no such lab and
    KeyError when it has no such node.
    """

    __slots__ = ("cgroup", "directory", "fabric_cgroup", "netns", "node", "ports", "run", "switch")

    def __init__(self, run: str, node: str) -> None:
        import json

        with open(run + "/bed.json", encoding="utf-8") as file:
            bed = json.load(file)
        self.run = run
        self.node = node
        self.directory = f"{run}/nodes/{node}"
        self.cgroup = f"{bed['cgroup']}/{node}"
        self.fabric_cgroup = f"{bed['cgroup']}/fabric"
        self.switch = f"{run}/ns/switch"
        self.netns = f"{run}/ns/{node}"
        # port name in the switch, bridge it is plugged into, name inside the node, MAC address, address or ""
        self.ports: list[list[str]] = bed["nodes"][node]["ports"]

    def leader(self) -> int | None:
        """The host's pid of the node's systemd, or None when the node is off."""
        try:
            with open(self.directory + "/pid", encoding="ascii") as file:
                pid = int(file.read())
            with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
                inside = self.cgroup.rsplit("/hacluster-lab/", 1)[1]
                if not any(f"/hacluster-lab/{inside}/" in line.strip() + "/" for line in file):
                    return None
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                return None if file.read().rsplit(")", 1)[1].split()[0] == "Z" else pid
        except (OSError, ValueError):
            return None

    def status(self) -> str:
        """`on`, `frozen` or `off`."""
        if self.leader() is None:
            return "off"
        return "frozen" if _read(self.cgroup + "/cgroup.freeze").strip() == "1" else "on"

    def lock(self) -> int:
        """Wait for this node's switch; the file descriptor that is returned holds it until it is closed."""
        fd = os.open(self.directory + "/power.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _run(argv: list[str], *, check: bool = True) -> None:
    import subprocess

    done = subprocess.run(
        argv, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
    )
    if check and done.returncode:
        raise PowerError(f"{' '.join(argv[:6])} … failed: {done.stderr.strip()}")


def _in_netns(netns: str, script: str, *, check: bool = True) -> None:
    _run(["nsenter", f"--net={netns}", "/bin/sh", "-ec", script], check=check)


def tell_lock_server(run: str, **request: str) -> None:
    """Tell the DLM stand-in what happened to a node. A lab without a running stand-in has nobody to tell."""
    import json
    import socket

    with socket.socket(socket.AF_UNIX) as talk:
        talk.settimeout(3)
        try:
            talk.connect(run + "/dlm.sock")
            talk.sendall(json.dumps(request).encode() + b"\n")
            talk.recv(4096)
        except OSError:
            return


def kill_cgroup(cgroup: str) -> None:
    """Kill all processes below `cgroup` and remove it; nothing happens when it does not exist. Raises PowerError."""
    end = time.monotonic() + DIES_WITHIN
    for attempt in count():
        if not os.path.isdir(cgroup):
            return
        # Again now and then: what an interrupted `up` had just started may come in after the first kill.
        if attempt % 20 == 0:
            _write(cgroup + "/cgroup.kill", "1")
        if "populated 1" not in _read(cgroup + "/cgroup.events"):
            _remove_cgroup(cgroup)
        if time.monotonic() > end:
            raise PowerError(f"processes in {cgroup} did not die")
        time.sleep(0.005 if attempt else 0)


def _remove_cgroup(cgroup: str) -> None:
    for directory, _, _ in os.walk(cgroup, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:  # a dying task may hold its cgroup for a moment longer, a new one may have come in
            return


def detach(namespace_file: str) -> None:
    """Let go of a network namespace that is kept by a file; nothing happens when it is not."""
    _run(["umount", namespace_file], check=False)
    if os.path.exists(namespace_file):
        os.unlink(namespace_file)


def off(supply: Supply) -> None:
    """Cut the power of a node; an already dark node stays dark. The caller holds the node's lock."""
    wires = "".join(f"ip link set {port} down 2>/dev/null || true\n" for port, *_ in supply.ports)
    _in_netns(supply.switch, wires, check=False)
    kill_cgroup(supply.cgroup)
    tell_lock_server(supply.run, op="off", node=supply.node)
    detach(supply.netns)
    # The kernel takes the wires away some time after the namespace; a new one needs their names.
    _in_netns(
        supply.switch, "".join(f"ip link del {port} 2>/dev/null || true\n" for port, *_ in supply.ports), check=False
    )
    if os.path.exists(supply.directory + "/pid"):
        os.unlink(supply.directory + "/pid")


def on(supply: Supply, *, wait: bool = True, self_test: int = 0) -> None:
    """Switch a node on and return when its systemd answers; one that is on stays on. The caller holds the lock.

    `self_test` is how many seconds it has power before it boots.
    """
    import subprocess

    if supply.leader() is not None:
        return
    off(supply)
    _plug(supply)
    os.makedirs(supply.cgroup)
    with open(supply.directory + "/console.log", "ab") as log:
        subprocess.run(
            [PYTHON, "-IS", __file__, "supervise", supply.run, supply.node, str(self_test)],
            env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=True,
            timeout=10,
        )  # fmt: skip
    if wait:
        wait_until_up(supply)


def wait_until_up(supply: Supply) -> None:
    """Wait until the node's systemd takes requests. Raises PowerError after BOOTS_WITHIN seconds."""
    end = time.monotonic() + BOOTS_WITHIN
    while True:
        leader = supply.leader()
        if leader is not None and os.path.exists(f"/proc/{leader}/root/run/dbus/system_bus_socket"):
            return
        if time.monotonic() > end or not os.path.isdir(supply.cgroup):
            last = _read(supply.directory + "/console.log").strip().rsplit("\n", 3)[-3:]
            raise PowerError(f"{supply.node} did not boot; its console says: {' / '.join(last) or 'nothing'}")
        time.sleep(0.01)


def _plug(supply: Supply) -> None:
    """Make the node's network namespace and plug its wires into the switch."""
    with open(supply.netns, "w", encoding="ascii"):
        pass
    _run(["unshare", f"--net={supply.netns}", "true"])
    outside, inside = "", "ip link set lo up\n"
    for port, bridge, name, mac, address in supply.ports:
        outside += (
            f"ip link add {port} type veth peer name {name} netns {supply.netns} address {mac}\n"
            f"ip link set {port} master {bridge} up\n"
        )
        inside += f"ip link set {name} up\n"
        if address:
            inside += f"ip addr add {address} dev {name}\n"
        else:  # a bridge for the nics of virtual machines
            inside += (
                f"ip link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n"
                f"ip link set {name} master {bridge}\nip link set {bridge} up\n"
            )
    _in_netns(supply.switch, outside)
    _in_netns(supply.netns, inside)


def supervise(supply: Supply, self_test: str = "0") -> None:
    """Boot the node's systemd in namespaces of its own and wait; when it ends by itself, that is a power-off.

    Runs as a process of the lab's fabric, outside the node, so that it outlives the node.
    """
    import subprocess

    if os.fork():
        return  # whoever switches the node on waits only until its supervisor is a process of its own
    _write(supply.fabric_cgroup + "/cgroup.procs", "0")

    def enter_cgroup() -> None:
        _write(supply.cgroup + "/cgroup.procs", "0")

    node = subprocess.Popen(
        ["nsenter", f"--net={supply.netns}",
         "unshare", "--mount", "--uts", "--ipc", "--cgroup", "--pid", "--fork", "--propagation", "private",
         "/bin/sh", os.path.dirname(__file__) + "/assets/init.sh", supply.node, supply.directory,
         self_test],
        env=ENVIRONMENT, stdin=subprocess.DEVNULL, preexec_fn=enter_cgroup,  # noqa: PLW1509 - one thread, one write
    )  # fmt: skip
    leader = ""
    while not leader and node.poll() is None:
        leader = " ".join(_read(f"/proc/{node.pid}/task/{node.pid}/children").split()[:1])
        time.sleep(0.002)
    _write(supply.directory + "/pid.new", leader)
    os.rename(supply.directory + "/pid.new", supply.directory + "/pid")
    node.wait()
    held = supply.lock()
    if _read(supply.directory + "/pid") == leader:
        off(supply)
    os.close(held)


def switch(run: str, node: str, order: str) -> None:
    """Carry out `on`, `off` or `cycle` for a node, one order at a time. Raises PowerError."""
    supply = Supply(run, node)
    held = supply.lock()
    try:
        if order != "on":
            off(supply)
        if order != "off":
            on(supply)
    finally:
        os.close(held)


def freeze(run: str, node: str, frozen: bool) -> None:
    """Stop or continue every process of a node, as a machine that hangs. Raises PowerError when it is off."""
    supply = Supply(run, node)
    if supply.leader() is None:
        raise PowerError(f"{node} is off")
    _write(supply.cgroup + "/cgroup.freeze", "1" if frozen else "0")
    end = time.monotonic() + 10
    while f"frozen {int(frozen)}" not in _read(supply.cgroup + "/cgroup.events"):
        if time.monotonic() > end:
            raise PowerError(f"{node} did not {'freeze' if frozen else 'thaw'} within 10 s")
        time.sleep(0.005)


def bmc(supply: Supply, words: list[str]) -> None:
    """Answer ipmi_sim's chassis control: `get NAME…`, `set NAME VALUE…` or `check NAME…` (ipmi_lan(5)).

    A power-off or a reset that the BMC has executed is what makes a node fenced, so it tells the lock server.
    """
    order, rest = words[0], words[1:]
    if order == "get":
        for name in rest:
            value = {"power": "0" if supply.status() == "off" else "1", "boot": "default"}.get(name, "0")
            print(f"{name}:{value}")
    if order == "set":
        for name, value in zip(rest[::2], rest[1::2], strict=True):
            deed = {("power", "0"): "off", ("power", "1"): "on"}.get((name, value), "cycle" if name == "reset" else "")
            if not deed:
                continue
            with open(supply.run + "/bmc.log", "a", encoding="utf-8") as log:
                log.write(f"{time.time():.3f} {supply.node} {deed}\n")
            held = supply.lock()
            if deed != "on":
                off(supply)
            # A fence agent that finds its target off already only switches it on: that is a fence as well.
            if supply.status() == "off":
                tell_lock_server(supply.run, op="fenced", node=supply.node)
            if deed != "off":
                on(supply, wait=False, self_test=SELF_TEST)
            os.close(held)


def main(argv: list[str]) -> int:
    """`supervise RUN NODE SECONDS`, or `bmc RUN NODE get|set|check …` for ipmi_sim."""
    role, run, node, *words = argv
    supply = Supply(run, node)
    if role == "supervise":
        supervise(supply, *words)
    else:
        bmc(supply, words)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

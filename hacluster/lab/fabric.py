"""What surrounds the nodes: the switch with one bridge per link, the BMCs, and the DLM stand-in.

The switch is a network namespace of its own. Nothing in it is reachable from the machine's own network.
"""

from __future__ import annotations

import ipaddress
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from hacluster.lab import host, ipmi, power
from hacluster.lab.layout import DLM_PORT, SWITCH, Bmc, Layout
from hacluster.problems import Refused


def build_switch(layout: Layout, bmcs: Sequence[Bmc]) -> None:
    """Make the switch's namespace, a bridge per link and per VM network, and the addresses of switch and BMCs."""
    switch = layout.run / "ns" / SWITCH
    switch.touch()
    host.run(["unshare", f"--net={switch}", "true"])
    script = "ip link set lo up\n"
    bridges = [f"link{link}" for link in range(layout.links)] + [network.bridge for network in layout.cluster.networks]
    for number, bridge in enumerate(bridges):
        # A bridge without an address of its own takes one from its ports, and another when a node loses its power:
        # then nobody would reach the BMCs until the neighbours' caches have expired.
        mac = f"02:97:00:00:00:{number:02x}"
        script += f"ip link add {bridge} address {mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n"
        script += f"ip link set {bridge} up\n"
    own = layout.switch_addresses()
    for link, address in enumerate(own):
        script += f"ip addr add {address}/24 dev link{link}\n"
    for address in dict.fromkeys(bmc.address for bmc in bmcs):
        link = next(n for n, gateway in enumerate(own) if _same_network(gateway, address))
        script += f"ip addr add {address}/24 dev link{link}\n"
    host.run(["nsenter", f"--net={switch}", "/bin/sh", "-ec", script])


def _same_network(one: str, other: str) -> bool:
    return ipaddress.IPv4Address(other) in ipaddress.IPv4Network(f"{one}/24", strict=False)


def start_bmc(layout: Layout, bmc: Bmc) -> None:
    """Start ipmi_sim for one fence device; what it switches is the node's power."""
    directory = layout.run / "bmc" / bmc.device
    switch = f"{power.PYTHON} -IS {power.__file__} bmc {layout.run} {bmc.node}"
    _spawn(layout, ipmi.prepare(directory, bmc, switch), directory / "log")


def start_lock_server(layout: Layout) -> None:
    """Start the DLM stand-in on every link's switch address. Raises Refused when it does not answer within 5 s."""
    addresses = layout.switch_addresses()
    nodes = [f"{address}={node.name}" for node in layout.cluster.nodes for address in node.addresses]
    listen = [f"{address}:{DLM_PORT}" for address in addresses]
    socket = layout.run / "dlm.sock"
    code = str(Path(__file__).parents[2])
    start = f"import sys; sys.path.insert(0, {code!r}); from hacluster.lab.dlm_server import main; main(sys.argv[1:])"
    _spawn(
        layout,
        [power.PYTHON, "-IS", "-c", start, socket, ",".join(listen), ",".join(nodes)],
        layout.run / "dlm.log",
    )
    end = time.monotonic() + 5
    while not socket.exists():
        if time.monotonic() > end:
            log = (layout.run / "dlm.log").read_text(errors="replace")
            raise Refused(host.FAILED("The DLM stand-in did not start.", log=log.strip()))
        time.sleep(0.01)


def _spawn(layout: Layout, argv: Sequence[str | Path], log: Path) -> None:
    """Start a process of the fabric, in the switch and in the fabric's cgroup, as nobody's child."""
    command = ["nsenter", f"--net={layout.run / 'ns' / SWITCH}", *map(str, argv)]
    # The shell enters the cgroup, so that whatever this process was started by does not hold it.
    script = '{ echo 0 >"$0" && exec "$@"; } &'
    with log.open("ab") as out:
        subprocess.run(
            ["/bin/sh", "-c", script, str(layout.cgroup / "fabric" / "cgroup.procs"), *command],
            env=power.ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            check=True, timeout=10,
        )  # fmt: skip


def bmc_answers(cgroup: str, directory: Path) -> bool:
    """True when the ipmi_sim of the BMC in `directory` is running in the lab whose cgroup this is."""
    pids = Path(cgroup, "fabric", "cgroup.procs").read_text().split()
    return any(_is_ipmi_sim(pid, directory) for pid in pids)


def _is_ipmi_sim(pid: str, directory: Path) -> bool:
    try:
        words = Path("/proc", pid, "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return False
    return Path(words[0]).name == "ipmi_sim" and str(directory / "lan.conf") in words

"""The machines' network, and their BMCs: one namespace on this machine, with a bridge for each network.

Who wants to reach a machine goes into that namespace; nothing of it can be reached from outside. The BMCs have their
addresses there.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from hacluster.lab import host, ipmi, power
from hacluster.lab.layout import Bmc
from hacluster.lab.machines.description import NETWORKS, Description, Machine


def namespace(run: Path) -> Path:
    """The file that keeps the namespace."""
    return run / "ns" / "machines"


def build(run: Path, description: Description) -> None:
    """Make the namespace, the bridges, a wire for each card, and the BMCs' addresses. Raises Refused."""
    file = namespace(run)
    file.parent.mkdir()
    file.touch()
    host.run(["unshare", f"--net={file}", "true"])
    script = "ip link set lo up\n"
    for network in range(NETWORKS):
        bridge = f"link{network}"
        script += f"ip link add {bridge} address 02:97:98:00:00:{network:02x} type bridge stp_state 0 forward_delay 0\n"
        script += f"ip link set {bridge} up\nip addr add {description.gateway(network)}/24 dev {bridge}\n"
        for machine in description.machines:
            tap = machine.tap(network)
            script += f"ip tuntap add {tap} mode tap\nip link set {tap} master {bridge} up\n"
    for machine in description.machines:
        script += f"ip addr add {machine.bmc}/24 dev link0\n"
    host.run(["nsenter", f"--net={file}", "/bin/sh", "-ec", script])


def start_bmc(run: Path, cgroup: Path, machine: Machine, description: Description) -> None:
    """Start ipmi_sim for one machine, in a cgroup of its own: to freeze it is to make the BMC unreachable."""
    directory = run / "bmc" / machine.name
    code = str(Path(__file__).parents[3])
    start = (
        f"import sys; sys.path.insert(0, {code!r}); from hacluster.lab.machines.power import main; main(sys.argv[1:])"
    )
    bmc = Bmc(machine.name, machine.name, machine.bmc, description.bmc_username, description.bmc_password)
    words = ipmi.prepare(directory, bmc, f'{power.PYTHON} -IS -c "{start}" {run} {machine.name}')
    group = bmc_cgroup(cgroup, machine.name)
    group.mkdir(parents=True)
    script = '{ echo 0 >"$0" && exec nsenter --net="$1" -- "${@:2}"; } &'
    with (directory / "log").open("ab") as log:
        subprocess.run(
            ["/bin/bash", "-c", script, str(group / "cgroup.procs"), str(namespace(run)), *words],
            env=power.ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=True,
        )  # fmt: skip


def bmc_cgroup(cgroup: Path, node: str) -> Path:
    """Where the BMC of that machine runs."""
    return cgroup / f"bmc-{node}"

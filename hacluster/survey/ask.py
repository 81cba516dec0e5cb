"""Sending the probe to every host at once, reading their clocks, and the CPU that all of them could give a guest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from hacluster import model
from hacluster.ports import Clock, Runner, Unknown, Unreachable
from hacluster.problems import Problem, Refused
from hacluster.survey import probe
from hacluster.survey.facts import Host, Survey, read

DEADLINE = 90.0
"""Seconds for a host's whole answer: a peer that is down costs it a dozen, and eight are asked at once."""
MIGRATION_PORT = 49152
"""The first of libvirt's ports for migrations."""
_PCSD = 2224
_LIBVIRT = {"tcp": 16509, "tls": 16514, "ssh": 22}
_PROBE = Path(probe.__file__)


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that was learnt. `refused` are hosts that must not be talked to, as Problems; `baseline` is the CPU
    model that all hosts could give a guest, None where that is not known."""

    survey: Survey
    refused: tuple[Problem, ...]
    baseline: str | None


def uri(cluster: model.Cluster, node: model.Node) -> str:
    """How a peer's libvirt is dialled for a migration."""
    host = node.migration_host or node.name
    if cluster.migration_transport == "ssh":
        return f"qemu+ssh://root@{host}/system?no_tty=1"
    return f"qemu+{cluster.migration_transport}://{host}/system"


def ports(cluster: model.Cluster) -> tuple[int, ...]:
    """TCP ports that a host must reach on its peers."""
    return (_PCSD, _LIBVIRT[cluster.migration_transport], MIGRATION_PORT)


def questions(cluster: model.Cluster, name: str) -> Mapping[str, object]:
    """What the probe on one host is asked."""
    return {
        "devices": list(shared_devices(cluster)),
        "peers": {
            node.name: {
                "ssh": node.migration_host or node.ssh_host or node.name,
                "uri": uri(cluster, node),
                "migration": node.migration_host or node.name,
                "ports": list(ports(cluster)),
                "addresses": list(node.addresses),
            }
            for node in cluster.nodes
            if node.name != name
        },
    }


def shared_devices(cluster: model.Cluster) -> tuple[str, ...]:
    """Block devices that every node must see: under file systems, and those that are disks themselves."""
    stacks = (s for s in cluster.storages if isinstance(s, model.Gfs2 | model.Ocfs2))
    found = [storage.device for storage in stacks if storage.device is not None]
    blocks = {storage.name for storage in cluster.storages if isinstance(storage, model.Block)}
    found += [disk.path for vm in cluster.vms for disk in vm.disks if disk.storage in blocks]
    return tuple(dict.fromkeys(found))


def ask(cluster: model.Cluster, runner: Runner, clock: Clock, tell: Callable[[str], None]) -> Asked:
    """Ask every host of the spec, all at once. Raises nothing: who does not answer is Unknown."""
    refused: list[Problem] = []

    def one(node: model.Node) -> Host | Unknown:
        try:
            told = _host(cluster, runner, clock, node.name)
        except Unreachable as error:
            told = Unknown(str(error))
        except Refused as no:
            refused.extend(no.problems)
            told = Unknown("; ".join(problem.message for problem in no.problems))
        tell(f"{node.name} {'did not answer' if isinstance(told, Unknown) else 'has answered'}")
        return told

    with ThreadPoolExecutor(max(1, len(cluster.nodes))) as pool:
        survey = dict(zip((node.name for node in cluster.nodes), pool.map(one, cluster.nodes), strict=True))
    return Asked(survey, tuple(refused), _baseline(runner, survey))


def _host(cluster: model.Cluster, runner: Runner, clock: Clock, name: str) -> Host | Unknown:
    # A script that is fed to an interpreter has no name for the log; `sh -c … NAME` gives it one, and finds a python3
    # that is not called so (RHEL's own).
    script = 'p=$(command -v python3 || echo /usr/libexec/platform-python); exec "$p" -I - "$1"'
    done = runner.run(
        name,
        ["sh", "-c", script, "hactl-survey", json.dumps(questions(cluster, name))],
        stdin=_PROBE.read_bytes(),
        deadline=DEADLINE,
    )
    if not done.ok:
        said = done.err.decode(errors="replace").strip().rpartition("\n")[2]
        return Unknown(f"the survey's program ended with {done.code}: {said or 'no word'}")
    told = read(name, done.out)
    if isinstance(told, Unknown):
        return told
    skew, doubt = _skew(runner, clock, name)
    return replace(told, skew=skew, doubt=doubt)


def _skew(runner: Runner, clock: Clock, name: str) -> tuple[float | None, float | None]:
    """How far a host's clock is ahead of this machine's, and the doubt: half of the quickest of three rounds."""
    best: tuple[float, float] | None = None
    for _ in range(3):
        before = clock.wall()
        done = runner.run(name, ["date", "+%s.%N"], deadline=10.0)
        after = clock.wall()
        try:
            skew = float(done.out) - (before + after) / 2
        except ValueError:
            continue
        if best is None or (after - before) / 2 < best[1]:
            best = (skew, (after - before) / 2)
    return (None, None) if best is None else (round(best[0], 3), round(best[1], 3))


def _baseline(runner: Runner, survey: Survey) -> str | None:
    """libvirt's own answer: the richest CPU that every host's hypervisor can give (baselineHypervisorCPU)."""
    hosts = [host for host in survey.values() if isinstance(host, Host)]
    models = [host.hypervisor.host_model for host in hosts if host.hypervisor and host.hypervisor.host_model]
    if len(models) < len(survey) or not models:
        return None
    # Without KVM everywhere a guest's CPU is emulated, and the hosts' own CPUs do not matter to it.
    kvm = all(host.hypervisor and host.hypervisor.kvm for host in hosts)
    text = "".join(f"<cpu mode='custom' match='exact'>{model}</cpu>\n" for model in models)
    argv = ["virsh", "-q", "-c", "qemu:///system", "hypervisor-cpu-baseline", "/dev/stdin"]
    try:
        done = runner.run(
            hosts[0].name, [*argv, "--virttype", "kvm" if kvm else "qemu"], stdin=text.encode(), deadline=30.0
        )
    except (Unreachable, Refused):
        return None
    name = done.out.decode(errors="replace").partition("</model>")[0].rpartition(">")[2].strip()
    return name if done.ok and name else None

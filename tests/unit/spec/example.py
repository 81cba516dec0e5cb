"""The shipped example as data: what a test needs to make one thing wrong in it and see what is said."""

from __future__ import annotations

from pathlib import Path

from hacluster import spec
from hacluster.model import Cluster
from hacluster.problems import Problem

EXAMPLES = Path(__file__).parents[3] / "examples"
KVM = (EXAMPLES / "kvm-cluster.toml").read_text()

# The smallest spec that has nothing wrong with it but what a test adds.
SMALL = """
[cluster]
name = "c"
[nodes.n1]
addresses = ["10.0.0.1"]
fencing = ["f"]
[nodes.n2]
addresses = ["10.0.0.2"]
fencing = ["f"]
[nodes.n3]
addresses = ["10.0.0.3"]
fencing = ["f"]
[fence_devices.f]
agent = "fence_virsh"
[storage.s]
type = "directory"
source = "/shared"
mount = "/vm"
[storage.luns]
type = "block"
directory = "/dev/luns"
[networks.lan]
bridge = "br0"
"""
VM = """
[vms.web]
uuid = "3c9f7a40-6f2e-4d0b-9a6b-2f8f9d1e7a01"
memory = "512M"
vcpus = 1
disks = [{ path = "/vm/web.img", format = "raw" }]
nics = [{ network = "lan", mac = "52:54:00:00:00:01" }]
"""


def changed(*changes: tuple[str, str], text: str = KVM) -> str:
    """The text with each first string replaced, once, by the second; a change that finds nothing is a broken test."""
    for old, new in changes:
        assert old in text, f"{old!r} is not in the example any more"
        text = text.replace(old, new, 1)
    return text


def parse(text: str, base: Path = EXAMPLES) -> tuple[Cluster | None, tuple[Problem, ...]]:
    return spec.parse(text.encode(), base)


def cluster(text: str, base: Path = EXAMPLES) -> Cluster:
    made, found = parse(text, base)
    assert made is not None, found
    return made


def findings(text: str, base: Path = EXAMPLES) -> list[tuple[str, str]]:
    """Code and place of each finding, in order."""
    return [(p.code, p.where) for p in parse(text, base)[1]]


def only(text: str, base: Path = EXAMPLES) -> Problem:
    """The one finding that there has to be."""
    found = parse(text, base)[1]
    assert len(found) == 1, found
    return found[0]

"""A cluster of three, its machines in memory, and a run of all steps on them."""

from pathlib import Path

import pytest

from hacluster import model, spec
from hacluster.bootstrap import steps
from hacluster.bootstrap.steps import Site, Told
from hacluster.cli.bootstrapping import all_steps
from tests.bare_machines import Machine, San

SPEC = """
[cluster]
name = "kvm"
[nodes.n1]
addresses = ["10.0.1.1", "10.0.2.1"]
migration_host = "10.0.2.1"
fencing = ["ipmi-n1"]
[nodes.n2]
addresses = ["10.0.1.2", "10.0.2.2"]
migration_host = "10.0.2.2"
fencing = ["ipmi-n2"]
[nodes.n3]
addresses = ["10.0.1.3", "10.0.2.3"]
migration_host = "10.0.2.3"
fencing = ["ipmi-n3"]
[fence_devices.ipmi-n1]
agent = "fence_ipmilan"
ip = "10.0.3.1"
username = "admin"
password = "file:/etc/hacluster/secrets/ipmi"
lanplus = true
[fence_devices.ipmi-n2]
agent = "fence_ipmilan"
ip = "10.0.3.2"
username = "admin"
password = "file:/etc/hacluster/secrets/ipmi"
lanplus = true
[fence_devices.ipmi-n3]
agent = "fence_ipmilan"
ip = "10.0.3.3"
username = "admin"
password = "file:/etc/hacluster/secrets/ipmi"
lanplus = true
[storage.images]
type = "gfs2"
device = "/dev/disk/by-id/shared"
volume_group = "vg"
logical_volume = "lv"
mount = "/kvm/images"
journal_size = "32M"
[networks.lan]
bridge = "br0"
interface = "eth2"
"""


def cluster_of(text: str = SPEC) -> model.Cluster:
    cluster, found = spec.parse(text.encode(), Path())
    assert cluster is not None, found
    return cluster


def machines(san: San | None = None) -> dict[str, Machine]:
    san = san or San()
    return {name: Machine(name, san) for name in ("n1", "n2", "n3")}


def site_of(hosts: dict[str, Machine], text: str = SPEC, accepted: frozenset[str] = frozenset()) -> Site:
    return Site(cluster_of(text), hosts, accepted)


def run(site: Site) -> tuple[Told, ...]:
    return steps.apply(site, all_steps(), lambda text: None)


def changes(told: tuple[Told, ...]) -> list[str]:
    return [change.headline for each in told for change in each.looked.changes]


@pytest.fixture
def hosts() -> dict[str, Machine]:
    return machines()

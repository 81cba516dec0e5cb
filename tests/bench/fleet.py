"""A cluster.toml of any size: sixteen nodes, GFS2, and VMs as people write them, with rules on where they run."""

from __future__ import annotations

NODES = 16
RULES_EVERY = 10
"""One anti-affinity and one start order for so many VMs."""

_HEAD = """\
[cluster]
name = "bench"
[storage.images]
type = "gfs2"
device = "/dev/mapper/shared-lun"
volume_group = "vg_cluster"
logical_volume = "lv_images"
mount = "/srv/images"
[networks.lan]
bridge = "br0"
"""


def spec(vms: int) -> str:
    """The text of the spec."""
    parts = [_HEAD, *map(_node, range(1, NODES + 1)), *map(_vm, range(vms))]
    parts += [_rules(first) for first in range(0, vms - RULES_EVERY + 1, RULES_EVERY)]
    return "".join(parts)


def name(number: int) -> str:
    """A VM's name."""
    return f"vm{number:05}"


def _node(number: int) -> str:
    return f"""\
[nodes.kvm{number}]
addresses = ["10.0.1.{number}", "10.0.2.{number}"]
migration_host = "10.0.2.{number}"
fencing = ["ipmi-kvm{number}"]
memory = "2T"
cpus = 128
[fence_devices.ipmi-kvm{number}]
agent = "fence_ipmilan"
ip = "10.0.3.{number}"
username = "hacluster"
password = "file:/etc/hacluster/secrets/ipmi-kvm{number}"
lanplus = true
cipher = 3
privlvl = "operator"
"""


def _vm(number: int) -> str:
    return f"""\
[vms.{name(number)}]
uuid = "3c9f7a40-6f2e-4d0b-9a6b-{number + 1:012x}"
memory = "4G"
vcpus = 2
disks = [{{ path = "/srv/images/{name(number)}.qcow2", format = "qcow2" }}]
nics = [{{ network = "lan", mac = "52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}" }}]
placement = {{ prefer = {{ kvm{number % NODES + 1} = 100 }} }}
"""


def _rules(first: int) -> str:
    one, two, three = map(name, range(first, first + 3))
    return f"""\
[anti_affinity.apart-{first}]
vms = ["{one}", "{two}"]
score = 500
[start_order.boot-{first}]
steps = ["{one}", ["{two}", "{three}"]]
"""

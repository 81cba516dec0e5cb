"""The ids of everything that hactl writes into a CIB: one place, so that compile, merge, move and status agree.

Ids are deterministic and readable, and follow what pcs would have called the thing where pcs has a habit (`X-clone`,
`X-meta_attributes`, `cib-bootstrap-options-NAME`), so that an admin's own pcs commands find it. Nothing here reads or
writes anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

DLM = "dlm"
LVMLOCKD = "lvmlockd"
CLVMD = "clvmd"
O2CB = "o2cb"
LOCKSPACE = "hacluster-lockspace"
PROPERTY_SET = "cib-bootstrap-options"
DEFAULTS = "hacluster-defaults"
MANIFEST_SET = "hacluster"
MANIFEST = "hacluster-owned"
APPLIED = "hacluster-applied"
"""Names the record of the last apply (docs/decisions/0017-what-was-applied-lies-on-the-nodes.md)."""
MANIFEST_PROPERTY_PREFIX = "property:"
FENCING_SET = "hacluster-fencing"
FENCED_PREFIX = "hacluster-fenced-"
FENCING_PROOF = "hacluster-fencing-proof"
FENCING_PROOF_AGE = "hacluster-fencing-proof-age"
DOMAIN_DIRECTORY = "/etc/hacluster/domains"

_XML_ID = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")


def is_id(text: str) -> bool:
    """Whether Pacemaker's schema takes the text as an id (an XML NCName; of it, the ASCII part)."""
    return _XML_ID.fullmatch(text) is not None


def clone(primitive: str) -> str:
    """The clone around a primitive."""
    return f"{primitive}-clone"


def volume(storage: str) -> str:
    """The primitive that activates a storage's logical volume."""
    return f"{storage}-lv"


def vm_volume(storage: str, logical_volume: str) -> str:
    """The primitive that activates one VM's volume. LVM takes + in a name, an id does not."""
    return f"{storage}-lv-{logical_volume.replace('+', '_')}"


def volumes_on(storage: str) -> str:
    """The tag of the volumes that VMs have on a storage."""
    return f"{storage}-lvs"


def filesystem(storage: str) -> str:
    """The primitive that mounts a storage."""
    return f"{storage}-fs"


def vms_on(storages: Iterable[str], agent: str = "hacluster") -> str:
    """The tag of the VMs that stand on exactly these storages, one for each agent; constraints name it."""
    on = "vm-on-" + ("-".join(sorted(storages)) or "nothing")
    return on if agent == "hacluster" else f"{agent}-{on}"


def order(first: str, then: str) -> str:
    """The constraint "first, then"."""
    return f"order-{first}-then-{then}"


def colocation(resource: str, with_resource: str) -> str:
    """The constraint "resource only where with_resource is"."""
    return f"colocate-{resource}-with-{with_resource}"


def not_on(device: str, node: str) -> str:
    """The constraint that keeps a fence device off the node that it fences."""
    return f"{device}-not-on-{node}"


def not_on_remotes(clone: str) -> str:
    """The constraint that keeps a clone off all Pacemaker remote nodes."""
    return f"{clone}-not-on-remotes"


def prefers(vm: str, node: str) -> str:
    """The constraint of a VM's preference for a node."""
    return f"{vm}-prefers-{node}"


def avoids(vm: str, node: str) -> str:
    """The constraint that keeps a VM off a node."""
    return f"{vm}-avoids-{node}"


def affinity(rule: str) -> str:
    """The constraint of an affinity rule. The words in front keep it apart from the ids of its sets."""
    return f"affinity-rule-{rule}"


def affinity_set(rule: str, side: str) -> str:
    """One of its sets: first or others."""
    return f"affinity-{side}-{rule}"


def anti_affinity(rule: str) -> str:
    """The constraint of an anti-affinity rule."""
    return f"anti-affinity-rule-{rule}"


def anti_affinity_set(rule: str, side: str) -> str:
    """One of its sets: vms or from."""
    return f"anti-affinity-{side}-{rule}"


def start_order(order_: str) -> str:
    """The constraint of a start order."""
    return f"start-order-rule-{order_}"


def start_order_step(order_: str, part: str, number: int) -> str:
    """A part of a start order by its number: step, delay, before and after (a delay), and their sets."""
    return f"start-order-{part}-{number}-{order_}"


def node_utilization(node: int | str) -> str:
    """What a node has for VMs, by the node's id; as pcs calls it."""
    return f"nodes-{node}-utilization"


def fencing_level(node: str, index: int) -> str:
    """One level of a node's fencing topology; the first has index 1."""
    return f"fencing-{node}-level-{index}"


def move_claim(vm: str) -> str:
    """The location constraint that a move in progress is (never compiled; kept by merge)."""
    return f"hactl-move-{vm}"


def domain_file(vm: str, sha256: str, agent: str = "hacluster") -> str:
    """Where a node keeps a VM's domain XML, by the hexadecimal sha256 of its content.

    Those of heartbeat's agent lie apart: whatever lies in the directory itself is the guard's, and libvirt's hook lets
    such a VM start only where its run-lock is held.
    """
    folder = DOMAIN_DIRECTORY if agent == "hacluster" else f"{DOMAIN_DIRECTORY}/{agent}"
    return f"{folder}/{vm}.{sha256[:16]}.xml"


def instance_attributes(owner: str) -> str:
    """The instance attributes of a resource."""
    return f"{owner}-instance_attributes"


def meta_attributes(owner: str) -> str:
    """The meta attributes of a resource."""
    return f"{owner}-meta_attributes"


def operation(owner: str, name: str, interval: str = "0s") -> str:
    """One operation of a resource."""
    return f"{owner}-{name}-{interval}"


def manifest_property(name: str) -> str:
    """How the manifest names an owned cluster property."""
    return f"{MANIFEST_PROPERTY_PREFIX}{name}"

"""What `hactl compile` gives to each template: the values by name, their meaning, and a sample of each.

The samples stand in where a template is looked at without a spec: when it is shown filled, and when an operator's own
is checked. A test compares this table with what compiling really gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hacluster.cib import names
from hacluster.cib.templates import Value


@dataclass(frozen=True, slots=True)
class Noun:
    """A template's place: its root element's tag, the id that constraints name, and the values that it is given.

    `needed` always have a value; one of the `optional` may be absent, and its nvpair is left out then.
    """

    tag: str
    root: str
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def values(self, *, bare: bool = False) -> dict[str, Value]:
        """A sample of each value; with `bare` the optional ones are absent."""
        return {name: SAMPLES[name][0] for name in self.needed} | {
            name: None if bare else SAMPLES[name][0] for name in self.optional
        }


SAMPLES: Mapping[str, tuple[Value, str]] = {
    "id": ("sample", "the primitive's id; its clone is called ID-clone"),
    "name": ("sample", "the resource's id, which is the name in the spec"),
    "uuid": ("d3b07384-d9a0-4c9b-8f1e-000000000001", "the VM's UUID"),
    "config": ("/etc/hacluster/domains/sample.0123456789abcdef.xml", "the domain XML on each node, named by its hash"),
    "xml_sha256": ("0" * 64, "the domain XML's SHA-256"),
    "stop_budget": (120, "seconds that the guest may take to shut down"),
    "stop_timeout": (180, "stop_budget and a margin to destroy it and to prove that it is gone"),
    "handover": ("paused", "how a live move ends: paused, running or leased"),
    "migration_transport": ("ssh", "ssh, tcp or tls"),
    "migration_hosts": ("n1=10.0.2.1 n2=10.0.2.2", "what is dialled for a migration, by node"),
    "migrate_to_timeout": (660, "the migration's own bound and a margin to look at both hosts"),
    "migration_timeout": (600, "seconds after which a migration is given up; absent for the agent's default"),
    "bandwidth": (100, "MiB/s for a migration"),
    "downtime": (300, "milliseconds that a guest may stand still at the switch-over"),
    "parallel": (4, "connections of a migration"),
    "post_copy": ("true", "true where the guest may run on the target before all of its memory is there"),
    "auto_converge": ("true", "true where a busy guest is slowed down until it can be moved"),
    "migrate_options": ("--auto-converge", "virsh's switches for what the stock agent has no parameter for"),
    "priority": (10, "Pacemaker's priority"),
    "allow_migrate": ("true", "whether Pacemaker may move it live"),
    "moves": ("none", "none for a VM that is not even moved cold"),
    "cpu": (2, "vCPUs, for placement by utilization"),
    "host_memory": (2048, "MiB that the VM takes of its host, for placement by utilization"),
    "agent": ("fence_ipmilan", "the fence agent"),
    "targets": ("n1", "the nodes that the device fences"),
    "delay": (5, "seconds: a fence device's pcmk_delay_base, or the pause between two steps"),
    "delay_max": (10, "seconds: a fence device's pcmk_delay_max"),
    "host_map": ("n1:3", "a fence device's pcmk_host_map: which plug is which node's"),
    "provides": ("unfencing", "what the device provides beside fencing"),
    "timeout": (90, "the pause and a margin"),
    "device": ("/dev/vg_sample/lv_sample", "what is mounted"),
    "source": ("/srv/sample", "the directory that is bound to the mount point"),
    "mount": ("/kvm/sample", "the mount point"),
    "options": ("noatime,nodiratime", "mount options"),
    "volume_group": ("vg_sample", "the volume group"),
    "logical_volume": ("lv_sample", "the logical volume"),
    "volume_manager": ("lvmlockd", "lvmlockd or clvmd"),
    "lock_driver": ("lockd", "libvirt's lock driver, where the spec asks for one"),
    "lockspace_dir": ("/kvm/sample/leases", "where libvirt keeps its leases"),
    "lockspace_mount": ("/kvm/sample", "the shared file system that they lie on"),
    "server": ("10.0.0.9", "the remote node's address"),
    "reconnect": (60, "seconds between attempts to reach a remote node again"),
    "cluster_name": ("sample", "the cluster's name"),
    "priority_fencing_delay": (15, "seconds, for two nodes: the more important node shoots first"),
    "stickiness": (1000, "how much a resource likes to stay where it is"),
}
"""Each value's sample and meaning."""

_VM = (
    "allow_migrate", "config", "handover", "migrate_to_timeout", "migration_transport", "name",
    "stop_budget", "stop_timeout", "uuid", "xml_sha256",
)  # fmt: skip
_VM_OPTIONAL = (
    "auto_converge", "bandwidth", "cpu", "downtime", "host_memory", "migrate_options", "migration_hosts",
    "migration_timeout", "moves", "parallel", "post_copy", "priority",
)  # fmt: skip


def _clone(*needed: str, optional: tuple[str, ...] = ()) -> Noun:
    return Noun("clone", names.clone("sample"), ("id", *needed), optional)


NOUNS: Mapping[str, Noun] = {
    "clvmd": _clone(),
    "controld": _clone(),
    "defaults": Noun("meta_attributes", names.DEFAULTS, ("stickiness",), ("priority",)),
    "delay": Noun("primitive", "sample", ("delay", "id", "timeout")),
    "directory": _clone("mount", "options", "source"),
    "gfs2": _clone("device", "mount", optional=("options",)),
    "heartbeat-vm": Noun("primitive", "sample", _VM, _VM_OPTIONAL),
    "lockspace": _clone(optional=("lock_driver", "lockspace_dir", "lockspace_mount")),
    "lvm-activate": _clone("logical_volume", "volume_group", "volume_manager"),
    "lvm-exclusive": Noun("primitive", "sample", ("id", "logical_volume", "volume_group", "volume_manager")),
    "lvmlockd": _clone(),
    "nfs": _clone("device", "mount", "options"),
    "o2cb": _clone(),
    "ocfs2": _clone("device", "mount", optional=("options",)),
    "properties": Noun("cluster_property_set", names.PROPERTY_SET, ("cluster_name",), ("priority_fencing_delay",)),
    "remote": Noun("primitive", "sample", ("name", "reconnect", "server")),
    "stonith": Noun(
        "primitive", "sample", ("agent", "name", "targets"), ("delay", "delay_max", "host_map", "provides")
    ),
    "vm": Noun("primitive", "sample", _VM, _VM_OPTIONAL),
}
"""Every template that compiling asks for."""

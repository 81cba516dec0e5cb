"""The file that `hactl init` writes: a whole small cluster to change by hand, with what else can be said as comments.

A line that begins with `#` and a space is prose; one that begins with `#` and no space is a setting to switch on.
The text is valid as it stands and with every such setting switched on.
"""

from __future__ import annotations

TEXT = """\
# cluster.toml: what this cluster is to be. `hactl check cluster.toml` names everything that is wrong in it.
# Lines that begin with # and no space are settings: take the # away to switch them on.

[cluster]
name = "cluster1"
# A third vote: a host outside the cluster that runs corosync-qnetd. With two nodes you want one.
#qdevice = "192.0.2.100"
# How one node's libvirt reaches another's for a live migration: ssh, tcp or tls.
#migration_transport = "ssh"
# What it takes to move a VM back: its score for the node that it is on.
#stickiness = 1000

# Pacemaker's cluster properties, beside those that hactl sets itself.
#[cluster.properties]
#fence-reaction = "panic"

# --- Nodes: each host by its name (uname -n), with one address for each Corosync link; two links are better than one.
[nodes.kvm1]
addresses = ["192.0.2.1", "198.51.100.1"]
# Fence devices in the order in which they are tried.
fencing = ["ipmi-kvm1"]
# What the host has. Given for all nodes or for none; then no node gets more VMs than it can hold (docs/placement.md).
#memory = "64G"
#cpus = 32
# Where other nodes reach this one for live migrations, and where hactl reaches it by ssh.
#migration_host = "198.51.100.1"
#ssh_host = "192.0.2.1"

[nodes.kvm2]
addresses = ["192.0.2.2", "198.51.100.2"]
fencing = ["ipmi-kvm2"]
#memory = "64G"
#cpus = 32

[nodes.kvm3]
addresses = ["192.0.2.3", "198.51.100.3"]
fencing = ["ipmi-kvm3"]
#memory = "64G"
#cpus = 32

# --- Fencing: what can switch a node off. Every key that is not listed in the schema is a parameter of the agent.
# A password never stands here: write file:PATH (a file that only root reads), env:NAME, or cmd:COMMAND.
[fence_devices.ipmi-kvm1]
agent = "fence_ipmilan"
ip = "203.0.113.1"
username = "hacluster"
password = "file:/etc/hacluster/secrets/ipmi-kvm1"
lanplus = true
cipher = 3
privlvl = "operator"
# How long this device waits before it fences.
#delay = "5s"

[fence_devices.ipmi-kvm2]
agent = "fence_ipmilan"
ip = "203.0.113.2"
username = "hacluster"
password = "file:/etc/hacluster/secrets/ipmi-kvm2"
lanplus = true
cipher = 3
privlvl = "operator"

[fence_devices.ipmi-kvm3]
agent = "fence_ipmilan"
ip = "203.0.113.3"
username = "hacluster"
password = "file:/etc/hacluster/secrets/ipmi-kvm3"
lanplus = true
cipher = 3
privlvl = "operator"

# --- Storage. type is gfs2, ocfs2, nfs, directory (something that is mounted everywhere), block (LUNs), shared-lvm
# (a volume for each disk), ceph-rbd or local (one node's own disk); docs/storage.md says what a VM can do on each.
[storage.images]
type = "gfs2"
device = "/dev/mapper/shared-lun"
volume_group = "vg_cluster"
logical_volume = "lv_images"
mount = "/srv/images"
lock_table = "cluster1:images"
journals = 3
#journal_size = "128M"
#options = ["noatime", "nodiratime"]

#[storage.luns]
#type = "block"
#directory = "/dev/disk/by-id"

# --- Networks: bridges that exist on every node.
[networks.lan]
bridge = "br0"

# --- Virtual machines. `uuidgen` makes a uuid; a MAC begins with 52:54:00.
[vms.web]
uuid = "3c9f7a40-6f2e-4d0b-9a6b-2f8f9d1e7a01"
memory = "2G"
vcpus = 2
disks = [{ path = "/srv/images/web.qcow2", format = "qcow2" }]
nics = [{ network = "lan", mac = "52:54:00:12:34:56" }]
# One CPU model that all nodes have keeps live moves possible: see `virsh hypervisor-cpu-baseline`.
#cpu = "Nehalem"
#graphics = "vnc"
# Nodes it likes, with a score, and nodes it must not run on.
#placement = { prefer = { kvm1 = 100 }, avoid = ["kvm3"] }
# Who stays when not all fit; how long the guest may take to shut down.
#priority = 10
#stop_budget = "2m"
# live, cold (shut down and start) or none; auto_converge slows a busy guest down until it can be moved.
#migration = { mode = "live", auto_converge = true, timeout = "10m" }

# A VM that libvirt knows already comes with its own description (`virsh dumpxml --inactive NAME`), beside this file:
#   [vms.old]
#   domain_xml = "old.xml"

# --- Rules between VMs: on one node, on different nodes (a score makes a rule a wish), and one after another.
#   [affinity.near]
#   vms = ["web", "cache"]
#   [anti_affinity.apart]
#   vms = ["web", "web2"]
#   score = 500
#   [start_order.boot]
#   steps = ["db", ["web", "web2"]]
#   delay = "30s"
"""

"""The one table of everything that may stand in cluster.toml: name, type, default and meaning of every key.

The reader, the hints for misspelt keys and the JSON Schema come from it, so a key is added here and nowhere else.
"""

from __future__ import annotations

from hacluster.model import FENCING_PROOF_AGE
from hacluster.spec import names, placement_table
from hacluster.spec.scalars import Choice, Flag, Plain, Whole
from hacluster.spec.sections import REQUIRED, Field, Instead, ListOf, Named, OneOrMore, Section, Variant
from hacluster.spec.values import (
    AGENT,
    AGENT_PATH,
    BRIDGE,
    CLUSTER_NAME,
    DISK_PATH,
    HOST,
    HOST_KEY,
    LINE,
    LVM_NAME,
    MAC,
    MACHINE,
    MONITOR,
    MOUNT_OPTION,
    NAME,
    PATH,
    UUID,
    WORD,
    duration,
    milliseconds,
    size,
)

SCORE = 1_000_000  # Pacemaker's INFINITY
DEFAULT_MACHINE = "pc-q35-7.2"
KVM_CPU = "Nehalem"
QEMU_CPU = "qemu64"

PROOF_AGE = duration(3600, 10 * 366 * 86_400, "90d")

CLUSTER = Section(
    (
        Field("name", CLUSTER_NAME, "The cluster's name; GFS2 keeps it in every lock table.", REQUIRED),
        Field(
            "lock_manager",
            Choice(("dlm", "external")),
            "What keeps the run-locks: the kernel's DLM, or something that already runs on the nodes.",
            "dlm",
        ),
        Field(
            "migration_transport",
            Choice(("ssh", "tcp", "tls")),
            "How one node's libvirt reaches another's for a live migration.",
            "ssh",
        ),
        Field("stickiness", Whole(0, SCORE), "What it takes to move a VM back: its score for the node it is on.", 1000),
        Field(
            "fencing_proof",
            Choice(("required", "waived")),
            "Whether VMs are refused until the fencing of every node has been proven (HA540); waived takes that risk.",
            "required",
        ),
        Field(
            "fencing_proof_age",
            PROOF_AGE,
            "How long the proof that a node's fencing works counts.",
            FENCING_PROOF_AGE,
        ),
        Field("residue", LINE, "What hactl import kept of the cluster as it was: a file beside this one."),
        Field("qdevice", HOST, "The host of the quorum device (a third vote), where corosync-qnetd runs."),
        Field(
            "wait_for_all",
            Flag(),
            "After the whole cluster was down, no quorum before all nodes have been seen once. Default: for two nodes "
            "without a quorum device.",
        ),
        Field(
            "properties",
            Section((), Plain("true", "false"), "A Pacemaker cluster property."),
            "Pacemaker cluster properties, beside those that hactl sets.",
        ),
    )
)

NODE = Section(
    (
        Field("addresses", ListOf(HOST, 1, 8), "The node's address on each Corosync link, in link order.", REQUIRED),
        Field("id", Whole(1, 2**31 - 1), "Corosync's node id. Default: the position among the members, from 1."),
        Field("remote", Flag(), "A host with pacemaker_remoted and no Corosync: no DLM, no run-lock there.", False),
        Field(
            "reconnect", duration(0, 3600, "60s"), "How long to wait before a lost remote node is dialled again.", 60
        ),
        Field("migration_host", HOST, "The name or address that other nodes dial for a live migration."),
        Field("ssh_host", HOST, "The name or address that hactl dials. Default: the first address."),
        Field(
            "host_key",
            HOST_KEY,
            "The node's ssh host key (a public key, or its fingerprint). Default: what this machine's known_hosts has.",
        ),
        Field(
            "fencing",
            ListOf(OneOrMore(NAME, "a fence device's name"), 0, 9),
            "Fence devices by level; the next level is tried when one fails. An inner list is used together.",
            (),
        ),
        *placement_table.HOST_FIELDS,
    )
)

FENCE_DEVICE = Section(
    (
        Field("agent", AGENT, "The fence agent, for instance fence_ipmilan.", REQUIRED),
        Field("targets", ListOf(NAME, 1, 32), "The nodes it fences. Default: those whose levels name it."),
        Field(
            "ports",
            Section((), Plain("true", "false"), "What the device calls that node."),
            "What the device calls each target, where that is not the node's name: an outlet, a virtual machine.",
        ),
        Field("delay", duration(0, 3600, "10s"), "How long it waits before it fences."),
        Field("delay_max", duration(1, 3600, "15s"), "With a random part of the wait, up to this much in all."),
    ),
    Plain("1", "0"),
    "A parameter of the agent. Secrets are given by reference: file:PATH, env:NAME or cmd:COMMAND.",
)

_VOLUME_MANAGER = Field(
    "volume_manager",
    Choice(("lvmlockd", "clvmd")),
    "What locks the volume group; clvmd only where LVM still has it (before 2.03).",
    "lvmlockd",
)

GFS2 = Section(
    (
        Field("device", AGENT_PATH, "The shared block device under the volume group; said for the record."),
        Field("volume_group", LVM_NAME, "The shared volume group.", REQUIRED),
        Field("logical_volume", LVM_NAME, "The logical volume that carries the file system.", REQUIRED),
        Field("mount", AGENT_PATH, "Where every node mounts it.", REQUIRED),
        Field("lock_table", LINE, "CLUSTER:FILESYSTEM as given to mkfs.gfs2. Default: made of both names."),
        _VOLUME_MANAGER,
        Field("journals", Whole(1, 128), "Journals of the file system. Default: one for each node."),
        Field("journal_size", size(8 << 20, 1 << 30, "32M"), "The size of one journal.", 128 << 20),
        Field("options", ListOf(MOUNT_OPTION, 0, 32), "Mount options.", ("noatime", "nodiratime")),
        Field("size", size(64 << 20, 1 << 60, "500G"), "The volume's size when it is made. Default: all of its group."),
    )
)

OCFS2 = Section(
    (
        Field("device", AGENT_PATH, "The shared block device that carries the file system, without LVM."),
        Field("volume_group", LVM_NAME, "The shared volume group of the volume that carries it."),
        Field("logical_volume", LVM_NAME, "The logical volume that carries the file system."),
        Field("mount", AGENT_PATH, "Where every node mounts it.", REQUIRED),
        _VOLUME_MANAGER,
        Field("o2cb", Flag(), "Run ocfs2_controld as well, for kernels before 3.14 (SLES 11, RHEL 6).", False),
        Field("options", ListOf(MOUNT_OPTION, 0, 32), "Mount options.", ("noatime",)),
    ),
    instead=Instead("device", ("volume_group", "logical_volume"), ("volume_group", "logical_volume")),
)

NFS = Section(
    (
        Field("server", HOST, "The server, by the same name or address for all nodes.", REQUIRED),
        Field("export", AGENT_PATH, "The directory that it exports.", REQUIRED),
        Field("mount", AGENT_PATH, "Where every node mounts it.", REQUIRED),
        Field(
            "version",
            Choice(("4.2", "4.1", "4.0", "4", "3")),
            "The protocol's version: 4.1 at least, because older ones lose locks or keep them of the dead.",
            "4.2",
        ),
        Field(
            "mounted",
            Choice(("cluster", "outside")),
            "By the cluster, or outside of it on every node (fstab) before the cluster starts.",
            "cluster",
        ),
        Field("options", ListOf(MOUNT_OPTION, 0, 32), "Mount options beside the version.", ()),
    )
)

CEPH_RBD = Section(
    (
        Field("pool", WORD, "The pool of the images.", REQUIRED),
        Field(
            "access",
            Choice(("network", "mapped")),
            "QEMU opens the images itself (disks are called rbd:POOL/IMAGE), or rbdmap has mapped them on every node "
            "(/dev/rbd/POOL/IMAGE).",
            "network",
        ),
        Field("monitors", ListOf(MONITOR, 1, 16), "Ceph's monitors. Default: those in each node's ceph.conf.", ()),
        Field("user", WORD, "The Ceph user, without the word client before it."),
        Field("secret", UUID, "The uuid of libvirt's secret with that user's key, the same on every node."),
    )
)

SHARED_LVM = Section(
    (
        Field("volume_group", LVM_NAME, "The shared volume group; each disk of a VM is a volume of it.", REQUIRED),
        _VOLUME_MANAGER,
    )
)

LOCAL = Section(
    (
        Field("node", NAME, "The node whose own disk it is.", REQUIRED),
        Field("directory", AGENT_PATH, "The directory of the images, or of the devices.", REQUIRED),
    )
)

DIRECTORY = Section(
    (
        Field("source", AGENT_PATH, "The directory on each node behind which the same storage stands.", REQUIRED),
        Field("mount", AGENT_PATH, "Where every node binds it.", REQUIRED),
        Field("options", ListOf(MOUNT_OPTION, 0, 32), "Mount options beside bind.", ()),
    )
)

BLOCK = Section((Field("directory", AGENT_PATH, "The directory of the device nodes, such as /dev/mapper.", REQUIRED),))

NETWORK = Section(
    (
        Field("bridge", BRIDGE, "The bridge, which exists on every node.", REQUIRED),
        Field(
            "interface",
            BRIDGE,
            "What bootstrap puts into the bridge when it makes it: an interface without addresses, or none.",
        ),
    )
)

LIBVIRT = Section(
    (
        Field(
            "lock_driver",
            Choice(("none", "lockd", "sanlock")),
            "What keeps libvirt's own lease under each disk; sanlock is for hosts without a DLM, and needs a watchdog.",
            "none",
        ),
        Field("lockspace_dir", AGENT_PATH, "Where the leases lie: a directory on a gfs2 or directory storage."),
        Field(
            "handover",
            Choice(("paused", "running")),
            "How a live move switches over under lockd: running lets the target go on before it has the run-lock.",
            "paused",
        ),
        Field("watchdog", AGENT_PATH, "Each node's watchdog device; sanlock cannot do without it."),
    )
)

DISK = Section(
    (
        Field("path", DISK_PATH, "The image file or block device, or rbd:POOL/IMAGE.", REQUIRED),
        Field("format", Choice(("raw", "qcow2")), "The format of its content.", REQUIRED),
        Field("storage", NAME, "The storage it lies on. Default: the one whose path holds it."),
        Field("bus", Choice(("virtio", "scsi", "sata", "ide")), "How the guest sees it.", "virtio"),
    )
)

NIC = Section(
    (
        Field("network", NAME, "One of [networks].", REQUIRED),
        Field("mac", MAC, "The card's address; it has to stay the same at every start.", REQUIRED),
        Field("model", WORD, "The card the guest sees.", "virtio"),
    ),
    mistaken=(("bridge", 'name the network instead: network = "NAME", where [networks.NAME] has this bridge'),),
)

PLACEMENT = Section(
    (
        Field("prefer", Section((), Whole(0, SCORE), "The score of that node."), "Nodes it likes, with a score each."),
        Field("avoid", ListOf(NAME, 0, 32), "Nodes it never runs on.", ()),
    )
)

MIGRATION = Section(
    (
        Field("mode", Choice(("live", "cold", "none")), "live, cold (shut down and start), or none.", "live"),
        Field("auto_converge", Flag(), "Slow the guest down when it changes memory faster than it is copied.", False),
        Field(
            "post_copy",
            Flag(),
            "Let the guest run on the target after one pass and fetch the rest of its memory. It always converges, but "
            "if the connection breaks meanwhile the guest's memory is lost. Only with disks in GFS2 files, or leased.",
            False,
        ),
        Field("parallel", Whole(2, 255), "Connections to copy over, for a network faster than one core. Default: one."),
        Field("bandwidth", Whole(1, 1_000_000), "MiB/s at most."),
        Field("downtime", milliseconds(1, 60_000, "300ms"), "How long the guest may stand still at the end."),
        Field("timeout", duration(10, 86_400, "10m"), "For the whole migration.", 600),
    )
)

_HARDWARE = ("memory", "vcpus", "disks", "nics", "domain_type", "machine", "cpu", "serial", "graphics")

VM = Section(
    (
        Field("uuid", UUID, "The VM's identity, for ever (make one with uuidgen). Optional beside domain_xml."),
        Field("domain_xml", LINE, "libvirt's domain XML, a file relative to the spec, instead of what follows."),
        Field("memory", size(1 << 20, 64 << 40, "2G"), "Memory."),
        Field("vcpus", Whole(1, 1024), "Virtual CPUs."),
        Field("disks", ListOf(DISK, 0, 64), "The VM's disks; it boots from the first.", ()),
        Field("nics", ListOf(NIC, 0, 16), "The VM's network cards.", ()),
        Field("domain_type", Choice(("kvm", "qemu")), "kvm, or qemu for emulation without KVM.", "kvm"),
        Field("machine", MACHINE, "The machine type, with its version.", DEFAULT_MACHINE),
        Field(
            "cpu",
            WORD,
            f"The CPU model: one that every node has. Default: {KVM_CPU} (x86-64-v2), {QEMU_CPU} when emulated. "
            "host-model and host-passthrough only where all nodes have the same CPU.",
        ),
        Field("serial", PATH, "A file that the serial console is appended to. Default: a console for virsh."),
        Field("graphics", Choice(("vnc",)), "A screen, on localhost of the node that runs the VM."),
        Field("storage", OneOrMore(NAME, "a storage's name"), "Storages it stands on beside those of its disks.", ()),
        Field("placement", PLACEMENT, "Where it likes to run."),
        Field("priority", Whole(-SCORE, SCORE), "Who stays when not all can run; it also weighs in fencing races.", 0),
        Field("stop_budget", duration(1, 86_400, "120s"), "How long the guest may take to shut down.", 120),
        Field("migration", MIGRATION, "How it is moved."),
        Field(
            "agent",
            Choice(("hacluster", "heartbeat")),
            "The resource agent: hactl's guarded one, or ocf:heartbeat:VirtualDomain.",
            "hacluster",
        ),
    ),
    instead=Instead("domain_xml", ("uuid", "memory", "vcpus"), _HARDWARE),
)

SPEC = Section(
    (
        Field("cluster", CLUSTER, "The cluster as a whole.", REQUIRED),
        Field(
            "nodes",
            Named("node", NODE, names.of_node, names.NODE),
            "The hosts: 2 to 32 members of the cluster, and remote nodes.",
            REQUIRED,
        ),
        Field(
            "fence_devices",
            Named("fence device", FENCE_DEVICE, names.of_resource, names.ID),
            "What can switch a node off.",
        ),
        Field(
            "storage",
            Named(
                "storage",
                Variant(
                    {
                        "gfs2": GFS2,
                        "ocfs2": OCFS2,
                        "nfs": NFS,
                        "directory": DIRECTORY,
                        "block": BLOCK,
                        "shared-lvm": SHARED_LVM,
                        "ceph-rbd": CEPH_RBD,
                        "local": LOCAL,
                    }
                ),
                names.of_resource,
                names.ID,
            ),
            "Storages that VMs stand on.",
        ),
        Field("libvirt", LIBVIRT, "How libvirt is set up on every node."),
        Field("networks", Named("network", NETWORK, names.of_resource, names.ID), "Bridges that VMs may use."),
        Field("vms", Named("VM", VM, names.of_resource, names.ID), "The virtual machines."),
        Field("placement", placement_table.STRATEGY, "How VMs are spread over the nodes."),
        Field("groups", Named("group", placement_table.GROUP, names.of_resource, names.ID), "Sets of VMs, by a name."),
        Field(
            "affinity",
            Named("affinity", placement_table.AFFINITY, names.of_resource, names.ID),
            "VMs that run on one node.",
        ),
        Field(
            "anti_affinity",
            Named("anti-affinity", placement_table.ANTI_AFFINITY, names.of_resource, names.ID),
            "VMs that run on different nodes.",
        ),
        Field(
            "start_order",
            Named("start order", placement_table.START_ORDER, names.of_resource, names.ID),
            "VMs that start one after another.",
        ),
    )
)

"""Every kind of Problem that a spec can have (HA1xx), so that the catalogue of what `hactl check` sees is one page.

Nothing is decided here; the modules beside it find these problems and word them.
"""

from __future__ import annotations

from hacluster.problems import kind

# The file itself
UNREADABLE = kind(
    "HA101",
    "The spec cannot be read",
    "The file is missing, is no regular file, may not be read, or is larger than any spec (8 MiB).",
)
NOT_UTF8 = kind("HA102", "The spec is not UTF-8", "TOML files are UTF-8; another encoding would garble names.")
SYNTAX = kind(
    "HA103", "The spec is not TOML", "The file breaks TOML's grammar; nothing behind that place could be understood."
)
TWICE_IN_FILE = kind(
    "HA104",
    "The same table or key stands twice",
    "TOML allows each table and key once. hactl reads the first and leaves the second out, to find what else is wrong.",
)

# Its shape
UNKNOWN_KEY = kind(
    "HA110",
    "Unknown key",
    "A key that nobody reads is usually a misspelt one, and its setting would silently be missing in the cluster.",
)
MISSING_KEY = kind("HA111", "A required key is missing", "Without it hactl would have to guess.")
WRONG_TYPE = kind("HA112", "A value has the wrong type", "The key needs another type of TOML value.")
BAD_VALUE = kind("HA113", "A value is not allowed", "The value has the right type but cannot mean anything here.")
BAD_NAME = kind(
    "HA115",
    "A name that Pacemaker, libvirt or DNS would not take",
    "Names become ids in the CIB (XML NCNames), libvirt domain names and file names; node names are host names.",
)
RESERVED_NAME = kind(
    "HA116",
    "A name that hactl or Pacemaker uses itself",
    "hactl derives ids from names; a resource that has one of them would replace or shadow the derived one.",
)
NAME_TWICE = kind(
    "HA117",
    "One name for two things",
    "VMs, storages and fence devices are ids in one CIB, where an id exists once; a VM named like a node confuses "
    "every tool that shows where something runs.",
)

# Nodes
NODE_TWICE = kind(
    "HA120",
    "A node stands twice",
    "Two entries with one id, or names that differ in upper and lower case only, are one node to the cluster.",
)
ADDRESS_TWICE = kind(
    "HA121",
    "One address on two nodes",
    "Corosync finds its peers by address: an address belongs to one link of one node.",
)
LINKS_DIFFER = kind(
    "HA122",
    "Nodes have different numbers of links",
    "Each Corosync link joins all nodes, so every node has one address for each link.",
)
NODE_COUNT = kind(
    "HA123",
    "Too few or too many nodes",
    "A single host has no other to recover a VM on, and Corosync carries at most 32.",
)
NO_QDEVICE = kind(
    "HA124",
    "Two nodes without a quorum device",
    "With two votes nobody has a majority once one is lost. Corosync's two_node mode goes on with one vote: whoever "
    "fences first survives, and wait_for_all keeps a node that boots alone from starting anything until it has seen "
    "the other. A third vote (qdevice) removes that race.",
    acceptable=True,
)
QDEVICE_INSIDE = kind(
    "HA125",
    "The quorum device is a node of the cluster",
    "Its vote is there to break a tie between the nodes, and it would die with one of them.",
)

# References
UNKNOWN_NODE = kind("HA130", "Unknown node", "The spec has no node of that name.")
UNKNOWN_DEVICE = kind("HA131", "Unknown fence device", "The spec has no fence device of that name.")
UNKNOWN_STORAGE = kind("HA132", "Unknown storage", "The spec has no storage of that name, or none that holds the path.")
UNKNOWN_NETWORK = kind(
    "HA133",
    "A VM on an unknown network or bridge",
    "Only a bridge that the spec names is checked on every node; a VM on another fails at its first move.",
)

# Fencing
NO_FENCING = kind(
    "HA140",
    "No fencing",
    "Without fencing a node in unknown state may still be running a VM, so nothing may ever be recovered: with it "
    "switched off, Pacemaker would guess, and the VM could run twice.",
)
NODE_UNFENCED = kind(
    "HA141",
    "A node that nobody can fence",
    "When it fails, its VMs cannot be recovered and shared storage stops for all.",
)
FAKE_FENCING = kind(
    "HA142",
    "An agent that does not fence",
    "Fencing has to work when the target is broken: hung, cut off, out of memory. An agent that asks the target "
    "itself, a human, or nobody reports success or failure without knowing.",
)
IDLE_DEVICE = kind(
    "HA143",
    "A fence device that fences nobody",
    "No node's levels name it and it has no targets, so Pacemaker would never use it: it is left out.",
    severity="warning",
)
OPEN_SECRET = kind(
    "HA144",
    "A secret in the open",
    "The spec is kept in version control and shown in plans; a password there is known to everybody. "
    "The spec says where it lies: file:, env: or cmd:.",
)
NOT_A_TARGET = kind(
    "HA145",
    "A fence device and a node disagree",
    "A device with `targets` fences these nodes only, and a node with levels is fenced by its levels only.",
)
UNSAFE_PROPERTY = kind(
    "HA146",
    "A cluster property that lets a VM run twice",
    "With this value Pacemaker starts VMs although it cannot know that they run nowhere else.",
)
UNKNOWN_PROPERTY = kind(
    "HA147",
    "A cluster property that Pacemaker does not know",
    "Pacemaker ignores unknown properties silently.",
    severity="warning",
)
STORAGE_FENCING = kind(
    "HA148",
    "Fencing that cuts off storage only",
    "fence_scsi, fence_mpath and a switch of the storage's fabric take the disks away; the guests of that node go on "
    "running, with their network and their memory. That is no proof that a VM is dead, and Pacemaker, told that the "
    "node is, starts them elsewhere.",
)
STORAGE_LAST = kind(
    "HA149",
    "A last fencing level that cuts off storage only",
    "Where every level before it has failed, the node counts as dead and its guests go on running without their "
    "disks, with their network and their memory, beside the ones that Pacemaker starts elsewhere.",
    severity="warning",
)

# Storage
LOCK_TABLE = kind(
    "HA150",
    "A lock table that does not fit",
    "GFS2 mounts only when the cluster's part of the lock table is this cluster's name; the file system's part has at "
    "most 30 characters.",
)
JOURNALS = kind(
    "HA151", "Fewer journals than nodes", "Each node that mounts a GFS2 file system needs a journal of its own."
)
MOUNT_NESTED = kind(
    "HA152",
    "One storage inside another",
    "Which of them holds a file would depend on the order of mounting, and stopping one would take the other along.",
)
STORAGE_TWICE = kind(
    "HA153",
    "One device or lock table for two storages",
    "Two file systems on one device destroy each other; two with one lock table use each other's locks.",
)
LEASES_ASTRAY = kind(
    "HA154",
    "Leases that other nodes would not see",
    "libvirt's lock driver keeps a file for each disk in one directory. Only where all nodes see the same directory, "
    "with locks that count on all of them, does a lease on one node keep another from opening the disk.",
)
NO_WATCHDOG = kind(
    "HA155",
    "sanlock without a watchdog",
    "sanlock frees the leases of a host that went silent and relies on the host's watchdog having reset it by then. "
    "Without one the guest may still run: a second copy was started after 138 s.",
)

# VMs
UUID_TWICE = kind(
    "HA160", "Two VMs with one uuid", "The uuid is a VM's identity: the guard would take the one for the other."
)
MAC_TWICE = kind("HA161", "Two network cards with one MAC", "Both guests would lose packets at random.")
DISK_TWICE = kind(
    "HA162", "Two VMs with one disk", "Two guests that write to one image destroy it, however well each runs only once."
)
DISK_OUTSIDE = kind(
    "HA163",
    "A disk outside its storage",
    "A disk that does not lie on a storage of the spec is not there on other nodes, and no order ties the VM to it.",
)
ONE_WAY = kind(
    "HA164",
    "Something described twice or not at all",
    "A VM's hardware comes either from domain_xml or from memory, vcpus, disks and nics; an OCFS2 lies either on a "
    "device or on a volume.",
)
BAD_DOMAIN = kind(
    "HA165",
    "Domain XML that cannot be read",
    "The file must be one libvirt domain in well-formed UTF-8 XML below 1 MiB, without DOCTYPE and entities.",
)
DOMAIN_DIFFERS = kind(
    "HA166",
    "Domain XML and spec disagree",
    "The domain's name is the resource's id and its uuid the guard's key: both files must say the same.",
)
DOMAIN_UNFIT = kind(
    "HA167",
    "A domain that cannot be highly available as it stands",
    "Something in the domain XML exists on one host only, or switches off a lock that guards the disks.",
)
HOST_DEVICE = kind(
    "HA168",
    "A host device in a VM that should move live",
    "A device passed through from the host cannot move; the VM can be moved cold at best.",
    severity="warning",
)
PLACEMENT = kind(
    "HA169", "Placement contradicts itself", "No node is left for the VM, or one is both liked and avoided."
)
HARDWARE = kind("HA170", "Hardware that QEMU cannot build", "QEMU would refuse to start the VM.")
POST_COPY = kind(
    "HA171",
    "Post-copy without a lock under the disks",
    "In post-copy the guest runs on the target while its source exists. Only QEMU's image lock on files that all nodes "
    "lock together (GFS2, OCFS2, NFS), or libvirt's lease, keeps the source from writing then; the run-lock alone lets "
    "no guest run before its source has ended.",
)
POLICY = kind(
    "HA172",
    "A migration policy that contradicts itself",
    "QEMU fetches the rest of a guest's memory over one connection.",
)

# Where VMs run, and when
UNKNOWN_VM = kind("HA181", "Unknown VM or group", "The spec has no VM and no group of that name.")
RULE_OF_ONE = kind(
    "HA182",
    "A rule that leaves nothing to decide",
    "Affinity and anti-affinity say something about two VMs at least, and nothing about a VM and itself.",
)
RULES_CONTRADICT = kind(
    "HA183",
    "Affinity and anti-affinity contradict each other",
    "Two VMs that only run on one node, and never on one node, cannot both run.",
)
ORDER_LOOP = kind(
    "HA184",
    "A start order that goes in a circle",
    "Each of these VMs would wait for the next. Pacemaker drops one of the orders, and does not say which.",
)
NEVER_FITS = kind(
    "HA185",
    "VMs that fit on no node",
    "Pacemaker starts a VM only where memory and CPUs are left for it. VMs that only run together need one node that "
    "has room for all of them.",
)
TOO_MANY_APART = kind(
    "HA186",
    "More VMs than nodes to keep them apart",
    "Of VMs that must never share a node, as many run as there are nodes for them; the others stay down.",
)
NO_COMMON_NODE = kind(
    "HA187",
    "VMs that must run together have no node in common",
    "A node that one of them avoids is lost to all of them.",
)
CAPACITY_MISSING = kind(
    "HA188",
    "Capacities that do not make sense together",
    "Pacemaker takes a node without a capacity for one that has none: nothing that uses anything would run there.",
)
SET_TWICE = kind(
    "HA189",
    "One cluster property set in two places",
    "[placement] and [cluster.properties] both say what this property is.",
)
PREFERENCE_VOID = kind(
    "HA193",
    "A preference that an affinity makes void",
    "The VM only runs with another one, which never runs on the node that it prefers.",
    severity="warning",
)

# What storage can do, and hosts
UNLOCKED_MOUNT = kind(
    "HA173",
    "A mount option that takes locks or writes away",
    "QEMU's image lock, and the file system itself, rely on locks that all nodes see; with such an option each node "
    "locks for itself. A soft NFS mount gives guests I/O errors, and loses writes, when the server is slow.",
)
NFS_VERSION = kind(
    "HA174",
    "An NFS version without locks to rely on",
    "Version 3 has no locks of its own: a lock daemon beside it forgets them when the server restarts and keeps those "
    "of a client that died for ever, so that no VM starts again. 4.0 cannot tell a client that comes back from a new "
    "one. From 4.1 on the server drops a dead client's locks when its lease ends.",
)
NOT_MOVABLE = kind(
    "HA175",
    "A move that the storage cannot give",
    "For a live move the disk must be there on both nodes at once. A disk of one node's own is not, and no other node "
    "can start the VM either when that one dies.",
)
TWO_MANAGERS = kind(
    "HA176",
    "clvmd and lvmlockd in one cluster",
    "LVM is set up for one of them on each node, and each refuses to work while the other runs.",
)
VOLUME_TAKEN = kind(
    "HA177",
    "One logical volume for two things",
    "A guest that writes to a volume which carries a file system destroys it, and every image in it.",
)
REMOTE_NODE = kind(
    "HA178",
    "Something that a remote node cannot do",
    "A Pacemaker remote node has no Corosync, so no DLM and nothing that stands on it runs there: no GFS2, OCFS2 or "
    "shared volume group, and no run-lock, hence no guarded VM.",
)
NO_WAIT_FOR_ALL = kind(
    "HA179",
    "Two nodes that do not wait for each other",
    "With two_node a node that boots alone has quorum at once: it fences the other, which fences it when it comes up, "
    "and so on. With wait_for_all it starts nothing until both have seen each other once.",
    acceptable=True,
)
RULES_CIRCULAR = kind(
    "HA194",
    "Rules that place VMs in a circle",
    "Of two VMs that a rule binds, Pacemaker places one first and the other in view of it: the first of an affinity, "
    "one side of an anti-affinity of two. Where that goes in a circle, it keeps not even the hard rules on it.",
)

"""The part of cluster.toml that says where VMs run: capacities, affinity, groups, start order.

Its words are those that admins know: affinity and anti-affinity from oVirt and Proxmox, scores, strategies and the
kinds of an order from Pacemaker. table.py puts these sections into the whole.
"""

from __future__ import annotations

from hacluster.spec.scalars import Choice, Ratio, Score, Whole
from hacluster.spec.sections import REQUIRED, Field, ListOf, OneOrMore, Section
from hacluster.spec.values import NAME, duration, size

MOST = 1_000_000  # Pacemaker's INFINITY
DEFAULT_RESERVE = 2 << 30
DEFAULT_RATIO = 4.0

HOST_FIELDS = (
    Field("memory", size(1 << 20, 64 << 40, "64G"), "The host's memory. Given for all nodes or for none."),
    Field("cpus", Whole(1, 8192), "The host's CPUs (threads). Given for all nodes or for none."),
)

STRATEGY = Section(
    (
        Field(
            "strategy",
            Choice(("default", "utilization", "minimal", "balanced")),
            "Pacemaker's placement-strategy: how VMs are spread by what they use. All but default keep each node "
            "within its capacity. Default: balanced where the nodes have capacities, else default.",
        ),
        Field(
            "reserved_memory",
            size(0, 64 << 40, "2G"),
            "What each host keeps for itself: its system, the cluster's daemons, the page cache.",
            DEFAULT_RESERVE,
        ),
        Field("vcpus_per_cpu", Ratio(0.1, 64.0), "How many virtual CPUs may share one CPU of a host.", DEFAULT_RATIO),
        Field(
            "migration_limit",
            Whole(0, 1000),
            "Live migrations at once, for each node. Default: as many as Pacemaker's other limits let through.",
        ),
    )
)

_MEMBERS = ListOf(NAME, 1, 1000)

GROUP = Section((Field("vms", _MEMBERS, "The VMs that rules and start orders name by the group's name.", REQUIRED),))

AFFINITY = Section(
    (
        Field("vms", _MEMBERS, "VMs and groups that run on one node. The others follow the first.", REQUIRED),
        Field(
            "score",
            Score(1, MOST),
            "How much it counts beside other scores. INFINITY is hard: the others run with the first or not at all.",
            "INFINITY",
        ),
    )
)

ANTI_AFFINITY = Section(
    (
        Field("vms", _MEMBERS, "VMs and groups that run on different nodes.", REQUIRED),
        Field("from", _MEMBERS, "What they keep apart from. Default: from each other."),
        Field(
            "score",
            Score(1, MOST),
            "How much it counts beside other scores. INFINITY is hard: a VM for which no node is left stays down.",
            "INFINITY",
        ),
    )
)

START_ORDER = Section(
    (
        Field(
            "steps",
            ListOf(OneOrMore(NAME, "a VM or group"), 2, 100),
            "What starts together, step by step: a VM, a group, or a list of them. Stopping goes the other way.",
            REQUIRED,
        ),
        Field(
            "kind",
            Choice(("optional", "mandatory")),
            "optional orders what starts or stops at the same time. mandatory also restarts the later steps whenever "
            "an earlier one is started anew, and keeps them down without it.",
            "optional",
        ),
        Field(
            "delay",
            duration(0, 3600, "30s"),
            "How long a step waits after the one before it has been started: a guest needs time to boot.",
            0,
        ),
    )
)

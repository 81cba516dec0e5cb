"""Rules of the cluster as a whole: quorum, maintenance, and properties that Pacemaker does not read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hacluster.lint.facts import is_on
from hacluster.lint.storage import CLUSTER_FILE_SYSTEMS, DLM, file_system
from hacluster.lint.subject import Subject
from hacluster.lint.words import listed, meant, verb
from hacluster.problems import Problem, kind
from hacluster.spec.check_fencing import PROPERTIES

IGNORES_QUORUM = kind(
    "HA810",
    "A part of the cluster without quorum acts as if it had it",
    "With no-quorum-policy=ignore both sides of a cut go on starting resources, and only fencing, which both attempt, "
    "keeps them apart. Two nodes need no ignore: corosync's two_node does what it was once used for.",
    acceptable=True,
)
NO_FREEZE = kind(
    "HA811",
    "The lock manager's storage is to be stopped when quorum is lost",
    "Without quorum the DLM grants nothing, so GFS2, OCFS2 and shared volume groups cannot be unmounted or "
    "deactivated: the stop hangs, fails, and the node is fenced once quorum is back. no-quorum-policy=freeze leaves "
    "what runs alone.",
    acceptable=True,
)
MAINTENANCE = kind(
    "HA812",
    "Maintenance was left on",
    "Pacemaker starts, stops and recovers nothing there. Stopping the cluster in that state leaves guests and the DLM "
    "behind, which fences the node when its lockspaces are missed.",
    severity="warning",
)
NOT_WANTED = kind(
    "HA813",
    "Resources that are disabled or unmanaged",
    "A disabled resource stays down, and everything ordered after it; an unmanaged one is not recovered.",
    severity="warning",
)
MISSPELT = kind(
    "HA814",
    "A misspelt cluster property",
    "Pacemaker ignores a property that it does not know, without a word: the default holds.",
    acceptable=True,
)
UNREAD = kind(
    "HA815",
    "A cluster property that Pacemaker no longer reads",
    "It had a meaning in Pacemaker 1.x. What it was to do now needs another place.",
    severity="warning",
)
STARTUP_FENCING = kind(
    "HA816",
    "Nodes that were never seen count as dead",
    "With startup-fencing=false a node that nobody has seen since the start is taken for switched off. It may be "
    "running VMs behind a broken link, and they are started a second time.",
    acceptable=True,
)
OLD_PACEMAKER = kind(
    "HA817",
    "Live migration with a Pacemaker before 2.1.5",
    "Before 2.1.5 an interrupted migration whose target changed in the meantime could leave two active copies.",
    severity="warning",
)

_LEGACY = {
    "default-resource-stickiness": "pcs resource defaults update resource-stickiness=…",
    "default-resource-failure-stickiness": "pcs resource defaults update migration-threshold=…",
    "is-managed-default": "pcs resource defaults update is-managed=…",
    "default-action-timeout": "pcs resource op defaults update timeout=…",
    "default-migration-threshold": "pcs resource defaults update migration-threshold=…",
}
# What tools write there beside Pacemaker's own (crm_attribute, cluster-glue, SAPHanaSR, resource agents).
_OTHERS = frozenset(
    ["dc-version", "last-lrm-refresh", "expected-quorum-votes", "hostlist", "crmd-transition-delay", *_LEGACY]
)


def quorum(subject: Subject) -> Iterator[Problem]:
    """What happens without quorum."""
    facts = subject.facts
    policy = facts.properties.get("no-quorum-policy", "stop").lower()
    if policy == "ignore":
        yield IGNORES_QUORUM(
            "no-quorum-policy is ignore: a part that is cut off goes on starting VMs",
            where="no-quorum-policy",
            remedy="pcs property set no-quorum-policy="
            + ("freeze" if _dlm(subject) else "stop")
            + ("; corosync.conf: quorum { two_node: 1 }" if len(facts.nodes) == 2 else ""),
        )
    elif policy in ("stop", "demote") and _dlm(subject):
        yield NO_FREEZE(
            f"no-quorum-policy is {policy}, and {listed(_dlm(subject))} cannot stop without quorum",
            where="no-quorum-policy",
            remedy="pcs property set no-quorum-policy=freeze",
        )


def _dlm(subject: Subject) -> list[str]:
    found = subject.facts.resources
    return [r.id for r in found if r.agent == DLM or file_system(r) in CLUSTER_FILE_SYSTEMS]


def maintenance(subject: Subject) -> Iterator[Problem]:
    """The cluster, nodes or resources in maintenance."""
    facts = subject.facts
    if is_on(facts.properties.get("maintenance-mode")):
        yield MAINTENANCE(
            "the whole cluster is in maintenance mode",
            where="maintenance-mode",
            remedy="pcs property set maintenance-mode=false",
        )
    for node in facts.root.iterfind("configuration/nodes/node"):
        if is_on(facts.attributes(node, "instance_attributes").get("maintenance")):
            yield MAINTENANCE(
                f"node {node.get('uname')} is in maintenance mode",
                where=node.get("id", ""),
                remedy=f"pcs node unmaintenance {node.get('uname')}",
            )
    resting = [r.id for r in facts.resources if is_on(r.meta.get("maintenance"))]
    if resting:
        yield MAINTENANCE(
            f"{listed(resting)} {verb(resting, 'is', 'are')} in maintenance",
            where=resting[0],
            remedy=f"pcs resource meta {resting[0]} maintenance=",
        )


def not_wanted(subject: Subject) -> Iterator[Problem]:
    """Resources that somebody has switched off, or taken out of Pacemaker's hands."""
    facts = subject.facts
    off = [r.id for r in facts.resources if not r.enabled]
    if off:
        yield NOT_WANTED(
            f"{listed(off)} {verb(off, 'is', 'are')} disabled (target-role=Stopped)",
            where=off[0],
            remedy=f"pcs resource enable {off[0]}",
        )
    free = [r.id for r in facts.resources if r.meta.get("is-managed", "true").lower() in ("false", "no", "off", "0")]
    if free:
        yield NOT_WANTED(
            f"{listed(free)} {verb(free, 'is', 'are')} unmanaged",
            where=free[0],
            remedy=f"pcs resource manage {free[0]}",
        )


def properties(subject: Subject) -> Iterator[Problem]:
    """Names that Pacemaker does not read. A name that resembles none is somebody's own note."""
    for name, value in subject.facts.properties.items():
        if name in _LEGACY:
            yield UNREAD(
                f"Pacemaker no longer reads {name} (it is {value})",
                where=name,
                remedy=f"pcs property unset {name}; then: {_LEGACY[name]}",
            )
        elif name not in PROPERTIES and name not in _OTHERS and (near := meant(name, PROPERTIES, 0.87)):
            yield MISSPELT(
                f"Pacemaker has no property {name}; {near} is probably meant, and has its default now",
                where=name,
                remedy=f"pcs property set {near}={value}; pcs property unset --force {name}",
            )


def startup_fencing(subject: Subject) -> Iterator[Problem]:
    """Unseen nodes that are not fenced."""
    if not is_on(subject.facts.properties.get("startup-fencing", "true")):
        yield STARTUP_FENCING(
            "startup-fencing is false: a node that was never seen is taken for dead",
            where="startup-fencing",
            remedy="pcs property unset startup-fencing",
        )


def old(subject: Subject) -> Iterator[Problem]:
    """The version that the cluster's DC wrote into the CIB."""
    version = subject.facts.properties.get("dc-version", "")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0])[:3])
    moving = [vm.id for vm in subject.facts.vms if vm.moves_live]
    if moving and len(numbers) >= 2 and numbers < (2, 1, 5):
        yield OLD_PACEMAKER(
            f"Pacemaker is {version}, and {listed(moving)} {verb(moving, 'moves', 'move')} live",
            where="dc-version",
            remedy="install Pacemaker 2.1.5 or newer on every node, or forbid live moves: "
            f"pcs resource meta {moving[0]} allow-migrate=false",
        )


RULES = (quorum, maintenance, not_wanted, properties, startup_fencing, old)

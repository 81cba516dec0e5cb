"""Corosync and Pacemaker on every member: `pcs host auth`, `pcs cluster setup`, start. Only where there is no cluster.

A cluster that is there is compared with the spec, and left alone: to change the members or links of a cluster that
runs is a procedure of its own, which pcs has.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hacluster import model
from hacluster.bootstrap import units
from hacluster.bootstrap.changes import Change, CommandChange, file_change
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.steps import Looked, Site
from hacluster.problems import Problem, kind

OTHER_CLUSTER = kind(
    "HA618",
    "A machine belongs to another cluster",
    "It has a corosync.conf that is neither this cluster's nor the example that its package brings. Taking a machine "
    "from a cluster is for an admin to do.",
)
MEMBERS_DIFFER = kind(
    "HA619",
    "The cluster has other members, or other addresses, than the spec",
    "Bootstrap makes a cluster where there is none. It never changes the members of one that exists.",
)
IDS = kind(
    "HA634",
    "pcs cannot give the nodes the ids that the spec has for them",
    "pcs numbers the members of a new cluster from 1, in their order.",
)

CONF = "/etc/corosync/corosync.conf"
CIB = "/var/lib/pacemaker/cib/cib.xml"
UNITS = ("corosync.service", "pacemaker.service")
PCSD = "pcsd.service"
USER = "hacluster"
"""The account whose password pcsd asks for, on every distribution."""

# pcsd says that it is ready before its port is open, and on a slow machine that takes a while.
_AUTH = """
set -eu
IFS= read -r password
for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
  said=$(printf '%s\\n' "$password" | pcs --request-timeout=120 host auth "$@" -u hacluster 2>&1) && exit 0
  sleep 5
done
printf '%s\\n' "$said" >&2
exit 1
"""

# pcs waits 60 s for each node's answer and cannot be told to wait longer here, while a slow node's first answer may
# take two minutes. Until that question is answered nothing has been changed; afterwards there is a corosync.conf.
_SETUP = f"""
for try in 1 2 3 4 5; do
  said=$(pcs cluster setup "$@" 2>&1) && exit 0
  case $said in *"Connection timeout"*) ;; *) break ;; esac
  if [ -e {CONF} ]; then break; fi
done
printf '%s\\n' "$said" >&2
exit 1
"""


@dataclass(frozen=True, slots=True)
class _Facts:
    conf: bytes | None
    has_cib: bool
    units: Mapping[str, units.Unit]

    @property
    def runs(self) -> bool:
        return all(unit.active for unit in self.units.values())


@dataclass(frozen=True, slots=True)
class Pcsd:
    """The step that starts pcs's daemon, on all machines at once: on a slow one it takes its time."""

    name: str = "pcsd"
    title: str = "pcs's daemon"
    together: bool = True

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        told = site.each(lambda host: units.look(host, (PCSD,)))
        why = "pcs works on all members from one of them"
        return Looked(tuple(c for name, each in told.items() for c in units.on(site.hosts[name], each, (PCSD,), why)))


@dataclass(frozen=True, slots=True)
class Membership:
    """The step."""

    name: str = "cluster"
    title: str = "corosync and Pacemaker"
    together: bool = False

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        members = {node.name for node in site.cluster.members}
        told = {name: facts for name, facts in site.each(_facts).items() if name in members}
        belongs = {name: _belongs(facts.conf, site.cluster) for name, facts in told.items()}
        problems = [_wrong(name, facts, site.cluster) for name, facts in told.items() if belongs[name] == "other"]
        if problems:
            return Looked(problems=tuple(problems))
        if all(word == "ours" for word in belongs.values()):
            return Looked(_standing(told))
        begun = [name for name, word in belongs.items() if word == "ours"]
        if any(told[name].runs or told[name].has_cib for name in begun):
            return Looked(problems=tuple(_missing(name, begun, site) for name in told if name not in begun))
        if any(node.id != number for number, node in enumerate(site.cluster.members, 1)):
            where, remedy = "nodes", "remove the ids, or order the nodes by them"
            return Looked(
                problems=(IDS("the ids of the spec are not 1, 2, 3… in its order", where=where, remedy=remedy),)
            )
        return Looked(_setup(site, told))


def _facts(host: Host) -> _Facts:
    return _Facts(host.read(CONF), host.run(["test", "-e", CIB]).ok, units.look(host, UNITS))


def _belongs(conf: bytes | None, cluster: model.Cluster) -> str:
    """What a corosync.conf makes a machine: none, ours, or other."""
    if conf is None:
        return "none"
    told = read_conf(conf.decode(errors="replace"))
    # The example that Debian's package brings: one node, itself, on the loopback address.
    if told.name == "debian" and all(links in ((), ("127.0.0.1",)) for links in told.members.values()):
        return "none"
    return "ours" if told == _wanted(cluster) else "other"


def _wrong(name: str, facts: _Facts, cluster: model.Cluster) -> Problem:
    told, wanted = read_conf((facts.conf or b"").decode(errors="replace")), _wanted(cluster)
    where = f"node {name}"
    if told.name != wanted.name:
        remedy = f"if it is to leave that cluster: pcs cluster node remove {name}, there"
        return OTHER_CLUSTER(
            f"{name} is a member of {told.name or 'a cluster without a name'}", where=where, remedy=remedy
        )
    more = [node for node in wanted.members if node not in told.members]
    less = [node for node in told.members if node not in wanted.members]
    moved = [node for node in told.members if wanted.members.get(node, told.members[node]) != told.members[node]]
    add = " ".join([f"pcs cluster node add {node} " + _addresses(wanted.members[node]) for node in more[:1]])
    remedy = add or (f"pcs cluster node remove {less[0]}" if less else "pcs cluster link update, or mend the spec")
    facts_ = {"missing": ", ".join(more), "only there": ", ".join(less), "other addresses": ", ".join(moved)}
    return MEMBERS_DIFFER(
        f"the corosync.conf of {name} is not what the spec says",
        where=where,
        remedy=remedy,
        **{word: said for word, said in facts_.items() if said},
    )


def _missing(name: str, begun: Sequence[str], site: Site) -> Problem:
    node = next(node for node in site.cluster.members if node.name == name)
    return MEMBERS_DIFFER(
        f"{name} has no corosync.conf, and the cluster exists already",
        where=f"node {name}",
        remedy=f"on {begun[0]}: pcs cluster node add {name} {_addresses(node.addresses)}",
    )


def _standing(told: Mapping[str, _Facts]) -> tuple[Change, ...]:
    """What makes a cluster that is set up run, now and after a boot."""
    changes: list[Change] = []
    for name, facts in told.items():
        wanted = [unit for unit, state in facts.units.items() if not (state.enabled and state.active)]
        if wanted:
            argv = ("systemctl", "enable", "--now", *wanted)
            changes.append(CommandChange(name, argv, "the cluster runs, and starts at boot", deadline=300.0))
    return tuple(changes)


def _setup(site: Site, told: Mapping[str, _Facts]) -> tuple[Change, ...]:
    cluster, first = site.cluster, site.first.name
    password = secrets.token_urlsafe(24)
    changes: list[Change] = []
    for name, facts in told.items():
        running = tuple(unit for unit in UNITS if facts.units[unit].active)
        if running:
            # It is the package's example that runs there, or a start of ours that was broken off: no CIB of a cluster.
            argv = ("systemctl", "stop", *reversed(running))
            changes.append(CommandChange(name, argv, "a cluster of one, as its package sets it up", deadline=180.0))
        changes += file_change(name, CONF, facts.conf, None)
        line = f"{USER}:{password}\n".encode()
        why = "a password made for this one time, which nobody has to know"
        changes.append(CommandChange(name, ("chpasswd",), why, stdin=line))
    nodes = [f"{node.name} addr={node.addresses[0]}" for node in cluster.members]
    argv = ("sh", "-c", _AUTH, "pcs host auth", *" ".join(nodes).split())
    why = "the nodes' pcsd know each other"
    changes.append(CommandChange(first, argv, why, deadline=600.0, stdin=f"{password}\n".encode()))
    changes.append(CommandChange(first, setup_command(cluster), "corosync.conf and its key", deadline=900.0))
    argv = ("pcs", "cluster", "enable", "--all")
    changes.append(CommandChange(first, argv, "the cluster starts at boot", deadline=600.0))
    argv = ("pcs", "--request-timeout=300", "cluster", "start", "--all", "--wait=300")
    changes.append(CommandChange(first, argv, "all nodes online", deadline=900.0))
    return tuple(changes)


def setup_command(cluster: model.Cluster) -> tuple[str, ...]:
    """`pcs cluster setup` for this cluster: encrypted links in the order of each node's addresses."""
    nodes = [word for node in cluster.members for word in (node.name, *(f"addr={each}" for each in node.addresses))]
    argv = ["sh", "-c", _SETUP, "pcs cluster setup", cluster.name, *nodes, "transport", "knet"]
    if cluster.wait_for_all is not None:
        argv += ["quorum", f"wait_for_all={int(cluster.wait_for_all)}"]
    return tuple(argv)


def _addresses(links: Sequence[str]) -> str:
    return " ".join(f"addr={address}" for address in links)


@dataclass(frozen=True, slots=True)
class Conf:
    """What a corosync.conf says of who belongs to the cluster: each member's id and its addresses, in link order."""

    name: str
    members: Mapping[str, tuple[str, ...]]


def _wanted(cluster: model.Cluster) -> Conf:
    return Conf(cluster.name, {node.name: node.addresses for node in cluster.members})


def read_conf(text: str) -> Conf:
    """A corosync.conf, as far as membership goes (corosync.conf(5)): sections in braces, `name: value` in them."""
    name, members = "", {}
    section: list[str] = []
    node: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("#") or not line:
            continue
        if line.endswith("{"):
            section.append(line[:-1].strip())
            if section == ["nodelist", "node"]:
                node = {}
        elif line == "}":
            if section == ["nodelist", "node"]:
                links = sorted((int(m[1]), v) for k, v in node.items() if (m := re.fullmatch(r"ring(\d+)_addr", k)))
                members[node.get("name", links[0][1] if links else "?")] = tuple(value for _, value in links)
            del section[-1:]
        else:
            key, _, value = (part.strip() for part in line.partition(":"))
            if section == ["totem"] and key == "cluster_name":
                name = value
            elif section == ["nodelist", "node"]:
                node[key] = value
    return Conf(name, members)

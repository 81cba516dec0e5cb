"""corosync.conf: what Corosync is told on every member of the cluster, from the same spec as the CIB. Pure.

The one writer of that file: `hactl compile --corosync` gives it to an admin, and the lab's nodes run it. Remote nodes
do not stand in it: they have no Corosync.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hacluster import model

SYSLOG = "logging {\n  to_syslog: yes\n}\n"
"""The log goes where it goes on every distribution; the folder for a file of its own is another on each."""


def conf(cluster: model.Cluster, *, totem: Mapping[str, str] = MappingProxyType({}), beside: str = SYSLOG) -> str:
    """The whole file. `totem` are further settings of that section, `beside` the sections after the quorum's.

    Links are knet's, encrypted; each node's addresses are in link order.
    """
    settings = {
        "version": "2",
        "cluster_name": cluster.name,
        "transport": "knet",
        "crypto_cipher": "aes256",
        "crypto_hash": "sha256",
        **totem,
    }
    nodes = "".join(_node(node) for node in cluster.members)
    return f"totem {{\n{_lines(settings)}}}\nnodelist {{\n{nodes}}}\nquorum {{\n{_quorum(cluster)}}}\n{beside}"


def two_node(cluster: model.Cluster) -> bool:
    """Whether one vote of two is to be enough. A quorum device takes that mode's place (votequorum(5))."""
    return len(cluster.members) == 2 and cluster.qdevice is None


def _quorum(cluster: model.Cluster) -> str:
    settings = {"provider": "corosync_votequorum"}
    if two_node(cluster):
        settings["two_node"] = "1"
    wait = cluster.wait_for_all if cluster.wait_for_all is not None else two_node(cluster) or None
    if wait is not None:
        settings["wait_for_all"] = str(int(wait))
    return _lines(settings) + ("" if cluster.qdevice is None else _qdevice(cluster.qdevice, len(cluster.members)))


def _qdevice(host: str, members: int) -> str:
    """A third vote. The algorithms are those that corosync-qdevice(8) advises: ffsplit decides between equal halves;
    with an odd number of members one vote more would make a tie possible, so there it has one vote less than they
    (which is lms's own default).
    """
    votes = "    votes: 1\n" if members % 2 == 0 else ""
    algorithm = "ffsplit" if members % 2 == 0 else "lms"
    net = f"    net {{\n      host: {host}\n      algorithm: {algorithm}\n    }}\n"
    return f"  device {{\n    model: net\n{votes}{net}  }}\n"


def _node(node: model.Node) -> str:
    links = "".join(f"    ring{link}_addr: {address}\n" for link, address in enumerate(node.addresses))
    return f"  node {{\n    name: {node.name}\n    nodeid: {node.id}\n{links}  }}\n"


def _lines(settings: Mapping[str, str]) -> str:
    return "".join(f"  {name}: {value}\n" for name, value in settings.items())

"""Do the nodes form a cluster that Corosync can carry and that keeps a majority?"""

from __future__ import annotations

from hacluster.spec import kinds
from hacluster.spec.names import of_resource, same_address
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.wording import join, quoted

FEWEST, MOST = 2, 32  # Corosync's documented maximum


def members(nodes: dict[str, Table]) -> dict[str, Table]:
    """The nodes that Corosync joins: all but the remote ones."""
    return {name: node for name, node in nodes.items() if not node["remote"]}


def ids(nodes: dict[str, Table]) -> dict[str, int]:
    """Each member's Corosync id: what it says, or its position among the members from 1."""
    return {
        name: node["id"] if node["id"] is not None else position
        for position, (name, node) in enumerate(members(nodes).items(), 1)
    }


def check(cluster: Table, nodes: dict[str, Table], found: Found) -> None:
    """Add what is wrong with the nodes as a set."""
    joined = members(nodes)
    if not FEWEST <= len(joined) <= MOST:
        found.append(
            kinds.NODE_COUNT(
                f"the spec has {len(joined) or 'no'} node{'s' if len(joined) != 1 else ''}"
                + (" beside its remote ones" if joined != nodes else ""),
                where="nodes",
                remedy=f"describe {FEWEST} to {MOST} nodes"
                + ("; more can be remote ones: remote = true" if len(joined) > MOST else ""),
            )
        )
    _twice(nodes, found)
    _addresses(nodes, found)
    _links(joined, found)
    _qdevice(cluster, nodes, found)
    for name, node in nodes.items():
        _remote(name, node, found)


def _twice(nodes: dict[str, Table], found: Found) -> None:
    names: dict[str, str] = {}
    for name, node in nodes.items():
        first = names.setdefault(name.casefold(), name)
        if first != name:
            found.append(
                kinds.NODE_TWICE(
                    f"{name} and {first} differ in upper and lower case only: to Pacemaker they are one node",
                    where=node["where"],
                    remedy="remove one of them, or give it its own name",
                )
            )
    owners: dict[int, str] = {}
    for name, number in ids(nodes).items():
        first = owners.setdefault(number, name)
        if first != name:
            found.append(
                kinds.NODE_TWICE(
                    f"{first} and {name} have the same node id",
                    where=f"{nodes[name]['where']}.id",
                    remedy=f"give {name} an id of its own",
                    id=number,
                )
            )


def _addresses(nodes: dict[str, Table], found: Found) -> None:
    owners: dict[str, str] = {}
    for name, node in nodes.items():
        for i, address in enumerate(node["addresses"] or ()):
            first = owners.setdefault(same_address(address), name)
            here = f"{node['where']}.addresses[{i}]"
            if first != name:
                message = f"{name} and {first} have the same address: one node twice?"
                remedy = f"give {name} its own address, or remove one of the two nodes"
            elif sum(same_address(a) == same_address(address) for a in (node["addresses"] or ())[:i]):
                message = f"{name} has one address on two links"
                remedy = "give each link an address of its own"
            else:
                continue
            found.append(kinds.ADDRESS_TWICE(message, where=here, remedy=remedy, address=address))


def _links(nodes: dict[str, Table], found: Found) -> None:
    counts = {name: len(node["addresses"]) for name, node in nodes.items() if node["addresses"]}
    if len(set(counts.values())) <= 1:
        return
    usual = max(counts.values(), key=lambda n: (list(counts.values()).count(n), n))
    for name, count in counts.items():
        if count != usual:
            found.append(
                kinds.LINKS_DIFFER(
                    f"{name} has {count} address{'es' if count > 1 else ''}, other nodes have {usual}",
                    where=f"{nodes[name]['where']}.addresses",
                    remedy=f"give {name} one address for each of the {usual} links",
                )
            )


def _qdevice(cluster: Table, nodes: dict[str, Table], found: Found) -> None:
    host = cluster["qdevice"]
    if host is not None:
        inside = next(
            (
                name
                for name, node in nodes.items()
                if same_address(host) in {same_address(a) for a in (name, *(node["addresses"] or ()))}
            ),
            None,
        )
        if inside is not None:
            found.append(
                kinds.QDEVICE_INSIDE(
                    f"the quorum device's host {quoted(host)} is the node {inside}",
                    where="cluster.qdevice",
                    remedy="name a third host, which runs corosync-qnetd",
                )
            )
    elif "qdevice" not in cluster["given"] and len(members(nodes)) == 2:
        found.append(
            kinds.NO_QDEVICE(
                "two nodes and no quorum device: after a cut both sides fence each other, and the faster one wins; "
                "with wait_for_all a node that boots alone starts nothing",
                where="cluster.qdevice",
                remedy="run corosync-qnetd on a third host and set qdevice; "
                f"or take the risk: --accept {kinds.NO_QDEVICE.code}",
                nodes=", ".join(members(nodes)),
            )
        )
        if cluster["wait_for_all"] is False:
            found.append(
                kinds.NO_WAIT_FOR_ALL(
                    "wait_for_all is switched off",
                    where="cluster.wait_for_all",
                    remedy="remove it: two nodes have it by default; "
                    f"or take the risk: --accept {kinds.NO_WAIT_FOR_ALL.code}",
                )
            )


def _remote(name: str, node: Table, found: Found) -> None:
    """What only one of the two sorts of nodes has."""
    if not node["remote"]:
        if "reconnect" in node["given"]:
            message = "reconnect is for remote nodes: this one is a member of the cluster"
            remedy = "remove it, or write remote = true"
            found.append(kinds.BAD_VALUE(message, where=join(node["where"], "reconnect"), remedy=remedy))
        return
    wrong = of_resource(name)
    if wrong is not None:
        problem, message, _ = wrong
        remedy = "a remote node is a resource too: choose a name that one can have"
        found.append(problem(message, where=node["where"], remedy=remedy))
    if "id" in node["given"]:
        message = "a remote node has no Corosync, and no id of Corosync's"
        found.append(kinds.REMOTE_NODE(message, where=join(node["where"], "id"), remedy="remove it"))
    if len(node["addresses"] or ()) > 1:
        message = "the cluster dials a remote node at one address"
        remedy = "name one: the others are no Corosync links"
        found.append(kinds.REMOTE_NODE(message, where=join(node["where"], "addresses"), remedy=remedy))

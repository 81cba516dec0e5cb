"""Pacemaker remote nodes: hosts without Corosync, and therefore without DLM and run-locks.

The DLM needs Corosync on its own node. So what stands on it is kept off remote nodes, guarded VMs with it, and only
VMs of heartbeat's agent on storage without a DLM can run there (docs/decisions/0013).
"""

from __future__ import annotations

from lxml import etree

from hacluster import model
from hacluster.cib import names
from hacluster.cib.draft import Draft, element
from hacluster.problems import Problem, kind
from hacluster.stacks import STACKS

UNGUARDED = kind(
    "HA207",
    "A VM that may run on a remote node without a run-lock",
    "A remote node has no DLM, so there are no run-locks, and nothing refuses a start by hand. What keeps a second "
    "copy away is fencing alone, and on NFS QEMU's image lock.",
    severity="warning",
)

_MEMBERS_ONLY = (names.DLM, names.LOCKSPACE, names.LVMLOCKD, names.CLVMD, names.O2CB)


def add(draft: Draft) -> None:
    """The connections, and what can run on cluster members only. Call it when all storage has been added."""
    remotes = [node for node in draft.cluster.nodes if node.remote]
    for node in remotes:
        draft.resources.append(
            draft.library.render(
                "remote", node.name, name=node.name, server=node.addresses[0], reconnect=node.reconnect
            )
        )
    if remotes:
        made = [names.clone(primitive) for primitive in _MEMBERS_ONLY if draft.has(names.clone(primitive))]
        for clone in made[:1] if made[0] == names.clone(names.DLM) else made:  # all others run only where the DLM does
            draft.constraints.append(_members_only(clone))


def carries(cluster: model.Cluster, vm: model.Vm, node: model.Node) -> bool:
    """Whether a VM can run on that remote node: no part of it needs the DLM, and nothing keeps it elsewhere."""
    storages = [storage for storage in cluster.storages if storage.name in vm.storages]
    return (
        vm.agent == "heartbeat"
        and node.name not in vm.placement.avoid
        and not any(STACKS[storage.stack].dlm for storage in storages)
        and not any(isinstance(storage, model.Local) and storage.node != node.name for storage in storages)
    )


def check(cluster: model.Cluster) -> tuple[Problem, ...]:
    """A warning for each VM that may run on a remote node."""
    found = []
    for vm in cluster.vms:
        nodes = [node.name for node in cluster.nodes if node.remote and carries(cluster, vm, node)]
        if nodes:
            avoid = ", ".join(f'"{node}"' for node in nodes)
            found.append(
                UNGUARDED(
                    f"{vm.name} may run on {', '.join(nodes)}",
                    where=f"vms.{vm.name}.agent",
                    remedy=f'agent = "hacluster" keeps it on the cluster\'s members, and so does '
                    f"placement = {{ avoid = [{avoid}] }}",
                )
            )
    return tuple(found)


def _members_only(clone: str) -> etree._Element:
    id_ = names.not_on_remotes(clone)
    location = etree.Element("rsc_location", id=id_, rsc=clone)
    rule = etree.SubElement(location, "rule", id=f"{id_}-rule", score="-INFINITY")
    rule.append(
        element("expression", ("id", f"{id_}-kind"), ("attribute", "#kind"), ("operation", "eq"), ("value", "remote"))
    )
    return location

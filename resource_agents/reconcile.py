"""Remind Pacemaker of VMs that it has given up or does not know of.

It has no way out of two states by itself. After a failed migrate_to (on-fail=block) it schedules nothing for the VM
any more, not even a monitor: a guest that runs on is not watched, and one that ended in its move stays down. And a copy
that sealed itself here just before its source died is unknown to it, so that it tries in vain to start the VM
elsewhere. Both end when it forgets what it recorded and looks again. Nothing is decided here about who runs the VM:
only one that is proven to run here under its seal, or to be absent after a move from here, is touched; Pacemaker acts
on what its own probes then say, and a start needs the seal as ever.
"""

from __future__ import annotations

import time

from hacluster.guard import proof, state
from hacluster.guard.child import run
from hacluster.guard.dlm import EX
from resource_agents import codes
from resource_agents.domains import domain_names
from resource_agents.sweep import URI

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ASK = 10.0
SETTLE = 30
"""Seconds Pacemaker gets to come to rest after each node has forgotten."""
FIRST, LONGEST = 60.0, 3600.0
"""Seconds a state must have lasted before it is acted on; twice as long each time it comes back, up to an hour."""

BLOCKED, UNKNOWN = "blocked", "not known to run here"


def reconcile() -> None:
    """Look at every VM that runs here under its seal, or ended in a move from here; act on what has lasted."""
    seen, names = proof.scan(), domain_names()
    claims = {uuid: state.read(uuid) for uuid in names.keys() & seen.by_uuid.keys()}
    sealed = [uuid for uuid, claim in claims.items() if claim.mode == EX and not claim.nonce]
    left = [uuid for uuid in names.keys() - seen.by_uuid.keys() if broken_off(uuid)]
    if left:
        active = proof.active_uuids(URI, ASK)
        left = [uuid for uuid in left if proof.presence(uuid, active, seen).verdict == proof.ABSENT]
    if not sealed and not left:
        return
    node, cluster = state.node_name(), _cluster()
    for uuid in sealed if cluster is not None else []:
        what = oddity(cluster, names[uuid], node)
        if due(uuid, what):
            codes.log(names[uuid], f"runs here, sealed, but Pacemaker has it as {what}; it is told to look again")
            _forget(names[uuid], node, what)
    for uuid in left if cluster is not None else []:
        what = oddity(cluster, names[uuid], node)
        if due(uuid, what if what == BLOCKED else "", 0.0):
            codes.log(
                names[uuid], "ended in its move from here, and Pacemaker has it blocked; it is told to look again"
            )
            _forget(names[uuid], node, what)


def _cluster() -> Element | None:
    """What crm_mon shows; None when it does not answer."""
    told = run(["crm_mon", "-1", "--output-as=xml"], ASK)
    if told.code != 0:
        return None
    from xml.etree import ElementTree

    return ElementTree.fromstring(told.out)


def broken_off(uuid: str) -> bool:
    """Whether the last that this node's agent did for a VM was a move that failed, or that it was killed in."""
    if (state.read_pairs(state.path(uuid, ".failed")) or {}).get("action") == "migrate_to":
        return True
    return state.read_pairs(state.path(uuid, ".moving")) is not None and not state.in_flight(uuid, ".moving")


def oddity(cluster: Element | None, name: str, node: str) -> str:
    """What is wrong with Pacemaker's picture of a VM on `node`; empty if it is right, or another node's to mend.

    A block is mended by the one node whose migrate_to failed: two that make their nodes forget at the same time make
    a new home forget while another remembers the move to it.
    """
    if cluster is None:
        return ""
    resource = next((found for found in cluster.iter("resource") if found.get("id") == name), None)
    if resource is None or resource.get("pending"):
        return ""
    if resource.get("blocked") == "true":  # crm_mon calls it not managed then, as if an admin had wished so
        failed = [(found.get("op_key"), found.get("node")) for found in cluster.iter("failure")]
        return BLOCKED if (f"{name}_migrate_to_0", node) in failed else ""
    if resource.get("managed") == "false":
        return ""
    return "" if node in [found.get("name") for found in resource.iter("node")] else UNKNOWN


def order(cluster: Element, node: str, what: str) -> list[str]:
    """The nodes that forget, one after the other. This one last if it blocks: while another node remembers an earlier
    move of the VM and its home does not, Pacemaker takes that move for unfinished and restarts the guest."""
    if what == UNKNOWN:
        return [node]
    online = [found.get("name", "") for found in cluster.iterfind("./nodes/node") if found.get("online") == "true"]
    return [other for other in online if other != node] + [node]


def due(uuid: str, what: str, first: float = FIRST) -> bool:
    """Whether this state has lasted long enough to be acted on, at `first` so many seconds; an empty one ends the
    account."""
    path, now = state.path(uuid, ".odd"), time.monotonic()
    if not what:
        state.remove(path)
        return False
    noted = state.read_pairs(path) or {}
    try:
        since, patience = float(noted["since"]), float(noted["patience"])
    except (KeyError, ValueError):
        since, patience = now, first
    over = now - since >= patience
    if over:
        since, patience = now, min(max(2 * patience, FIRST), LONGEST)
    state.write_pairs(path, {"since": str(since), "patience": str(patience), "what": what})
    return over


def _forget(name: str, node: str, what: str) -> None:
    """One node after the other, as long as Pacemaker's picture stays what it was: an operator may be at it too."""
    cluster = _cluster()
    for each in order(cluster, node, what) if cluster is not None else []:
        if oddity(_cluster(), name, node) != what:
            return
        run(["crm_resource", "--refresh", "--resource", name, "--node", each], ASK)
        run(["crm_resource", "--wait", f"--timeout={SETTLE}"], SETTLE + 5.0)

"""What Pacemaker's scheduler would do with a CIB, read from crm_simulate's own output. Pure: it runs nothing.

Advice to whoever runs it (measured on Pacemaker 2.1.5):
`crm_simulate --xml-file CIB --run --output-as=xml` asks the scheduler once, 0.8 s for 1000 VMs; `--simulate` walks
through the whole transition and takes minutes there: it is never needed here. `--save-graph FILE` beside it writes the
transition graph. A CIB without status has unseen nodes, which the scheduler wants to fence: fill `with_online_nodes`
first. Both tools abort on a CIB whose feature set is newer than their own: ask `feature_set_newer` before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

from lxml import etree

Price = Literal["none", "reload", "migrate", "start", "stop", "restart"]

# Pacemaker's own words for an action, and what they cost the guest. A "move" is a stop here and a start there.
_PRICES: Mapping[str, Price] = {
    "start": "start",
    "stop": "stop",
    "migrate": "migrate",
    "move": "restart",
    "restart": "restart",
    "recover": "restart",
    "reload": "reload",
}

_OF_NODES = frozenset({"fence", "shutdown"})


@dataclass(frozen=True, slots=True)
class Action:
    """One line of the scheduler's summary.

    `kind` is Pacemaker's own word: start, stop, migrate, move, restart, recover, reload, promote, demote for a
    resource; fence and shutdown for a node. `source` and `target` are nodes as far as the action has them: a stop has
    only a source, a start only a target, a restart the same node twice. A `blocked` one cannot be carried out now.
    """

    kind: str
    subject: str
    source: str | None = None
    target: str | None = None
    reason: str | None = None
    blocked: bool = False

    @property
    def resource(self) -> str:
        """The resource's id without the number of a clone's instance."""
        return self.subject.split(":", 1)[0]

    @property
    def price(self) -> Price:
        """What it costs the resource's users. A word that this module does not know is taken for a restart."""
        return _PRICES.get(self.kind, "restart")

    def __str__(self) -> str:
        return _sentence(self)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the scheduler would do, and where that leaves each resource.

    `before` and `after` map the id of a primitive (of a clone: without instance numbers) to the nodes where it is
    active. `after` assumes that every action succeeds; a blocked one changes nothing.
    """

    actions: tuple[Action, ...]
    before: Mapping[str, frozenset[str]]
    after: Mapping[str, frozenset[str]]

    def price(self, resource: str) -> Price:
        """What all actions together cost a resource: the dearest of them, `none` when nothing happens to it."""
        order: tuple[Price, ...] = ("none", "reload", "migrate", "start", "stop", "restart")
        prices = [action.price for action in self.of(resource) if not action.blocked]
        return max(prices, key=order.index, default="none")

    def of(self, resource: str) -> tuple[Action, ...]:
        """The actions on a resource."""
        return tuple(a for a in self.actions if a.resource == resource and a.kind not in _OF_NODES)

    def fenced(self) -> tuple[str, ...]:
        """The nodes that would be fenced."""
        return tuple(a.subject for a in self.actions if a.kind == "fence")

    def sentences(self) -> tuple[str, ...]:
        """What would happen, in plain words, a sentence for each action."""
        return tuple(str(action) for action in self.actions)


def parse(output: bytes) -> Simulation:
    """Read `crm_simulate --output-as=xml`. Raises ValueError when it is something else, or an error of the tool."""
    try:
        root = etree.fromstring(output)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not crm_simulate's XML: {error}") from error
    status = root.find("status")
    if root.tag != "pacemaker-result" or status is None or status.get("code") != "0":
        told = status.get("message") if status is not None else root.tag
        raise ValueError(f"crm_simulate did not succeed: {told}")
    actions = tuple(_action(element) for element in root.iterfind("actions/*"))
    before = _placement(root.find("cluster_status/resources"))
    return Simulation(actions, before, _apply(before, actions))


def with_online_nodes(cib: etree._Element, names: Iterable[str]) -> etree._Element:
    """A copy in which these nodes are online, have quorum, and run nothing, as after a boot of the whole cluster.

    Nodes that have a status already keep it. Names that the CIB does not know are left out.
    """
    filled = deepcopy(cib)
    filled.set("have-quorum", "1")
    status = filled.find("status")
    if status is None:
        status = etree.SubElement(filled, "status")
    ids = {node.get("uname"): node.get("id") for node in filled.iterfind("configuration/nodes/node")}
    seen = {state.get("uname") for state in status.iterfind("node_state")}
    for name in names:
        if name in ids and name not in seen:
            state = etree.SubElement(status, "node_state", id=ids[name], uname=name)
            for attribute, value in _ONLINE:
                state.set(attribute, value)
    return filled


_ONLINE = (("in_ccm", "true"), ("crmd", "online"), ("join", "member"), ("expected", "member"))


def feature_set_newer(cib: etree._Element, installed: str) -> bool:
    """Whether the CIB's feature set is newer than the installed tools' (`pacemakerd --features`: "3.16.1").

    crm_simulate and crm_verify abort on such a CIB. A CIB that names none is never newer.
    """
    return _numbers(cib.get("crm_feature_set", "0")) > _numbers(installed)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.strip().split(".") if part.isdecimal())


def _action(element: etree._Element) -> Action:
    """Pacemaker writes one node as `node`, or as `source` alone for a restart; a node's action is "Fence (reboot)"."""
    if element.tag == "node_action":
        return Action(element.get("task").split()[0].lower(), element.get("node"), reason=element.get("reason"))
    kind = element.get("action")
    source = element.get("source") or element.get("node")
    target = element.get("dest") or source
    return Action(
        kind=kind,
        subject=element.get("resource"),
        source=None if kind == "start" else source,
        target=None if kind == "stop" else target,
        reason=element.get("reason"),
        blocked=element.get("blocked") == "true",
    )


def _placement(resources: etree._Element | None) -> dict[str, frozenset[str]]:
    """Where each primitive is active; a primitive that runs nowhere maps to nothing."""
    found: dict[str, set[str]] = {}
    for resource in resources.iter("resource") if resources is not None else ():
        nodes = found.setdefault(resource.get("id").split(":", 1)[0], set())
        if resource.get("active") == "true":
            nodes.update(node.get("name") for node in resource.iterfind("node"))
    return {name: frozenset(nodes) for name, nodes in found.items()}


def _apply(before: Mapping[str, frozenset[str]], actions: tuple[Action, ...]) -> dict[str, frozenset[str]]:
    fenced = {action.subject for action in actions if action.kind == "fence"}
    after = {name: set(nodes - fenced) for name, nodes in before.items()}
    for action in actions:
        if action.blocked or action.kind in _OF_NODES:
            continue
        nodes = after.setdefault(action.resource, set())
        nodes.discard(action.source or "")
        if action.target is not None:
            nodes.add(action.target)
    return {name: frozenset(nodes) for name, nodes in after.items()}


def _sentence(action: Action) -> str:
    subject, source, target = action.resource, action.source, action.target
    words = {
        "start": f"{subject} starts on {target}",
        "stop": f"{subject} stops on {source}",
        "migrate": f"{subject} moves live from {source} to {target}",
        "move": f"{subject} is stopped on {source} and started on {target}",
        "restart": f"{subject} is restarted on {target}",
        "recover": f"{subject} has failed on {source} and is started again on {target}",
        "reload": f"{subject} is told its new settings on {target}; what runs goes on as it is",
        "promote": f"{subject} is promoted on {target}",
        "demote": f"{subject} is demoted on {source}",
        "fence": f"node {subject} is fenced",
        "shutdown": f"node {subject} shuts down",
    }.get(action.kind, f"{subject}: {action.kind}")
    because = f" ({action.reason})" if action.reason else ""
    return words + because + (", but cannot now" if action.blocked else "")

"""Pacemaker's scheduler as oracle: in a transition graph, no VM starts before every place where it was is settled.

The graph is what Pacemaker would carry out (`crm_simulate --save-graph`): actions, each with the actions that must be
complete before it. A place where a VM was is settled when the VM has been stopped there or the node has been fenced;
for a VM that migrates in, the place it comes from is settled by its migrate_to. Pseudo actions settle nothing: nobody
carries them out. Pure; it believes the agents' answers, which is what the guard is for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from hacluster.problems import Problem, kind

UNSETTLED = kind(
    "HA250",
    "Pacemaker would start a VM before it is settled where it was",
    "The transition has a start of the VM that does not wait for a stop, a migration away or a fence of a place where "
    "it runs. That is a way to two copies, whatever the cause: multiple-active, unmanaged resources, constraints.",
)

_SETTLED_BY = {"start": frozenset({"stop"}), "migrate_from": frozenset({"stop", "migrate_to"})}


@dataclass(frozen=True, slots=True)
class Step:
    """One action of a transition. `node` is where it runs, of a fence its target; `after` are the ids of its inputs.

    `real` says that somebody carries it out: an executor or the fencer.
    """

    id: str
    operation: str
    resource: str
    node: str
    after: frozenset[str]
    real: bool = True


@dataclass(frozen=True, slots=True)
class Graph:
    """A transition graph: steps by id."""

    steps: Mapping[str, Step]
    _by_resource: Mapping[str, tuple[Step, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found: dict[str, tuple[Step, ...]] = {}
        for step in self.steps.values():
            found[step.resource] = (*found.get(step.resource, ()), step)
        object.__setattr__(self, "_by_resource", found)

    def before(self, step: Step) -> frozenset[str]:
        """The ids of all steps that must be complete before a step, however indirectly."""
        return frozenset(earlier.id for earlier in self.backwards(step))

    def backwards(self, step: Step) -> Iterator[Step]:
        """The same steps, the nearest first."""
        seen: set[str] = set()
        todo = deque(step.after)
        while todo:
            id_ = todo.popleft()
            if id_ not in seen and id_ in self.steps:
                seen.add(id_)
                yield self.steps[id_]
                todo += self.steps[id_].after

    def of(self, resource: str, *operations: str) -> tuple[Step, ...]:
        """A resource's steps, all or those of some operations (a probe is the operation `monitor`)."""
        steps = self._by_resource.get(resource, ())
        return tuple(step for step in steps if not operations or step.operation in operations)


def read(graph: bytes) -> Graph:
    """Read a transition graph as `crm_simulate --save-graph` writes it. Raises ValueError when it is none."""
    try:
        root = etree.fromstring(graph)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not a transition graph: {error}") from error
    if root.tag != "transition_graph":
        raise ValueError(f"not a transition graph: its root is {root.tag}")
    steps = {}
    for synapse in root.iterfind("synapse"):
        inputs = frozenset(trigger.get("id") for trigger in synapse.iterfind("inputs/trigger/*"))
        for action in synapse.iterfind("action_set/*"):
            steps[action.get("id")] = _step(action, inputs)
    return Graph(steps)


def _step(action: etree._Element, inputs: frozenset[str]) -> Step:
    primitive = action.find("primitive")
    key = action.get("operation_key", "")
    return Step(
        id=action.get("id"),
        operation="fence" if action.get("operation") == "stonith" else action.get("operation", ""),
        # A pseudo action has no primitive; its key is RESOURCE_OPERATION_INTERVAL.
        resource=primitive.get("id") if primitive is not None else key.rsplit("_", 2)[0],
        node=action.get("on_node", ""),
        after=inputs,
        real=action.tag != "pseudo_event",
    )


def check(graph: Graph, places: Mapping[str, frozenset[str]], vms: Iterable[str]) -> tuple[Problem, ...]:
    """Every start of a VM that does not wait for each place where the VM was.

    `places` says where each resource is now (`Simulation.before`); a node in unknown state that may run it counts.
    """
    return tuple(
        _unsettled(step, left, was)
        for vm in vms
        for was in [places.get(vm, frozenset())]
        for step in graph.of(vm, *_SETTLED_BY)
        if step.real and (left := _left(graph, step, was))
    )


def _left(graph: Graph, step: Step, was: frozenset[str]) -> frozenset[str]:
    """The places where the VM was that nothing settles before this step."""
    left = set(was)
    for before in graph.backwards(step):
        if not left:
            break
        own = before.resource == step.resource and before.operation in _SETTLED_BY[step.operation]
        if before.real and (own or before.operation == "fence"):
            left.discard(before.node)
    return frozenset(left)


def _unsettled(step: Step, left: frozenset[str], was: frozenset[str]) -> Problem:
    return UNSETTLED(
        f"{step.resource} would start on {step.node} while nothing settles {', '.join(sorted(left))}",
        where=step.resource,
        remedy="hactl status, and see that it runs there no more",
        was=", ".join(sorted(was)),
    )

"""Asking every fence device about every node that it fences, from every node that may use it. Nothing is switched.

What cannot be asked today cannot fence tomorrow: a wrong address, a password that one node lacks, a map that names
another machine. A device's answer is no proof that it can switch; that is what `proving` is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lxml import etree

from hacluster.cib import fence_catalogue, fence_devices, fence_parameters
from hacluster.cib.fence_devices import FenceDevice
from hacluster.cib.fence_parameters import Describe
from hacluster.cib.metadata import Metadata
from hacluster.fence_ports import FenceAnswer, Fencing
from hacluster.observe import Observation
from hacluster.ports import Unknown
from hacluster.problems import Problem, kind

SILENT_DEVICE = kind(
    "HA543",
    "A fence device does not answer",
    "Asked from a node that may have to use it, the device did not say whether its target has power. In an emergency "
    "it would not fence from there either.",
)
WRONG_MACHINE = kind(
    "HA544",
    "A fence device says that a running node is off",
    "The node answers, so the device speaks of another machine: its address, plug or map is wrong. Fencing the node "
    "would switch that other machine, report success, and leave the node and its VMs running.",
)
NOBODY_ASKS = kind(
    "HA552",
    "No node can ask a fence device",
    "Only a node that is online and may use the device can fence with it, and a node does not fence itself.",
)

Tell = Callable[[str], None]
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """What a device said of a target when `node` asked. `level` is its place in the target's topology, from 1."""

    device: str
    agent: str
    target: str
    node: str
    level: int | None
    answer: FenceAnswer | Unknown


@dataclass(frozen=True, slots=True)
class Question:
    """One device, one target, and the nodes that are to ask."""

    device: FenceDevice
    target: str
    level: int | None
    nodes: tuple[str, ...]


def questions(cib: etree._Element, seen: Observation, targets: Iterable[str], device: str | None) -> list[Question]:
    """What there is to ask: each wanted device (or the one named) for each of the targets that it can fence."""
    online = [node.name for node in seen.nodes if node.online]
    known = fence_devices.devices(cib)
    found = []
    for target in targets:
        topology = fence_devices.levels(cib, target, known)
        for each in known:
            if not each.wanted or not each.can_fence(target) or device not in (None, each.name):
                continue
            if each.agent == fence_devices.WATCHDOG:  # the host's own affair: there is nobody to ask
                continue
            level = next((number for number, names in enumerate(topology, 1) if each.name in names), None)
            nodes = tuple(node for node in online if node != target and each.may_use(node))
            found.append(Question(each, target, level, nodes))
    return found


def known_agents(agents: Iterable[str], describe: Describe) -> dict[str, Metadata]:
    """What these agents say of themselves, by name; of those that say nothing, what Debian's catalogue has of them."""
    told = {agent: describe(f"stonith:{agent}") or fence_catalogue.described(agent) for agent in sorted(set(agents))}
    return {agent: found for agent, found in told.items() if found is not None}


def parameters(cib: etree._Element, devices: Iterable[str], known: Mapping[str, Metadata]) -> tuple[Problem, ...]:
    """What is wrong with the parameters of these devices of the cluster, by what their installed agents say."""
    wanted = set(devices)
    return tuple(
        problem
        for device in fence_devices.devices(cib)
        if device.name in wanted
        for problem in fence_parameters.check(
            device.agent, device.parameters, f"fencing {device.name}", lambda agent: known.get(agent.partition(":")[2])
        )
    )


def ask(fencing: Fencing, wanted: Iterable[Question], known: Mapping[str, Metadata], tell: Tell) -> tuple[Asked, ...]:
    """Ask it all: several devices at once, one device never twice at a time, as many boards take one session only.

    `known` is the agents' metadata by name, as far as it is to be had.
    """
    by_device: dict[str, list[Question]] = {}
    for question in wanted:
        by_device.setdefault(question.device.name, []).append(question)
    if not by_device:
        return ()

    def one(name: str) -> list[Asked]:
        return [_ask(fencing, each, node, known) for each in by_device[name] for node in each.nodes]

    tell(f"asking {len(by_device)} device{'s' if len(by_device) > 1 else ''}")
    with ThreadPoolExecutor(min(_AT_ONCE, len(by_device))) as pool:
        return tuple(asked for answers in pool.map(one, by_device) for asked in answers)


def _ask(fencing: Fencing, each: Question, node: str, known: Mapping[str, Metadata]) -> Asked:
    told = known.get(each.device.agent)
    action = "status" if told is None or told.action("status") is not None else "monitor"
    answer = fencing.ask(node, each.device.name, each.device.agent, each.device.question(each.target, action, told))
    if action == "monitor" and answer == "on":
        answer = "answers"
    return Asked(each.device.name, each.device.agent, each.target, node, each.level, answer)


def judge(wanted: Iterable[Question], answers: Iterable[Asked], seen: Observation) -> tuple[Problem, ...]:
    """What the answers mean: a finding for each device and target that is wrong, the reasons with their nodes."""
    by_all = tuple(answers)
    by_pair: dict[tuple[str, str], list[Asked]] = {}
    for asked in by_all:
        by_pair.setdefault((asked.device, asked.target), []).append(asked)
    known = {asked.device for asked in by_all if not isinstance(asked.answer, Unknown)}
    found: list[Problem] = []
    for question in wanted:
        said = by_pair.get((question.device.name, question.target), [])
        # A device that finds out by itself whom it fences does not know the other nodes.
        if not question.device.targets and question.device.name in known:
            said = [asked for asked in said if not isinstance(asked.answer, Unknown)]
        found += _pair(question, said, seen)
    return tuple(found)


def _pair(question: Question, answers: list[Asked], seen: Observation) -> Iterator[Problem]:
    name, target = question.device.name, question.target
    where = f"fencing {name}"
    if not question.nodes:
        yield NOBODY_ASKS(
            f"no node that is online may use {name} to fence {target}", where=where, remedy="hactl status"
        )
    reasons: dict[str, list[str]] = {}
    for asked in answers:
        if isinstance(asked.answer, Unknown):
            reasons.setdefault(asked.answer.reason, []).append(asked.node)
    if reasons:
        silent = [node for nodes in reasons.values() for node in nodes]
        yield SILENT_DEVICE(
            f"{name} does not say whether {target} has power, asked from {', '.join(silent)}",
            where=where,
            remedy=f"mend it, then: hactl fence test {target} --device {name}",
            **{f"from_{'_'.join(nodes)}": reason for reason, nodes in reasons.items()},
        )
    node = seen.node(target)
    off = [asked.node for asked in answers if asked.answer == "off"]
    if off and node is not None and node.online:
        yield WRONG_MACHINE(
            f"{name} says that {target} is off, and {target} is {node.state}",
            where=where,
            remedy=f"look which machine {name} switches: its address, and the plug it has for {target}",
            asked_from=", ".join(off),
        )


def to_json(answers: Iterable[Asked], problems: Iterable[Problem]) -> dict[str, object]:
    """The document of `hactl fence test --json`. Format 1; a field is added, never renamed."""
    return {
        "format": 1,
        "answers": [
            {
                "device": asked.device,
                "agent": asked.agent,
                "target": asked.target,
                "level": asked.level,
                "from": asked.node,
                "answer": None if isinstance(asked.answer, Unknown) else asked.answer,
                "unknown": asked.answer.reason if isinstance(asked.answer, Unknown) else None,
            }
            for asked in answers
        ],
        "problems": [problem.as_json() for problem in problems],
    }

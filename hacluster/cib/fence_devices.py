"""The fence devices that a CIB configures: whom each can fence, from where, in which order, and what its agent is told.

Pacemaker's fencer reads the same things (pacemaker-fenced(7)); what is written here follows its rules, so that a
device can be asked about one target exactly as the fencer would ask it. Secrets are not here: the CIB says `lrm://`
instead, and the node that asks reads its own store. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from hacluster.cib.metadata import Metadata

SECRET = "lrm://"
"""What stands in the CIB for a value in Pacemaker's secrets store (cibsecret(8))."""

WATCHDOG = "fence_watchdog"
"""The agent of sbd without a disk: the others wait, and the host resets itself."""

_NOT_THE_DEVICES_OWN = re.compile(r"pcmk_.*|crm_feature_set")
# How a device waits and repeats says nothing about whom it switches off.
_PACE = re.compile(r"pcmk_.*_(timeout|retries)|pcmk_delay_(base|max)|pcmk_action_limit|pcmk_host_(list|map|check)")
_INFINITY = 1_000_000


@dataclass(frozen=True, slots=True)
class FenceDevice:
    """A fence device. `targets` is empty when only its agent knows whom it can fence; `plugs` is its host map.

    `wanted` is False for one that is disabled; `barred` are the nodes that may not use it, and `only`, in a cluster
    where nothing runs anywhere without a constraint, those that may.
    """

    name: str
    agent: str
    parameters: Mapping[str, str]
    targets: tuple[str, ...]
    plugs: Mapping[str, str]
    wanted: bool = True
    barred: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def may_use(self, node: str) -> bool:
        """Whether a node may use the device at all."""
        return self.wanted and node not in self.barred and (self.only is None or node in self.only)

    def can_fence(self, node: str) -> bool:
        """Whether it is meant for a node; one that only its agent can tell is."""
        return not self.targets or node in self.targets

    def question(self, target: str, action: str, told: Metadata | None = None) -> tuple[tuple[str, str], ...]:
        """What the agent reads on its standard input to do `action` to `target`: pairs of name and value.

        `told` is the agent's metadata, which decides whether the target is its `plug` or, as of old, its `port`.
        """
        given = {name: value for name, value in self.parameters.items() if not _NOT_THE_DEVICES_OWN.fullmatch(name)}
        given.pop("action", None)
        argument = self.parameters.get("pcmk_host_argument") or _argument(told)
        if argument != "none" and given.get(argument, "dynamic") in ("", "dynamic"):
            given[argument] = self.plugs.get(target, target)
        return (*given.items(), ("nodename", target), ("action", action))

    def digest(self, target: str) -> str:
        """A word for all that decides what happens when this device is told to fence that target."""
        said = {name: value for name, value in self.parameters.items() if not _PACE.fullmatch(name)}
        text = repr((self.name, self.agent, sorted(said.items()), self.plugs.get(target, target)))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def devices(cib: etree._Element) -> tuple[FenceDevice, ...]:
    """Every fence device of a CIB, in its order."""
    resources = cib.find("./configuration/resources")
    if resources is None:
        return ()
    templates = {each.get("id"): each for each in resources.iterfind("template")}
    scores, opt_in = _scores(cib), _property(cib, "symmetric-cluster").lower() in ("false", "no", "off", "0", "n")
    found = (
        _device(each, templates.get(each.get("template")), scores.get(each.get("id", ""), {}), opt_in=opt_in)
        for each in resources.iter("primitive")
    )
    return tuple(device for device in found if device is not None)


def topology(cib: etree._Element, node: str) -> tuple[tuple[str, ...], ...]:
    """The levels at which a node is fenced, the first to be tried first; nothing where it has none."""
    found = {
        int(level.get("index", "1")): _words(level.get("devices", ""))
        for level in cib.iterfind("./configuration/fencing-topology/fencing-level")
        if _aims(level, node, cib)
    }
    return tuple(found[index] for index in sorted(found))


def levels(cib: etree._Element, node: str, known: Iterable[FenceDevice]) -> tuple[tuple[str, ...], ...]:
    """The node's topology; without one Pacemaker may use any device that can fence it, each a level of its own here.

    `known` are the CIB's devices.
    """
    return topology(cib, node) or tuple((each.name,) for each in known if each.wanted and each.can_fence(node))


def host_map(text: str) -> Mapping[str, str]:
    """`pcmk_host_map` as node to plug. The map's parts are separated by white space or `;`, each a `node:plug`."""
    pairs = re.findall(r"([^\s;:=]+)[:=]((?:\\.|[^\s;\\])+)", text)
    return {node: re.sub(r"\\(.)", r"\1", plug) for node, plug in pairs}


def as_host_map(plugs: Mapping[str, str]) -> str:
    """`pcmk_host_map` for these plugs, which have no character that parts it."""
    return ";".join(f"{node}:{plug}" for node, plug in plugs.items())


def _argument(told: Metadata | None) -> str:
    return "port" if told is not None and "plug" not in told.parameters and "port" in told.parameters else "plug"


def _device(
    primitive: etree._Element, template: etree._Element | None, scores: Mapping[str, int], *, opt_in: bool
) -> FenceDevice | None:
    described = primitive if template is None else template
    if described.get("class") != "stonith":
        return None
    layers = [primitive] if template is None else [template, primitive]
    parameters = dict(pair for layer in layers for pair in _pairs(layer, "instance_attributes"))
    meta = dict(pair for layer in layers for pair in _pairs(layer, "meta_attributes"))
    plugs = host_map(parameters.get("pcmk_host_map", ""))
    return FenceDevice(
        name=primitive.get("id", ""),
        agent=described.get("type", ""),
        parameters=parameters,
        targets=tuple(dict.fromkeys((*_words(parameters.get("pcmk_host_list", "")), *plugs))),
        plugs=plugs,
        wanted=meta.get("target-role", "Started").lower() != "stopped",
        barred=frozenset(node for node, score in scores.items() if score <= -_INFINITY),
        only=frozenset(node for node, score in scores.items() if score >= 0) if opt_in else None,
    )


def _scores(cib: etree._Element) -> dict[str, dict[str, int]]:
    """Every resource's scores for nodes, as far as plain constraints give them."""
    found: dict[str, dict[str, int]] = {}
    for location in cib.iterfind("./configuration/constraints/rsc_location"):
        if location.get("rsc") and location.get("node"):
            score = location.get("score", "0").upper().replace("INFINITY", str(_INFINITY))
            number = int(score) if re.fullmatch(r"[+-]?\d+", score) else 0
            found.setdefault(location.get("rsc", ""), {})[location.get("node", "")] = number
    return found


def _aims(level: etree._Element, node: str, cib: etree._Element) -> bool:
    """Whether a level is for a node: by name, by a pattern, or by one of the node's attributes."""
    if level.get("target") is not None:
        return bool(level.get("target") == node)
    if level.get("target-pattern") is not None:
        try:
            return re.search(level.get("target-pattern"), node) is not None
        except re.error:
            return False
    described = cib.find(f"./configuration/nodes/node[@uname='{node}']") if "'" not in node else None
    if described is None:
        return False
    wanted = (level.get("target-attribute"), level.get("target-value"))
    return any((pair.get("name"), pair.get("value")) == wanted for pair in described.iterfind(".//nvpair"))


def _property(cib: etree._Element, name: str) -> str:
    pair = cib.find(f"./configuration/crm_config/cluster_property_set/nvpair[@name='{name}']")
    return "" if pair is None else pair.get("value", "")


def _pairs(layer: etree._Element, kind: str) -> Iterator[tuple[str, str]]:
    for nvpair in layer.iterfind(f"./{kind}/nvpair"):
        yield nvpair.get("name", ""), nvpair.get("value", "")


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.split(r"[\s,;]+", text.strip(" \t,;"))) if text.strip(" \t,;") else ()

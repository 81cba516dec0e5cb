"""What an agent, of a resource or of a fence device, says of itself: its parameters, and the timeouts it advises. Pure.

The form is that of the OCF resource agent API 1.0 and 1.1, of which fence agents write a dialect (`obsoletes` for the
newer name, `second` for a duration). Who asks the installed agents is edge's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from hacluster import strict_xml
from hacluster.cib.durations import seconds

LIMIT = 4 << 20
"""Bytes; the longest metadata of Debian's agents has a tenth of it."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `kind` is the agent's own word: string, boolean, integer, second, time, select, percentage …

    `newer` is the name that replaces a deprecated one, where the agent says it; `options` are those of a select.
    """

    name: str
    kind: str = "string"
    required: bool = False
    default: str | None = None
    options: tuple[str, ...] = ()
    deprecated: bool = False
    newer: str | None = None
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """One operation that an agent knows, with what it advises: seconds, or None where it says nothing.

    `role` and `depth` tell several monitors apart. `automatic` and `on_target` are a fence agent's.
    """

    name: str
    timeout: float | None = None
    interval: float | None = None
    role: str | None = None
    depth: int = 0
    automatic: bool = False
    on_target: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    """An agent's description. `parameters` are by name, in the agent's own order."""

    name: str
    parameters: Mapping[str, Parameter]
    actions: tuple[Action, ...]

    def action(self, name: str, role: str | None = None) -> Action | None:
        """The operation of that name, for a role if the agent tells them apart; of several depths the shallowest."""
        named = [action for action in self.actions if action.name == name]
        fitting = [action for action in named if (action.role or "").lower() == (role or "").lower()] or named
        return min(fitting, key=lambda action: action.depth, default=None)


def parse(text: bytes) -> Metadata:
    """Read an agent's metadata. Raises ValueError when it is not that."""
    if len(text) > LIMIT:
        raise ValueError(f"more than {LIMIT >> 20} MiB")
    root = strict_xml.parse_declared(text.strip())
    if root.tag != "resource-agent":
        raise ValueError(f"the root element is {root.tag}, not resource-agent")
    newer = {old: element.get("name", "") for element in root.iter("parameter") if (old := element.get("obsoletes"))}
    parameters = (_parameter(element, newer) for element in root.iterfind("parameters/parameter"))
    return Metadata(
        name=root.get("name", ""),
        parameters={parameter.name: parameter for parameter in parameters},
        actions=tuple(_action(element) for element in root.iterfind("actions/action")),
    )


def _parameter(element: etree._Element, newer: Mapping[str, str]) -> Parameter:
    name = element.get("name", "")
    content = element.find("content")
    deprecated = element.find("deprecated")
    replaced = None if deprecated is None else deprecated.find("replaced-with")
    return Parameter(
        name=name,
        kind="string" if content is None else content.get("type", "string"),
        required=_true(element.get("required")),
        default=None if content is None else content.get("default"),
        options=() if content is None else tuple(each.get("value", "") for each in content.iterfind("option")),
        deprecated=_true(element.get("deprecated")) or deprecated is not None,
        newer=newer.get(name) if replaced is None else replaced.get("name"),
        purpose=" ".join((element.findtext("shortdesc") or "").split()),
    )


def _action(element: etree._Element) -> Action:
    depth = element.get("depth", "0")
    return Action(
        name=element.get("name", ""),
        timeout=seconds(element.get("timeout", "")),
        interval=seconds(element.get("interval", "")),
        role=element.get("role"),
        depth=int(depth) if depth.isdecimal() else 0,
        automatic=_true(element.get("automatic")),
        on_target=_true(element.get("on_target")),
    )


def _true(text: str | None) -> bool:
    return (text or "").lower() in ("1", "true", "yes", "on", "y")

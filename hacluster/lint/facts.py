"""What a CIB says, resolved: each resource with what it inherits from template, group, clone and the defaults. Pure.

Whoever made the cluster: nothing here depends on how hactl writes a CIB. Sets whose rule holds only at some times or on
some nodes are left out of what is inherited, for they may or may not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from lxml import etree

from hacluster.cib.durations import seconds

DEFAULT_TIMEOUT = 20.0
"""Seconds that an operation gets when nothing says otherwise (Pacemaker Explained, operations)."""

VIRTUAL_DOMAINS = ("ocf:heartbeat:VirtualDomain", "ocf:hacluster:VirtualDomain")
_REFERENCES = ("resource_ref", "obj_ref", "role")
_ON = ("true", "yes", "on", "1", "y")


def is_on(text: str | None) -> bool:
    """Whether Pacemaker reads a boolean as true."""
    return (text or "").lower() in _ON


@dataclass(frozen=True, slots=True)
class Operation:
    """One configured operation. `timeout` and `interval` are seconds, None where the text is no duration."""

    id: str
    name: str
    interval: float | None
    timeout: float | None
    on_fail: str | None
    role: str | None


@dataclass(frozen=True, slots=True)
class Resource:
    """A primitive. `agent` is `ocf:PROVIDER:TYPE`, `stonith:TYPE` or `CLASS:TYPE`.

    `parameters`, `meta` and `operations` include what is inherited; `own_meta` are the names that stand in the
    primitive or its template themselves. `group` and `clone` contain it; a bundle counts as a clone.
    """

    id: str
    agent: str
    parameters: Mapping[str, str]
    meta: Mapping[str, str]
    own_meta: frozenset[str]
    operations: tuple[Operation, ...]
    group: str | None = None
    clone: str | None = None
    template: str | None = None

    @property
    def is_vm(self) -> bool:
        """Whether it is a virtual machine under libvirt."""
        return self.agent in VIRTUAL_DOMAINS

    @property
    def is_fencing(self) -> bool:
        """Whether it is a fence device."""
        return self.agent.startswith("stonith:")

    @property
    def moves_live(self) -> bool:
        """Whether Pacemaker may migrate it live."""
        return is_on(self.meta.get("allow-migrate"))

    @property
    def enabled(self) -> bool:
        """Whether it is meant to run."""
        return self.meta.get("target-role", "Started").lower() != "stopped"

    @property
    def top(self) -> str:
        """The resource that an admin places: the clone or group around it, or itself."""
        return self.clone or self.group or self.id

    def operation(self, name: str) -> Operation | None:
        """The operation of that name; of several monitors the one with the shortest interval."""
        named = [op for op in self.operations if op.name == name]
        return min(named, key=lambda op: op.interval or 0.0, default=None)


class Facts:
    """The resolved CIB. `root` is the <cib> element, which is never changed."""

    def __init__(self, root: etree._Element) -> None:
        self.root = root
        self.by_id: dict[str, etree._Element] = {}
        for element in root.find("configuration").iter(etree.Element):
            if element.get("id") and element.tag not in _REFERENCES:
                self.by_id.setdefault(element.get("id"), element)

    @cached_property
    def properties(self) -> Mapping[str, str]:
        """The cluster properties, of the set that Pacemaker reads first where a name stands in several."""
        sets = self._unruled(self.root.iterfind("configuration/crm_config/cluster_property_set"))
        bootstrap = [each for each in sets if each.get("id") == "cib-bootstrap-options"]
        return self._merged([*bootstrap, *(each for each in sets if each not in bootstrap)])

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The full members, as the configuration names them."""
        found = self.root.iterfind("configuration/nodes/node")
        return tuple(node.get("uname", "") for node in found if node.get("type", "member") in ("member", "normal"))

    @cached_property
    def places(self) -> frozenset[str]:
        """Everything that a location constraint can name: members, remote nodes and guest nodes."""
        named = {node.get("uname", "") for node in self.root.iterfind("configuration/nodes/node")}
        remote = {r.id for r in self.resources if r.agent == "ocf:pacemaker:remote"}
        guests = {name for r in self.resources if (name := r.meta.get("remote-node"))}
        seen = {state.get("uname", "") for state in self.root.iterfind("status/node_state")}
        bundles = {
            f"{bundle.get('id')}-{index}"
            for bundle in self.root.iterfind("configuration/resources/bundle")
            for index in range(_replicas(bundle))
        }
        return frozenset(named | remote | guests | seen | bundles)

    @cached_property
    def resources(self) -> tuple[Resource, ...]:
        """Every primitive, in the CIB's order."""
        return tuple(self._resource(each) for each in self.root.iterfind("configuration/resources//primitive"))

    @cached_property
    def resource(self) -> Mapping[str, Resource]:
        """The primitives by id."""
        return {resource.id: resource for resource in self.resources}

    @property
    def vms(self) -> tuple[Resource, ...]:
        """The virtual machines."""
        return tuple(resource for resource in self.resources if resource.is_vm)

    @property
    def fence_devices(self) -> tuple[Resource, ...]:
        """The fence devices."""
        return tuple(resource for resource in self.resources if resource.is_fencing)

    @cached_property
    def clones(self) -> Mapping[str, Mapping[str, str]]:
        """Clones (and the older `master`) by id, with their meta attributes."""
        found = self.root.iterfind("configuration/resources/*")
        return {
            each.get("id", ""): self.attributes(each, "meta_attributes")
            for each in found
            if each.tag in ("clone", "master")
        }

    def attributes(self, element: etree._Element, kind: str) -> dict[str, str]:
        """The name/value pairs of an element's own sets of that kind (`meta_attributes`, …)."""
        return self._merged(self._unruled(element.iterfind(kind)))

    def default(self, section: str, name: str) -> str | None:
        """A default of `rsc_defaults` or `op_defaults` that holds for everything."""
        sets = self._unruled(self.root.iterfind(f"configuration/{section}/meta_attributes"))
        return self._merged(sets).get(name)

    def _unruled(self, sets: Iterable[etree._Element]) -> list[etree._Element]:
        """The sets that hold always, the one with the highest score first; references are followed."""
        resolved = [self.by_id.get(each.get("id-ref"), each) for each in sets]
        always = [each for each in resolved if each.find("rule") is None]
        return sorted(always, key=lambda each: -_score(each.get("score", "0")))

    def _merged(self, sets: Iterable[etree._Element]) -> dict[str, str]:
        merged: dict[str, str] = {}
        for each in sets:
            for pair in each.iterfind("nvpair"):
                meant = self.by_id.get(pair.get("id-ref"), pair)
                name = pair.get("name") or meant.get("name") or ""
                merged.setdefault(name, meant.get("value", ""))
        return merged

    def _resource(self, primitive: etree._Element) -> Resource:
        template = self._template(primitive)
        layers = [primitive] if template is None else [primitive, template]
        around = [each for each in primitive.iterancestors() if each.tag in ("group", "clone", "master", "bundle")]
        described = layers[-1]
        own = [self.attributes(layer, "meta_attributes") for layer in layers]
        meta = _first(*own, *(self.attributes(each, "meta_attributes") for each in around), self._resource_defaults)
        return Resource(
            id=primitive.get("id", ""),
            agent=":".join(described.get(part) for part in ("class", "provider", "type") if described.get(part)),
            parameters=_first(*(self.attributes(layer, "instance_attributes") for layer in layers)),
            meta=meta,
            own_meta=frozenset(name for layer in layers for name in _all_names(layer)),
            operations=tuple(self._operations(layers)),
            group=next((each.get("id") for each in around if each.tag == "group"), None),
            clone=next((each.get("id") for each in around if each.tag != "group"), None),
            template=None if template is None else template.get("id"),
        )

    def _template(self, primitive: etree._Element) -> etree._Element | None:
        named = self.by_id.get(primitive.get("template"))
        return named if named is not None and named.tag == "template" else None

    @cached_property
    def _resource_defaults(self) -> Mapping[str, str]:
        return self._merged(self._unruled(self.root.iterfind("configuration/rsc_defaults/meta_attributes")))

    @cached_property
    def _operation_defaults(self) -> Mapping[str, str]:
        return self._merged(self._unruled(self.root.iterfind("configuration/op_defaults/meta_attributes")))

    def _operations(self, layers: Iterable[etree._Element]) -> Iterator[Operation]:
        """The primitive's own operations, and those of its template that it does not replace."""
        seen: set[tuple[str, str]] = set()
        for layer in layers:
            for block in layer.iterfind("operations"):
                for op in self.by_id.get(block.get("id-ref"), block).iterfind("op"):
                    meant = self.by_id.get(op.get("id-ref"), op)
                    key = (meant.get("name", ""), meant.get("interval", "0"))
                    values = _first(
                        dict(meant.attrib),
                        self.attributes(meant, "meta_attributes"),
                        self.attributes(meant, "instance_attributes"),
                        self._operation_defaults,
                    )
                    if key not in seen and values.get("enabled", "true").lower() not in ("false", "no", "off", "0"):
                        seen.add(key)
                        yield _operation(values)


def _operation(values: Mapping[str, str]) -> Operation:
    timeout = values.get("timeout")
    return Operation(
        id=values.get("id", ""),
        name=values.get("name", ""),
        interval=seconds(values.get("interval", "0")),
        timeout=DEFAULT_TIMEOUT if timeout is None else seconds(timeout),
        on_fail=values.get("on-fail"),
        role=values.get("role"),
    )


def _first(*layers: Mapping[str, str]) -> dict[str, str]:
    """The layers as one; of a name that stands in several, the first."""
    merged: dict[str, str] = {}
    for layer in reversed(layers):
        merged.update(layer)
    return merged


def _all_names(layer: etree._Element) -> Iterator[str]:
    """Every meta attribute's name, in sets with rules too."""
    for pair in layer.iterfind("meta_attributes/nvpair"):
        yield pair.get("name", "")


def _score(text: str) -> float:
    if text.lstrip("+-").upper() in ("INFINITY", "INF"):
        return float("-inf") if text.startswith("-") else float("inf")
    try:
        return float(text)
    except ValueError:
        return 0.0


def _replicas(bundle: etree._Element) -> int:
    """How many guest nodes a bundle has: its replicas, or as many as may be promoted, or one."""
    for container in bundle:
        for name in ("replicas", "promoted-max", "masters"):
            text = container.get(name, "")
            if text.isdecimal() and 0 < int(text) < 1000:
                return int(text)
    return 1

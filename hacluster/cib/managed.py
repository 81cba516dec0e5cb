"""The VMs that a CIB manages, with their template's values resolved. Pure.

Identity (name and UUID) comes from here and not from a domain XML: an agent or a tool that reads a VM's identity
from a file cannot say anything when the file is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

AGENT = ("ocf", "hacluster", "VirtualDomain")


@dataclass(frozen=True, slots=True)
class ManagedVm:
    """A VM of ocf:hacluster:VirtualDomain. `template` is the CIB template's id, or the primitive's own.

    `parameters` and `meta` are instance and meta attributes, the primitive's own before its template's.
    """

    name: str
    template: str
    parameters: Mapping[str, str]
    meta: Mapping[str, str]

    @property
    def uuid(self) -> str:
        """The VM's UUID, in lower case."""
        return self.parameters.get("uuid", "").lower()

    @property
    def config(self) -> str:
        """The path of the domain XML on every node."""
        return self.parameters.get("config", "")

    @property
    def wanted(self) -> bool:
        """Whether it is meant to run."""
        return self.meta.get("target-role", "Started").lower() not in ("stopped",)

    @property
    def moves_live(self) -> bool:
        """Whether Pacemaker may migrate it live."""
        return self.meta.get("allow-migrate", "false").lower() in ("true", "yes", "on", "1", "y")

    @property
    def moves(self) -> bool:
        """Whether its spec lets it be moved at all, live or cold (`hacluster-move`, which is hactl's own word)."""
        return self.meta.get("hacluster-move") != "none"


def vms(cib: etree._Element, agent: tuple[str, str, str] = AGENT) -> tuple[ManagedVm, ...]:
    """Every VM of a CIB under an agent (class, provider, type; the guarded one by default), in the CIB's order."""
    templates = {t.get("id", ""): t for t in cib.iterfind("./configuration/resources/template")}
    return tuple(
        _read(primitive, templates.get(primitive.get("template", "")))
        for primitive in cib.iterfind("./configuration/resources//primitive")
        if _agent(primitive, templates) == agent
    )


def vm(cib: etree._Element, name: str) -> ManagedVm | None:
    """One guarded VM by its name."""
    return next((found for found in vms(cib) if found.name == name), None)


def stands_on(cib: etree._Element, subject: ManagedVm) -> tuple[str, ...]:
    """The resources a VM must run beside, as its (or its template's or tags') mandatory colocations say; and those that
    must run beside it and start before it, as a volume that goes with its VM does. Sorted.
    """
    tags = {
        tag.get("id", "")
        for tag in cib.iterfind("./configuration/tags/tag")
        if any(member.get("id") == subject.name for member in tag.iterfind("obj_ref"))
    }
    mine = {subject.name, subject.template} | tags
    orders = cib.iterfind("./configuration/constraints/rsc_order")
    earlier = {order.get("first", "") for order in orders if order.get("then") in mine}
    found: set[str] = set()
    for colocation in cib.iterfind("./configuration/constraints/rsc_colocation"):
        resource, other = colocation.get("rsc", ""), colocation.get("with-rsc", "")
        if colocation.get("score") == "INFINITY":
            if resource in mine:
                found.add(other)
            elif other in mine and resource in earlier:
                found.add(resource)
    return tuple(sorted(found))


def must_be_up(cib: etree._Element, subject: ManagedVm) -> tuple[str, ...]:
    """What has to run on a node before the VM can go there: the clones that it stands on. A resource that stands alone,
    such as a volume that is active on one node only, comes along with the VM.
    """
    clones = {clone.get("id", "") for clone in cib.iterfind("./configuration/resources/clone")}
    return tuple(each for each in stands_on(cib, subject) if each in clones)


def _agent(primitive: etree._Element, templates: Mapping[str, etree._Element]) -> tuple[str | None, ...]:
    described = templates.get(primitive.get("template", ""), primitive)
    return (described.get("class"), described.get("provider"), described.get("type"))


def _read(primitive: etree._Element, template: etree._Element | None) -> ManagedVm:
    layers = [primitive] if template is None else [template, primitive]
    return ManagedVm(
        name=primitive.get("id", ""),
        template=primitive.get("template") or primitive.get("id", ""),
        parameters=dict(pair for layer in layers for pair in _pairs(layer, "instance_attributes")),
        meta=dict(pair for layer in layers for pair in _pairs(layer, "meta_attributes")),
    )


def _pairs(layer: etree._Element, kind: str) -> Iterator[tuple[str, str]]:
    for nvpair in layer.iterfind(f"./{kind}/nvpair"):
        yield nvpair.get("name", ""), nvpair.get("value", "")

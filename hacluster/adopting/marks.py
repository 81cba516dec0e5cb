"""Pacemaker's hands off a VM, and by whom: the one setting that an adoption makes and takes away. Pure."""

from __future__ import annotations

from copy import deepcopy

from lxml import etree

from hacluster.cib import names
from hacluster.model import Vm

MARK = "hactl-adopts"
"""Ends the id of the setting by which hactl takes Pacemaker's hands off a VM while its agent changes."""


def marked(cib: etree._Element, vms: tuple[Vm, ...]) -> etree._Element:
    """A copy in which Pacemaker keeps its hands off the VMs, by a setting whose id says that it is hactl's."""
    made = deepcopy(cib)
    for vm in vms:
        primitive = made.find(f"./configuration/resources/primitive[@id='{vm.name}']")
        meta = primitive.find("meta_attributes")
        if meta is None:
            meta = etree.Element("meta_attributes", id=names.meta_attributes(vm.name))
            primitive.insert(0, meta)
        if not any(pair.get("id") == _mark(vm) for pair in meta):
            etree.SubElement(meta, "nvpair", id=_mark(vm), name="maintenance", value="true")
    return made


def unmarked(live: etree._Element, vms: tuple[Vm, ...]) -> etree._Element:
    """A copy without that setting."""
    made = deepcopy(live)
    marks = {_mark(vm) for vm in vms}
    for pair in [p for p in made.iterfind("./configuration/resources//nvpair") if p.get("id") in marks]:
        pair.getparent().remove(pair)
    return made


def runs_under(cib: etree._Element, vm: str) -> tuple[str, bool, bool]:
    """The agent that a CIB has a VM under (empty: it has none), whether hactl's mark is on it, and whether somebody
    else has taken Pacemaker's hands off it."""
    primitive = cib.find(f"./configuration/resources/primitive[@id='{vm}']")
    if primitive is None or primitive.get("type") != "VirtualDomain":
        return "", False, False
    marked = unmanaged = False
    for pair in primitive.iterfind("meta_attributes/nvpair"):
        off = pair.get("value", "").lower() in ("false", "no", "off", "n", "0")
        if pair.get("id", "").endswith(MARK):
            marked = True
        elif (pair.get("name"), off) in (("is-managed", True), ("maintenance", False)):
            unmanaged = True
    return primitive.get("provider", ""), marked, unmanaged


def _mark(vm: Vm) -> str:
    return f"{names.meta_attributes(vm.name)}-{MARK}"

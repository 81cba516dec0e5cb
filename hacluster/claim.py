"""The claim: one location constraint that is a move's lock, its intent and Pacemaker's instruction. Pure.

Its id is fixed (`hactl-move-VM`), so a second `cibadmin --create` of it is refused atomically on the whole cluster.
The rule prefers the target; a second expression, which names an attribute that no node has and so never holds,
carries who moves it, from where and since when: one object, so that a claim without an owner cannot exist.
A cold move's claim comes and changes together with the VM's target-role.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from lxml import etree

PREFIX = "hactl-move-"
_ATTRIBUTE = "hactl-claim"
How = Literal["live", "cold", "back"]


@dataclass(frozen=True, slots=True)
class Claim:
    """Who moves a VM where. `since` is epoch seconds; `owner` is user@host, `pid` the mover's process there.

    `how` is live, cold (stopped here, started there) or back (a cold move that was taken back: its target is where it
    came from). `recorded` is what was recorded of the VM when the claim was made (see history.mark).
    """

    vm: str
    source: str
    target: str
    owner: str = ""
    pid: int = 0
    since: int = 0
    how: How = "live"
    recorded: str = ""

    @property
    def ident(self) -> str:
        """The constraint's id."""
        return PREFIX + self.vm

    @property
    def told(self) -> str:
        """All but the target in one word, as it stands in the constraint; no two claims have the same."""
        told = {"owner": self.owner, "pid": self.pid, "since": self.since, "source": self.source}
        more = {"how": "" if self.how == "live" else self.how, "recorded": self.recorded}
        return urlencode(told | {name: value for name, value in more.items() if value})

    @property
    def host(self) -> str:
        """The machine its owner's hactl ran on."""
        return self.owner.rpartition("@")[2]


def to_xml(claim: Claim) -> bytes:
    """The constraint as cibadmin takes it.

    No VM's name has two dots in a row, so the ids of its parts are never those of another VM's claim: with a hyphen
    the rule of `web` would be the claim of `web-rule`, and the schema refuses an id that is there twice.
    """
    ident = claim.ident
    location = etree.Element("rsc_location", id=ident, rsc=claim.vm)
    rule = etree.SubElement(location, "rule", {"id": f"{ident}..rule", "score": "INFINITY", "boolean-op": "or"})
    etree.SubElement(rule, "expression", id=f"{ident}..target", attribute="#uname", operation="eq", value=claim.target)
    etree.SubElement(rule, "expression", id=f"{ident}..claim", attribute=_ATTRIBUTE, operation="eq", value=claim.told)
    xml: bytes = etree.tostring(location)
    return xml


def put(cib: etree._Element, claim: Claim, role: str | None) -> None:
    """Set a VM's claim, in place of another, and its target-role (None: as if it had none), in a CIB."""
    constraints = cib.find("./configuration/constraints")
    primitive = cib.find(f"./configuration/resources//primitive[@id='{claim.vm}']")
    assert constraints is not None  # the schema demands the section
    assert primitive is not None  # it was found in the CIB of this configuration
    for old in [old for old in constraints if old.get("id") == claim.ident]:
        constraints.remove(old)
    constraints.append(etree.fromstring(to_xml(claim)))
    for pair in primitive.findall("./meta_attributes/nvpair[@name='target-role']"):
        pair.getparent().remove(pair)
    if role is not None:
        meta = primitive.find("meta_attributes")
        if meta is None:
            meta = etree.Element("meta_attributes", id=f"{claim.vm}-meta_attributes")
            primitive.insert(0, meta)
        ident = f"{meta.get('id')}-target-role"
        etree.SubElement(meta, "nvpair", id=ident, name="target-role", value=role)


def find(cib: etree._Element, vm: str) -> Claim | None:
    """The claim on a VM that stands in a CIB; one that was written by hand has no owner and `since` 0."""
    for location in cib.iterfind("./configuration/constraints/rsc_location"):
        if location.get("id") == PREFIX + vm:
            return _read(location, vm)
    return None


def _read(location: etree._Element, vm: str) -> Claim:
    target, told = location.get("node", ""), {}
    for expression in location.iter("expression"):
        if expression.get("attribute") == "#uname":
            target = expression.get("value", "")
        elif expression.get("attribute") == _ATTRIBUTE:
            told = dict(parse_qsl(expression.get("value", "")))

    def number(name: str) -> int:
        value = told.get(name, "")
        return int(value) if value.isdecimal() else 0

    how: How = next((way for way in ("cold", "back") if way == told.get("how")), "live")
    return Claim(
        vm,
        told.get("source", ""),
        target,
        told.get("owner", ""),
        number("pid"),
        number("since"),
        how,
        told.get("recorded", ""),
    )

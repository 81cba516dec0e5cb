"""The proof that a node's fencing works: that this machine was switched off through Pacemaker, and came back anew.

It is remembered in the cluster's configuration, in a property set that hactl alone writes, one entry for each node: all
nodes see it, it survives them all, and neither a push of the configuration nor `<nodes>` is touched by it
(docs/decisions/0015). A proof holds for the devices that it was made with, as they were set up then, and for a time.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from lxml import etree

from hacluster.cib import fence_devices, names
from hacluster.cib.fence_devices import FenceDevice
from hacluster.model import FENCING_PROOF_AGE
from hacluster.problems import Problem, kind

NEVER_PROVEN = kind(
    "HA540",
    "Fencing was never proven",
    "Everything that hactl promises stands on fencing: a node that is not heard counts as running its VMs until it has "
    "been switched off. A device that only says so lets a VM run twice, and that is seen when it is too late. `hactl "
    "fence test --really NODE` switches a drained node off and on and proves by its boot id that it was this machine.",
    acceptable=True,
)
OLD_PROOF = kind(
    "HA541",
    "The proof of fencing is out of date",
    "Boards are exchanged, passwords change, cables move. A proof counts for 90 days, or for what the spec says "
    "(fencing_proof_age), and only for the devices as they were set up then.",
    severity="warning",
)
LIED = kind(
    "HA542",
    "A fence device said that it fenced a node, and the node had not gone down",
    "Pacemaker believes its fence devices. With such a device it starts a VM that still runs on the node which was not "
    "switched off, and two copies write to one disk.",
)

SET = names.FENCING_SET
PREFIX = names.FENCED_PREFIX

Word = Literal["proven", "old", "changed", "never", "lied"]


@dataclass(frozen=True, slots=True)
class Proof:
    """One test of a node's fencing: when (epoch seconds), with which devices, as they were set up, and how it ended."""

    node: str
    at: int
    devices: tuple[str, ...]
    digest: str
    lied: bool = False

    @property
    def name(self) -> str:
        """The property that it is kept in."""
        return PREFIX + self.node

    @property
    def value(self) -> str:
        """What the property says; `read` understands it."""
        return f"{'lied' if self.lied else 'proven'} {self.at} {self.digest} {' '.join(self.devices)}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a node's fencing now. `word` is old or changed for a proof that no longer counts."""

    node: str
    word: Word
    proof: Proof | None = None


def first_level(cib: etree._Element, node: str, known: Iterable[FenceDevice]) -> tuple[str, ...]:
    """The devices that Pacemaker uses first to fence a node: its first level, or any that can when it has no levels.

    `known` are the CIB's devices.
    """
    topology = fence_devices.topology(cib, node)
    return (
        topology[0] if topology else tuple(name for level in fence_devices.levels(cib, node, known) for name in level)
    )


def digest(cib: etree._Element, node: str, known: Iterable[FenceDevice]) -> str:
    """A word for how the node's first devices are set up; `-` when one of them is not there."""
    by_name = {device.name: device for device in known}
    wanted = first_level(cib, node, by_name.values())
    if not wanted or any(name not in by_name for name in wanted):
        return "-"
    return "+".join(by_name[name].digest(node) for name in wanted)


def read(cib: etree._Element) -> dict[str, Proof]:
    """The tests on record, by node. What is not one, or damaged, counts as none."""
    pairs = cib.iterfind(f"./configuration/crm_config/cluster_property_set[@id='{SET}']/nvpair")
    found = (_read(pair.get("name", ""), pair.get("value", "")) for pair in pairs)
    return {proof.node: proof for proof in found if proof is not None}


def standings(cib: etree._Element, nodes: Iterable[str], now: float | None) -> tuple[Standing, ...]:
    """How each node's fencing stands. `now` is epoch seconds, without which no proof is old."""
    proofs, age = read(cib), _age(cib)
    known = fence_devices.devices(cib) if proofs else ()
    digests = {node: digest(cib, node, known) for node in proofs}
    return tuple(_standing(node, proofs.get(node), digests.get(node), now, age) for node in nodes)


def waived(cib: etree._Element) -> bool:
    """Whether the spec that the CIB was compiled from waives the proof ([cluster] fencing_proof)."""
    return _property(cib, names.FENCING_PROOF) == "waived"


def risks(found: Iterable[Standing], *, waived: bool) -> tuple[Problem, ...]:
    """Why no VM should be added to this cluster: a device that lied, and one finding that names the unproven nodes.

    A spec that has `waived` the proof makes a warning of it, but not of a lie. A proof that has only grown old is a
    warning in `findings`, no reason to refuse.
    """
    standings = tuple(found)
    lied = tuple(findings(each for each in standings if each.word == "lied"))
    unproven = [each.node for each in standings if each.word in ("never", "changed")]
    if not unproven:
        return lied
    changed = ", or not as it is set up now" if any(each.word == "changed" for each in standings) else ""
    prove = f"hactl fence test --really {unproven[0]}, and so each node before it runs VMs"
    refusal = NEVER_PROVEN(
        f"the fencing of {', '.join(unproven)} was never proven{changed}" + (" (the spec waives it)" if waived else ""),
        where="fencing",
        remedy=prove if waived else f"{prove}; or take the risk: --accept {NEVER_PROVEN.code}",
    )
    return (*lied, replace(refusal, severity="warning") if waived else refusal)


def findings(found: Iterable[Standing]) -> Iterator[Problem]:
    """What `hactl status` says of proofs: devices that lied, and proofs that no longer count."""
    for each in found:
        where, again = f"node {each.node}", f"hactl fence test --really {each.node}"
        if each.proof is None:
            continue
        devices = ", ".join(each.proof.devices)
        if each.word == "lied":
            yield LIED(
                f"{devices} said that {each.node} was fenced, and it had not gone down",
                where=where,
                remedy=f"look which machine it switches; then: {again}",
            )
        elif each.word == "changed":
            yield OLD_PROOF(
                f"the fencing of {each.node} was set up differently when it was proven", where=where, remedy=again
            )
        elif each.word == "old":
            yield OLD_PROOF(f"the fencing of {each.node} was proven too long ago", where=where, remedy=again)


def _standing(node: str, proof: Proof | None, digest_now: str | None, now: float | None, age: int) -> Standing:
    if proof is None:
        return Standing(node, "never")
    if proof.digest != digest_now:
        return Standing(node, "changed", proof)
    if proof.lied:
        return Standing(node, "lied", proof)
    return Standing(node, "old" if now is not None and now - proof.at > age else "proven", proof)


def _age(cib: etree._Element) -> int:
    text = _property(cib, names.FENCING_PROOF_AGE)
    return int(text) if text.isdecimal() else FENCING_PROOF_AGE


def _property(cib: etree._Element, name: str) -> str:
    pair = cib.find(f"./configuration/crm_config/cluster_property_set/nvpair[@name='{name}']")
    return "" if pair is None else str(pair.get("value", ""))


def _read(name: str, value: str) -> Proof | None:
    words = value.split()
    if not name.startswith(PREFIX) or len(words) < 4 or words[0] not in ("proven", "lied"):
        return None
    if not words[1].isdecimal():
        return None
    return Proof(name.removeprefix(PREFIX), int(words[1]), tuple(words[3:]), words[2], words[0] == "lied")

"""A cluster of three nodes, a board each and a power switch behind, as these tests look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lxml import etree

from hacluster.fence_ports import FenceAnswer
from hacluster.fencing_proof import Standing
from hacluster.observe import ClusterView, NodeView, Observation
from hacluster.ports import Unknown

NODES = ("n1", "n2", "n3")


def cib(extra: str = "") -> etree._Element:
    """A board for each node, which the node itself may not use; `extra` goes behind the resources."""
    boards = "".join(
        f'<primitive id="ipmi-{n}" class="stonith" type="fence_ipmilan"><instance_attributes id="{n}-i">'
        f'<nvpair id="{n}-l" name="pcmk_host_list" value="{n}"/><nvpair id="{n}-p" name="ip" value="10.0.0.{n[1]}"/>'
        "</instance_attributes></primitive>"
        for n in NODES
    )
    off = "".join(f'<rsc_location id="{n}-off" rsc="ipmi-{n}" node="{n}" score="-INFINITY"/>' for n in NODES)
    switch = (
        '<primitive id="pdu" class="stonith" type="fence_apc_snmp"><instance_attributes id="pdu-i">'
        '<nvpair id="pdu-m" name="pcmk_host_map" value="n1:1;n2:2"/></instance_attributes></primitive>'
    )
    return etree.fromstring(
        f"<cib><configuration><crm_config/><nodes/><resources>{boards}{switch}</resources>"
        f"<constraints>{off}</constraints>{extra}</configuration></cib>"
    )


def seen(**states: str) -> Observation:
    """The nodes, online unless a word says otherwise (`n3="offline"`)."""
    nodes = tuple(NodeView(n, online=states.get(n, "online") != "offline") for n in NODES)
    proven = tuple(Standing(n, "never") for n in NODES)
    return Observation(ClusterView("c", (0, 1, 0), True, "n1", False, True), nodes, (), (), (), {}, (), proven=proven)


class Devices:
    """The Fencing port over a table: (device, target, asking node) to an answer; all else is on."""

    def __init__(self, answers: Mapping[tuple[str, str, str], FenceAnswer | Unknown] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[tuple[str, str, str]] = []

    def ask(
        self, node: str, device: str, agent: str, question: Sequence[tuple[str, str]], *, deadline: float = 40.0
    ) -> FenceAnswer | Unknown:
        del agent, deadline
        key = (device, dict(question)["nodename"], node)
        self.asked.append(key)
        return self.answers.get(key, "on")

    def boot_id(self, node: str, *, deadline: float = 4.0) -> str | Unknown:
        raise NotImplementedError

    def leave(self, node: str, *, deadline: float = 120.0) -> str:
        raise NotImplementedError

    def enter(self, node: str) -> str:
        raise NotImplementedError

    def fence(self, through: str, target: str, *, deadline: float) -> str:
        raise NotImplementedError

    def remember(self, through: str, group: str, name: str, value: str) -> None:
        raise NotImplementedError

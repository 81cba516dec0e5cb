"""Fence devices as a CIB has them, read by Pacemaker's own rules."""

from __future__ import annotations

import pytest
from lxml import etree

from hacluster.cib import fence_devices, metadata

CIB = """<cib><configuration>
 <crm_config/>
 <nodes><node id="1" uname="n1"/><node id="2" uname="n2"><instance_attributes id="a">
   <nvpair id="a-r" name="rack" value="r2"/></instance_attributes></node><node id="3" uname="n3"/></nodes>
 <resources>
  <template id="board" class="stonith" type="fence_ipmilan"><instance_attributes id="b">
    <nvpair id="b-1" name="lanplus" value="1"/><nvpair id="b-2" name="ip" value="old"/></instance_attributes></template>
  <primitive id="ipmi-n1" template="board"><instance_attributes id="i">
    <nvpair id="i-1" name="ip" value="10.0.0.1"/><nvpair id="i-2" name="password" value="lrm://"/>
    <nvpair id="i-3" name="pcmk_host_list" value="n1"/><nvpair id="i-4" name="pcmk_delay_base" value="5s"/>
    <nvpair id="i-5" name="action" value="off"/></instance_attributes></primitive>
  <primitive id="pdu" class="stonith" type="fence_apc_snmp"><instance_attributes id="p">
    <nvpair id="p-1" name="pcmk_host_map" value="n1:3,4; n2=outlet\\ 5"/></instance_attributes></primitive>
  <primitive id="any" class="stonith" type="fence_virsh"><meta_attributes id="m">
    <nvpair id="m-1" name="target-role" value="Stopped"/></meta_attributes></primitive>
  <primitive id="web" class="ocf" provider="hacluster" type="VirtualDomain"/>
 </resources>
 <constraints><rsc_location id="l" rsc="ipmi-n1" node="n1" score="-INFINITY"/></constraints>
 %s
</configuration></cib>"""
LEVELS = """<fencing-topology>
  <fencing-level id="1" target="n1" index="2" devices="pdu"/>
  <fencing-level id="2" target="n1" index="1" devices="ipmi-n1,pdu"/>
  <fencing-level id="3" target-attribute="rack" target-value="r2" index="1" devices="pdu"/>
  <fencing-level id="4" target-pattern="n[34]" index="1" devices="any"/></fencing-topology>"""


def cib(levels: str = "") -> etree._Element:
    return etree.fromstring(CIB % levels)


def levels(root: etree._Element, node: str) -> tuple[tuple[str, ...], ...]:
    return fence_devices.levels(root, node, fence_devices.devices(root))


def device(name: str) -> fence_devices.FenceDevice:
    return next(each for each in fence_devices.devices(cib()) if each.name == name)


def test_devices_are_read_with_their_templates() -> None:
    board = device("ipmi-n1")
    assert (board.agent, board.parameters["ip"], board.parameters["lanplus"]) == ("fence_ipmilan", "10.0.0.1", "1")
    assert [each.name for each in fence_devices.devices(cib())] == ["ipmi-n1", "pdu", "any"]


def test_targets_come_from_the_list_or_the_map() -> None:
    assert device("ipmi-n1").targets == ("n1",)
    assert (device("pdu").targets, dict(device("pdu").plugs)) == (("n1", "n2"), {"n1": "3,4", "n2": "outlet 5"})
    assert device("any").can_fence("n7")
    assert not device("pdu").can_fence("n3")


def test_who_may_use_a_device() -> None:
    board = device("ipmi-n1")
    assert [node for node in ("n1", "n2") if board.may_use(node)] == ["n2"]
    assert not device("any").may_use("n2")
    root = cib()
    etree.SubElement(
        etree.SubElement(root.find(".//crm_config"), "cluster_property_set", id="s"),
        "nvpair", id="s-1", name="symmetric-cluster", value="false",
    )  # fmt: skip
    assert not any(each.may_use("n2") for each in fence_devices.devices(root))


@pytest.mark.parametrize(
    ("node", "expected"),
    [("n1", (("ipmi-n1", "pdu"), ("pdu",))), ("n2", (("pdu",),)), ("n3", (("any",),)), ("n5", ())],
)
def test_levels_by_name_attribute_and_pattern(node: str, expected: tuple[tuple[str, ...], ...]) -> None:
    assert levels(cib(LEVELS), node) == expected


def test_without_levels_each_device_that_is_on_may_be_the_first() -> None:
    assert levels(cib(), "n1") == (("ipmi-n1",), ("pdu",))
    assert levels(cib(), "n3") == ()


def test_the_agent_is_told_what_the_fencer_would_tell_it() -> None:
    assert dict(device("ipmi-n1").question("n1", "status")) == {
        "lanplus": "1", "ip": "10.0.0.1", "password": "lrm://", "plug": "n1", "nodename": "n1", "action": "status",
    }  # fmt: skip
    assert [name for name, _ in device("ipmi-n1").question("n1", "status")].count("action") == 1
    assert dict(device("pdu").question("n2", "status"))["plug"] == "outlet 5"


def test_an_old_agents_target_is_its_port() -> None:
    old = metadata.parse(b'<resource-agent name="x"><parameters><parameter name="port"/></parameters></resource-agent>')
    assert ("port", "n1") in device("ipmi-n1").question("n1", "off", old)


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("pcmk_delay_base", "9s", True),
        ("pcmk_host_list", "n1 n2", True),
        ("ip", "10.0.0.9", False),
        ("new", "1", False),
    ],
)
def test_a_digest_changes_with_what_decides_whom_it_fences(name: str, value: str, same: bool) -> None:
    root = cib()
    pair = root.find(f".//primitive[@id='ipmi-n1']//nvpair[@name='{name}']")
    if pair is None:
        attributes = root.find(".//primitive[@id='ipmi-n1']/instance_attributes")
        pair = etree.SubElement(attributes, "nvpair", id="new", name=name)
    pair.set("value", value)
    (changed,) = [each for each in fence_devices.devices(root) if each.name == "ipmi-n1"]
    assert (changed.digest("n1") == device("ipmi-n1").digest("n1")) is same


def test_a_cib_without_resources_has_no_devices() -> None:
    assert fence_devices.devices(etree.fromstring("<cib><configuration/></cib>")) == ()

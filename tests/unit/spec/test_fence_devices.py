"""Ports and delays of fence devices: what is read, what becomes of it, and what contradicts itself."""

from __future__ import annotations

import pytest
from lxml import etree

from hacluster.cib import fence_devices
from hacluster.cib.compile import compile_element
from tests.unit.spec.example import SMALL, VM, changed, findings, parse

AGENT = '"fence_virsh"'
THREE = SMALL + VM
TWO = changed(
    ('[nodes.n3]\naddresses = ["10.0.0.3"]\nfencing = ["f"]\n', ""),
    ('name = "c"', 'name = "c"\nqdevice = "q"'),
    text=THREE,
)
RACE = TWO.replace('qdevice = "q"\n', "")


def compiled(text: str) -> etree._Element:
    cluster, _ = parse(text)
    assert cluster is not None
    return compile_element(cluster)


def test_ports_become_a_host_map_and_say_whom_the_device_fences() -> None:
    text = changed((AGENT, AGENT + '\nports = { n1 = 3, n2 = "vm-2", n3 = "4,5" }'), text=THREE)
    (device,) = fence_devices.devices(compiled(text))
    assert (device.targets, dict(device.plugs)) == (("n1", "n2", "n3"), {"n1": "3", "n2": "vm-2", "n3": "4,5"})


def test_delays_become_the_fencers_own() -> None:
    text = changed((AGENT, AGENT + '\ndelay = "5s"\ndelay_max = 20'), text=THREE)
    (device,) = fence_devices.devices(compiled(text))
    assert (device.parameters["pcmk_delay_base"], device.parameters["pcmk_delay_max"]) == ("5s", "20s")


def test_how_long_a_proof_counts_is_a_property_only_where_it_is_not_the_default() -> None:
    path = ".//nvpair[@name='hacluster-fencing-proof-age']"
    assert compiled(THREE).find(path) is None
    longer = compiled(changed(('name = "c"', 'name = "c"\nfencing_proof_age = "180d"'), text=THREE))
    assert longer.find(path).get("value") == str(180 * 86400)


def test_the_proof_of_fencing_is_required_unless_the_spec_waives_it() -> None:
    kept, _ = parse(THREE)
    waived, _ = parse(changed(('name = "c"', 'name = "c"\nfencing_proof = "waived"'), text=THREE))
    assert kept is not None and waived is not None
    assert (kept.fencing_proof, waived.fencing_proof) == ("required", "waived")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ports = { n1 = 1, n9 = 2 }", [("HA130", "fence_devices.f.ports.n9")]),
        ('ports = { n1 = "a b" }', [("HA265", "fence_devices.f.ports.n1")]),
        ('ports = { n1 = "a:b" }', [("HA265", "fence_devices.f.ports.n1")]),
        ('ports = { n1 = 1, n2 = 1 }', [("HA265", "fence_devices.f.ports")]),
        ('ports = { n1 = 1 }\npcmk_host_map = "n1:1"', [("HA265", "fence_devices.f.ports")]),
        ('delay = "9s"\ndelay_max = "5s"', [("HA266", "fence_devices.f.delay_max")]),
        ('delay = "9s"\npcmk_delay_base = "5s"', [("HA266", "fence_devices.f.pcmk_delay_base")]),
        ('delay_max = "9s"\npcmk_delay_max = "5s"', [("HA266", "fence_devices.f.pcmk_delay_max")]),
        ('delay = "5s"\ndelay_max = "5s"', []),
    ],
)  # fmt: skip
def test_ports_and_delays_that_do_not_fit(given: str, expected: list[tuple[str, str]]) -> None:
    assert findings(changed((AGENT, f"{AGENT}\n{given}"), text=THREE)) == expected


def test_a_port_of_a_node_that_the_device_does_not_fence() -> None:
    text = changed((AGENT, AGENT + '\ntargets = ["n1", "n2"]\nports = { n3 = 1 }'), text=THREE)
    assert ("HA265", "fence_devices.f.ports.n3") in findings(text)


def one_each(first: str = "", second: str = "") -> str:
    """Two nodes with a board each."""
    boards = "".join(f'[fence_devices.b{n}]\nagent = "fence_virsh"\n{more}\n' for n, more in ((1, first), (2, second)))
    nodes = RACE.replace('fencing = ["f"]', 'fencing = ["b1"]', 1).replace('fencing = ["f"]', 'fencing = ["b2"]', 1)
    return nodes.replace('[fence_devices.f]\nagent = "fence_virsh"\n', boards)


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (one_each(), True),
        (one_each('delay = "5s"', 'delay = "5s"'), True),
        (one_each('delay = "5s"'), False),
        (one_each('delay_max = "5s"', 'delay_max = "5s"'), False),
        (one_each('pcmk_delay_base = "5s"'), False),
        (RACE, True),
        (RACE.replace(AGENT, AGENT + '\npcmk_delay_base = "n1:5s;n2:0s"'), False),
        (TWO, False),
        (RACE.replace("vcpus = 1", "vcpus = 1\npriority = 5"), False),
        (THREE, False),
    ],
)
def test_two_nodes_are_told_that_both_may_shoot(text: str, warned: bool) -> None:
    assert ("HA267" in [code for code, _ in findings(text)]) is warned

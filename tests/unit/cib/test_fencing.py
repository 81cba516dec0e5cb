"""What a fence device needs, should have and must not have, by the profile of its agent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hacluster import model
from hacluster.cib import fence_catalogue, fencing
from tests.unit.cib import clusters

IPMI = clusters.bmc("n1")
PDU = {"ip": "h", "snmp_version": "3"}
PORTS = {"n1": "1"}


def findings(device: model.FenceDevice) -> list[tuple[str, str]]:
    return [(p.code, p.severity) for p in fencing.check(clusters.cluster(fence_devices=(device,)))]


def without(device: model.FenceDevice, *names: str) -> model.FenceDevice:
    return replace(
        device,
        parameters={k: v for k, v in device.parameters.items() if k not in names},
        secrets={k: v for k, v in device.secrets.items() if k not in names},
    )


def plus(device: model.FenceDevice, **parameters: str) -> model.FenceDevice:
    return replace(device, parameters={**device.parameters, **parameters})


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (IPMI, []),
        (without(IPMI, "ip"), [("HA220", "error")]),
        (without(IPMI, "password"), [("HA220", "error")]),
        (without(IPMI, "ip", "username"), [("HA220", "error"), ("HA220", "error")]),
        (without(IPMI, "cipher"), [("HA221", "warning")]),
        (plus(IPMI, action="off"), [("HA222", "error")]),
        (plus(IPMI, pcmk_host_list="n2"), [("HA222", "error")]),
        (plus(IPMI, method="onoff"), []),
        (plus(IPMI, method="cycle"), [("HA222", "error")]),
        (replace(IPMI, targets=("n1", "n2")), [("HA224", "error")]),
        (model.FenceDevice("pdu", "fence_apc", ("n1", "n2")), [("HA223", "warning")]),
        (model.FenceDevice("sbd", "fence_sbd", ("n1", "n2")), [("HA220", "error"), ("HA221", "warning")]),
        (model.FenceDevice("vm", "fence_xvm", ("n1", "n2"), {"pcmk_host_map": "n1:a", "key_file": "/k"}), []),
        (
            model.FenceDevice("vm", "fence_virsh", ("n1",), {"ip": "h", "username": "u", "missing_as_off": "1"}),
            [("HA221", "warning"), ("HA221", "warning"), ("HA222", "error")],
        ),
        (model.FenceDevice("scsi", "fence_scsi", ("n1", "n2"), {"devices": "/dev/sda"}), [("HA221", "warning")]),
        (model.FenceDevice("scsi", "fence_scsi", ("n1", "n2"), {"devices": "/dev/sda", "key_value": "hash"}), []),
        (model.FenceDevice("pdu", "fence_apc_snmp", ("n1",), {"ip": "h", "snmp_version": "3"}), [("HA268", "error")]),
        (
            model.FenceDevice("pdu", "fence_apc_snmp", ("n1",), {**PDU, "plug": "1"}, ports={"n1": "1"}),
            [("HA222", "error")],
        ),
        (model.FenceDevice("pdu", "fence_apc_snmp", ("n1", "n2"), PDU, ports=PORTS), [("HA268", "error")]),
        (model.FenceDevice("pdu", "fence_apc_snmp", ("n1",), {**PDU, "pcmk_host_map": "n1:3"}), []),
        (model.FenceDevice("watchdog", "fence_watchdog", ("n1",)), [("HA269", "error")]),
        (model.FenceDevice("sbd", "fence_watchdog", ("n1",)), [("HA269", "error"), ("HA269", "error")]),
        (plus(IPMI, lanpuls="1"), [("HA261", "error")]),
        (plus(IPMI, passwd_script="/x"), [("HA262", "warning")]),
        (plus(IPMI, power_wait="5s"), [("HA263", "error")]),
        (model.FenceDevice("own", "fence_own", ("n1",), {"x": "1"}), [("HA223", "warning"), ("HA264", "warning")]),
    ],
)
def test_a_device_is_held_to_its_profile(device: model.FenceDevice, expected: list[tuple[str, str]]) -> None:
    assert findings(device) == expected


def test_all_devices_are_checked_at_once() -> None:
    devices = (without(IPMI, "ip"), without(clusters.bmc("n2"), "username"))
    found = fencing.check(clusters.cluster(fence_devices=devices))
    assert [p.where for p in found] == ["fence_devices.bmc-n1", "fence_devices.bmc-n2"]


@pytest.mark.parametrize(
    ("agent", "cuts"), [("fence_idrac", "power"), ("fence_sbd", "power"), ("fence_mpath", "storage")]
)
def test_a_profile_says_whether_power_is_cut(agent: str, cuts: str) -> None:
    profile = fencing.profile_of(agent)
    assert profile is not None
    assert (profile.cuts, bool(profile.why)) == (cuts, True)


def test_no_agent_has_two_profiles() -> None:
    agents = [agent for profile in fencing.profiles() for agent in profile.agents]
    assert len(agents) == len(set(agents))


def test_what_a_profile_forbids_is_not_said_twice() -> None:
    found = fencing.check(clusters.cluster(fence_devices=(plus(IPMI, passwd="x"),)))
    assert [(p.code, p.where) for p in found] == [("HA222", "fence_devices.bmc-n1.passwd")]


def test_a_watchdog_is_enough_where_pacemaker_waits_for_it() -> None:
    watchdog = model.FenceDevice("watchdog", "fence_watchdog", ("n1",))
    cluster = clusters.cluster(fence_devices=(watchdog,), properties={"stonith-watchdog-timeout": "10"})
    assert fencing.check(cluster) == ()


@pytest.mark.parametrize("profile", fencing.profiles(), ids=lambda profile: profile.name)
def test_a_profile_names_only_what_its_agents_know(profile: fencing.Profile) -> None:
    for agent in profile.agents:
        told = fence_catalogue.described(agent)
        fencer = fence_catalogue.described(fence_catalogue.FENCER)
        assert told is not None and fencer is not None, agent
        known = {*told.parameters, *fencer.parameters, "ports"}
        rules = (*profile.required, *profile.recommended, *profile.forbidden)
        assert {rule.partition("=")[0] for rule in rules} <= known, agent
        for rule in profile.forbidden:
            name, _, value = rule.partition("=")
            assert value in ("", *told.parameters.get(name, told.parameters["action"]).options) or name in (
                "auth",
                "hash",
            )


def test_each_kind_that_the_documentation_promises_is_there() -> None:
    assert {profile.name for profile in fencing.profiles()} >= {
        "ipmilan", "idrac", "ilo5_ssh", "redfish", "apc_snmp", "eaton_snmp", "vmware_rest", "virsh", "xvm", "scsi",
        "mpath", "sbd", "watchdog",
    }  # fmt: skip

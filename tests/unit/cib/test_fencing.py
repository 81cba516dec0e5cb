"""What a fence device needs, should have and must not have, by the profile of its agent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hacluster import model
from hacluster.cib import fencing
from tests.unit.cib import clusters

IPMI = clusters.bmc("n1")


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
        (model.FenceDevice("scsi", "fence_scsi", ("n1", "n2"), {"devices": "/dev/sda"}), []),
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

"""Fence devices and their levels, as Pacemaker is told them.

A device of one target is kept off that node: the monitor that runs there could only say that a living node answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from hacluster import model
from hacluster.cib import fence_devices, fencing, names
from hacluster.cib.draft import Draft, nvpair


def add(draft: Draft) -> None:
    """All devices that fence somebody, and the levels of each node that has more than one way to be fenced.

    Without a list of its targets Pacemaker would ask a device itself whom it can fence.
    """
    for device in draft.cluster.fence_devices:
        if device.targets:
            _device(draft, device)
    for node in draft.cluster.nodes:
        _levels(draft, node)


def properties(cluster: model.Cluster) -> Mapping[str, str]:
    """The cluster properties that fencing needs: hactl's own, which Pacemaker keeps and does not read."""
    age = cluster.fencing_proof_age
    return {
        **({names.FENCING_PROOF: "waived"} if cluster.fencing_proof == "waived" else {}),
        **({names.FENCING_PROOF_AGE: str(age)} if age != model.FENCING_PROOF_AGE else {}),
    }


def _device(draft: Draft, device: model.FenceDevice) -> None:
    rendered = draft.library.render(
        "stonith",
        device.name,
        name=device.name,
        agent=device.agent,
        targets=" ".join(device.targets),
        delay=device.delay,
        delay_max=device.delay_max,
        host_map=fence_devices.as_host_map(device.ports) or None,
        provides=fencing.provides(device.agent),
    )
    attributes = rendered.find("instance_attributes")
    for name, value in sorted({**device.parameters, **dict.fromkeys(device.secrets, fence_devices.SECRET)}.items()):
        nvpair(attributes, name, value)
    draft.resources.append(rendered)
    if len(device.targets) == 1:
        (target,) = device.targets
        draft.location(names.not_on(device.name, target), device.name, target, "-INFINITY")


def _levels(draft: Draft, node: model.Node) -> None:
    able = [device.name for device in draft.cluster.fence_devices if node.name in device.targets]
    if node.fencing in ((), tuple((name,) for name in able)) and len(able) <= 1:
        return  # one device alone can fence it: nothing to choose
    for index, devices in enumerate(node.fencing, start=1):
        draft.levels.append(
            etree.Element(
                "fencing-level",
                id=names.fencing_level(node.name, index),
                target=node.name,
                index=str(index),
                devices=",".join(devices),
            )
        )

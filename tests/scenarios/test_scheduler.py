"""The simulated scheduler beside Pacemaker's own, on every CIB that the scenarios come by.

Both are asked what they would do with each VM. Storage, clones and their constraints are left out, as the simulator
has none of them. Where nothing speaks for one node before another, the two may choose differently.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from copy import deepcopy
from pathlib import Path

import pytest
from lxml import etree

from hacluster.cib import managed, simulate
from hacluster.sim import reports, scheduler, status
from hacluster.sim.cluster import Part
from tests.scenarios.player import Player
from tests.scenarios.scenario import read

NAMES = (
    "there-and-back",
    "same-pair-again-with-an-abort",
    "a14-the-claim-is-removed",
    "a19-the-source-dies-its-copy-is-complete",
    "migration-fails",
    "minority",
    "a22-the-agent-lets-go-before-libvirt",
)
Did = list[tuple[str, str | None]]


def looked_at(name: str) -> list[etree._Element]:
    """Every quorate CIB that the scheduler looked at in a scenario, once all nodes have their guard."""
    player = Player(read(Path(__file__).with_name(f"{name}.toml")))
    schedule, seen = player.world.controller._schedule, {}

    def record(part: Part) -> None:
        guarded = all(status.attribute(part.cib, node, scheduler.GUARD) for node in part.members)
        if guarded and part.cib.get("have-quorum") == "1" and not any(player.world.controller.in_flight.values()):
            seen[etree.tostring(part.cib)] = deepcopy(part.cib)
        schedule(part)

    player.world.controller._schedule = record  # type: ignore[method-assign]  # the test looks over its shoulder
    assert player.play() == []
    return list(seen.values())


def bare(cib: etree._Element) -> etree._Element:
    """Without storage and clones, and with the digests of their parameters as Pacemaker would have written them."""
    bare = deepcopy(cib)
    for resource in list(bare.find("configuration/resources")):
        if resource.tag == "clone":
            resource.getparent().remove(resource)
    for constraint in list(bare.find("configuration/constraints")):
        if constraint.tag != "rsc_location":
            constraint.getparent().remove(constraint)
    for op in bare.iter("lrm_rsc_op"):
        op.set("op-digest", digest(bare, op.getparent().get("id")))
    return bare


_digests: dict[str, str] = {}


def digest(cib: etree._Element, vm: str) -> str:
    """A VM's digest, as crm_simulate itself computes it when it starts the VM."""
    if vm not in _digests:
        fresh = deepcopy(cib)
        for lrm in list(fresh.iter("lrm")):
            lrm.getparent().remove(lrm)
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/cib.xml"
            argv = ["crm_simulate", "--xml-pipe", "--simulate", f"--save-output={out}"]
            subprocess.run(argv, input=etree.tostring(fresh), capture_output=True, check=True, timeout=30)
            found = etree.parse(out)
        for op in found.iter("lrm_rsc_op"):
            if op.get("operation") == "start":
                _digests[op.getparent().get("id")] = op.get("op-digest")
    return _digests[vm]


def did(simulation: simulate.Simulation, cib: etree._Element, vm: managed.ManagedVm) -> Did:
    claimed = bool(cib.find(f".//rsc_location[@id='hactl-move-{vm.name}']") is not None)
    return [(a.kind, a.target if claimed else None) for a in simulation.of(vm.name) if not a.blocked]


@pytest.mark.tools
@pytest.mark.skipif(not shutil.which("crm_simulate"), reason="Pacemaker's tools are not installed")
@pytest.mark.parametrize("name", NAMES)
def test_both_schedulers_decide_the_same(name: str) -> None:
    cibs = looked_at(name)
    assert len(cibs) > 3
    for cib in cibs:
        text = etree.tostring(bare(cib))
        argv = ["crm_simulate", "--xml-pipe", "--simulate", "--output-as=xml"]
        real = simulate.parse(subprocess.run(argv, input=text, capture_output=True, check=True, timeout=30).stdout)
        ours = simulate.parse(reports.simulation(cib))
        for vm in managed.vms(cib):
            if not scheduler.believe(cib, vm).unprobed:  # Pacemaker already names what would follow the probes
                assert did(ours, cib, vm) == did(real, cib, vm), etree.tostring(cib, pretty_print=True).decode()

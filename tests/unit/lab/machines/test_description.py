"""The machines' description, QEMU's words for them, and the spec that must mean the same machines."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hacluster.lab.machines import accelerator, cluster, description, qemu
from hacluster.problems import Refused
from hacluster.spec import load

ROOT = Path(__file__).parents[4]
MACHINES = description.load()
SPEC = ROOT / "examples" / "vm-cluster.toml"


def test_every_name_and_address_is_its_own() -> None:
    addresses = [address for machine in MACHINES.machines for address in (*machine.addresses, machine.bmc)]
    macs = [machine.mac(network) for machine in MACHINES.machines for network in range(description.NETWORKS)]
    assert len(set(addresses)) == len(addresses)
    assert len(set(macs)) == len(macs)
    assert not set(addresses) & {MACHINES.gateway(network) for network in range(description.NETWORKS)}


def test_vagrant_reads_the_same_description() -> None:
    vagrantfile = (ROOT / "vagrant" / "Vagrantfile").read_text(encoding="utf-8")
    told = json.loads((ROOT / "vagrant" / "machines.json").read_text(encoding="utf-8"))
    used = set(re.findall(r'(?:machines|node|disk)\["(\w+)"\]', vagrantfile))
    assert used == {*told, *told["nodes"][0], *told["shared_disks"][0]} - {"bmc", "bmc_username", "bmc_password"}


def test_the_shipped_spec_means_these_machines() -> None:
    cluster.check(load(SPEC), MACHINES)


def test_a_spec_of_other_machines_is_refused_with_everything_that_differs() -> None:
    spec = load(SPEC)
    first, *others = spec.nodes
    elsewhere = replace(first, addresses=("10.98.0.99", "10.98.1.99"))
    device = replace(spec.fence_devices[0], parameters={**spec.fence_devices[0].parameters, "ip": "10.98.0.99"})
    wrong = replace(spec, nodes=(elsewhere, *others), fence_devices=(device, *spec.fence_devices[1:]))
    with pytest.raises(Refused) as refused:
        cluster.check(wrong, MACHINES)
    assert [problem.where for problem in refused.value.problems] == ["nodes.n1.addresses", "fence_devices.ipmi-n1"]


def test_machines_differ_in_nothing_but_themselves() -> None:
    words = [
        " ".join(qemu.argv(machine, MACHINES, Path("/image"), Path("/run/bed"), accelerator.EMULATED))
        for machine in MACHINES.machines
    ]
    for text, machine in zip(words, MACHINES.machines, strict=True):
        assert f"systemd.hostname={machine.name} " in text
        assert all(f"ip={address}:" in text for address in machine.addresses)
        assert text.count("file.locking=off") == len(MACHINES.shared_disks)
    # One machine's words with another's number in them are the other's.
    changes = {r"\bn1\b": "n2", r"(10\.98\.\d)\.11": r"\1.12", "9801": "9802", r"(:98:0\d):01": r"\1:02"}
    text = words[0]
    for old, new in changes.items():
        text = re.sub(old, new, text)
    assert text == words[1]


def test_an_emulated_machine_does_not_trust_its_time_stamp_counter() -> None:
    machine = MACHINES.machines[0]
    emulated = qemu.argv(machine, MACHINES, Path("/i"), Path("/r"), accelerator.EMULATED)
    real = qemu.argv(machine, MACHINES, Path("/i"), Path("/r"), accelerator.KVM)
    assert any("clocksource=acpi_pm" in word for word in emulated)
    assert not any("clocksource" in word for word in real)


def test_the_cib_waits_longer_and_holds_the_storage_back() -> None:
    text = cluster.cib(load(SPEC), ["shared-lv-clone"])
    assert text.count('name="target-role"') == 1
    assert '<op id="dlm-monitor-10s" name="monitor" interval="10s" timeout="120s"' in text


def test_another_spec_is_another_snapshot() -> None:
    assert cluster.state(b"one") != cluster.state(b"other")
    assert cluster.state(b"one") == cluster.state(b"one")

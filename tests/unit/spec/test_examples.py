"""The shipped examples: right as they stand, and each classical mistake in them is a Problem of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hacluster import spec
from hacluster.model import Gfs2
from hacluster.problems import CATALOGUE, Refused, errors
from tests.unit.spec.example import EXAMPLES, KVM, changed, cluster, findings, only, parse


@pytest.mark.parametrize("name", ["kvm-cluster.toml", "kvm-cluster-clvmd.toml"])
def test_an_example_has_nothing_wrong(name: str) -> None:
    assert spec.check(EXAMPLES / name)[1] == ()


def test_the_example_is_the_cluster_of_the_guide() -> None:
    made = spec.load(EXAMPLES / "kvm-cluster.toml")
    assert [(n.name, n.id, n.addresses[0]) for n in made.nodes] == [
        ("kvm1", 1, "10.0.1.51"),
        ("kvm2", 2, "10.0.1.52"),
        ("kvm3", 3, "10.0.1.53"),
    ]
    assert made.nodes[0].fencing == (("ipmi-kvm1",), ("sbd",))
    assert made.storages == (
        Gfs2(
            name="gfs2_storage",
            device="/dev/mapper/3600601602f303b000a95084c8a0ae911",
            volume_group="vg_cluster",
            logical_volume="lv_storage",
            mount="/kvm/storage",
            lock_table="kvm_cluster:gfs2_storage",
            volume_manager="lvmlockd",
            journals=3,
            journal_size=32 << 20,
            options=("noatime", "nodiratime"),
        ),
    )
    assert [network.bridge for network in made.networks] == ["br0"]
    assert {disk.path.rpartition("/")[0] for vm in made.vms for disk in vm.disks} == {"/kvm/storage/images"}
    assert {vm.storages for vm in made.vms} == {("gfs2_storage",)}


def test_the_passwords_are_references_and_the_other_parameters_text() -> None:
    device = spec.load(EXAMPLES / "kvm-cluster.toml").fence_devices[0]
    assert dict(device.parameters) == {
        "ip": "10.0.3.51",
        "username": "hacluster",
        "lanplus": "1",
        "cipher": "3",
        "privlvl": "operator",
    }
    assert device.secrets["password"].scheme == "file"
    assert device.secrets["password"].argument == "/etc/hacluster/secrets/ipmi-kvm1"
    assert device.targets == ("kvm1",)


def test_the_clvmd_variant_differs_in_the_volume_manager_only() -> None:
    text = (EXAMPLES / "kvm-cluster-clvmd.toml").read_text()
    assert cluster(changed(('"lvmlockd"', '"clvmd"'))) == cluster(text)


# The judged mistakes: name, changes to the example, (code, place) of the only finding.
UUID = 'uuid = "0b5c2f86-90a3-4a4e-b7c8-6a1d5c0f2e02"'
MISTAKES = {
    "a node twice, as a table": (
        (("[nodes.kvm3]", '[nodes.kvm2]\naddresses = ["10.0.1.59", "10.0.2.59"]\n[nodes.kvm3]'),),
        ("HA104", "nodes.kvm2"),
    ),
    "a node twice, by its address": (
        (('["10.0.1.53", "10.0.2.53"]', '["10.0.1.52", "10.0.2.53"]'),),
        ("HA121", "nodes.kvm3.addresses[0]"),
    ),
    "a node twice, by its id": (
        (("[nodes.kvm3]\n", "[nodes.kvm3]\nid = 1\n"),),
        ("HA120", "nodes.kvm3.id"),
    ),
    "a node twice, in capitals": (
        (
            ("[nodes.kvm3]", '[nodes.KVM3]\naddresses = ["10.0.1.59", "10.0.2.59"]\nfencing = ["sbd"]\n[nodes.kvm3]'),
            ("journals = 3", "journals = 4"),
        ),
        ("HA120", "nodes.kvm3"),
    ),
    "an unknown storage": (
        (('web.qcow2", format', 'web.qcow2", storage = "gfs_storage", format'),),
        ("HA132", "vms.web.disks[0].storage"),
    ),
    "a VM on an unknown bridge": (
        (('network = "lan"', 'network = "dmz"'),),
        ("HA133", "vms.web.nics[0].network"),
    ),
    "two VMs with one uuid": (
        ((UUID, 'uuid = "7d0d7a5e-2f0b-4c55-9a57-3f6f0a9c1e01"'),),
        ("HA160", "vms.database.uuid"),
    ),
    "two VMs with one disk": (
        (("images/database.qcow2", "images/web.qcow2"),),
        ("HA162", "vms.database.disks[0]"),
    ),
    "fencing by ssh": (
        (('agent = "fence_sbd"', 'agent = "fence_ssh"'),),
        ("HA142", "fence_devices.sbd.agent"),
    ),
    "fencing switched off": (
        (('fence-reaction = "panic"', "stonith-enabled = false"),),
        ("HA140", "cluster.properties.stonith-enabled"),
    ),
}


@pytest.mark.parametrize(("changes", "finding"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_the_only_finding(changes: tuple[tuple[str, str], ...], finding: tuple[str, str]) -> None:
    problem = only(changed(*changes))
    assert (problem.code, problem.where) == finding
    assert problem.remedy


def without_fencing(text: str) -> str:
    text = re.sub(r"(?m)^fencing = .*\n", "", text)
    return re.sub(r"(?ms)^\[fence_devices\..*?(?=^# --- Storage)", "", text)


def two_nodes(text: str) -> str:
    return re.sub(r"(?ms)^\[(nodes|fence_devices)\.(ipmi-)?kvm3\].*?(?=^\[|^# )", "", text)


def test_no_fencing_at_all_is_one_finding() -> None:
    assert findings(without_fencing(KVM)) == [("HA140", "fence_devices")]


def test_a_node_without_fencing_is_named() -> None:
    assert findings(changed(('fencing = ["ipmi-kvm2", "sbd"]\n', ""))) == [
        ("HA143", "fence_devices.ipmi-kvm2"),
        ("HA141", "nodes.kvm2.fencing"),
    ]


def test_two_nodes_without_a_quorum_device_are_a_risk_to_be_taken_by_name() -> None:
    text = two_nodes(KVM)
    made, found = parse(text)
    assert [(p.code, p.where, p.severity) for p in found] == [("HA124", "cluster.qdevice", "error")]
    assert CATALOGUE["HA124"].acceptable
    assert "wait_for_all" in found[0].message
    assert made is not None
    assert errors(found, frozenset({"HA124"})) == ()
    assert findings(changed(("stickiness", 'qdevice = "quorum.example.org"\nstickiness'), text=text)) == []


def test_loading_refuses_what_nobody_has_accepted(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(two_nodes(KVM))
    with pytest.raises(Refused) as refused:
        spec.load(path)
    assert [p.code for p in refused.value.problems] == ["HA124"]
    assert len(spec.load(path, frozenset({"HA124"})).nodes) == 2
    path.unlink()
    with pytest.raises(Refused, match="HA101"):
        spec.load(path, frozenset({"HA101"}))


def test_all_mistakes_that_can_stand_in_one_file_are_found_in_one_run() -> None:
    together = [
        "a node twice, as a table",
        "an unknown storage",
        "a VM on an unknown bridge",
        "two VMs with one uuid",
        "fencing by ssh",
        "fencing switched off",
    ]
    text = changed(*(change for name in together for change in MISTAKES[name][0]))
    text = changed(("database-data.qcow2", "web.qcow2"), text=two_nodes(text))
    assert set(findings(text)) == {
        *(MISTAKES[name][1] for name in together),
        ("HA162", "vms.database.disks[1]"),
        ("HA124", "cluster.qdevice"),
    }
    bare = without_fencing(text)
    assert {("HA140", "fence_devices"), ("HA140", "cluster.properties.stonith-enabled")} < set(findings(bare))

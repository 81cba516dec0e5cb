"""What stands against the hosts: nothing that is not there, and each single thing that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hacluster.model import Capacity, Cluster, Disk, Gfs2, LockDriver, Vm
from hacluster.ports import Unknown
from hacluster.problems import Problem
from hacluster.survey import judge
from tests.unit.survey.recorded import Change, Told, asked, cluster

LUN = "3600a098000f1"
WELL = Counter({"HA653": 1, "HA660": 3})
"""What the lab itself lacks: world-wide names of its disks, and somebody who keeps the clocks."""


def found(change: Change = lambda _told: None, spec: Cluster | None = None, **beside: Any) -> Counter[str]:
    """Codes that are found beyond those of the lab as it is."""
    codes = Counter(problem.code for problem in judge.judge(spec or cluster(), asked(change, **beside)))
    return codes - WELL


def put(host: str, *path: Any) -> Change:
    """A change: the last item is the new value, those before it lead there."""

    def change(told: Told) -> None:
        *way, last, value = path
        place: Any = told[host]
        for step in way:
            place = place[step]
        place[last] = value

    return change


def each(*changes: Change) -> Change:
    def change(told: Told) -> None:
        for one in changes:
            one(told)

    return change


def hosts(*path: Any) -> Change:
    return each(*(put(name, *path) for name in ("n1", "n2", "n3")))


def unit(name: str, **words: object) -> tuple[Any, ...]:
    return "units", name, {"loaded": True, "active": False, "enabled": False, "after": [], **words}


def vms(change: Callable[[Vm], Vm]) -> Cluster:
    spec = cluster()
    return replace(spec, vms=tuple(change(vm) for vm in spec.vms))


def xml(old: bytes, new: bytes) -> Cluster:
    assert all(old in vm.domain_xml for vm in cluster().vms)
    return vms(lambda vm: replace(vm, domain_xml=vm.domain_xml.replace(old, new)))


def test_the_lab_as_it_is_has_only_what_it_lacks() -> None:
    assert Counter(problem.code for problem in judge.judge(cluster(), asked())) == WELL


DRAINED = ["pacemaker.service", "corosync.service", "libvirtd.service", "virtqemud.service"]
PEER = ("peers", "n2")
SAN = replace(cluster(), storages=(*cluster().storages, Gfs2("san", "/dev/mapper/lun", "vg", "lv", "/vm", "c:fs")))
DEVICE = {"exists": True, "block": True, "wwid": LUN}
SEEN = hosts("devices", "/dev/mapper/lun", DEVICE)
OTHER = {**DEVICE, "wwid": "other"}
MAP = {"name": "mpatha", "wwid": LUN, "paths": 2, "active": 2}

CASES: list[tuple[str, Change, dict[str, int]]] = [
    ("login refused", put("n1", *PEER, "ssh", {"word": "login refused", "said": "x"}), {"HA642": 1}),
    ("key unknown", put("n1", *PEER, "ssh", {"word": "key unknown", "said": "x"}), {"HA643": 1}),
    ("key changed", put("n1", *PEER, "ssh", {"word": "key changed", "said": "x"}), {"HA643": 1}),
    ("libvirt of a peer", put("n1", *PEER, "libvirt", {"ok": False, "said": "refused"}), {"HA644": 1}),
    ("firewall", put("n1", *PEER, "ports", {"2224": "silent", "16509": "silent", "49152": "refused"}), {"HA645": 1}),
    ("no name", put("n1", *PEER, "ports", {"2224": "no address"}), {"HA645": 1}),
    ("frame", put("n1", *PEER, "frames", "10.99.1.12", "full", False), {"HA657": 1}),
    ("address", put("n1", *PEER, "frames", "10.99.1.12", {"mtu": 1500, "small": False, "full": None}), {"HA667": 1}),
    ("no route", put("n1", *PEER, "frames", "10.99.1.12", {"mtu": None, "small": None, "full": None}), {"HA667": 1}),
    ("not root", put("n1", *PEER, "frames", "10.99.1.12", {"mtu": 1500, "small": None, "full": None}), {"HA641": 1}),
    ("corosync's link", put("n1", "corosync_links", {"2": [True, False], "3": [True, True]}), {"HA667": 1}),
    ("no corosync", put("n1", "versions", "corosync", None), {"HA646": 1}),
    ("old Pacemaker", put("n1", "versions", "pacemaker", "2.1.4"), {"HA506": 1, "HA647": 1}),
    ("old Pacemaker, longer number", hosts("versions", "pacemaker", "2.1"), {"HA506": 3}),
    ("another libvirt", put("n1", "versions", "libvirt", "8.0.0"), {"HA647": 1}),
    ("another QEMU", put("n1", "hypervisor", "qemu", "6.0.0"), {"HA647": 1}),
    ("libvirt silent", put("n1", "hypervisor", {"answers": False, "said": "x"}), {"HA668": 1}),
    ("no machine type", put("n1", "hypervisor", "machines", ["pc-i440fx-2.8"]), {"HA648": 3}),
    ("both daemons", put("n1", *unit("virtqemud.socket", enabled=True)), {"HA663": 1}),
    (
        "another daemon",
        each(
            put("n1", *unit("libvirtd.service")),
            put("n1", *unit("libvirtd.socket")),
            put("n1", *unit("virtqemud.socket", active=True)),
        ),
        {"HA663": 1},
    ),
    ("libvirt-guests", put("n1", *unit("libvirt-guests.service", enabled=True)), {"HA502": 1}),
    ("autostart", put("n1", "autostart", ["web", "stranger"]), {"HA501": 1}),
    ("cron", put("n1", "starters", [{"where": "/etc/crontab:3", "text": "virsh start web"}]), {"HA662": 1}),
    ("no drain unit", put("n1", *unit("hacluster-drain.service", loaded=False)), {"HA518": 1}),
    (
        "drain unit before libvirt",
        put("n1", *unit("hacluster-drain.service", active=True, enabled=True, after=DRAINED[:3])),
        {"HA518": 1},
    ),
    ("twins", put("n1", "hypervisor", "uuid", "u"), {}),
    ("clones", hosts("system", "machine_id", "same"), {"HA665": 1}),
    (
        "no device",
        put("n1", "devices", "/dev/lab/web", {"exists": False, "block": False, "wwid": None}),
        {"HA651": 1, "HA653": 1},
    ),
    ("no bridge", put("n1", "links", []), {"HA658": 1, "HA659": 2}),
    ("clock", put("n2", "clock", 3.5), {"HA660": 1}),
    ("clock, within the doubt", put("n2", "clock", 1.01), {}),
    ("LUN missing", each(put("n1", "luns", [LUN]), put("n2", "luns", [LUN])), {"HA669": 1}),
    ("a LUN of one host", put("n1", "luns", [LUN]), {}),
    ("a path down", put("n1", "multipath", {"answers": True, "maps": [{**MAP, "active": 1}]}), {"HA654": 1}),
    ("one path", put("n1", "multipath", {"answers": True, "maps": [{**MAP, "paths": 1, "active": 1}]}), {"HA654": 1}),
    ("two paths", put("n1", "multipath", {"answers": True, "maps": [MAP]}), {}),
    ("sbd without a watchdog", put("n1", *unit("sbd.service", enabled=True)), {"HA664": 1}),
    ("a part not told", put("n1", "memory", None), {"HA641": 1}),
    ("a peer not told", put("n1", "peers", "n2", None), {"HA641": 1}),
]


@pytest.mark.parametrize(("change", "codes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_single_thing(change: Change, codes: dict[str, int]) -> None:
    assert found(change) == Counter(codes)


@pytest.mark.parametrize(
    ("identity", "codes"), [("i6300ESB timer", {}), ("Software Watchdog", {"HA664": 1})], ids=["board", "softdog"]
)
def test_a_watchdog_in_software_is_none(identity: str, codes: dict[str, int]) -> None:
    dog = put("n1", "watchdogs", [{"device": "/dev/watchdog0", "identity": identity}])
    assert found(each(dog, put("n1", *unit("sbd.service", active=True)))) == Counter(codes)


def test_sanlock_counts_on_a_watchdog_on_every_host() -> None:
    spec = replace(cluster(), lock_driver=LockDriver("sanlock", "/leases", "/vm"))
    assert found(spec=spec) == Counter({"HA664": 3})


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (SEEN, {}),
        (each(SEEN, put("n2", "devices", "/dev/mapper/lun", OTHER)), {"HA652": 1}),
        (each(SEEN, put("n2", "devices", "/dev/mapper/lun", {**DEVICE, "wwid": None})), {"HA653": 1}),
        (each(SEEN, put("n2", "devices", "/dev/mapper/lun", {**DEVICE, "block": False})), {"HA651": 1}),
    ],
    ids=["one disk", "two disks", "nameless", "no block device"],
)
def test_a_path_must_lead_to_one_disk(change: Change, codes: dict[str, int]) -> None:
    assert found(change, SAN) == Counter(codes)


def test_kvm_and_the_cpu_matter_to_vms_that_want_kvm() -> None:
    wants = xml(b"type='qemu'" if b"type='qemu'" in cluster().vms[0].domain_xml else b'type="qemu"', b'type="kvm"')
    assert found(spec=wants) == Counter({"HA649": 9})
    assert found(hosts("hypervisor", "kvm", True), wants) == Counter()


@pytest.mark.parametrize(
    ("cpu", "codes"),
    [
        (b'<cpu mode="host-passthrough"/>', {"HA650": 1}),
        (b'<cpu mode="host-model"/>', {"HA650": 1}),
        (b'<cpu mode="custom"><model>Skylake-Client</model></cpu>', {"HA650": 1}),
        (b'<cpu mode="custom"><model>EPYC</model></cpu>', {}),
    ],
)
def test_a_cpu_that_not_every_host_gives_is_found_with_the_baseline(cpu: bytes, codes: dict[str, int]) -> None:
    from lxml import etree

    def give(vm: Vm) -> Vm:
        root = etree.fromstring(vm.domain_xml)
        root.set("type", "kvm")
        for old in root.findall("cpu"):
            root.remove(old)
        root.append(etree.fromstring(cpu))
        return replace(vm, domain_xml=etree.tostring(root))

    spec = replace(vms(give), vms=vms(give).vms[:1])
    change = each(
        hosts("hypervisor", "kvm", True),
        hosts("hypervisor", "models", ["EPYC"]),
        put("n3", "hypervisor", "cpu", "Skylake-Server"),
    )
    problems = [p for p in judge.judge(spec, asked(change)) if p.code == "HA650"]
    assert Counter(problem.code for problem in problems) == Counter(codes)
    assert all("EPYC" in problem.remedy for problem in problems)


def test_a_host_device_needs_an_iommu() -> None:
    spec = xml(b"<devices>", b"<devices><hostdev mode='subsystem' type='pci'/>")
    assert found(spec=spec) == Counter({"HA661": 3})
    assert found(hosts("iommu", "groups", 12), spec) == Counter()


def test_memory_that_is_counted_on_must_be_there() -> None:
    spec = cluster()
    greedy = replace(spec, nodes=(replace(spec.nodes[0], capacity=Capacity(1 << 40, 4)), *spec.nodes[1:]))
    assert found(spec=greedy) == Counter({"HA655": 1})
    small = hosts("memory", {"total": 300 << 20, "available": 1 << 20})
    wanted = sum(vm.host_memory for vm in spec.vms)
    assert 300 << 20 < wanted <= 600 << 20
    assert found(small) == Counter()
    # Without one of three hosts of 200 MiB, the three VMs of some 140 MiB have 400.
    assert found(hosts("memory", {"total": 200 << 20, "available": 1})) == Counter({"HA656": 1})
    assert found(hosts("memory", {"total": 100 << 20, "available": 1})) == Counter({"HA655": 3, "HA656": 1})


@pytest.mark.parametrize(
    ("link", "codes"),
    [
        ({"kind": ""}, {"HA658": 1}),
        ({"mtu": 9000}, {"HA658": 2}),
        ({"name": "br1"}, {"HA658": 1}),
        ({"kind": "openvswitch"}, {}),
    ],
    ids=["no bridge at all", "another MTU than its port and its peers", "another name", "open vSwitch"],
)
def test_bridges(link: dict[str, object], codes: dict[str, int]) -> None:
    def change(told: Told) -> None:
        (bridge,) = (each for each in told["n1"]["links"] if each["name"] == "br0")
        bridge.update(link)

    assert found(change) == Counter(codes)


def test_a_bridge_without_a_wire_leads_nowhere() -> None:
    def change(told: Told) -> None:
        told["n1"]["links"] = [each for each in told["n1"]["links"] if each["master"] != "br0"]

    assert found(change) == Counter({"HA658": 1})


def test_a_host_that_does_not_answer_is_unknown_and_never_fine() -> None:
    silent = {**asked().survey, "n3": Unknown("n3 does not answer")}
    problems = judge.judge(cluster(), replace(asked(), survey=silent))
    assert [p.where for p in problems if p.code == "HA640"] == ["node n3"]
    said = Problem("HA602", "another key", "n3")
    assert "HA640" in {p.code for p in judge.judge(cluster(), replace(asked(), survey=silent))}
    told = judge.judge(cluster(), replace(asked(), survey=silent, refused=(said,)))
    assert said in told and "HA640" not in {p.code for p in told}


def test_all_at_once() -> None:
    everything = each(*(case[1] for case in CASES if case[0] in ("key unknown", "no bridge", "cron", "clock")))
    assert set(found(everything)) == {"HA643", "HA658", "HA659", "HA662", "HA660"}


def test_the_document() -> None:
    silent = {**asked().survey, "n3": Unknown("down")}
    seen = replace(asked(), survey=silent)
    document = judge.to_json(seen, judge.judge(cluster(), seen))
    assert document["format"] == 1 and document["baseline"] == "EPYC"
    assert document["hosts"]["n3"] == {"name": "n3", "unknown": "down"}
    assert document["hosts"]["n1"]["peers"]["n2"]["ssh"]["word"] == "ok"
    assert {"code", "where", "message"} <= set(document["problems"][0])


def test_a_disk_of_the_spec_is_a_shared_device() -> None:
    from hacluster.survey.ask import shared_devices

    assert shared_devices(SAN) == ("/dev/mapper/lun", "/dev/lab/web", "/dev/lab/db")
    assert isinstance(cluster().vms[0].disks[0], Disk)

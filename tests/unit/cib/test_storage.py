"""Each storage stack in the CIB: what is made for it, in which order, and how a VM on it is handed over."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from hacluster import model
from hacluster.cib import compile as compiler
from hacluster.cib import managed, merge, storage
from hacluster.cib.templates import Library, shipped_directory
from hacluster.stacks import STACKS
from tests import scheduler
from tests.unit.cib import clusters
from tests.unit.cib.test_compile import colocations, locations, meta, operations, orders, parameters, resource

LIBRARY = Library([shipped_directory()])
OCFS2 = model.Ocfs2("store", "/store", device="/dev/mapper/san2")
NFS = model.Nfs("nas", "10.0.0.9", "/export", "/vms")
RBD = model.CephRbd("pool", "vms")
LVM = model.SharedLvm("vols", "vg_shared")
MORE = model.SharedLvm("more", "vg_more")
LOCAL = model.Local("own", "n2", "/srv/images")

LIVE, COLD = model.Migration("live"), model.Migration("cold")


def disk(path: str, on: str, device: str = "file") -> model.Disk:
    return model.Disk(path, "raw", on, device=device)  # type: ignore[arg-type]  # a test says which of the three


def on(*disks: model.Disk, name: str = "web", **changes: object) -> model.Vm:
    return clusters.vm(name, *{each.storage for each in disks}, disks=disks, **changes)


def cib(*storages: model.Storage, vms: tuple[model.Vm, ...], **changes: object) -> etree._Element:
    return compiler.compile_element(clusters.cluster(storages=storages, vms=vms, **changes), LIBRARY)


def stack(document: etree._Element) -> set[tuple[str, str]]:
    """What comes before what; colocation must say the same. Only volumes of one VM follow it: placed after it."""
    follows = {pair for pair in orders(document) if pair[::-1] in colocations(document)}
    assert (orders(document) - follows) | {pair[::-1] for pair in follows} == colocations(document)
    assert all(resource(document, volume).get("type") == "LVM-activate" for volume, _ in follows)
    return orders(document) - {
        ("dlm-clone", "hacluster-lockspace-clone"),
        *((first, then) for first, then in orders(document) if first == "hacluster-lockspace-clone"),
    }


def test_ocfs2_on_a_lun_stands_on_the_dlm() -> None:
    document = cib(OCFS2, vms=(on(disk("/store/web", "store")),))
    assert stack(document) == {("dlm-clone", "store-fs-clone"), ("store-fs-clone", "vm-on-store")}
    assert parameters(document, "store-fs") == {
        "device": "/dev/mapper/san2",
        "directory": "/store",
        "fstype": "ocfs2",
        "options": "noatime",
        "force_unmount": "safe",
    }


def test_ocfs2_on_a_volume_stands_on_lvm() -> None:
    there = replace(OCFS2, device=None, volume_group="vg_shared", logical_volume="store")
    document = cib(there, vms=(on(disk("/store/web", "store")),))
    assert stack(document) == {
        ("dlm-clone", "lvmlockd-clone"),
        ("lvmlockd-clone", "store-lv-clone"),
        ("store-lv-clone", "store-fs-clone"),
        ("store-fs-clone", "vm-on-store"),
    }
    assert parameters(document, "store-fs")["device"] == "/dev/vg_shared/store"


def test_o2cb_comes_between_the_dlm_and_every_ocfs2() -> None:
    two = (replace(OCFS2, o2cb=True), replace(OCFS2, name="more", mount="/more", device="/dev/b", o2cb=True))
    document = cib(*two, vms=(on(disk("/store/web", "store"), disk("/more/web", "more")),))
    assert {("dlm-clone", "o2cb-clone"), ("o2cb-clone", "store-fs-clone"), ("o2cb-clone", "more-fs-clone")} <= stack(
        document
    )
    assert len(document.xpath("//clone[@id='o2cb-clone']")) == 1


def test_nfs_is_mounted_by_version_and_needs_no_dlm() -> None:
    there = replace(NFS, version="4.1", options=("noatime", "nconnect=4"))
    document = cib(there, vms=(on(disk("/vms/web", "nas")),))
    assert stack(document) == {("nas-fs-clone", "vm-on-nas")}
    assert parameters(document, "nas-fs") == {
        "device": "10.0.0.9:/export",
        "directory": "/vms",
        "fstype": "nfs4",
        "options": "vers=4.1,noatime,nconnect=4",
        "force_unmount": "safe",
    }
    address = cib(replace(NFS, server="fd00::9"), vms=())
    assert parameters(address, "nas-fs")["device"] == "[fd00::9]:/export"


def test_an_nfs_mounted_outside_is_none_of_the_clusters() -> None:
    document = cib(replace(NFS, outside=True), vms=(on(disk("/vms/web", "nas")),))
    assert stack(document) == set()
    assert not document.xpath("//*[@type='Filesystem']")


@pytest.mark.parametrize("there", [RBD, replace(RBD, mapped=True), model.Block("pool", "/dev/luns")])
def test_nothing_is_activated_for_ceph_and_luns(there: model.Storage) -> None:
    document = cib(there, vms=(on(disk("rbd:vms/web", "pool", "network")),))
    assert stack(document) == set()
    assert {r.get("type") for r in document.iterfind(".//resources/clone/primitive")} == {"controld", "lockspace"}


class TestVolumesOfVms:
    def test_one_that_moves_live_is_shared_on_every_node(self) -> None:
        document = cib(LVM, vms=(on(disk("/dev/vg_shared/web", "vols", "block"), migration=LIVE),))
        assert stack(document) == {
            ("dlm-clone", "lvmlockd-clone"),
            ("lvmlockd-clone", "vols-lvs"),
            ("vols-lv-web-clone", "web"),
        }
        assert parameters(document, "vols-lv-web")["activation_mode"] == "shared"

    @pytest.mark.parametrize("mode", ["cold", "none"])
    def test_one_that_does_not_is_exclusive_beside_it(self, mode: str) -> None:
        wish = model.Migration(mode)  # type: ignore[arg-type]  # the parameter is one of its words
        document = cib(LVM, vms=(on(disk("/dev/vg_shared/web", "vols", "block"), migration=wish),))
        assert ("vols-lv-web", "web") in stack(document)
        assert ("web", "vols-lv-web") in colocations(document)
        assert resource(document, "vols-lv-web").getparent().tag == "resources"
        assert parameters(document, "vols-lv-web") == {
            "vgname": "vg_shared",
            "lvname": "web",
            "vg_access_mode": "lvmlockd",
            "activation_mode": "exclusive",
        }

    def test_all_of_a_group_come_after_one_lock_daemon_by_one_constraint(self) -> None:
        vms = tuple(
            on(disk(f"/dev/vg_shared/{name}", "vols", "block"), name=name, migration=wish)
            for name, wish in (("web", LIVE), ("db", COLD), ("mail", LIVE))
        )
        document = cib(LVM, vms=vms)
        (tag,) = document.xpath("//tag[@id='vols-lvs']")
        assert [ref.get("id") for ref in tag] == ["vols-lv-web-clone", "vols-lv-db", "vols-lv-mail-clone"]
        assert len([1 for first, _ in orders(document) if first == "lvmlockd-clone"]) == 1

    def test_a_file_system_in_the_same_group_shares_its_lock_daemon(self) -> None:
        vms = (on(disk("/dev/vg_shared/web", "vols", "block"), disk("/kvm/shared/web", "shared")),)
        document = cib(clusters.gfs2(), LVM, vms=vms)
        assert len(document.xpath("//primitive[@type='lvmlockd']")) == 1
        assert {("lvmlockd-clone", "shared-lv-clone"), ("lvmlockd-clone", "vols-lvs")} <= stack(document)
        activated = [p.get("id") for p in document.xpath("//primitive[@type='LVM-activate']")]
        assert sorted(activated) == ["shared-lv", "vols-lv-web"]

    def test_a_storage_that_no_vm_uses_needs_no_lock_daemon(self) -> None:
        assert not cib(LVM, vms=()).xpath("//*[@type='lvmlockd'] | //tag")

    def test_everything_of_them_is_owned(self) -> None:
        document = cib(LVM, vms=(on(disk("/dev/vg_shared/a+b", "vols", "block"), migration=COLD),))
        (owned,) = document.xpath("//nvpair[@name='hacluster-owned']/@value")
        assert {"vols-lv-a_b", "vols-lvs", "order-vols-lv-a_b-then-web"} <= set(owned.split())


class TestPacemakerPlacesAVmBeforeItsVolumes:
    """Volumes that are placed first are placed apart, or where a rule of the VM lets it not run: it runs nowhere."""

    pytestmark = scheduler.needs_tools

    def places(self, where: Path, *vms: model.Vm, nodes: int = 3, **changes: object) -> dict[str, set[str]]:
        document = cib(LVM, MORE, NFS, vms=vms, nodes=clusters.nodes(nodes), **changes)
        outcome = scheduler.ask(scheduler.carried_out(document, where), where)
        assert outcome.simulation.actions == ()
        return {vm.name: set(outcome.simulation.before[vm.name]) for vm in vms}

    def test_volumes_of_two_groups_are_beside_it(self, tmp_path: Path) -> None:
        disks = (disk("/dev/vg_shared/web", "vols", "block"), disk("/dev/vg_more/web", "more", "block"))
        (found,) = self.places(tmp_path, on(*disks, migration=COLD), nodes=2).values()
        assert len(found) == 1

    def test_rules_of_vms_count(self, tmp_path: Path) -> None:
        vms = [
            on(
                *(disk(f"/dev/vg_shared/{name}{n}", "vols", "block") for n in range(2)),
                name=name,
                migration=COLD,
            )
            for name in "abcd"
        ]
        far = (model.AntiAffinity("far", ("a", "d")),)
        found = self.places(tmp_path, *vms, anti_affinities=far)
        assert all(found.values())
        assert found["a"] != found["d"]
        near = (model.Affinity("near", ("a", "d", "b")),)
        found = self.places(tmp_path, *vms, affinities=near)
        assert found["a"] == found["b"] == found["d"] != set()


@pytest.mark.parametrize("wish", [LIVE, COLD])
def test_before_a_move_only_what_runs_everywhere_has_to_be_up_on_the_target(wish: model.Migration) -> None:
    disks = (disk("/dev/vg_shared/web", "vols", "block"), disk("/kvm/shared/web", "shared"))
    document = cib(clusters.gfs2(), LVM, vms=(on(*disks, migration=wish),))
    vm = managed.vm(document, "web")
    assert vm is not None
    everywhere = {"shared-fs-clone", "hacluster-lockspace-clone"} | ({"vols-lv-web-clone"} if wish is LIVE else set())
    assert set(managed.must_be_up(document, vm)) == everywhere
    assert set(managed.stands_on(document, vm)) == everywhere | (set() if wish is LIVE else {"vols-lv-web"})


def test_a_vm_on_a_local_disk_stays_on_its_node() -> None:
    document = cib(LOCAL, vms=(on(disk("/srv/images/web", "own"), migration=COLD), clusters.vm("other")))
    kept = {(rsc, node, score) for rsc, node, score in locations(document) if rsc.startswith("vm-on")}
    assert kept == {("vm-on-own", "n1", "-INFINITY"), ("vm-on-own", "n3", "-INFINITY")}


FILE_SYSTEM_STACKS: list[model.Storage] = [clusters.gfs2(), OCFS2, NFS, replace(NFS, outside=True)]


@pytest.mark.parametrize("there", FILE_SYSTEM_STACKS, ids=lambda each: each.stack)
def test_where_qemus_lock_holds_everywhere_the_target_may_run_at_once(there: model.Gfs2) -> None:
    assert meta(cib(there, vms=(vm := on(disk(f"{there.mount}/web", there.name)),)), "web")["allow-migrate"] == "true"
    assert storage.handover(clusters.cluster(storages=(there,)), vm) == "running"


NOT_LOCKED: list[tuple[model.Storage, model.Disk]] = [
    (LVM, disk("/dev/vg_shared/web", "vols", "block")),
    (RBD, disk("rbd:vms/web", "pool", "network")),
    (model.Directory("images", "/srv", "/images"), disk("/images/web", "images")),
    (model.Block("luns", "/dev/luns"), disk("/dev/luns/web", "luns", "block")),
]


@pytest.mark.parametrize(("there", "its"), NOT_LOCKED, ids=lambda each: getattr(each, "stack", "disk"))
def test_elsewhere_it_is_handed_over_paused(there: model.Storage, its: model.Disk) -> None:
    cluster = clusters.cluster(storages=(there, clusters.gfs2()))
    assert storage.handover(cluster, on(its)) == "paused"
    assert storage.handover(cluster, on(its, disk("/kvm/shared/web", "shared"))) == "paused"


@pytest.mark.parametrize(("there", "its"), NOT_LOCKED, ids=lambda each: getattr(each, "stack", "disk"))
def test_leases_count_only_where_libvirt_can_keep_them(there: model.Storage, its: model.Disk) -> None:
    leases = model.LockDriver("lockd", "/images/leases", "/images", "running")
    cluster = clusters.cluster(storages=(there,), lock_driver=leases)
    assert storage.handover(cluster, on(its)) == ("leased" if STACKS[there.stack].leases else "paused")


@pytest.mark.parametrize(
    ("there", "agent", "warned"),
    [(NFS, "heartbeat", True), (NFS, "hacluster", False), (OCFS2, "heartbeat", False)],
)
def test_an_agent_that_does_not_wait_for_a_dead_clients_locks_is_warned_of(
    there: model.Nfs | model.Ocfs2, agent: str, warned: bool
) -> None:
    vm = on(disk(f"{there.mount}/web", there.name), agent=agent)
    found = storage.check(clusters.cluster(storages=(there,), vms=(vm,)))
    assert [(p.code, p.severity, p.where) for p in found] == [("HA208", "warning", "vms.web.agent")] * warned


def test_every_storage_failure_that_could_leave_a_writer_costs_the_node() -> None:
    document = cib(
        clusters.gfs2(),
        replace(OCFS2, o2cb=True),
        NFS,
        LVM,
        vms=(
            on(disk("/dev/vg_shared/web", "vols", "block"), migration=COLD),
            on(disk("/dev/vg_shared/db", "vols", "block"), name="db"),
        ),
    )
    for primitive in ("shared-fs", "store-fs", "o2cb", "nas-fs", "vols-lv-web", "vols-lv-db"):
        told = operations(document, primitive)
        assert (told["stop"][1], told["monitor"][1], told["start"][1]) == ("fence", "fence", None), primitive


def test_every_clone_is_interleaved() -> None:
    document = cib(clusters.gfs2(), OCFS2, NFS, vms=())
    clones = [clone.get("id") for clone in document.iter("clone")]
    assert clones
    assert all(meta(document, clone)["interleave"] == "true" for clone in clones)


class TestAsPacemakerSeesIt:
    pytestmark = scheduler.needs_tools

    VMS = (
        on(disk("/dev/vg_shared/web", "vols", "block"), migration=LIVE),
        on(disk("/dev/vg_shared/db", "vols", "block"), name="db", migration=COLD),
    )

    def moved(self, vm: str, tmp_path: Path, document: etree._Element | None = None) -> tuple[scheduler.Outcome, str]:
        """What happens when the VM is told to run elsewhere, and where it was."""
        running = scheduler.carried_out(cib(LVM, vms=self.VMS) if document is None else document, tmp_path)
        (home,) = scheduler.ask(running, tmp_path).simulation.before[vm]
        target = "n1" if home != "n1" else "n2"
        claim = etree.SubElement(running.find("configuration/constraints"), "rsc_location")
        for name, value in (("id", "claim"), ("rsc", vm), ("node", target), ("score", "INFINITY")):
            claim.set(name, value)
        return scheduler.ask(running, tmp_path), home

    def test_a_shared_volume_lets_its_vm_move_live(self, tmp_path: Path) -> None:
        outcome, _ = self.moved("web", tmp_path)
        assert {(a.resource, a.price) for a in outcome.simulation.actions} == {("web", "migrate")}

    def test_an_exclusive_volume_goes_with_its_vm_and_is_never_on_two_nodes(self, tmp_path: Path) -> None:
        outcome, home = self.moved("db", tmp_path)
        assert {(a.resource, a.price) for a in outcome.simulation.actions} == {
            ("db", "restart"),
            ("vols-lv-db", "restart"),
        }
        graph = outcome.graph
        (start,) = graph.of("vols-lv-db", "start")
        before = graph.before(start)
        assert {step.id for step in graph.of("vols-lv-db", "stop") if step.node == home} <= before
        assert {step.id for step in graph.of("db", "stop") if step.node == home} <= before
        (vm_start,) = graph.of("db", "start")
        assert start.id in graph.before(vm_start)

    def test_with_an_exclusive_volume_pacemaker_would_not_migrate_whatever_is_allowed(self, tmp_path: Path) -> None:
        """Why a VM that moves live has its volume shared: docs/decisions/0012."""
        document = cib(LVM, vms=self.VMS)
        (allowed,) = document.xpath("//primitive[@id='db']/meta_attributes/nvpair[@name='allow-migrate']")
        allowed.set("value", "true")
        outcome, _ = self.moved("db", tmp_path, document)
        assert outcome.simulation.price("db") == "restart"

    def test_a_dead_node_is_fenced_before_its_exclusive_volume_comes_up_elsewhere(self, tmp_path: Path) -> None:
        running = scheduler.carried_out(cib(LVM, vms=self.VMS), tmp_path)
        (home,) = scheduler.ask(running, tmp_path).simulation.before["db"]
        outcome = scheduler.ask(running, tmp_path, "--node-fail", home)
        (start,) = outcome.graph.of("vols-lv-db", "start")
        before = [outcome.graph.steps[id_] for id_ in outcome.graph.before(start)]
        assert any(step.operation == "fence" and step.node == home for step in before)
        assert outcome.findings("web", "db") == []

    @pytest.mark.parametrize("wishes", [(COLD, LIVE), (LIVE, COLD)], ids=["cold to live", "live to cold"])
    def test_another_wish_is_another_activation_and_costs_a_restart(
        self, wishes: tuple[model.Migration, model.Migration], tmp_path: Path
    ) -> None:
        before, after = (
            cib(LVM, vms=(on(disk("/dev/vg_shared/web", "vols", "block"), migration=wish),)) for wish in wishes
        )
        running = scheduler.carried_out(before, tmp_path)
        outcome = scheduler.ask(merge.merge(running, after).cib, tmp_path)
        assert outcome.simulation.price("web") == "restart"
        assert outcome.findings("web") == []


def test_the_table_knows_every_storage_of_the_model() -> None:
    kinds = [each.stack for each in model.Storage.__args__]
    assert sorted(kinds) == sorted(STACKS)
    assert all(re.fullmatch("[a-z0-9-]+", kind) for kind in kinds)

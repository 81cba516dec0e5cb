"""The model in, the CIB's nouns and relations out."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType

import pytest
from lxml import etree

from hacluster import model
from hacluster.cib import compile as compiler
from hacluster.cib import managed
from hacluster.cib.templates import Library, shipped_directory
from hacluster.problems import Refused
from tests.unit.cib import clusters

LIBRARY = Library([shipped_directory()])


def cib(**changes: object) -> etree._Element:
    return compiler.compile_element(clusters.cluster(**changes), LIBRARY)


def pairs(element: etree._Element | None) -> dict[str, str]:
    return {} if element is None else {pair.get("name"): pair.get("value") for pair in element.iterfind("nvpair")}


def resource(document: etree._Element, id_: str) -> etree._Element:
    (found,) = document.xpath(f"//resources//*[@id='{id_}']")
    return found


def parameters(document: etree._Element, id_: str) -> dict[str, str]:
    return pairs(resource(document, id_).find("instance_attributes"))


def meta(document: etree._Element, id_: str) -> dict[str, str]:
    return pairs(resource(document, id_).find("meta_attributes"))


def operations(document: etree._Element, id_: str) -> dict[str, tuple[str, str | None]]:
    return {op.get("name"): (op.get("timeout"), op.get("on-fail")) for op in resource(document, id_).iter("op")}


def orders(document: etree._Element) -> set[tuple[str, str]]:
    return {(o.get("first"), o.get("then")) for o in document.iter("rsc_order")}


def colocations(document: etree._Element) -> set[tuple[str, str]]:
    return {(c.get("with-rsc"), c.get("rsc")) for c in document.iter("rsc_colocation")}


def locations(document: etree._Element) -> set[tuple[str, str, str]]:
    return {(c.get("rsc"), c.get("node"), c.get("score")) for c in document.iter("rsc_location")}


GFS2_STACK = {
    ("dlm-clone", "hacluster-lockspace-clone"),
    ("dlm-clone", "lvmlockd-clone"),
    ("lvmlockd-clone", "shared-lv-clone"),
    ("shared-lv-clone", "shared-fs-clone"),
    ("shared-fs-clone", "vm-on-shared"),
    ("hacluster-lockspace-clone", "vm-on-shared"),
}


def test_a_vm_stands_on_its_whole_storage_stack_and_on_the_lockspace() -> None:
    document = cib()
    assert orders(document) == GFS2_STACK
    assert colocations(document) == GFS2_STACK
    assert {o.get("kind") for o in document.iter("rsc_order")} == {"Mandatory"}
    assert {c.get("score") for c in document.iter("rsc_colocation")} == {"INFINITY"}


def test_clvmd_takes_the_place_of_lvmlockd() -> None:
    document = cib(storages=(clusters.gfs2(volume_manager="clvmd"),))
    swap = {"lvmlockd-clone": "clvmd-clone"}
    assert orders(document) == {(swap.get(a, a), swap.get(b, b)) for a, b in GFS2_STACK}
    assert parameters(document, "shared-lv")["vg_access_mode"] == "clvmd"


def test_two_file_systems_share_one_volume_manager() -> None:
    document = cib(storages=(clusters.gfs2("a"), clusters.gfs2("b")), vms=(clusters.vm("web", "a", "b"),))
    assert len(document.xpath("//clone[@id='lvmlockd-clone']")) == 1
    assert {("a-fs-clone", "vm-on-a-b"), ("b-fs-clone", "vm-on-a-b")} <= orders(document)


def test_a_bound_directory_needs_no_lock_manager() -> None:
    document = cib(
        storages=(model.Directory("images", "/srv/images", "/kvm", options=("ro",)),),
        vms=(clusters.vm("web", "images"),),
        lock_manager="external",
    )
    assert orders(document) == {
        ("images-fs-clone", "vm-on-images"),
        ("hacluster-lockspace-clone", "vm-on-images"),
    }
    assert parameters(document, "images-fs") == {
        "device": "/srv/images",
        "directory": "/kvm",
        "fstype": "none",
        "options": "bind,ro",
        "force_unmount": "safe",
    }
    assert not document.xpath("//*[@type='controld']")


def test_block_devices_need_nothing_activated() -> None:
    document = cib(storages=(model.Block("luns", "/dev/lab"),), vms=(clusters.vm("web", "luns"),))
    assert orders(document) == {
        ("dlm-clone", "hacluster-lockspace-clone"),
        ("hacluster-lockspace-clone", "vm-on-luns"),
    }


def test_a_vm_without_storage_still_needs_its_run_lock() -> None:
    assert ("hacluster-lockspace-clone", "vm-on-nothing") in orders(cib(vms=(clusters.vm("web"),)))


def test_every_clone_is_interleaved() -> None:
    document = cib()
    assert {pairs(clone.find("meta_attributes"))["interleave"] for clone in document.iter("clone")} == {"true"}


def test_a_hundred_vms_need_as_many_constraints_as_one() -> None:
    many = cib(vms=tuple(clusters.vm(f"vm{i}", "shared") for i in range(100)))
    assert orders(many) == GFS2_STACK
    assert len(many.xpath("//tag[@id='vm-on-shared']/obj_ref")) == 100


def test_a_storage_operation_that_leaves_the_state_open_costs_the_node_and_a_failed_start_does_not() -> None:
    document = cib()
    for primitive in ("dlm", "lvmlockd", "shared-lv", "shared-fs"):
        on_fail = {name: fail for name, (_, fail) in operations(document, primitive).items()}
        assert on_fail == {"start": None, "stop": "fence", "monitor": "fence"}
        assert meta(document, primitive)["migration-threshold"] == "3"


def test_a_lockspace_that_refuses_to_stop_is_left_alone() -> None:
    on_fail = {name: fail for name, (_, fail) in operations(cib(), "hacluster-lockspace").items()}
    assert on_fail == {"start": None, "stop": "block", "monitor": "ignore"}


def test_every_operation_has_a_timeout() -> None:
    assert all(re.fullmatch(r"[1-9][0-9]*s", op.get("timeout", "")) for op in cib().iter("op"))


def test_a_vm_is_what_the_agent_needs_to_know() -> None:
    nodes = tuple(
        model.Node(f"n{i}", i, (f"10.0.0.{i}",), migration_host=host, fencing=((f"bmc-n{i}",),))
        for i, host in ((1, "10.9.0.1"), (2, None), (3, "10.9.0.3"))
    )
    document = cib(nodes=nodes, migration_transport="tls")
    assert dict(resource(document, "web").attrib) == {
        "id": "web",
        "class": "ocf",
        "provider": "hacluster",
        "type": "VirtualDomain",
    }
    sha256 = parameters(document, "web")["xml_sha256"]
    assert len(sha256) == 64
    assert parameters(document, "web") == {
        "uuid": "00000000-0000-4000-8000-00000000013e",
        "config": f"/etc/hacluster/domains/web.{sha256[:16]}.xml",
        "xml_sha256": sha256,
        "hypervisor": "qemu:///system",
        "stop_budget": "120",
        "handover": "paused",
        "migration_transport": "tls",
        "migration_hosts": "n1=10.9.0.1 n3=10.9.0.3",
    }
    assert meta(document, "web") == {
        "allow-migrate": "true",
        "multiple-active": "stop_start",
        "migration-threshold": "3",
    }
    assert operations(document, "web") == {
        "start": ("300s", None),
        "stop": ("180s", "fence"),
        "monitor": ("30s", None),
        "migrate_to": ("660s", "block"),
        "migrate_from": ("180s", None),
    }


def test_failures_of_a_vm_never_expire_by_time() -> None:
    """An expired failed stop would count as a stop (see tests/oracle)."""
    assert not cib().xpath("//nvpair[@name='failure-timeout']")


@pytest.mark.parametrize(("budget", "timeout"), [(10, "180s"), (120, "180s"), (600, "660s")])
def test_a_stop_may_take_the_guests_budget_and_a_margin(budget: int, timeout: str) -> None:
    document = cib(vms=(clusters.vm("web", "shared", stop_budget=budget),))
    assert operations(document, "web")["stop"] == (timeout, "fence")


@pytest.mark.parametrize(("bound", "timeout"), [(60, "660s"), (600, "660s"), (3600, "3660s")])
def test_a_migration_may_take_its_own_bound_and_a_margin(bound: int, timeout: str) -> None:
    document = cib(vms=(clusters.vm("web", "shared", migration=model.Migration(timeout=bound)),))
    assert operations(document, "web")["migrate_to"] == (timeout, "block")
    assert parameters(document, "web").get("migration_timeout") == (None if bound == 600 else str(bound))


@pytest.mark.parametrize(
    ("mode", "allowed", "moves"), [("live", "true", True), ("cold", "false", True), ("none", "false", False)]
)
def test_only_live_vms_are_migrated_by_pacemaker(mode: str, allowed: str, moves: bool) -> None:
    document = cib(vms=(clusters.vm("web", "shared", migration=model.Migration(mode=mode)),))  # type: ignore[arg-type]
    assert meta(document, "web")["allow-migrate"] == allowed
    assert [vm.moves for vm in managed.vms(document)] == [moves]


def test_migration_settings_are_given_where_they_differ() -> None:
    settings = model.Migration(auto_converge=True, bandwidth=100, downtime=300, post_copy=True, parallel=4)
    given = parameters(cib(vms=(clusters.vm("web", "shared", migration=settings),)), "web")
    expected = {"auto_converge": "true", "post_copy": "true", "parallel": "4", "speed": "100", "downtime": "300"}
    names = {name: given[name if "_" in name else f"migration_{name}"] for name in expected}
    assert names == expected
    plain = parameters(cib(vms=(clusters.vm("web", "shared"),)), "web")
    assert not {"auto_converge", "post_copy", "migration_parallel", "migration_speed"} & set(plain)


@pytest.mark.parametrize(
    ("storage", "device", "handover"),
    [
        (clusters.gfs2("s"), "file", "running"),
        (clusters.gfs2("s"), "block", "paused"),
        (model.Block("s", "/dev/lab"), "block", "paused"),
        (model.Directory("s", "/srv", "/kvm"), "file", "paused"),
    ],
)
def test_a_move_ends_paused_unless_a_cluster_wide_image_lock_covers_every_disk(
    storage: model.Storage, device: str, handover: str
) -> None:
    disk = model.Disk("/kvm/s/web.img", "raw", "s", device=device)  # type: ignore[arg-type]  # a parameter of the test
    document = cib(storages=(storage,), vms=(clusters.vm("web", "s", disks=(disk,)),))
    assert parameters(document, "web")["handover"] == handover


def test_heartbeats_agent_is_selectable_and_stands_on_no_run_lock() -> None:
    settings = model.Migration(auto_converge=True)
    document = cib(vms=(clusters.vm("web", "shared", agent="heartbeat", migration=settings),))
    assert resource(document, "web").get("provider") == "heartbeat"
    assert parameters(document, "web")["migrate_options"] == "--auto-converge"
    assert {o for o in orders(document) if "vm-on" in o[1]} == {("shared-fs-clone", "heartbeat-vm-on-shared")}


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        (model.Migration(), None),
        (model.Migration(parallel=4), "--parallel --parallel-connections 4"),
        (
            model.Migration(auto_converge=True, post_copy=True),
            "--auto-converge --postcopy --postcopy-after-precopy",
        ),
    ],
)
def test_heartbeats_agent_gets_the_policy_as_options(policy: model.Migration, options: str | None) -> None:
    document = cib(vms=(clusters.vm("web", "shared", agent="heartbeat", migration=policy),))
    assert parameters(document, "web").get("migrate_options") == options


def test_placement_is_a_location_for_each_node() -> None:
    placement = model.Placement(prefer={"n2": 50, "n1": 100}, avoid=("n3",))
    document = cib(vms=(clusters.vm("web", "shared", placement=placement, priority=7),))
    assert {place for place in locations(document) if place[0] == "web"} == {
        ("web", "n1", "100"),
        ("web", "n2", "50"),
        ("web", "n3", "-INFINITY"),
    }
    assert meta(document, "web")["priority"] == "7"


def test_a_fence_device_keeps_off_the_node_it_fences() -> None:
    assert locations(cib()) == {(f"bmc-n{i}", f"n{i}", "-INFINITY") for i in (1, 2, 3)}


def test_a_shared_fence_device_may_run_anywhere() -> None:
    sbd = model.FenceDevice("sbd", "fence_sbd", ("n1", "n2", "n3"), {"devices": "/dev/sbd"}, delay=5)
    document = cib(fence_devices=(sbd,), nodes=clusters.nodes(fencing=(("sbd",),)))
    assert not locations(document)
    assert parameters(document, "sbd") == {
        "pcmk_host_list": "n1 n2 n3",
        "pcmk_delay_base": "5s",
        "devices": "/dev/sbd",
    }
    assert not document.xpath("//fencing-level")


def test_a_fence_device_that_fences_nobody_is_left_out() -> None:
    idle = model.FenceDevice("idle", "fence_pdu", ())
    cluster = clusters.cluster()
    made = compiler.compile_element(replace(cluster, fence_devices=(*cluster.fence_devices, idle)))
    assert made.find(".//primitive[@id='idle']") is None
    assert made.find(".//primitive[@class='stonith']") is not None


def test_a_secret_never_stands_in_the_cib() -> None:
    given = parameters(cib(), "bmc-n1")
    assert given["password"] == "lrm://"
    assert b"/etc/hacluster/secrets" not in compiler.compile(clusters.cluster(), LIBRARY)


def test_storage_fencing_is_told_to_unfence() -> None:
    scsi = model.FenceDevice("scsi", "fence_scsi", ("n1", "n2", "n3"), {"devices": "/dev/sda"})
    devices = (*(clusters.bmc(f"n{i}") for i in (1, 2, 3)), scsi)
    document = cib(fence_devices=devices)
    assert meta(document, "scsi") == {"provides": "unfencing"}
    assert meta(document, "bmc-n1") == {}


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((("bmc-n1",),), []),
        ((("bmc-n1",), ("sbd",)), [("1", "bmc-n1"), ("2", "sbd")]),
        ((("bmc-n1", "sbd"),), [("1", "bmc-n1,sbd")]),
    ],
)
def test_a_topology_is_written_where_there_is_something_to_order(
    levels: tuple[tuple[str, ...], ...], expected: list[tuple[str, str]]
) -> None:
    node = model.Node("n1", 1, ("10.0.0.1",), fencing=levels)
    sbd = (model.FenceDevice("sbd", "fence_sbd", ("n1",), {"devices": "/dev/sbd"}),) if expected else ()
    document = cib(nodes=(node, *clusters.nodes()[1:]), fence_devices=(clusters.bmc("n1"), *sbd))
    found = [(level.get("index"), level.get("devices")) for level in document.xpath("//fencing-level[@target='n1']")]
    assert found == expected


def test_a_device_that_a_node_does_not_name_is_kept_out_by_a_topology() -> None:
    spare = model.FenceDevice("spare", "fence_sbd", ("n1",), {"devices": "/dev/sbd"})
    document = cib(fence_devices=(*(clusters.bmc(f"n{i}") for i in (1, 2, 3)), spare))
    assert [level.get("devices") for level in document.iter("fencing-level")] == ["bmc-n1"]


def properties(document: etree._Element) -> dict[str, str]:
    return pairs(document.find(".//cluster_property_set[@id='cib-bootstrap-options']"))


def test_the_properties_that_the_promise_stands_on() -> None:
    assert properties(cib(fencing_proof="required")) == {
        "cluster-name": "lab",
        "stonith-enabled": "true",
        "no-quorum-policy": "freeze",
        "start-failure-is-fatal": "false",
        "fence-reaction": "panic",
    }


def test_two_nodes_race_with_a_handicap() -> None:
    two = cib(nodes=clusters.nodes(2), fence_devices=(clusters.bmc("n1"), clusters.bmc("n2")))
    assert properties(two)["priority-fencing-delay"] == "15s"


def test_the_specs_own_properties_are_added_or_win() -> None:
    own = properties(cib(properties=MappingProxyType({"dc-deadtime": "2s", "no-quorum-policy": "suicide"})))
    assert (own["dc-deadtime"], own["no-quorum-policy"]) == ("2s", "suicide")


def test_the_manifest_names_all_that_is_ours_and_nothing_else() -> None:
    document = cib()
    owned = set(pairs(document.find(".//cluster_property_set[@id='hacluster']"))["hacluster-owned"].split())
    top = {e.get("id") for e in document.xpath("//resources/* | //constraints/* | //fencing-topology/* | //tags/*")}
    assert owned == top | {"hacluster-defaults"} | {f"property:{name}" for name in properties(document)}


def test_the_same_cluster_gives_the_same_bytes() -> None:
    assert compiler.compile(clusters.cluster(), LIBRARY) == compiler.compile(clusters.cluster(), Library())


def test_two_things_with_one_id_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        cib(vms=(clusters.vm("bmc-n1", "shared"),))
    assert {problem.code for problem in refused.value.problems} == {"HA201"}


def test_two_sets_of_storages_with_one_tag_name_are_refused() -> None:
    storages = (model.Block("a-b", "/dev/x"), model.Block("a", "/dev/y"), model.Block("b", "/dev/z"))
    with pytest.raises(Refused) as refused:
        cib(storages=storages, vms=(clusters.vm("one", "a-b"), clusters.vm("two", "a", "b")))
    assert "vm-on-a-b" in {problem.where for problem in refused.value.problems}


LOCKD = model.LockDriver("lockd", "/kvm/shared/leases", "/kvm/shared")


def test_the_lockspace_is_told_which_leases_libvirt_must_keep() -> None:
    assert parameters(cib(lock_driver=LOCKD), "hacluster-lockspace") == {
        "lock_driver": "lockd",
        "lockspace_dir": "/kvm/shared/leases",
        "lockspace_mount": "/kvm/shared",
    }
    assert resource(cib(), "hacluster-lockspace").find("instance_attributes") is None


@pytest.mark.parametrize(("driver", "handover"), [(LOCKD, "paused"), (replace(LOCKD, handover="running"), "leased")])
def test_leases_under_block_disks_allow_a_running_handover_if_the_spec_says_so(
    driver: model.LockDriver, handover: str
) -> None:
    disk = model.Disk("/dev/luns/web", "raw", "luns", device="block")
    storages = (clusters.gfs2(), model.Block("luns", "/dev/luns"))
    vms = (clusters.vm("web", "luns", disks=(disk,)), clusters.vm("diskless", "luns"))
    document = cib(lock_driver=driver, storages=storages, vms=vms)
    assert parameters(document, "web")["handover"] == handover
    assert parameters(document, "diskless")["handover"] == "paused"

"""Random specs over all storage stacks, members and remote nodes: Pacemaker takes whatever they compile to.

The specs are right ones by construction: one that the spec refuses fails the test.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from lxml import etree

from hacluster import model, spec
from hacluster.cib import compile as compiler
from hacluster.cib import corosync, merge, names, schema
from hacluster.cib.templates import Library, shipped_directory
from hacluster.importing import toml
from hacluster.problems import errors
from hacluster.stacks import STACKS
from tests import scheduler
from tests.depth import examples

LIBRARY = Library([shipped_directory()])

# Of each stack two that may stand beside all others; their disks' paths begin with what is said first.
STORAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "g1": ("/g1", {"type": "gfs2", "volume_group": "vg-a", "logical_volume": "g1", "mount": "/g1"}),
    "g2": ("/g2", {"type": "gfs2", "volume_group": "vg_b", "logical_volume": "g.2", "mount": "/g2", "options": []}),
    "o1": ("/o1", {"type": "ocfs2", "device": "/dev/mapper/o1", "mount": "/o1", "o2cb": True}),
    "o2": ("/o2", {"type": "ocfs2", "volume_group": "vg-a", "logical_volume": "o2", "mount": "/o2"}),
    "n1": ("/n1", {"type": "nfs", "server": "nas.example", "export": "/e1", "mount": "/n1", "version": "4.1"}),
    "n2": ("/n2", {"type": "nfs", "server": "fd00::9", "export": "/e2", "mount": "/n2", "mounted": "outside"}),
    "d1": ("/d1", {"type": "directory", "source": "/srv/d1", "mount": "/d1", "options": ["noatime"]}),
    "b1": ("/dev/luns", {"type": "block", "directory": "/dev/luns"}),
    "l1": ("/dev/vg-a", {"type": "shared-lvm", "volume_group": "vg-a"}),
    "l2": ("/dev/vg_c", {"type": "shared-lvm", "volume_group": "vg_c"}),
    "c1": ("rbd:vms", {"type": "ceph-rbd", "pool": "vms", "monitors": ["mon1:6789"]}),
    "c2": ("/dev/rbd/maps", {"type": "ceph-rbd", "pool": "maps", "access": "mapped"}),
}
VM_NAMES = ("web", "db", "mail", "a-b", "x.y", "_u")


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    members = [f"m{i}" for i in range(1, draw(st.integers(2, 5)) + 1)]
    remotes = [f"r{i}" for i in range(1, draw(st.integers(0, 2)) + 1)]
    nodes: dict[str, Any] = {
        name: {"addresses": [f"10.0.0.{i}"], "fencing": ["sw"]} for i, name in enumerate(members, start=1)
    }
    for i, name in enumerate(remotes, start=1):
        nodes[name] = {"addresses": [f"10.0.1.{i}"], "fencing": ["sw"], "remote": True, "reconnect": "30s"}
    nodes = {name: nodes[name] for name in draw(st.permutations(list(nodes)))}
    storage = {
        name: dict(STORAGES[name][1]) for name in sorted(draw(st.sets(st.sampled_from(sorted(STORAGES)), max_size=6)))
    }
    manager = draw(st.sampled_from(["lvmlockd", "clvmd"]))
    for table in storage.values():
        if "volume_group" in table:
            table["volume_manager"] = manager
    homes = draw(st.sets(st.sampled_from(members), max_size=2))
    storage |= {f"own-{home}": {"type": "local", "node": home, "directory": f"/own/{home}"} for home in sorted(homes)}
    head: dict[str, Any] = {"name": "prod", "qdevice": "q.example"}
    if draw(st.booleans()):
        head["wait_for_all"] = draw(st.booleans())
    vms = {name: _vm(name, i, storage, members, remotes, draw) for i, name in enumerate(_some(VM_NAMES, draw))}
    return {
        "cluster": head,
        "nodes": nodes,
        "fence_devices": {"sw": {"agent": "fence_apc_snmp", "ip": "10.9.9.9", "port": "1", "targets": list(nodes)}},
        "storage": storage,
        "vms": vms,
    }


def _some(of: tuple[str, ...], draw: st.DrawFn) -> list[str]:
    return sorted(draw(st.sets(st.sampled_from(of), max_size=4)))


def _vm(
    name: str, number: int, storage: dict[str, Any], members: list[str], remotes: list[str], draw: st.DrawFn
) -> dict[str, Any]:
    own = [each for each in storage if each.startswith("own-")]
    if bool(own) and draw(st.booleans()):
        chosen, mode = own[:1], draw(st.sampled_from(["cold", "none"]))
    else:
        chosen = [each for each in storage if each not in own and draw(st.booleans())]
        mode = draw(st.sampled_from(["live", "cold", "none"]))
    agent = draw(st.sampled_from(["hacluster", "heartbeat"]))
    tops = {each: storage[each]["directory"] if each in own else STORAGES[each][0] for each in chosen}
    made: dict[str, Any] = {
        "uuid": str(uuid.UUID(int=0x1234567890AB40008000000000000001 + number)),
        "memory": "512M",
        "vcpus": 1,
        "agent": agent,
        "migration": {"mode": mode},
        "disks": [{"path": f"{top}/disk{number}", "format": "raw"} for top in tops.values()],
    }
    if not own and draw(st.booleans()):
        made["placement"] = {"prefer": {draw(st.sampled_from(members)): draw(st.integers(0, 1000))}}
    if bool(remotes) and draw(st.booleans()):
        made.setdefault("placement", {})["avoid"] = remotes
    return made


def cluster(wish: dict[str, Any]) -> model.Cluster:
    described, found = spec.parse(toml.write(wish).encode(), Path("/nowhere"))
    assert described is not None, found
    assert not errors(found, spec.ACCEPTABLE), found
    return described


def with_tools(test: Callable[[], None]) -> Callable[[], None]:
    for mark in scheduler.needs_tools:
        test = mark(test)
    return test


MANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(specs())
@settings(MANY, max_examples=examples(100))
def test_the_schema_takes_it_and_nothing_in_it_points_at_nothing(wish: dict[str, Any]) -> None:
    described = cluster(wish)
    document = compiler.compile_element(described, LIBRARY)
    if schema.available():
        assert schema.check(document) == ()
    resources = {each.get("id") for each in document.iterfind("configuration/resources//*[@id]")}
    tags = {each.get("id") for each in document.iter("tag")}
    for each in document.iterfind("configuration/constraints/*"):
        named = {each.get(end) for end in ("rsc", "with-rsc", "first", "then")} - {None}
        assert named <= resources | tags, etree.tostring(each)
    assert {ref.get("id") for ref in document.iter("obj_ref")} <= resources
    top = document.xpath("configuration/*[self::resources or self::constraints or self::tags]/*/@id")
    assert set(top) <= merge.owned(document)
    assert compiler.compile(described, LIBRARY) == compiler.serialize(document)


@given(specs())
@settings(MANY, max_examples=examples(60))
def test_every_vm_waits_for_all_it_stands_on(wish: dict[str, Any]) -> None:
    described = cluster(wish)
    document = compiler.compile_element(described, LIBRARY)
    tags = {tag.get("id"): {ref.get("id") for ref in tag} for tag in document.iter("tag")}
    below: dict[str, set[str]] = {}
    for order in document.iter("rsc_order"):
        for first in tags.get(order.get("first"), {order.get("first")}):
            for then in tags.get(order.get("then"), {order.get("then")}):
                below.setdefault(then, set()).add(first)

    def everything_below(id_: str) -> set[str]:
        return set().union(*({each} | everything_below(each) for each in below.get(id_, ())))

    for vm in described.vms:
        stands = everything_below(vm.name)
        event(f"{vm.agent} on {len(vm.storages)} storages")
        for storage in [each for each in described.storages if each.name in vm.storages]:
            if STACKS[storage.stack].dlm:
                assert "dlm-clone" in stands
            if isinstance(storage, model.Gfs2 | model.Ocfs2 | model.Directory):
                assert names.clone(names.filesystem(storage.name)) in stands
            if isinstance(storage, model.SharedLvm):
                assert names.clone(storage.volume_manager) in stands
        assert (names.clone(names.LOCKSPACE) in stands) == (vm.agent == "hacluster")


@with_tools
@given(specs())
@settings(MANY, max_examples=examples(12))
def test_pacemaker_verifies_it_and_brings_it_up(wish: dict[str, Any]) -> None:
    described = cluster(wish)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cib.xml"
        path.write_bytes(compiler.compile(described, LIBRARY))
        verified = scheduler.run("crm_verify", "--verbose", "--xml-file", path)
        assert (verified.returncode, verified.stderr) == (0, b"")
        running = scheduler.carried_out(path.read_bytes(), Path(folder))
        outcome = scheduler.ask(running, Path(folder))
        places = outcome.simulation.before
        remotes = {node.name for node in described.nodes if node.remote}
        for vm in described.vms:
            assert len(places[vm.name]) == 1, f"{vm.name} runs on {places[vm.name]}"
            assert vm.agent == "heartbeat" or not places[vm.name] & remotes
        assert not places["dlm"] & remotes
        assert outcome.simulation.actions == ()


@given(specs())
@settings(MANY, max_examples=examples(60))
def test_corosyncs_file_counts_its_members(wish: dict[str, Any]) -> None:
    described = cluster(wish)
    text = corosync.conf(described)
    assert text.count("nodeid:") == len(described.members)
    assert text.count("{") == text.count("}")

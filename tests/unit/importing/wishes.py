"""Random specs: every table that a cluster.toml may have, with values that the spec takes. For property tests."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from hacluster import spec
from hacluster.importing import toml
from hacluster.model import Cluster
from hacluster.problems import errors

NODES = ("kvm1", "kvm2", "n-3", "host4.example.net")
FOLDER = Path("/nowhere")

names = st.sampled_from(["web", "db", "mail", "a-b", "a", "b", "Big_One", "x.y", "proxy-2", "_u"])
words = st.text("abcxyz0189_-. =/:é<>&\"'", min_size=1, max_size=12)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """The tables of a spec; `cluster` says whether the spec takes them."""
    nodes = draw(st.lists(st.sampled_from(NODES), min_size=2, max_size=4, unique=True))
    storage = draw(_storage())
    made: dict[str, Any] = {
        "cluster": draw(_head()),
        "nodes": {name: _node(name, index, draw) for index, name in enumerate(nodes, start=1)},
        "fence_devices": {},
        "storage": storage,
        "networks": {"lan": {"bridge": "br0"}, "dmz": {"bridge": "br_dmz"}},
        "vms": {},
    }
    _fencing(made, draw)
    used = {"lan", "dmz", *storage, *made["fence_devices"], *nodes}
    for number, name in enumerate(draw(st.lists(names, max_size=5, unique_by=str.lower))):
        if name not in used:
            made["vms"][name] = _vm(name, number, made, draw)
    _rules(made, draw)
    _capacities(made, draw)
    return made


def _rules(made: dict[str, Any], draw: st.DrawFn) -> None:
    """Some rules on the VMs, as far as there are enough of them; the spec refuses those that contradict each other."""
    vms = sorted(made["vms"])
    if len(vms) < 2 or not draw(st.booleans()):
        return
    several = st.lists(st.sampled_from(vms), min_size=2, max_size=4, unique=True)
    score = st.fixed_dictionaries({}, optional={"score": st.sampled_from([1, 500, 1_000_000, "INFINITY"])})
    made["affinity"] = {
        name: {"vms": draw(several), **draw(score)} for name in draw(st.lists(names, max_size=2, unique=True))
    }
    made["anti_affinity"] = {}
    for name in draw(st.lists(names, max_size=2, unique=True)):
        both, sides = draw(several), draw(st.booleans())
        rule = {"vms": both[:1], "from": both[1:]} if sides else {"vms": both}
        made["anti_affinity"][name] = {**rule, **draw(score)}
    made["start_order"] = {
        name: {
            "steps": [both[:1], both[1:]],
            **draw(
                st.fixed_dictionaries(
                    {},
                    optional={"kind": st.sampled_from(["optional", "mandatory"]), "delay": st.sampled_from([30, "2m"])},
                )
            ),
        }
        for name in draw(st.lists(names, max_size=2, unique=True))
        for both in [draw(several)]
    }


def _capacities(made: dict[str, Any], draw: st.DrawFn) -> None:
    if not draw(st.booleans()):
        return
    for node in made["nodes"].values():
        node.update(memory=draw(st.sampled_from(["8G", "64G"])), cpus=draw(st.integers(4, 64)))
    made["placement"] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "strategy": st.sampled_from(["utilization", "minimal", "balanced"]),
                "reserved_memory": st.sampled_from([0, "1G"]),
                "vcpus_per_cpu": st.sampled_from([1, 2, 8]),
            },
        )
    )


def cluster(wish: dict[str, Any]) -> Cluster | None:
    """The model of such tables, read back from the text of a cluster.toml; None where the spec refuses them."""
    described, found = spec.parse(toml.write(wish).encode(), FOLDER)
    return None if errors(found, spec.ACCEPTABLE) else described


def _head() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"name": st.sampled_from(["prod", "kvm_cluster", "c-1"])},
        optional={
            "lock_manager": st.sampled_from(["dlm", "external"]),
            "migration_transport": st.sampled_from(["ssh", "tcp", "tls"]),
            "stickiness": st.integers(0, 1_000_000),
            "properties": st.dictionaries(
                st.sampled_from(
                    ["fence-reaction", "migration-limit", "no-quorum-policy", "batch-limit", "node-health-red"]
                ),
                st.sampled_from(["panic", "stop", "freeze", "7", "x y"]),
                max_size=3,
            ),
        },
    )


def _node(name: str, index: int, draw: st.DrawFn) -> dict[str, Any]:
    made: dict[str, Any] = {"addresses": [f"10.0.0.{index}"], "id": draw(st.sampled_from([index, index + 40]))}
    if draw(st.booleans()):
        made["migration_host"] = draw(st.sampled_from([f"10.9.9.{index}", f"{name}-mig"]))
    return made


def _fencing(made: dict[str, Any], draw: st.DrawFn) -> None:
    """A board for each node, maybe one device for all beside it; with or without levels."""
    shared = draw(st.booleans())
    levels = draw(st.booleans())
    for name, node in made["nodes"].items():
        board = f"ipmi-{name}"
        device: dict[str, Any] = {"agent": "fence_ipmilan", "ip": "10.3.0.1", "password": "file:/etc/secret"}
        device |= draw(st.dictionaries(st.sampled_from(["lanplus", "cipher", "username", "port"]), words, max_size=2))
        if draw(st.booleans()):
            device["delay"] = f"{draw(st.integers(0, 90))}s"
        if draw(st.booleans()):
            device["delay_max"] = f"{draw(st.integers(91, 190))}s"
        if draw(st.booleans()):
            device["ports"] = {name: draw(st.sampled_from(["1", "out-7", "a.b"]))}
        if not levels or draw(st.booleans()):
            device["targets"] = [name]
        if levels:
            node["fencing"] = draw(st.sampled_from([[board], [[board]]]))
            if shared:
                node["fencing"] = draw(st.sampled_from([[board, "sbd"], [[board, "sbd"]], [["sbd"], [board]]]))
        elif "targets" not in device:
            device["targets"] = [name]
        made["fence_devices"][board] = device
    if shared:
        made["fence_devices"]["sbd"] = {"agent": "fence_sbd", "devices": "/dev/sbd", "targets": list(made["nodes"])}


def _storage() -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    options = st.lists(st.sampled_from(["noatime", "nodiratime", "ro"]), max_size=2, unique=True)
    manager = st.shared(st.sampled_from(["lvmlockd", "clvmd"]), key="manager")
    gfs2 = st.fixed_dictionaries(
        {
            "type": st.just("gfs2"),
            "device": st.just("/dev/vg_a/lv_a"),
            "volume_group": st.just("vg_a"),
            "logical_volume": st.just("lv_a"),
            "mount": st.just("/srv/a"),
            "volume_manager": manager,
            "options": options,
        }
    )
    other = gfs2.map(
        lambda t: t | {"device": "/dev/mapper/x", "volume_group": "vg-b", "logical_volume": "lv.b", "mount": "/srv/b"}
    )
    directory = st.fixed_dictionaries(
        {"type": st.just("directory"), "source": st.just("/mnt/d"), "mount": st.just("/srv/d"), "options": options}
    )
    block = st.just({"type": "block", "directory": "/dev/disk/shared"})
    return st.fixed_dictionaries({}, optional={"images": gfs2, "more-images": other, "dir": directory, "luns": block})


def _vm(name: str, number: int, made: dict[str, Any], draw: st.DrawFn) -> dict[str, Any]:
    digest = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
    vm: dict[str, Any] = {
        "uuid": str(uuid.UUID(digest[:32])),
        "memory": draw(st.sampled_from(["4M", "512M", "2G"])),
        "vcpus": draw(st.integers(1, 4)),
        "agent": draw(st.sampled_from(["hacluster", "heartbeat"])),
        "domain_type": draw(st.sampled_from(["kvm", "qemu"])),
        "disks": [],
        "nics": [],
    }
    for storage, table in made["storage"].items():
        if draw(st.booleans()):
            path = f"{table.get('directory', table.get('mount'))}/{name}{number}"
            vm["disks"].append({"path": path, "format": draw(st.sampled_from(["raw", "qcow2"])), "storage": storage})
    if draw(st.booleans()):
        mac = f"52:54:00:00:00:{number:02x}"
        vm["nics"].append({"network": draw(st.sampled_from(["lan", "dmz"])), "mac": mac})
    if made["storage"] and draw(st.booleans()):
        vm["storage"] = draw(st.lists(st.sampled_from(sorted(made["storage"])), max_size=2, min_size=1, unique=True))
    for key, strategy in {
        "priority": st.integers(-5, 50),
        "stop_budget": st.integers(1, 4000),
        "migration": _migration(),
        "placement": _placement(sorted(made["nodes"])),
    }.items():
        if draw(st.booleans()):
            vm[key] = draw(strategy)
    return vm


def _migration() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "mode": st.sampled_from(["live", "cold", "none"]),
            "auto_converge": st.booleans(),
            "bandwidth": st.integers(1, 9999),
            "downtime": st.integers(1, 9999),
            "timeout": st.integers(10, 9999),
            "parallel": st.integers(2, 255),
        },
    )


def _placement(nodes: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    scores = st.dictionaries(st.sampled_from(nodes[1:]), st.integers(0, 1_000_000), max_size=2)
    return st.fixed_dictionaries({}, optional={"prefer": scores, "avoid": st.just(nodes[:1])})

"""The compiled CIB in the hands of Pacemaker's and pcs's own tools, and beside the installed agents' metadata."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from hacluster import model
from hacluster.cib import compile as compiler
from hacluster.cib import merge, schema
from tests import scheduler
from tests.unit.cib import clusters

pytestmark = scheduler.needs_tools

OCF = Path("/usr/lib/ocf")
OURS = Path(__file__).parents[3] / "resource_agents" / "metadata"


def _volume(name: str) -> model.Disk:
    return model.Disk(f"/dev/vg_a/{name}", "raw", "vols", device="block")


EVERYTHING = clusters.cluster(
    fence_devices=(
        *(clusters.bmc(f"n{i}") for i in (1, 2, 3)),
        model.FenceDevice("sbd", "fence_sbd", ("n1", "n2", "n3"), {"devices": "/dev/sbd"}, delay=3),
        model.FenceDevice("scsi", "fence_scsi", ("n1", "n2", "n3"), {"devices": "/dev/sda"}),
    ),
    nodes=(
        *(
            model.Node(f"n{i}", i, (f"10.0.0.{i}",), f"10.9.0.{i}", fencing=((f"bmc-n{i}",), ("sbd", "scsi")))
            for i in (1, 2, 3)
        ),
        model.Node("far", 0, ("10.0.1.1",), remote=True),
    ),
    storages=(
        clusters.gfs2("a"),
        clusters.gfs2("b", "clvmd"),
        model.Block("luns", "/dev/lab"),
        model.Directory("images", "/srv/images", "/images"),
        model.Ocfs2("store", "/store", device="/dev/mapper/store", o2cb=True),
        model.Nfs("nas", "10.0.0.9", "/export", "/vms"),
        model.SharedLvm("vols", "vg_a"),
        model.CephRbd("pool", "vms"),
        model.Local("own", "n2", "/srv/own"),
    ),
    vms=(
        clusters.vm("web", "a", placement=model.Placement({"n1": 100}, ("n3",)), priority=5),
        clusters.vm("db", "a", "b", stop_budget=900, migration=model.Migration("live", True, 100, 300, 1800)),
        clusters.vm("mail", "luns", "images", migration=model.Migration("none")),
        clusters.vm("old", "a", agent="heartbeat", migration=model.Migration(auto_converge=True)),
        clusters.vm("router"),
        clusters.vm("ledger", "vols", disks=(_volume("ledger"),), migration=model.Migration("cold")),
        clusters.vm("shop", "vols", "store", disks=(_volume("shop"),)),
        clusters.vm("worker", "nas", "pool", agent="heartbeat"),
        clusters.vm("cache", "own", migration=model.Migration("none")),
    ),
    properties={"dc-deadtime": "2s", "cluster-recheck-interval": "5min"},
)


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    path = tmp_path / "cib.xml"
    path.write_bytes(compiler.compile(EVERYTHING))
    return path


def test_crm_verify_has_nothing_to_say(everything: Path) -> None:
    done = scheduler.run("crm_verify", "--verbose", "--verbose", "--xml-file", everything)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    "command",
    [
        "config",
        "resource config",
        "resource config web",
        "stonith config",
        "constraint config --full",
        "stonith level config",
        "property config",
        "resource defaults config",
        "tag config",
        "resource disable vm-on-a",
        "resource config vols-lv-ledger",
        "resource config far",
        "constraint location config --full",
        "constraint ref vols-lv-shop-clone",
        "resource meta web priority=3",
    ],
)
def test_pcs_can_work_with_it(everything: Path, command: str) -> None:
    done = scheduler.run("pcs", "-f", everything, *command.split())
    assert done.returncode == 0, done.stderr.decode()


def test_pacemakers_schema_takes_it(everything: Path) -> None:
    assert schema.check(etree.parse(str(everything)).getroot()) == ()


def test_the_schema_named_is_the_newest_of_pacemaker_2_1_5() -> None:
    version = scheduler.run("crm_simulate", "--version").stdout
    if b"2.1.5" in version:
        assert schema.newest() == compiler.SCHEMA
    assert (schema.DIRECTORY / f"{compiler.SCHEMA}.rng").is_file()


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        (lambda cib: cib.set("validate-with", "pacemaker-99.9"), ["HA231"]),
        (lambda cib: cib.set("validate-with", "../../etc/passwd"), ["HA231"]),
        (lambda cib: cib.find(".//primitive").set("kind", "odd"), ["HA230"]),
    ],
)
def test_what_the_schema_refuses_is_a_problem(
    everything: Path, damage: Callable[[etree._Element], None], codes: list[str]
) -> None:
    cib = etree.parse(str(everything)).getroot()
    damage(cib)
    assert sorted({problem.code for problem in schema.check(cib)}) == codes


def test_an_applied_cib_is_valid_too(everything: Path, tmp_path: Path) -> None:
    """Merged into what `pcs cluster setup` leaves behind."""
    from tests.unit.cib.test_merge import FRESH

    live = tmp_path / "live.xml"
    live.write_bytes(merge.merge(FRESH.replace(b'<?xml version="1.0"?>', b""), everything.read_bytes()).as_bytes())
    assert schema.check(etree.parse(str(live)).getroot()) == ()


def metadata(primitive: etree._Element) -> etree._Element:
    """What an installed agent says of itself; ours comes from the source."""
    provider, type_ = primitive.get("provider"), primitive.get("type")
    if primitive.get("class") == "stonith":
        agent = Path("/usr/sbin") / type_
        return etree.fromstring(subprocess.run([agent, "-o", "metadata"], capture_output=True, check=True).stdout)
    if provider == "hacluster":
        return etree.parse(str(OURS / f"{type_}.xml")).getroot()
    agent = OCF / "resource.d" / provider / type_
    done = subprocess.run(
        [agent, "meta-data"], env={**os.environ, "OCF_ROOT": str(OCF)}, capture_output=True, check=True
    )
    return etree.fromstring(done.stdout)


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def primitives() -> list[etree._Element]:
    found = {(p.get("class"), p.get("type"), p.get("provider")): p for p in _compiled().iter("primitive")}
    return list(found.values())


def _compiled() -> etree._Element:
    return compiler.compile_element(EVERYTHING)


@pytest.mark.parametrize("primitive", primitives(), ids=lambda p: f"{p.get('provider', 'stonith')}-{p.get('type')}")
def test_no_timeout_is_below_the_agents_advice_and_every_parameter_is_known(primitive: etree._Element) -> None:
    told = metadata(primitive)
    advice = {a.get("name"): a.get("timeout") for a in told.iter("action") if a.get("timeout")}
    for op in primitive.iter("op"):
        advised = advice.get(op.get("name"), "20s")
        assert seconds(op.get("timeout")) >= seconds(advised), f"{op.get('id')}: the agent advises {advised}"
    known = {parameter.get("name") for parameter in told.iter("parameter")}
    given = {pair.get("name") for pair in primitive.iterfind("instance_attributes/nvpair")}
    assert {name for name in given if not name.startswith("pcmk_")} <= known


def test_how_long_a_big_cluster_takes(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = 16
    big = clusters.cluster(
        nodes=clusters.nodes(nodes),
        fence_devices=tuple(clusters.bmc(f"n{i}") for i in range(1, nodes + 1)),
        vms=tuple(clusters.vm(f"vm{i:04d}", "shared") for i in range(1000)),
    )
    begin = time.perf_counter()
    document = compiler.compile(big)
    took = time.perf_counter() - begin
    with capsys.disabled():
        print(f"\n1000 VMs on {nodes} nodes: compiled in {took:.2f} s, {len(document) / 1e6:.1f} MB")
    assert document.count(b"<primitive ") == 1000 + nodes + 5

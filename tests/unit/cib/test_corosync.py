"""corosync.conf from the spec: links, votes, and what two nodes need; and what Corosync itself says about it."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hacluster import model, spec
from hacluster.cib import compile as compiler
from hacluster.cib import corosync
from tests import scheduler
from tests.unit.cib import clusters
from tests.unit.cib.test_compile import pairs

EXAMPLES = Path(__file__).parents[3] / "examples"


def of(count: int, **changes: object) -> model.Cluster:
    return clusters.cluster(nodes=clusters.nodes(count), **changes)


def section(text: str, name: str) -> str:
    """The lines of a top section, without those of the sections in it."""
    match = re.search(rf"^{name} {{\n(.*?)^}}", text, re.MULTILINE | re.DOTALL)
    assert match, f"no section {name}"
    return match[1]


def test_every_member_stands_with_its_links_in_order_and_no_remote_node_does() -> None:
    nodes = (
        model.Node("a", 7, ("10.0.0.1", "fd00::1")),
        model.Node("far", 0, ("10.0.0.9",), remote=True),
        model.Node("b", 2, ("10.0.0.2", "b.example")),
    )
    nodelist = section(corosync.conf(clusters.cluster(nodes=nodes)), "nodelist")
    assert nodelist == (
        "  node {\n    name: a\n    nodeid: 7\n    ring0_addr: 10.0.0.1\n    ring1_addr: fd00::1\n  }\n"
        "  node {\n    name: b\n    nodeid: 2\n    ring0_addr: 10.0.0.2\n    ring1_addr: b.example\n  }\n"
    )


def test_links_are_encrypted_and_the_cluster_is_named_as_its_lock_tables_say() -> None:
    totem = section(corosync.conf(of(3)), "totem")
    assert "  cluster_name: lab\n" in totem
    assert "  crypto_cipher: aes256\n  crypto_hash: sha256\n" in totem
    assert section(corosync.conf(of(3), totem={"token": "5000"}), "totem") == f"{totem}  token: 5000\n"


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (of(2), "  two_node: 1\n  wait_for_all: 1\n"),
        (of(2, wait_for_all=False), "  two_node: 1\n  wait_for_all: 0\n"),
        (of(3), ""),
        (of(3, wait_for_all=True), "  wait_for_all: 1\n"),
        (
            of(2, qdevice="q"),
            "  device {\n    model: net\n    votes: 1\n"
            "    net {\n      host: q\n      algorithm: ffsplit\n    }\n  }\n",
        ),
        (
            of(3, qdevice="q"),
            "  device {\n    model: net\n    net {\n      host: q\n      algorithm: lms\n    }\n  }\n",
        ),
    ],
)
def test_who_votes(cluster: model.Cluster, expected: str) -> None:
    assert section(corosync.conf(cluster), "quorum") == f"  provider: corosync_votequorum\n{expected}"


def test_remote_nodes_do_not_make_two_members_three() -> None:
    far = model.Node("far", 0, ("10.0.0.9",), remote=True)
    cluster = clusters.cluster(nodes=(*clusters.nodes(2), far), fence_devices=())
    assert corosync.two_node(cluster)
    assert "two_node: 1" in corosync.conf(cluster)


class TestWhatTheCibSaysForTwo:
    def defaults(self, cluster: model.Cluster) -> tuple[dict[str, str], dict[str, str]]:
        cib = compiler.compile_element(cluster)
        (properties,) = cib.xpath("//cluster_property_set[@id='cib-bootstrap-options']")
        (defaults,) = cib.xpath("//rsc_defaults/meta_attributes")
        return pairs(properties), pairs(defaults)

    def test_the_node_that_runs_more_shoots_first(self) -> None:
        properties, defaults = self.defaults(of(2))
        assert (properties["priority-fencing-delay"], defaults["priority"]) == ("15s", "1")

    def test_its_head_start_is_longer_than_any_devices_delay(self) -> None:
        slow = tuple(replace(clusters.bmc(f"n{i}"), delay=20 * i) for i in (1, 2))
        assert self.defaults(of(2, fence_devices=slow))[0]["priority-fencing-delay"] == "80s"

    def test_three_have_a_majority_instead(self) -> None:
        properties, defaults = self.defaults(of(3))
        assert "priority-fencing-delay" not in properties
        assert "priority" not in defaults


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("corosync") is None, reason="needs corosync")
@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_corosync_has_nothing_against_it(example: Path, tmp_path: Path) -> None:
    key, path = tmp_path / "authkey", tmp_path / "corosync.conf"
    key.write_bytes(bytes(range(256)))
    cluster = spec.load(example, spec.ACCEPTABLE)
    text = corosync.conf(cluster, totem={"keyfile": str(key)})
    here = cluster.members[0].addresses[0]  # Corosync looks for itself in the list
    path.write_text(text.replace(f"ring0_addr: {here}\n", "ring0_addr: 127.0.0.1\n"))
    tested = scheduler.run("corosync", "-t", "-c", path)
    assert tested.returncode == 0, tested.stderr.decode() + tested.stdout.decode()
    path.write_text(path.read_text().replace("transport: knet", "transport: knit"))
    assert scheduler.run("corosync", "-t", "-c", path).returncode != 0

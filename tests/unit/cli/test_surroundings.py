"""What lint learns of a running cluster: from the node hactl works through, and from others what that one lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lxml import etree
from typer.testing import CliRunner

from hacluster.cli import surroundings
from hacluster.lint import Facts, lint
from hacluster.ports import Completed, Unknown
from tests.unit.cli.test_check import app
from tests.unit.lint.clean import CIB, DOMAINS, domain

AGENT = b'<resource-agent name="x"><parameters><parameter name="config"/></parameters><actions/></resource-agent>'


class Cluster:
    """Files by node; a node that is not in them does not answer."""

    def __init__(self, files: Mapping[str, Mapping[str, bytes]]) -> None:
        self.files = files
        self.asked: list[str] = []
        self.pacemaker = SimpleNamespace(local_node=lambda: "n2")
        self.hosts = self.runner = self

    def read(self, node: str, paths: Sequence[str]) -> Mapping[str, bytes] | Unknown:
        self.asked.append(node)
        if node not in self.files:
            return Unknown("silent")
        return {path: text for path, text in self.files[node].items() if path in paths}

    def run(self, node: str, argv: Sequence[str], *, deadline: float) -> Completed:
        assert node == "n2"
        assert deadline > 0
        known = "VirtualDomain" in argv[-2]
        return Completed(0 if known else 127, AGENT if known else b"", b"")


def seen(files: Mapping[str, Mapping[str, bytes]]) -> tuple[Cluster, set[str]]:
    cluster: Any = Cluster(files)
    return cluster, {p.code for p in lint(surroundings.of_cluster(cluster, Facts(etree.fromstring(CIB))))}


def config(name: str, text: str) -> dict[str, bytes]:
    return {f"/etc/libvirt/qemu/{name}.xml": text.encode()}


def test_the_domains_and_corosync_are_read_from_the_nodes() -> None:
    twin = domain("db", 1)
    cluster, codes = seen(
        {
            "n2": config("web", DOMAINS["web"]) | {"/etc/corosync/corosync.conf": b"two_node: 1\nwait_for_all: 0\n"},
            "n3": config("db", twin),
        }
    )
    assert {"HA809", "HA851", "HA853"} <= codes, "of the quorum, of one node's domain and another's"
    assert "HA821" in codes, "by the metadata that the node's own agent told"
    assert cluster.asked == ["n2", "n1", "n3"]


def test_nobody_else_is_asked_when_one_node_has_all() -> None:
    whole = config("web", DOMAINS["web"]) | config("db", DOMAINS["db"]) | {"/etc/corosync/corosync.conf": b""}
    assert seen({"n2": whole})[0].asked == ["n2"]


@pytest.mark.parametrize("name", ["web.xml", "other.xml"])
def test_a_folder_has_the_domains_of_a_cib_file(tmp_path: Path, name: str) -> None:
    cib = tmp_path / "cib.xml"
    cib.write_text(CIB.replace("/etc/libvirt/qemu/web.xml", "/vm/other.xml"))
    folder = tmp_path / "domains"
    folder.mkdir()
    (folder / name).write_text(DOMAINS["web"].replace('mode="custom"', 'mode="host-passthrough"'))
    assert "HA855" in CliRunner().invoke(app(), ["check", str(cib), "--domains", str(folder), "--json"]).stdout

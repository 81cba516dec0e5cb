"""What the loss of nodes would cost, asked of Pacemaker's own scheduler."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from lxml import etree

from hacluster import capacity, model
from hacluster.cib import compile as compiler
from hacluster.cib import simulate, staged
from hacluster.cib.templates import Library, shipped_directory
from hacluster.cli import check, losses
from hacluster.problems import Refused
from tests import scheduler
from tests.unit.cib import clusters
from tests.unit.cib.test_placement import sized
from tests.unit.cli.shell import hactl

LIBRARY = Library([shipped_directory()])


def ask(cib: bytes) -> bytes:
    command = ["crm_simulate", "--xml-pipe", "--run", "--output-as=xml"]
    return subprocess.run(command, input=cib, capture_output=True, check=True, timeout=60).stdout


def compiled(**changes: object) -> etree._Element:
    """Three nodes with room for two VMs each of what `clusters` makes, and as many VMs as letters are given."""
    values: dict[str, object] = {
        "storages": (),
        "nodes": sized(3),
        "strategy": "balanced",
        "vms": tuple(clusters.vm(name) for name in changes.pop("names", "abcd")),  # type: ignore[attr-defined]
    }
    return compiler.compile_element(clusters.cluster(**{**values, **changes}), LIBRARY)


def down(told: capacity.Forecast) -> dict[tuple[str, ...], tuple[str, ...]]:
    return {loss.nodes: loss.down for loss in told.losses}


class TestForecast:
    pytestmark = scheduler.needs_tools

    def test_room_for_all_on_two_nodes_of_three(self) -> None:
        told = capacity.forecast(compiled(), ask)
        assert down(told) == {("n1",): (), ("n2",): (), ("n3",): ()}
        assert list(capacity.findings(told)) == []
        by_node = {share.node: share for share in told.shares}
        assert sorted(vm for share in told.shares for vm in share.vms) == list("abcd")
        assert by_node["n1"].has == {"cpu": 16, "host_memory": 3 * 1024}
        assert by_node["n1"].used["cpu"] == len(by_node["n1"].vms)
        assert sum(len(loss.recovered) for loss in told.losses) == 4

    def test_no_room_for_one_too_many(self) -> None:
        told = capacity.forecast(compiled(names="abcde"), ask)
        assert {len(vms) for vms in down(told).values()} <= {0, 1}
        found = list(capacity.findings(told))
        assert {(p.code, p.severity) for p in found} == {("HA190", "warning")}
        lost = next(loss for loss in told.losses if loss.down)
        assert f"if {lost.nodes[0]} is lost, {lost.down[0]} stays down" in [p.message for p in found]

    def test_who_is_less_important_makes_room(self) -> None:
        vms = tuple(clusters.vm(name, priority="abcdef".index(name)) for name in "abcdef")
        told = capacity.forecast(compiled(vms=vms), ask)
        for loss in told.losses:
            assert set(loss.down) == {"a", "b"}
            home = next(share for share in told.shares if share.node == loss.nodes[0])
            assert set(loss.displaced) == {"a", "b"} - set(home.vms)

    def test_rules_count_as_room_does(self) -> None:
        rule = (model.AntiAffinity("far", ("a", "b", "c")),)
        told = capacity.forecast(compiled(names="abc", strategy="default", anti_affinities=rule), ask)
        assert {len(vms) for vms in down(told).values()} == {1}

    def test_a_vm_without_any_place_is_an_error_of_its_own(self) -> None:
        told = capacity.forecast(compiled(names="abcdefg"), ask, lost=0)
        assert (len(told.unplaced), told.losses) == (1, ())
        assert [(p.code, p.where, p.severity) for p in capacity.findings(told)] == [
            ("HA191", f"vms.{told.unplaced[0]}", "error")
        ]

    def test_without_a_majority_the_dead_nodes_vms_stay_down_and_the_others_run_on(self) -> None:
        told = capacity.forecast(compiled(names="abc"), ask, lost=2)
        home = {share.node: share.vms for share in told.shares}
        assert {loss.quorum for loss in told.losses} == {False}
        for loss in told.losses:
            assert sorted(loss.down) == sorted(vm for node in loss.nodes for vm in home[node])
            assert (loss.recovered, loss.displaced) == ((), ())
        found = list(capacity.findings(told))
        assert all("no quorum" in p.message and "qdevice" in p.remedy for p in found)

    @pytest.mark.parametrize(
        ("nodes", "lost", "qdevice", "quorum"),
        [(2, 1, False, True), (3, 1, False, True), (4, 2, False, False), (4, 2, True, True), (5, 2, False, True)],
    )
    def test_a_majority_decides(self, nodes: int, lost: int, qdevice: bool, quorum: bool) -> None:
        document = compiled(names="", nodes=sized(3, nodes=nodes))
        told = capacity.forecast(document, ask, lost, qdevice=qdevice)
        assert {loss.quorum for loss in told.losses} == {quorum}

    def test_what_runs_in_a_live_cib_is_where_it_is(self, tmp_path: Path) -> None:
        """All on one node: a cold start would have spread them."""
        avoid = model.Placement(avoid=("n2", "n3"))
        running = scheduler.carried_out(compiled(vms=tuple(clusters.vm(n, placement=avoid) for n in "ab")), tmp_path)
        for location in running.xpath("//rsc_location[contains(@id, '-avoids-')]"):
            location.getparent().remove(location)
        told = capacity.forecast(running, ask)
        assert {share.node: share.vms for share in told.shares} == {"n1": ("a", "b"), "n2": (), "n3": ()}

    def test_a_vm_that_is_switched_off_is_nobodys_loss(self) -> None:
        document = compiled(names="ab")
        meta = document.find(".//primitive[@id='a']/meta_attributes")
        etree.SubElement(meta, "nvpair", id="off", name="target-role", value="Stopped")
        told = capacity.forecast(document, ask)
        assert told.unplaced == ()
        assert {vm for share in told.shares for vm in share.vms} == {"b"}

    def test_the_cib_is_not_changed(self) -> None:
        document = compiled()
        before = etree.tostring(document)
        capacity.forecast(document, ask)
        assert etree.tostring(document) == before

    @pytest.mark.parametrize("storages", [(), (clusters.gfs2(),)])
    def test_what_is_staged_as_running_runs_on(self, storages: tuple[model.Storage, ...]) -> None:
        vms = tuple(clusters.vm(name, *(s.name for s in storages)) for name in "abc")
        document = compiled(storages=storages, vms=vms)
        staged.without_probes(document)
        placed = simulate.parse(ask(etree.tostring(document))).after
        staged.run(document, placed)
        again = simulate.parse(ask(etree.tostring(document)))
        assert again.before == placed
        assert again.actions == ()

    @pytest.mark.parametrize(("fenced", "counted", "expected"), [(True, set(), "down"), (False, {"n1"}, "member")])
    def test_a_node_that_nobody_fenced_still_counts_as_running_its_vms(
        self, fenced: bool, counted: set[str], expected: str
    ) -> None:
        document = compiled(names="a")
        staged.run(document, {"a": ["n1"]})
        staged.lose(document, ["n1"], fenced=fenced)
        assert simulate.parse(ask(etree.tostring(document))).before["a"] == counted
        assert document.find("status/node_state[@uname='n1']").get("expected") == expected


SPEC = """
[cluster]
name = "c"
[nodes]
n1 = { addresses = ["10.0.0.1"], fencing = ["f"], memory = "4G", cpus = 4 }
n2 = { addresses = ["10.0.0.2"], fencing = ["f"], memory = "4G", cpus = 4 }
n3 = { addresses = ["10.0.0.3"], fencing = ["f"], memory = "4G", cpus = 4 }
[fence_devices.f]
agent = "fence_virsh"
ip = "h"
username = "u"
"""


def spec(tmp_path: Path, vms: int) -> Path:
    path = tmp_path / "cluster.toml"
    path.write_text(
        SPEC
        + "".join(
            f'[vms.v{i}]\nuuid = "3c9f7a40-6f2e-4d0b-9a6b-00000000000{i}"\nmemory = "1G"\nvcpus = 1\n'
            for i in range(1, vms + 1)
        )
    )
    return path


def codes(out: str) -> list[str]:
    """The codes of what is said about places."""
    return [p["code"] for p in json.loads(out)["problems"] if p["code"].startswith("HA19")]


class TestCheck:
    pytestmark = scheduler.needs_tools

    def test_a_spec_is_checked_for_one_lost_node(self, tmp_path: Path) -> None:
        done = hactl("check", spec(tmp_path, 3), "--json")
        document = json.loads(done.stdout)
        losses_ = document["losses"]["losses"]
        assert (done.returncode, sorted(document)) == (0, ["format", "losses", "problems"])
        assert [loss["nodes"] for loss in losses_] == [["n1"], ["n2"], ["n3"]]
        assert all(len(loss["down"]) == 1 for loss in losses_)
        assert codes(done.stdout) == ["HA190"] * 3

    def test_the_table_has_a_line_for_each_node(self, tmp_path: Path) -> None:
        done = hactl("check", spec(tmp_path, 3))
        assert done.returncode == 0
        assert [line.split()[0] for line in done.stdout.splitlines()[1:4]] == ["n1", "n2", "n3"]
        assert "1.137 of 2 GiB" in done.stdout

    def test_0_asks_nothing(self, tmp_path: Path) -> None:
        done = hactl("check", spec(tmp_path, 3), "--nodes-lost", "0", "--json")
        assert (done.returncode, sorted(json.loads(done.stdout))) == (0, ["format", "problems"])

    def test_a_vm_that_finds_no_place_fails_the_check(self, tmp_path: Path) -> None:
        done = hactl("check", spec(tmp_path, 4), "--json")
        assert (done.returncode, "HA191" in codes(done.stdout)) == (1, True)

    def test_a_cib_is_asked_about_when_it_is_wanted(self, tmp_path: Path) -> None:
        path = tmp_path / "cib.xml"
        path.write_bytes(compiler.serialize(compiled(names="abcde")))
        assert codes(hactl("check", path, "--json").stdout) == []
        assert "HA190" in codes(hactl("check", path, "--nodes-lost", "1", "--json").stdout)


def test_where_the_scheduler_is_not_installed_it_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "installed", lambda: False)
    seen = check._spec(spec(tmp_path, 4), None)
    assert seen.told is None
    with pytest.raises(Refused) as no:
        check._spec(spec(tmp_path, 4), 1)
    assert [p.code for p in no.value.problems] == ["HA192"]

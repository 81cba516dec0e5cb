"""A plan that is written down and applied later, on a CIB in a file with Pacemaker's and pcs's own tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lxml import etree

from hacluster import apply as applying
from hacluster import model
from hacluster.apply import past, planfile, record, run
from hacluster.apply.prepare import Prepared
from hacluster.cib import compile as compiler
from hacluster.cib import difference
from hacluster.problems import Problem, Refused, errors
from tests import scheduler
from tests.fileworld import FileWorld
from tests.unit.cib import clusters

pytestmark = scheduler.needs_tools

TWO = (clusters.vm("web", "shared"), clusters.vm("db", "shared"))


class Vault:
    """One secret for everything."""

    def read(self, scheme: str, argument: str, *, deadline: float = 20.0) -> str:
        return "s3cret"


def blank() -> bytes:
    """What `pcs cluster setup` leaves: nodes, and nothing else."""
    cib = compiler.compile_element(clusters.cluster(vms=(), storages=(), fence_devices=()))
    for section in cib.find("configuration"):
        if section.tag != "nodes":
            section[:] = []
    cib.set("epoch", "5")
    text: bytes = etree.tostring(cib)
    return text


def push(world: FileWorld, prepared: Prepared) -> str:
    """As apply does, without waiting for a Pacemaker that is not there; the record's name."""
    run.deliver(world, prepared.deliveries, lambda text: None)
    noted = run.note(world, prepared)
    run.push(world, prepared, noted.name)
    past.forget(world, noted.dropped, noted.nodes)
    run.prune(world, prepared)
    return noted.name


def applied(world: FileWorld, cluster: model.Cluster, keep: frozenset[str] = frozenset()) -> Prepared:
    prepared = applying.prepare(world, Vault(), cluster, keep)
    if not prepared.nothing:
        push(world, prepared)
    return prepared


@pytest.fixture
def world(tmp_path: Path) -> FileWorld:
    return FileWorld(tmp_path / "cib.xml", blank())


@pytest.fixture
def running(world: FileWorld) -> FileWorld:
    """A cluster to which two VMs were applied."""
    applied(world, clusters.cluster(vms=TWO))
    return world


def written(world: FileWorld, cluster: model.Cluster, accepted: frozenset[str] = frozenset()) -> bytes:
    prepared = applying.prepare(world, Vault(), cluster)
    return planfile.encode(prepared, cluster, {}, accepted, at=1.0, by="me@here")


def read(world: FileWorld, content: bytes) -> Prepared:
    return applying.prepare_written(world, Vault(), planfile.decode(content, "plan.json"), "plan.json")


def found(no: pytest.ExceptionInfo[Refused]) -> list[Problem]:
    return list(no.value.problems)


def test_a_written_plan_leads_to_the_configuration_that_was_planned(world: FileWorld) -> None:
    cluster = clusters.cluster(vms=TWO)
    content = written(world, cluster)
    shown = json.loads(content)
    prepared = read(world, content)
    assert errors(prepared.problems) == ()
    push(world, prepared)
    live = world.live()
    record.name(live, "")
    pair = live.find(".//nvpair[@name='hacluster-applied']")
    pair.getparent().remove(pair)
    wanted = planfile.decode(content, "x").desired
    assert difference.changes(live, wanted) == ()
    assert difference.properties(live)["hacluster-owned"] == difference.properties(wanted)["hacluster-owned"]
    assert applying.prepare(world, Vault(), cluster).nothing
    for file in shown["files"]:
        assert all((node, file["path"]) in world.hosts.files for node in ("n1", "n2", "n3"))


def test_what_is_shown_from_the_file_is_what_was_shown(world: FileWorld) -> None:
    cluster = clusters.cluster(vms=TWO)
    content = written(world, cluster)
    prepared, again = applying.prepare(world, Vault(), cluster), read(world, content)
    assert {(c.kind, c.ident) for c in again.plan.changes} == {(c.kind, c.ident) for c in prepared.plan.changes}
    assert again.plan.prices == prepared.plan.prices
    assert again.plan.caused == prepared.plan.caused


def test_adopting_what_is_there_already_is_a_change_in_the_file_too(running: FileWorld) -> None:
    cib = running.live()
    cib.find(".//nvpair[@name='hacluster-owned']").set("value", "")
    running.file.write_bytes(etree.tostring(cib))
    cluster = clusters.cluster(vms=TWO)
    again = read(running, written(running, cluster))
    assert {change.kind for change in again.plan.changes} == {"adopt"}
    push(running, again)
    assert applying.prepare(running, Vault(), cluster).nothing


def test_no_secret_and_no_checksum_of_one_stands_in_the_file(world: FileWorld) -> None:
    import hashlib

    content = written(world, clusters.cluster(vms=TWO)).decode()
    for digest in (hashlib.md5, hashlib.sha256):
        assert digest(b"s3cret").hexdigest() not in content
    assert "s3cret" not in content
    assert json.loads(content)["secrets"][0]["argument"] == "/etc/hacluster/secrets/n1"


def test_a_change_by_somebody_else_is_refused_and_named(running: FileWorld) -> None:
    content = written(running, clusters.cluster(vms=TWO[:1]))
    running.types("pcs", "property", "set", "cluster-recheck-interval=11min")
    with pytest.raises(Refused) as no:
        read(running, content)
    [problem] = found(no)
    assert problem.code == "HA342"
    assert "cluster-recheck-interval" in dict(problem.facts)["what"]
    assert "plan.json" in problem.remedy
    assert b"11min" in running.file.read_bytes()


def test_another_cluster_with_the_same_numbers_is_another_cluster(running: FileWorld) -> None:
    """Set up anew, restored, or simply not the one that was planned for: its epoch may well be the same."""
    content = written(running, clusters.cluster(vms=TWO[:1]))
    direct = applying.prepare(running, Vault(), clusters.cluster(vms=TWO[:1]))
    cib = running.live()
    cib.find(".//nvpair[@name='cluster-name']").set("value", "other")
    running.file.write_bytes(etree.tostring(cib))
    for act in (lambda: read(running, content), lambda: run.push(running, direct)):
        with pytest.raises(Refused) as no:
            act()
        assert [problem.code for problem in found(no)] == ["HA342"]


def test_a_cluster_that_would_do_something_else_now_is_refused(running: FileWorld) -> None:
    content = written(running, clusters.cluster(vms=TWO[:1]))
    cib = running.live()
    for state in cib.findall("status/node_state"):
        if state.get("uname") != "n1":
            state.getparent().remove(state)
    cib.set("have-quorum", "0")
    told = json.loads(content)
    told["shown"]["vms"][0]["price"] = "restart"
    told["seal"] = planfile._seal(told)
    with_other_prices = read(running, json.dumps(told).encode())
    assert "HA355" in [problem.code for problem in with_other_prices.problems]
    assert "HA355" not in [problem.code for problem in read(running, content).problems]


def test_the_risks_that_were_accepted_are_in_the_file(running: FileWorld) -> None:
    content = written(running, clusters.cluster(vms=TWO[:1]), frozenset({"HA332"}))
    assert planfile.decode(content, "x").accepted == {"HA332"}


def test_what_others_did_to_ours_is_told_from_the_file_and_needs_the_same_consent(running: FileWorld) -> None:
    running.types("pcs", "resource", "update", "web", "op", "stop", "timeout=33s", "on-fail=fence", "--force")
    cluster = clusters.cluster(vms=TWO)
    direct = applying.prepare(running, Vault(), cluster)
    again = read(running, written(running, cluster))
    for prepared in (direct, again):
        assert [problem.code for problem in errors(prepared.problems)] == ["HA350"]
        assert [(t.name, t.applied, t.live, t.kept) for t in prepared.plan.theirs] == [
            ("stop timeout", "180s", "33s", False)
        ]
        assert errors(prepared.problems, frozenset({"HA350"})) == ()


def damaged(content: bytes) -> dict[str, bytes]:
    told = json.loads(content)
    edited = {**told, "accepted": ["HA333"]}
    future = {**told, "format": 2}
    future["seal"] = planfile._seal(future)
    missing = {name: value for name, value in told.items() if name != "files"}
    missing["seal"] = planfile._seal(missing)
    wrong = json.loads(content)
    wrong["files"][0]["content"] = "<domain/>"
    wrong["seal"] = planfile._seal(wrong)
    odd = {**told, "desired": "<configuration>"}
    odd["seal"] = planfile._seal(odd)
    return {
        "cut short": content[: len(content) // 2],
        "edited": json.dumps(edited).encode(),
        "of a later format": json.dumps(future).encode(),
        "with a part missing": json.dumps(missing).encode(),
        "with another file's content": json.dumps(wrong).encode(),
        "with broken XML": json.dumps(odd).encode(),
        "not a plan": b'{"format": 1}',
        "a list": b"[1]",
        "deep": b"[" * 100_000,
        "no text": b"\xff\xfe{",
    }


def test_a_file_that_is_not_whole_and_unchanged_is_refused(world: FileWorld) -> None:
    for what, content in damaged(written(world, clusters.cluster())).items():
        with pytest.raises(Refused) as no:
            planfile.decode(content, "plan.json")
        assert [problem.code for problem in found(no)] == ["HA354"], what


@pytest.mark.parametrize("keep", [frozenset(), frozenset({"web"})])
def test_a_value_of_theirs_is_set_back_or_kept_as_it_is_told(running: FileWorld, keep: frozenset[str]) -> None:
    running.types("pcs", "resource", "update", "web", "op", "stop", "timeout=33s", "on-fail=fence", "--force")
    running.types("pcs", "resource", "meta", "db", "resource-stickiness=7")
    other = (clusters.vm("web", "shared", priority=5), TWO[1])
    applied(running, clusters.cluster(vms=other), keep)
    live = running.live()
    assert live.xpath("//primitive[@id='web']//op[@name='stop']/@timeout") == (["33s"] if keep else ["180s"])
    assert live.xpath("//primitive[@id='web']/meta_attributes/nvpair[@name='priority']/@value") == ["5"]
    assert live.xpath("//primitive[@id='db']/meta_attributes/nvpair[@name='resource-stickiness']/@value") == ["7"]
    after = applying.prepare(running, Vault(), clusters.cluster(vms=other))
    assert [t.kind for t in after.plan.theirs if t.ident == "web"] == (["drift"] if keep else []), "told every time"
    assert [t.kind for t in after.plan.theirs if t.ident == "db"] == ["addition"]


def test_keeping_what_nobody_changed_is_refused(running: FileWorld) -> None:
    with pytest.raises(Refused) as no:
        applying.prepare(running, Vault(), clusters.cluster(vms=TWO), frozenset({"web"}))
    assert [problem.code for problem in found(no)] == ["HA353"]


def test_without_the_record_everything_is_a_change_and_that_is_said(running: FileWorld) -> None:
    running.types("pcs", "resource", "meta", "web", "resource-stickiness=7")
    for key in [key for key in running.hosts.files if key[1].startswith(record.DIRECTORY)]:
        del running.hosts.files[key]
    prepared = applying.prepare(running, Vault(), clusters.cluster(vms=TWO))
    assert [problem.code for problem in prepared.problems] == ["HA352"]
    assert [change.ident for change in prepared.plan.changes] == ["web"]


def test_a_record_is_read_from_any_node_that_has_it_whole(running: FileWorld) -> None:
    running.hosts.gone.add("n2")
    for (node, path), content in list(running.hosts.files.items()):
        if path.startswith(record.DIRECTORY) and node == "n1":
            running.hosts.files[node, path] = content[:-20] + b"\n"
    last, problems = past.last(running, running.live(), ("n1", "n2", "n3"))
    assert last is not None
    assert problems == ()


def test_records_are_kept_but_not_for_ever(world: FileWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "KEPT", 3)
    for number in range(record.KEPT + 2):
        applied(world, clusters.cluster(vms=TWO, stickiness=number))
    kept = {path for node, path in world.hosts.files if path.startswith(record.DIRECTORY) and node == "n3"}
    assert len(kept) == record.KEPT
    assert record.path(record.applied(world.live())) in kept


def test_a_record_that_is_damaged_is_no_record() -> None:
    for content in (b"", b"no base64!", b"eJwDAAAAAAE=", b"AAAA"):
        with pytest.raises(ValueError, match="damaged"):
            record.decode(content)

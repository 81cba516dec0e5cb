"""Around the decisions of a move: what is asked, whom it is asked of, and what the watcher is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from lxml import etree

from hacluster import claim as claims
from hacluster import converging, moving, power, rehearsal, watching
from hacluster.cib.managed import ManagedVm
from hacluster.claim import Claim
from hacluster.forget import forget
from hacluster.history import Operation
from hacluster.move import MIGRATION_FAILED, WAITING, Wait
from hacluster.observe import VmView
from hacluster.ports import Completed, World
from hacluster.problems import Refused
from hacluster.rehearsal import Looked
from hacluster.watching import Progress
from tests.unit.move.worlds import CONFIG, UUID

WEB = ManagedVm("web", "vm-on-luns", {"uuid": UUID, "config": CONFIG}, {"allow-migrate": "true"})


def test_waiting_before_and_after_the_migration_are_told_apart() -> None:
    heard: list[str] = []
    tell = watching._Narrator(lambda progress: heard.append(progress.phase))
    for phase in (WAITING, "migrating", WAITING, "handing over"):
        tell(Progress(phase))
    assert heard == [WAITING, "migrating", "the copy has ended; Pacemaker takes note", "handing over"]


def test_preflight_judges_the_guest_as_it_runs_and_not_as_the_spec_will_have_it() -> None:
    asked: list[Sequence[str]] = []

    def run(node: str, argv: Sequence[str], **_: float) -> Completed:
        asked.append([node, *argv])
        return Completed(0, b"<domain><memory>4096</memory></domain>", b"")

    world = cast(World, SimpleNamespace(runner=SimpleNamespace(run=run)))
    domain = rehearsal.domain_of(world, WEB, "n1")
    assert domain is not None
    assert domain.findtext("memory") == "4096"
    assert asked == [["n1", "virsh", "--connect", "qemu:///system", "dumpxml", "web"]]


@pytest.mark.parametrize(
    ("cluster", "meta", "code"),
    [
        ({"quorum": False, "maintenance": False}, {}, "HA409"),
        ({"quorum": None, "maintenance": False}, {}, "HA409"),
        ({"quorum": True, "maintenance": True}, {}, "HA421"),
        ({"quorum": True, "maintenance": False}, {"is-managed": "false"}, "HA421"),
    ],
)
def test_a_wish_that_nobody_would_hear_is_not_written(
    cluster: Mapping[str, Any], meta: Mapping[str, str], code: str
) -> None:
    looked = SimpleNamespace(seen=SimpleNamespace(cluster=SimpleNamespace(**cluster), vm=lambda _: None))
    with pytest.raises(Refused) as no:
        power._listening(cast(World, None), cast(Looked, looked), "web", meta)
    assert [problem.code for problem in no.value.problems] == [code]
    assert no.value.problems[0].remedy


def test_a_stop_that_waits_for_a_fencing_says_so() -> None:
    view = cast(VmView, SimpleNamespace(name="web", copies=("n1",), unknown=("n3",)))
    told = power._not_stopped(view, ["n3"])
    assert "while it tries to fence n3" in told.message
    assert told.remedy.startswith("stonith_admin --history n3; ")
    assert dict(told.facts) == {"copies": "n1", "no_answer": "n3", "to_be_fenced": "n3"}
    plain = power._not_stopped(view, [])
    assert (plain.message, plain.remedy) == ("web is not proven to be stopped", "hactl vm show web")


def test_a_move_that_is_watched_no_longer_says_what_failed_last(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"n2": (Operation("n2", "start", 1, 0, 7, reason="No space left on device"),)}
    monkeypatch.setattr(watching, "picture", lambda *_: SimpleNamespace(cib=etree.XML("<cib/>"), history=failed))
    monkeypatch.setattr(watching, "_step", lambda *_: Wait("handing over"))
    now = iter(range(0, 10_000, 700))
    world = cast(World, SimpleNamespace(clock=SimpleNamespace(now=lambda: next(now), sleep=lambda _: None)))
    with pytest.raises(Refused) as no:
        watching.watch(world, WEB, Claim("web", "n1", "n2"), 0, tell=lambda _: None, timeout=60)
    (problem,) = no.value.problems
    assert problem.code == "HA444"
    assert dict(problem.facts)["last_failure"] == "start on n2: No space left on device"


def test_whoever_lets_nodes_forget_begins_elsewhere_unless_the_home_is_not_known() -> None:
    asked: list[str] = []
    pacemaker = SimpleNamespace(refresh=lambda _vm, node: asked.append(node), idle=lambda: True)
    world = cast(World, SimpleNamespace(pacemaker=pacemaker, clock=SimpleNamespace(now=lambda: 0.0)))
    forget(world, "web", ("n1", "n2", "n3"), "n1")
    assert asked == ["n2", "n3", "n1"]
    asked.clear()
    forget(world, "web", ("n1", "n2", "n3"), "n3", known=False)
    assert asked == ["n3", "n1", "n2"]


@pytest.mark.parametrize(
    ("job", "outruns"),
    [
        ({}, False),
        ({"memory_bps": 32 << 20, "memory_iteration": 1}, False),
        ({"memory_bps": 32 << 20, "memory_iteration": 3, "memory_dirty_rate": 10 * 256}, False),
        ({"memory_bps": 32 << 20, "memory_iteration": 3, "memory_dirty_rate": 40 * 256}, True),
        ({"memory_bps": 0, "memory_iteration": 3, "memory_dirty_rate": 40 * 256}, False),
    ],
)
def test_a_guest_that_is_faster_than_the_line_is_recognised(job: dict[str, int], outruns: bool) -> None:
    assert converging.outrun(job) is outruns


def test_a_migration_that_was_outrun_says_so_and_what_helps() -> None:
    job = {"memory_bps": 32 << 20, "memory_iteration": 3, "memory_dirty_rate": 40 * 256, "memory_page_size": 4096}
    heard: list[str] = []
    narrator = watching._Narrator(lambda progress: heard.append(progress.phase))
    narrator(Progress("migrating", {"data_total": 1}))
    narrator(Progress("migrating", job))
    narrator(Progress("migrating", {**job, "memory_bps": 320 << 20}))
    narrator(Progress("migrating", {**job, "memory_bps": 320 << 20, "memory_iteration": 4}))
    assert ["as fast as" in phase for phase in heard] == [False, True, True, False]
    told = narrator.explained(MIGRATION_FAILED("web was not moved: it took too long", where="vm web", remedy="again"))
    assert dict(told.facts)["memory"] == "it changed 40 MiB/s, the line carried 32 MiB/s"
    assert "auto_converge" in told.remedy
    assert "--cold" in told.remedy


def test_a_move_to_another_node_is_not_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = claims.to_xml(Claim("web", "n1", "n2", "root@n1", 1, 2))
    cib = etree.fromstring(b"<cib><configuration><constraints>" + mine + b"</constraints></configuration></cib>")
    monkeypatch.setattr(moving, "look", lambda _: SimpleNamespace(cib=cib))
    monkeypatch.setattr(moving, "find", lambda *_: WEB)
    with pytest.raises(Refused) as no:
        moving.resume(cast(World, None), "web", "n3", tell=lambda _: None)
    assert [(p.code, p.remedy) for p in no.value.problems] == [("HA411", "hactl vm move web n2 --resume")]


def test_calm_lasts_from_the_first_time_that_nothing_was_to_be_done_until_something_is() -> None:
    now, idle = [10.0], [True]
    pacemaker = SimpleNamespace(idle=lambda: idle[0])
    calm = watching.Calm(cast(World, SimpleNamespace(pacemaker=pacemaker, clock=SimpleNamespace(now=lambda: now[0]))))
    rests = cast(watching.Picture, SimpleNamespace(history={"n1": (Operation("n1", "start", 0, 0, 10),)}))
    busy = cast(watching.Picture, SimpleNamespace(history={"n1": (Operation("n1", "monitor", 193, -1, -1),)}))

    def after(seconds: float, seen: watching.Picture = rests) -> float:
        now[0] += seconds
        return calm.look(seen)

    assert [after(0), after(3), after(4)] == [0, 3, 7]
    assert [after(1, busy), after(1), after(2)] == [0, 0, 2]
    idle[0] = False
    assert after(1) == 0
    idle[0] = True
    assert [after(1), after(1)] == [0, 1]
    calm.broken()
    assert after(1) == 0

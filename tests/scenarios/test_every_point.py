"""At each point of an ordinary move something dies, hangs or is cut off: the promise holds, and the VM runs at last.

Each act is tried at every point that an ordinary move passes, one run each. When all is whole again every VM runs in
one place under its seal. What fails prints itself as a scenario file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.depth import DEEP
from tests.scenarios.player import Player
from tests.scenarios.scenario import Expect, Fault, Scenario, Step, to_toml

POINTS = (
    "claimed", "migrate_to begins", "migration begins", "hook migrate", "hook prepare", "hook start", "hook started",
    "migration copies", "migration switches over", "migration finishes", "hook stopped", "hook release",
    "migration is over", "migrate_to ends", "migrate_from begins", "migrate_from ends", "stop begins", "stop ends",
    "claim removed",
)  # fmt: skip
ACTS = (
    "kill alice", "kill agent n1", "kill agent n2", "kill virsh n1", "kill libvirtd n1", "kill libvirtd n2",
    "kill qemu web n1", "kill qemu web n2", "power cut n1", "power cut n2",
    "SIGSTOP libvirtd n1", "SIGSTOP libvirtd n2", "SIGSTOP agent n1", "SIGSTOP agent n2", "SIGSTOP virsh n1",
    "SIGSTOP pacemaker-execd n1", "SIGSTOP pacemaker-execd n2", "SIGSTOP pacemaker-controld n1",
    "SIGSTOP pacemaker-attrd n1", "SIGSTOP corosync n1", "SIGSTOP corosync n2", "SIGSTOP qemu web n1",
    "kill corosync n1", "kill corosync n2", "kill pacemaker-execd n1", "kill pacemaker-execd n2", "power cut n3",
    "isolate n1", "isolate n2", "unplug n1 0", "unplug n2 1", "deafen n1 to n2", "fill n1 /run", "fill n2 /run",
    "storage n1 gone", "storage n2 gone", "storage n1 hangs", "clock n1 -3600", "clock n2 +86400", "lose the reply",
    "remove claim web", "pcs node standby n1", "pcs node standby n2", "pcs resource cleanup web",
    "pcs resource refresh web", "pcs resource move web n3", "hactl vm stop web", "hactl vm move web n3",
    "virsh destroy web", "virsh create web", "virsh suspend web",
)  # fmt: skip
AT_LEAST, AT_MOST = 30.0, 420.0
"""Seconds that it is looked at after the mending; that the cluster gets to be well again (fencing, boots, the back-off
of the sweeps)."""
USUAL = 20
"""So many of the acts are tried by `make test`; the rest by `make search`."""
FAULTY = (45, 5, 120) if DEEP else (45,)
"""Seconds that it stays broken; `make search` sets HACLUSTER_DEEP."""


def carry_out(scenario: Scenario) -> tuple[Player, list[str]]:
    """Play it, mend everything, and say what is wrong."""
    player = Player(scenario)
    try:
        player.prepare()
        for step in scenario.steps:
            player.do(step)
        for step in (*player.mending(), Step(f"wait {AT_LEAST}")):
            player.do(step)
        until = player.world.timeline.now + AT_MOST
        while player.unwell() and not stopped(scenario) and player.world.timeline.now < until:
            player.do(Step("wait 15"))
        unwell = [] if stopped(scenario) else player.unwell()
        return player, [*player.world.witness.broken, *player.unlawful, *unwell]
    finally:
        player.world.close()


def stopped(scenario: Scenario) -> bool:
    """Whether somebody has stopped the VM, or paused its guest, on purpose."""
    return any(fault.do in ("hactl vm stop web", "virsh suspend web") for fault in scenario.faults)


def faulty(point: str, act: str, seconds: float, world: Mapping[str, Any] | None = None) -> Scenario:
    """A move, and something that goes wrong at a point of it, for so many seconds."""
    steps = (Step("hactl vm move web n2", by="alice", meanwhile=True), Step(f"wait {seconds}"))
    expect = Expect(runs={"web": "somewhere"}, claim=True, fenced=("*",))
    return Scenario(
        f"{act}, at: {point}, for {seconds} s", "found by a sweep", start={"web": "n1", "mail": "n3"},
        world=world or {}, faults=(Fault(point, act, vm="web"),), steps=steps, expect=expect,
    )  # fmt: skip


@pytest.mark.parametrize("seconds", FAULTY)
@pytest.mark.parametrize("act", ACTS if DEEP else ACTS[:USUAL])
def test_a_fault_at_every_point_of_a_move(act: str, seconds: float) -> None:
    failed = []
    for point in POINTS:
        scenario = faulty(point, act, seconds)
        player, wrong = carry_out(scenario)
        wrong += [f"the point is not passed: {name}" for name in player.world.waiting_faults]
        if wrong:
            failed.append("\n".join([*wrong, to_toml(scenario)]))
    assert not failed, "\n\n".join(["", *failed])


@pytest.mark.parametrize(
    ("point", "act", "world"),
    [
        ("migration switches over", "lose the reply", {"handover": "running"}),
        ("migration copies", "isolate n1", {"boards": {"n1": "lies"}}),
    ],
)
def test_a_missing_barrier_is_seen(point: str, act: str, world: dict[str, Any]) -> None:
    """The sweep is worth something only if it fails where the promise cannot hold."""
    assert any("runs twice" in sentence for sentence in carry_out(faulty(point, act, 45, world))[1])


def test_these_are_all_points_of_an_ordinary_move() -> None:
    steps = (Step("hactl vm move web n2", by="alice"),)
    player = Player(Scenario("a move", start={"web": "n1", "mail": "n3"}, steps=steps))
    assert player.play() == []
    begun = next(i for i, line in enumerate(player.world.log) if line.endswith("web: claimed"))
    passed = [line.split(": web: ")[1] for line in player.world.log[begun:] if ": web: " in line]
    assert set(passed) - {"monitor begins", "monitor ends"} == set(POINTS)

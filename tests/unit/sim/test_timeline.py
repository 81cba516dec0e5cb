"""Virtual time: nobody waits really, the same run comes out each time, and a killed process has no effect any more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hacluster.sim.timeline import Killed, Timeline


@pytest.fixture
def timeline() -> Iterator[Timeline]:
    timeline = Timeline()
    yield timeline
    timeline.close()


def test_an_hour_passes_at_once_and_in_order(timeline: Timeline) -> None:
    seen: list[tuple[str, float]] = []

    def walker(name: str, pace: float) -> None:
        for _ in range(2):
            timeline.sleep(pace)
            seen.append((name, timeline.now))

    timeline.spawn("slow", lambda: walker("slow", 1800))
    timeline.spawn("fast", lambda: walker("fast", 600))
    timeline.run(3600)
    assert seen == [("fast", 600), ("fast", 1200), ("slow", 1800), ("slow", 3600)]


def test_what_a_killed_process_does_while_it_unwinds_has_no_effect(timeline: Timeline) -> None:
    effects: list[str] = []

    def touch(what: str) -> None:
        timeline.check()
        effects.append(what)

    def body() -> None:
        try:
            touch("begun")
            timeline.sleep(10)
        finally:
            touch("cleaned up")

    process = timeline.spawn("victim", body)
    timeline.run(5)
    timeline.kill(process)
    timeline.run(20)
    assert effects == ["begun"]
    assert process.ended


def test_children_die_with_their_parent_and_only_with_it(timeline: Timeline) -> None:
    parent = timeline.spawn("parent", lambda: timeline.sleep(100))
    child = timeline.spawn("child", lambda: timeline.sleep(100), parent=parent)
    other = timeline.spawn("other", lambda: timeline.sleep(100))
    timeline.run(1)
    timeline.kill(parent)
    assert child.ended
    assert not other.ended


def test_waiting_for_a_process_ends_with_it_or_with_the_patience(timeline: Timeline) -> None:
    said: list[tuple[bool, float]] = []
    short = timeline.spawn("short", lambda: timeline.sleep(2))
    long = timeline.spawn("long", lambda: timeline.sleep(50))

    def waiter() -> None:
        said.append((timeline.join(short, 5), timeline.now))
        said.append((timeline.join(long, 5), timeline.now))

    timeline.spawn("waiter", waiter)
    timeline.run(100)
    assert said == [(True, 2.0), (False, 7.0)]


def test_an_error_that_nobody_waits_for_ends_the_simulation(timeline: Timeline) -> None:
    timeline.spawn("broken", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        timeline.run(1)


def test_a_handler_of_the_product_cannot_catch_its_own_death() -> None:
    assert not issubclass(Killed, Exception)

"""The rule by which a second running copy is told from a copy that was handed over."""

from __future__ import annotations

from hacluster.lab.chaos.copies import Copy
from hacluster.lab.chaos.judge import Judge

A, B, C = (Copy("uuid", node, pid) for node, pid in (("n1", 1), ("n2", 2), ("n3", 3)))


def judged(*samples: dict[int, str]) -> Judge:
    """A judge that was shown these samples, one each 50 ms: pid to sign, for the copies that were there."""
    judge = Judge("vm")
    for number, sample in enumerate(samples):
        judge.sample(number * 0.05, [(copy, sample[copy.pid]) for copy in (C, B, A) if copy.pid in sample])
    return judge


def test_one_copy_runs_once() -> None:
    judge = judged({1: "ran"}, {1: ""}, {1: "wrote"})
    assert (judge.most, judge.present, judge.twice) == (1, 1, [])


def test_a_paused_arrival_is_present_and_does_not_run() -> None:
    judge = judged({1: "wrote", 2: ""}, {1: "wrote", 2: ""})
    assert (judge.most, judge.present, judge.twice) == (1, 2, [])


def test_a_hand_over_is_none_even_when_both_write_within_one_sample() -> None:
    assert judged({1: "wrote", 2: ""}, {1: "wrote", 2: "wrote"}, {1: "", 2: "wrote"}).twice == []


def test_a_restart_after_a_death_and_a_move_back_are_none() -> None:
    assert judged({1: "wrote"}, {}, {2: "wrote"}, {2: "wrote", 3: ""}, {3: "wrote"}).twice == []


def test_two_that_take_turns_are_two() -> None:
    judge = judged({1: "wrote"}, {1: "", 2: "ran"}, {1: "wrote", 2: ""}, {1: "", 2: "wrote"})
    assert judge.most == 2
    assert [(seen.returned, seen.holder) for seen in judge.twice] == [
        ("pid 1 on n1", "pid 2 on n2"),
        ("pid 2 on n2", "pid 1 on n1"),
    ]
    assert 0.04 < judge.seconds_twice < 0.06


def test_an_old_memory_that_runs_again_is_told_even_when_the_newer_copy_is_gone() -> None:
    judge = judged({1: "wrote"}, {1: "", 2: "wrote"}, *({1: ""} for _ in range(40)), {1: "wrote"})
    assert len(judge.twice) == 1
    assert judge.most == 1, "never both at once"


def test_three_at_once_are_three() -> None:
    assert judged({1: "ran"}, {1: "", 2: "ran"}, {1: "", 2: "", 3: "ran"}, {1: "ran", 2: "ran", 3: "ran"}).most == 3

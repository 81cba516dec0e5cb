"""All verbs, and the seeded draw: which are done in which round, when, to whom. No clock and no cluster is asked."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hacluster.lab.chaos import by_hand, faults_of_daemons, faults_of_nodes, faults_of_storage, orders
from hacluster.lab.chaos.deeds import Aim
from hacluster.lab.chaos.verb import Verb
from hacluster.problems import Refused, kind

NO_VERB = kind("HA722", "There is no such verb", "Chaos is made of the verbs that `hactl lab chaos --list` shows.")

VERBS: tuple[Verb, ...] = (
    *faults_of_nodes.VERBS,
    *faults_of_daemons.VERBS,
    *faults_of_storage.VERBS,
    *orders.VERBS,
    *by_hand.VERBS,
)

MOST_AT_ONCE = 3
SPREAD = 6.0
"""Seconds within which the steps of a round begin."""


@dataclass(frozen=True, slots=True)
class Step:
    """One use of a verb: `at` seconds after its round began."""

    at: float
    verb: Verb
    aim: Aim


def named(names: Sequence[str]) -> tuple[Verb, ...]:
    """These verbs, or all that are drawn by themselves. Raises Refused for names that no verb has."""
    known = {verb.name: verb for verb in VERBS}
    wrong = [
        NO_VERB(f"{name} is not a verb.", where=name, remedy="hactl lab chaos --list")
        for name in names
        if name not in known
    ]
    if wrong:
        raise Refused(wrong)
    return tuple(known[name] for name in names) or tuple(verb for verb in VERBS if verb.weight)


def rounds(seed: int, verbs: Sequence[Verb], nodes: Sequence[str], vms: Sequence[str]) -> Iterator[list[Step]]:
    """Rounds without end: the same for the same seed, verbs, nodes and VMs.

    Every other round of several steps begins with a move, and the steps after it fall into it; half of them meet the
    same VM.
    """
    draw = random.Random(seed)
    weights = [max(verb.weight, 1) for verb in verbs]
    moves = [verb for verb in verbs if verb.group == "move"]
    while True:
        count, moving, first = draw.choice((1, 2, 2, 3, MOST_AT_ONCE)), draw.random() < 0.5, draw.choice(vms)
        steps: list[Step] = []
        for number in range(count):
            (verb,) = draw.choices(verbs, weights)
            if moving and moves and count > 1 and not number:
                verb = draw.choice(moves)
            at = round(draw.uniform(0, SPREAD), 2) if number else 0.0
            vm, node, aimed = draw.choice((first, draw.choice(vms))), draw.choice(nodes), draw.choice(verb.aims)
            seconds, pick = round(draw.uniform(*verb.hold), 2), round(draw.random(), 4)
            steps.append(Step(at, verb, Aim(vm, node if aimed == "any" else aimed, seconds, pick)))
        yield steps

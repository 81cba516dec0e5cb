"""What a run of chaos found: figures, and everything that has to be looked into. As values; printing is the CLI's."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from hacluster.lab.chaos.deeds import DONE, REFUSED, Deed
from hacluster.lab.chaos.judge import Twice
from hacluster.lab.chaos.menu import Step

FORMAT = 1
SHOWN = 50
"""Signs of second copies in the document; two that run side by side give ten a second."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was taken: in which round, when (the observer's seconds), and what became of it."""

    round: int
    at: float
    step: Step
    deed: Deed

    def as_json(self) -> dict[str, object]:
        """The step and its deed."""
        aim = self.step.aim
        return {
            "round": self.round, "at": round(self.at, 2), "verb": self.step.verb.name, "vm": aim.vm, "node": aim.node,
            "seconds": aim.seconds, "pick": aim.pick, **asdict(self.deed),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class End:
    """A VM or node that was not well when a round's time was over. `explained` is what the cluster's tools say."""

    round: int
    name: str
    found: str
    explained: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A VM that ran twice in a round: for how long, and what was done in that round."""

    round: int
    vm: str
    seconds: float
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VmReport:
    """One VM over the whole run. `findings` are the disk checker's; `most` how many copies ran at once."""

    vm: str
    available: float
    longest_gap: float
    restarts: int
    failovers: int
    live_moves: int
    most: int
    present: int
    seconds_twice: float
    boots: int
    findings: tuple[str, ...]


@dataclass(slots=True)
class Report:
    """A run. `kind` is guarded or stock."""

    kind: str
    seed: int
    seconds: float = 0.0
    rounds: int = 0
    steps: list[Done] = field(default_factory=list)
    vms: list[VmReport] = field(default_factory=list)
    twice: list[Twice] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    not_refused: list[Done] = field(default_factory=list)
    helped: list[str] = field(default_factory=list)
    samples: int = 0
    slowest: float = 0.0
    evidence: str = ""

    @property
    def violated(self) -> bool:
        """Whether any VM had two running copies, or its disk shows two writers."""
        return bool(self.twice) or any(vm.findings for vm in self.vms)

    @property
    def unexplained(self) -> list[End]:
        """VMs that were left unwell, and nothing says why."""
        return [end for end in self.ends if not end.explained]

    def by_verb(self) -> dict[str, Counter[str]]:
        """How often each verb was done, refused, failed, skipped."""
        table: dict[str, Counter[str]] = {}
        for done in self.steps:
            table.setdefault(done.step.verb.name, Counter())[done.deed.outcome] += 1
        return dict(sorted(table.items()))

    def totals(self) -> dict[str, int]:
        """Faults and orders that were carried out, refusals, and what the VMs went through."""

        def count(outcome: str, *groups: str) -> int:
            return sum(done.step.verb.group in groups and done.deed.outcome == outcome for done in self.steps)

        return {
            "faults": count(DONE, "fault"),
            "moves": count(DONE, "move"),
            "orders": count(DONE, "operator", "hand"),
            "refused": count(REFUSED, "move", "operator", "hand"),
            "live_moves": sum(vm.live_moves for vm in self.vms),
            "failovers": sum(vm.failovers for vm in self.vms),
            "guest_boots": sum(vm.restarts for vm in self.vms),
            "copies": max((vm.most for vm in self.vms), default=0),
        }

    def as_json(self) -> dict[str, object]:
        """The document of `hactl lab chaos --json`."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "rounds": self.rounds,
            "violated": self.violated,
            "totals": self.totals(),
            "verbs": {name: dict(counts) for name, counts in self.by_verb().items()},
            "vms": [asdict(vm) for vm in self.vms],
            "incidents": [asdict(incident) for incident in self.incidents],
            "twice": [asdict(seen) for seen in self.twice[:SHOWN]],
            "ends": [asdict(end) for end in self.ends],
            "not_refused": [done.as_json() for done in self.not_refused],
            "helped": self.helped,
            "observer": {"samples": self.samples, "slowest_ms": round(self.slowest * 1000)},
            "steps": [done.as_json() for done in self.steps],
            "evidence": self.evidence,
        }

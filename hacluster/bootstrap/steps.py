"""The one mechanism of bootstrap: look, say what is missing, change that, look again.

A Step answers with all changes that are missing for what it is about. To plan is to ask every step; a dry run shows
the answers; to apply is to carry them out, step by step, and to ask each once more: what it still misses then is a
fault. Nothing else remembers how far a run came, so one that was killed goes on where the machines are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from hacluster.bootstrap.changes import Change, FileChange
from hacluster.bootstrap.host import Host
from hacluster.model import Cluster
from hacluster.ports import Completed, NodeFile, Unreachable
from hacluster.problems import Problem, Refused, errors, kind

NO_ANSWER = kind(
    "HA612",
    "A machine does not answer, and nothing was changed",
    "Bootstrap looks at every machine before it changes the first: a cluster whose members were set up at different "
    "times, or without one of them, is one that somebody has to repair by hand.",
)
FAILED = kind(
    "HA609",
    "A step of bootstrap failed on a machine",
    "A file could not be written, or a command failed. What was done before stands, and harms nothing; running "
    "bootstrap again looks at what is there and goes on.",
)
NOT_SO = kind(
    "HA631",
    "A step was carried out, and the machine is still not as it should be",
    "Every command succeeded, but looking again shows that something is still missing. Going on would build upon "
    "something that is not there.",
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """What steps look at: the wish, and the machines by node name, in the spec's order.

    `accepted` are the codes whose risk was taken: a step that would do something dangerous is told so here.
    """

    cluster: Cluster
    hosts: Mapping[str, Host]
    accepted: frozenset[str] = frozenset()

    @property
    def first(self) -> Host:
        """The machine from which what belongs to the cluster as a whole is done."""
        return self.hosts[self.cluster.members[0].name]

    def ask(self, host: Host, ask: Callable[[Host], T]) -> T:
        """A question to one machine. Raises Refused, as `each` does."""
        try:
            return ask(host)
        except (Unreachable, OSError) as error:
            where = f"node {host.name}"
            raise Refused(NO_ANSWER(str(error), where=where, remedy=f"ssh root@{host.name} true")) from error

    def each(self, ask: Callable[[Host], T]) -> dict[str, T]:
        """The same question to every machine at once, by node name. Raises Refused with all that failed."""
        with ThreadPoolExecutor(max_workers=max(1, len(self.hosts))) as pool:
            asked = {name: pool.submit(self.ask, host, ask) for name, host in self.hosts.items()}
        answers: dict[str, T] = {}
        found: list[Problem] = []
        for name, future in asked.items():
            try:
                answers[name] = future.result()
            except Refused as no:
                found += no.problems
        if found:
            raise Refused(found)
        return answers


@dataclass(frozen=True, slots=True)
class Looked:
    """What a step found: the changes that are missing, in order, and what speaks against making them."""

    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()


class Step(Protocol):
    """One thing that the machines of a cluster must have. Stateless: all it knows is what it sees."""

    @property
    def name(self) -> str:
        """The word for --only."""
        ...

    @property
    def title(self) -> str:
        """What it is about, for people."""
        ...

    @property
    def together(self) -> bool:
        """Whether the machines can be changed at once; else the changes are made one after another, as listed."""
        ...

    def look(self, site: Site) -> Looked:
        """What is missing. Changes nothing. What an earlier step would bring may be missing too: then it answers what
        it would do once that is there. Raises Refused when a machine does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """A step and what it found."""

    step: Step
    looked: Looked


def plan(site: Site, steps: Sequence[Step]) -> tuple[Told, ...]:
    """Every step's answer. Raises Refused when a machine does not answer; other findings are in the answers."""
    return tuple(Told(step, step.look(site)) for step in steps)


def problems(told: Sequence[Told]) -> tuple[Problem, ...]:
    """All findings of a plan."""
    return tuple(problem for each in told for problem in each.looked.problems)


def apply(site: Site, steps: Sequence[Step], tell: Callable[[str], None]) -> tuple[Told, ...]:
    """Look at everything, refuse if anything speaks against it, then make every step true, in order.

    Returns what was changed. Idempotent. Raises Refused: before anything was changed when a machine does not answer or
    a finding is not accepted; later when a change failed, or did not help.
    """
    found = problems(plan(site, steps))
    if errors(found, site.accepted):
        raise Refused(found)
    return tuple(_make_true(site, step, tell) for step in steps)


def _make_true(site: Site, step: Step, tell: Callable[[str], None]) -> Told:
    looked = step.look(site)
    if errors(looked.problems, site.accepted):
        raise Refused(looked.problems)
    if not looked.changes:
        return Told(step, looked)
    if step.together:
        chains = {name: [c for c in looked.changes if c.node == name] for name in site.hosts}
        site.each(lambda host: _chain(host, chains[host.name], step.name, tell))
    else:
        in_order(site, looked.changes, step.name, tell)
    left = step.look(site).changes
    if left:
        raise Refused(
            NOT_SO(
                f"{step.title}: {left[0].headline}",
                where=f"node {left[0].node}",
                remedy="look there by hand, then run the same command again",
                step=step.name,
            )
        )
    return Told(step, looked)


def in_order(site: Site, changes: Sequence[Change], word: str, tell: Callable[[str], None]) -> None:
    """Make changes one after another; `word` names what they are part of. Raises Refused at the first that fails."""
    for change in changes:
        _chain(site.hosts[change.node], [change], word, tell)


def _chain(host: Host, changes: Sequence[Change], word: str, tell: Callable[[str], None]) -> None:
    for batch in _batches(changes):
        more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
        tell(f"{host.name}: {batch[0].headline}{more}")
        try:
            _carry_out(host, batch)
        except (Unreachable, OSError) as error:
            raise Refused(
                FAILED(
                    str(error),
                    where=f"node {host.name}",
                    remedy=f"mend it there, then run the same command again: it goes on with {word}",
                    step=word,
                )
            ) from error


def _batches(changes: Sequence[Change]) -> list[list[Change]]:
    """Files that follow each other are written in one go: on a far machine each call costs more than what it writes."""
    batches: list[list[Change]] = []
    for change in changes:
        if batches and _is_written(change) and _is_written(batches[-1][-1]):
            batches[-1].append(change)
        else:
            batches.append([change])
    return batches


def _is_written(change: Change) -> bool:
    return isinstance(change, FileChange) and change.after is not None


def _carry_out(host: Host, batch: Sequence[Change]) -> None:
    files = [NodeFile(c.path, c.after, c.mode) for c in batch if isinstance(c, FileChange) and c.after is not None]
    if files:
        host.write(*files)
        return
    for change in batch:
        if isinstance(change, FileChange):
            host.remove(change.path)
            continue
        done = host.run(change.argv, stdin=change.stdin, deadline=change.deadline)
        if not done.ok:
            raise OSError(f"{change.command}: {last_words(done)}")


def last_words(done: Completed) -> str:
    """What a command that failed said last, three lines at most; its exit code if it said nothing."""
    said = (done.err or done.out).decode(errors="replace").strip().splitlines()
    return "; ".join(said[-3:]) or f"exit code {done.code}"

"""A live move by `hactl vm move`, by `virsh migrate --live`, and by `pcs resource move`: what each costs and leaves.

The three take turns in each round, in rotating order, each moving its own guest to the same node. `virsh` moves a guest
that no cluster knows: it is the floor, what libvirt alone takes. Then once with a fault that real hosts have, the
target's migration network is down, to see whether the exit code says what became of the guest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from tests.bench.figures import Series
from tests.bench.stage import GUARDED, HOME, RAW, STOCK, Failed, Stage

WAYS = {"hactl vm move": GUARDED, "virsh migrate --live": RAW, "pcs resource move": STOCK}
QUIET = 2.0
"""Seconds of watching a guest that nobody moves: what its longest gap is on this machine by itself."""
MIGRATION_LINK = 1


@dataclass(frozen=True, slots=True)
class Move:
    """One move. `pause_ms` is the longest time without a record on the guest's disk; `quiet_ms` the same before it.

    `outcome` is what became of the guest: moved live, restarted, stayed, or gone. `left` are the constraints about the
    guest that were not there before, `writes` how often the configuration was changed, `said` what the command printed
    unless it moved the guest live and said so. `copying_ms` is what the cluster's agent took to migrate the guest
    (migrate_to) as Pacemaker recorded it, and for virsh the whole command: what a guard around it may make longer.
    """

    way: str
    seconds: float
    exit_code: int
    outcome: str
    pause_ms: float
    quiet_ms: float
    left: tuple[str, ...]
    writes: int
    copying_ms: float
    said: str = ""

    @property
    def truthful(self) -> bool:
        """Whether the exit code said what happened: zero means moved live, anything else means not moved live."""
        return (self.exit_code == 0) == (self.outcome == "moved live")

    def as_json(self) -> dict[str, object]:
        """The move, rounded."""
        return {
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
            "outcome": self.outcome,
            "truthful": self.truthful,
            "pause_ms": round(self.pause_ms),
            "quiet_ms": round(self.quiet_ms),
            "left": list(self.left),
            "writes": self.writes,
            "copying_ms": round(self.copying_ms),
            "said": self.said,
        }


@dataclass(frozen=True, slots=True)
class Moves:
    """All measured moves by way, and one of each with the target's migration network down.

    Series are of the moves that were live: a refusal is quick and costs the guest nothing, but it is no move.
    """

    by_way: dict[str, list[Move]]
    faulty: dict[str, Move]

    def series(self, way: str, field: str) -> Series:
        """One number of the live moves of a way, by its field's name. Raises Failed without any."""
        unit = {"seconds": "s", "writes": "writes"}.get(field, "ms")
        values = tuple(float(getattr(move, field)) for move in self.by_way[way] if move.outcome == "moved live")
        if not values:
            raise Failed(f"{way} never moved its guest live: {self.by_way[way][0].said}")
        return Series(unit, values)

    def as_json(self) -> dict[str, object]:
        """Series and single moves of each way."""
        return {
            way: {
                **{
                    name: self.series(way, name).as_json() for name in ("seconds", "copying_ms", "pause_ms", "quiet_ms")
                },
                "moves": [move.as_json() for move in moves],
                "migration_network_down": self.faulty[way].as_json(),
            }
            for way, moves in self.by_way.items()
        }


def measure(stage: Stage, rounds: int, tell: Callable[[str], None]) -> Moves:
    """Move each guest `rounds` times, and once more with the fault. Raises Failed."""
    stage.peers()
    nodes = stage.bed.nodes()
    ways = list(WAYS)
    moves: dict[str, list[Move]] = {way: [] for way in ways}
    for number in range(rounds):
        target = nodes[(number + 1) % len(nodes)]
        for turn in range(len(ways)):
            way = ways[(number + turn) % len(ways)]
            move = once(stage, way, target)
            tell(f"round {number + 1} of {rounds}: {way}: {move.seconds:.2f} s, {move.outcome}{_why(move)}")
            moves[way].append(move)
    stage.home()
    faulty = {}
    for way in ways:
        faulty[way] = with_network_down(stage, way, nodes[1])
        tell(f"migration network down: {way}: {faulty[way].outcome}{_why(faulty[way])}")
    return Moves(moves, faulty)


def once(stage: Stage, way: str, target: str, before: Callable[[], None] = lambda: None) -> Move:
    """One move to its end, as seen from outside. `before` is called just before the command. Raises Failed."""
    name = WAYS[way]
    stage.settle()
    stage.counting(name)
    (source,) = stage.where(name)
    boots, cib = stage.boots(name), _cib(stage)
    canary = stage.bed.canary(name)
    with canary.watch() as quiet:
        time.sleep(QUIET)
    before()
    with canary.watch() as watcher:
        begun = time.monotonic()
        done = stage.run(source if name == RAW else HOME, _command(stage, way, target), timeout=240)
        seconds = time.monotonic() - begun
        # A guest that is restarted is away longer than the command takes: the watch ends when it counts again.
        stage.counting(name, 120)
    stage.settle()
    after = _cib(stage)
    outcome = _outcome(stage.where(name), source, target, stage.boots(name) > boots)
    return Move(
        way,
        seconds,
        done.returncode,
        outcome,
        watcher.result.gap_ms,
        quiet.result.gap_ms,
        tuple(sorted(_constraints(after, name) - _constraints(cib, name))),
        int(after.get("epoch", "0")) - int(cib.get("epoch", "0")),
        seconds * 1000 if name == RAW else _recorded(after, name, source),
        ""
        if outcome == "moved live" and done.returncode == 0
        else " ".join((done.stderr or done.stdout).split())[-400:],
    )


def with_network_down(stage: Stage, way: str, target: str) -> Move:
    """One move to a node whose migration network is unplugged. Corosync has another link, so no node is fenced."""
    try:
        return once(stage, way, target, lambda: stage.bed.link(target, up=False, link=MIGRATION_LINK))
    finally:
        stage.bed.link(target, up=True, link=MIGRATION_LINK)
        time.sleep(3)


def _command(stage: Stage, way: str, target: str) -> list[str]:
    if way == "hactl vm move":
        return ["hactl", "vm", "move", GUARDED, target]
    if way == "pcs resource move":
        return ["pcs", "resource", "move", STOCK, target]
    return ["virsh", "migrate", "--live", RAW, stage.uri(target)]


def _why(move: Move) -> str:
    return f", exit {move.exit_code}: {move.said}" if move.said else ""


def _outcome(places: list[str], source: str, target: str, restarted: bool) -> str:
    if len(places) != 1:
        return "gone" if not places else "runs twice"
    if restarted:
        return f"restarted {'there' if places == [target] else 'here' if places == [source] else 'elsewhere'}"
    return "moved live" if places == [target] else "stayed"


def _cib(stage: Stage) -> etree._Element:
    return etree.fromstring(stage.do(HOME, ["cibadmin", "--query"]).encode())


def _recorded(cib: etree._Element, name: str, source: str) -> float:
    """How long the last migrate_to of a resource took, ms; 0 when there is none, as after a move that never began."""
    node = cib.find(f"status/node_state[@uname='{source}']//lrm_resource[@id='{name}']")
    done = None if node is None else node.find("lrm_rsc_op[@operation='migrate_to']")
    return 0.0 if done is None else float(done.get("exec-time", "0"))


def _constraints(cib: etree._Element, name: str) -> set[str]:
    return {str(each.get("id")) for each in cib.iterfind("configuration/constraints/*") if each.get("rsc") == name}

"""The truth table, walked exhaustively: every state of two nodes and three, every step the table allows, no law broken.

The world beside the table is as hostile as DESIGN.md's laws permit: any process may try any event at any moment,
libvirt may go on or break off, a guest's QEMU may die by itself, and a node may lose its power.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from hacluster.guard import table
from hacluster.guard.dlm import CR, EX, NL, PW, compatible

NONE, HALF, PAUSED, RUNNING = "no QEMU", "incoming", "arrived, paused", "running"
STALE = "arrived, paused, but its source has run on"
BACK_IN_TIME = "an old memory runs over a newer disk"
Move = tuple[int, int]  # target node, number of the move


class Node(NamedTuple):
    """One node: its mode, the move its seat or gate belongs to, its QEMU, whether that ended as the last step of a move
    (at its source), and whether the seal of an arrival came with its source's word (at its target)."""

    mode: int = NL
    move: Move | None = None
    qemu: str = NONE
    alive: bool = True
    ended: bool = False
    handed: bool = False


class World(NamedTuple):
    """All nodes and the resource's value block; `handed` is what it says once the source has let go; `moves` counts
    nonces, so that the walk ends."""

    nodes: tuple[Node, ...]
    block: Move | None = None
    handed: bool = False
    moves: int = 0


MOVES = 2


def put(world: World, index: int, **changes: object) -> World:
    nodes = list(world.nodes)
    nodes[index] = nodes[index]._replace(**changes)  # type: ignore[arg-type]  # a test's shorthand for any field
    return world._replace(nodes=tuple(nodes))


def runs(world: World, index: int) -> World:
    """The VM runs on a node: whatever copy of it waits elsewhere is behind from now on."""
    for i, node in enumerate(world.nodes):
        if i != index and node.qemu == PAUSED:
            world = put(world, i, qemu=STALE)
    return put(world, index, qemu=RUNNING)


def grantable(world: World, index: int, mode: int) -> bool:
    return all(compatible(node.mode, mode) for i, node in enumerate(world.nodes) if i != index)


def asks(table_: Callable[[int, str], object], world: World, index: int, event: str) -> table.Step | None:
    answer = table_(world.nodes[index].mode, event)
    return answer if isinstance(answer, table.Step) else None


def steps(world: World, step: Callable[[int, str], object] = table.step, proved: bool = True) -> Iterator[World]:
    """Every world one step away. `proved` False is a release that does not wait for proof."""
    for i, node in enumerate(world.nodes):
        if not node.alive:
            if any(other.alive for other in world.nodes):
                lost = node.mode in (PW, EX)  # the kernel marks the value block of a dead writer as not valid
                back = put(world, i, mode=NL, move=None, alive=True, ended=False, handed=False)
                yield back._replace(handed=world.handed and not lost)  # fenced, and back
            continue
        yield put(world, i, alive=False, qemu=NONE)  # power cut; its locks stay until it is fenced
        if node.qemu != NONE:
            yield put(world, i, qemu=NONE)  # killed, or shut down
        if node.qemu == NONE and asks(step, world, i, table.FRESH_START):
            yield runs(world, i)
        if (
            node.qemu in (PAUSED, STALE)
            and (found := asks(step, world, i, table.RESUME))
            and (node.handed or table.HANDED_OVER not in found.needs)
        ):
            yield put(world, i, qemu=BACK_IN_TIME) if node.qemu == STALE else runs(world, i)
        if node.qemu == NONE and node.move and asks(step, world, i, table.INCOMING):
            yield put(world, i, qemu=HALF)
        yield from libvirt(world, i)
        if all(other.alive for other in world.nodes):  # else nobody is answered until the dead node is fenced
            yield from locks(world, i, step, proved)


def libvirt(world: World, i: int) -> Iterator[World]:
    """A migration to node i completes: the copy is all here, the source's QEMU paused and soon gone, or resumed."""
    if world.nodes[i].qemu != HALF:
        return
    for s, source in enumerate(world.nodes):
        if s != i and source.qemu == RUNNING:
            done = put(world, i, qemu=PAUSED)
            yield runs(done, s)  # the reply to Finish is lost: the source goes on
            yield put(done, s, qemu=NONE, ended=source.mode == PW)


def locks(world: World, i: int, step: Callable[[int, str], object], proved: bool) -> Iterator[World]:
    node = world.nodes[i]
    if (found := asks(step, world, i, table.SEAL)) and grantable(world, i, EX):
        yield put(world, i, mode=found.mode)
    if (found := asks(step, world, i, table.OPEN_GATE)) and node.mode == EX and world.moves < MOVES:
        for target in range(len(world.nodes)):
            if target != i:
                move = (target, world.moves)
                opened = world._replace(block=move, handed=False, moves=world.moves + 1)
                yield put(opened, i, mode=found.mode, move=move, ended=False)
    if (found := asks(step, world, i, table.RESEAL)) and grantable(world, i, EX):
        yield put(world, i, mode=found.mode, move=None)
    if (found := asks(step, world, i, table.TAKE_SEAT)) and node.mode == NL and grantable(world, i, CR):
        named = world.block is not None and world.block[0] == i
        if named or table.GATE_NAMES_US not in found.needs:
            yield put(world, i, mode=found.mode, move=world.block)
    if (found := asks(step, world, i, table.SEAL_SEAT)) and grantable(world, i, EX):
        yield put(world, i, mode=found.mode, move=None, handed=world.handed and node.mode == CR)
    for event in (table.RELEASE, table.DROP_SEAT):
        free = node.qemu == NONE or not proved
        if (found := asks(step, world, i, event)) and (free or table.ABSENT not in found.needs):
            gone = put(world, i, mode=found.mode, move=None, ended=False, handed=False)
            yield gone._replace(handed=node.ended) if node.mode == PW else gone


def walk(size: int, **knobs: object) -> Iterator[World]:
    """Every world that can be reached from nothing, up to the first two running copies (then only that one)."""
    start = World(tuple(Node() for _ in range(size)))
    seen, todo = {start}, [start]
    while todo:
        world = todo.pop()
        yield world
        for following in steps(world, **knobs):  # type: ignore[arg-type]  # the knobs of `steps`
            if following not in seen:
                seen.add(following)
                todo.append(following)


def copies(world: World) -> int:
    return sum(node.qemu in (RUNNING, BACK_IN_TIME) for node in world.nodes)


def behind(world: World) -> bool:
    return any(node.qemu == BACK_IN_TIME for node in world.nodes)


@pytest.mark.parametrize(("size", "at_least"), [(2, 200), (3, 1000)])
def test_no_reachable_world_runs_two_copies(size: int, at_least: int) -> None:
    count = 0
    for world in walk(size):
        count += 1
        assert copies(world) <= 1, world
        assert not behind(world), world
    assert count > at_least, "the walk has become too small to say anything"


def test_sealed_excludes_gates_and_seats_elsewhere() -> None:
    for world in walk(3):
        held = [node.mode for node in world.nodes if node.mode != NL]
        assert EX not in held or held == [EX], world


def test_a_seat_is_always_of_the_move_that_the_last_gate_named() -> None:
    for world in walk(3):
        for index, node in enumerate(world.nodes):
            if node.mode == CR:
                assert node.move == world.block
                assert node.move is not None
                assert node.move[0] == index


def changed(**cells: table.Step) -> Callable[[int, str], object]:
    """The table with cells replaced, as `MODE_event` (spaces are underscores)."""
    modes = {"NL": NL, "CR": CR, "PW": PW, "EX": EX}
    other = {(modes[name[:2]], name[3:].replace("_", " ")): cell for name, cell in cells.items()}
    return lambda mode, event: other.get((mode, event)) or table.step(mode, event)


@pytest.mark.parametrize(
    "wrong",
    [
        changed(CR_fresh_start=table.Step(CR)),
        changed(CR_resume=table.Step(CR)),
        changed(NL_fresh_start=table.Step(NL)),
    ],
    ids=["a seat admits a fresh start", "a seat lets vCPUs run", "no lock admits a start"],
)
def test_the_walk_finds_two_copies_when_a_law_is_taken_away(wrong: Callable[[int, str], object]) -> None:
    assert any(copies(world) > 1 for world in walk(2, step=wrong))


def test_the_walk_finds_an_old_memory_over_a_newer_disk_when_an_arrival_runs_without_its_sources_word() -> None:
    assert any(behind(world) for world in walk(2, step=changed(EX_resume=table.Step(EX))))


def test_the_walk_finds_two_copies_when_a_release_needs_no_proof() -> None:
    assert any(copies(world) > 1 for world in walk(2, proved=False))


def test_every_mode_answers_every_event() -> None:
    assert {(mode, event) for mode in table.MODES for event in table.EVENTS} == set(table.TABLE)


def test_only_sealed_creates_a_qemu_of_its_own() -> None:
    for event in (table.FRESH_START, table.RESTORE, table.ATTACH, table.RESUME):
        allowed = [mode for mode in table.MODES if isinstance(table.step(mode, event), table.Step)]
        assert allowed == [EX], event


def test_whatever_ends_a_claim_needs_proof_of_absence() -> None:
    for (mode, event), answer in table.TABLE.items():
        if mode != NL and isinstance(answer, table.Step) and answer.mode == NL:
            assert table.ABSENT in answer.needs, (mode, event)

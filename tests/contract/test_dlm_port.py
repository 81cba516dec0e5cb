"""What the guard leans on in a lock manager: one suite over memory, the lab's stand-in, and the kernel's DLM.

The stand-in's server decides by the peer's address who speaks, so every "node" here is an address of loopback.
The kernel's DLM needs several real nodes: full virtual machines, where they are asked for.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hacluster.guard.dlm import (
    CR,
    EX,
    NL,
    NOQUEUE,
    ORPHAN,
    PERSISTENT,
    PW,
    VALBLK,
    Busy,
    NoLock,
    Port,
    Unknown,
    compatible,
)
from hacluster.guard.memory import Fabric, MemoryPort
from hacluster.guard.module import ModulePort
from hacluster.lab.dlm_client import StandIn
from hacluster.lab.machines.bed import Machines
from tests.vm import fencing
from tests.vm.remote import RemotePort

KEPT = NOQUEUE | PERSISTENT | VALBLK
BLOCK = bytes(range(32))
R = "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a001"


class World:
    """A way to be a process on node `n1` or `n2`, to cut a node's power, and to fence it."""

    def __init__(self, port: Callable[[str], Port], die: Callable[[str], None], fence: Callable[[str], None]) -> None:
        self.port = port
        self.die = die
        self.fence = fence


def in_memory() -> World:
    fabric = Fabric()
    return World(lambda node: MemoryPort(fabric, node), fabric.die, fabric.fence)


class Loopback(StandIn):
    """The lab's client, speaking from the loopback address that stands for its node."""

    def __init__(self, lockspace: str, server: tuple[str, int], address: str) -> None:
        super().__init__(lockspace)
        self._server = server
        self._address = address

    def connect(self, deadline: float) -> None:
        """As the lab's, but from this node's address and without its configuration file."""
        del deadline
        self._line = socket.create_connection(self._server, timeout=5, source_address=(self._address, 0))
        self._rest = b""


NODES = {"n1": "127.0.0.1", "n2": "127.0.0.2", "n3": "127.0.0.3"}


@contextmanager
def stand_in(directory: Path) -> Iterator[World]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = probe.getsockname()[:2]
    path = str(directory / "dlm.sock")
    known = ",".join(f"{address}={node}" for node, address in NODES.items())
    process = subprocess.Popen(
        [sys.executable, "-m", "hacluster.lab.dlm_server", path, f"{server[0]}:{server[1]}", known]
    )

    def tell(operation: str, node: str) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(path)
            line.sendall(json.dumps({"op": operation, "node": node}).encode() + b"\n")
            assert line.recv(4096)

    try:
        until = time.monotonic() + 10
        while not Path(path).exists() and time.monotonic() < until:
            time.sleep(0.02)
        yield World(
            lambda node: ModulePort(lambda lockspace: Loopback(lockspace, server, NODES[node]), "hacluster", 0.5),
            lambda node: tell("off", node),
            lambda node: tell("fenced", node),
        )
    finally:
        process.kill()
        process.wait()


@contextmanager
def kernels(bed: Machines) -> Iterator[World]:
    """The DLM of the virtual machines' kernels, in a lockspace of this test's own; dead nodes are set back."""
    lockspace = f"t{secrets.token_hex(4)}"
    dead: list[str] = []

    def die(node: str) -> None:
        dead.append(node)
        fencing.kill_without_fencing(bed, node)

    try:
        yield World(
            lambda node: RemotePort(bed, node, lockspace), die, lambda node: fencing.let_fencing_through(bed, node)
        )
    finally:
        if dead:
            bed.restore()
        else:
            for machine in bed.description.machines:
                with RemotePort(bed, machine.name, lockspace) as port:
                    port.leave()


@pytest.fixture(params=["memory", "stand-in", pytest.param("kernel", marks=pytest.mark.vm)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield in_memory()
    elif request.param == "kernel":
        with kernels(request.getfixturevalue("machines")) as made:
            yield made
    else:
        with stand_in(tmp_path) as made:
            yield made


@pytest.fixture
def n1(world: World) -> Iterator[Port]:
    with world.port("n1") as port:
        port.join()
        yield port


@pytest.fixture
def n2(world: World) -> Iterator[Port]:
    with world.port("n2") as port:
        port.join()
        yield port


def test_a_node_that_has_not_joined_gets_nothing(world: World) -> None:
    with world.port("n3") as stranger, pytest.raises(Unknown):
        stranger.lock(R, EX, KEPT)


@pytest.mark.parametrize("held", [NL, CR, PW, EX])
@pytest.mark.parametrize("wanted", [NL, CR, PW, EX])
def test_what_goes_together(n1: Port, n2: Port, held: int, wanted: int) -> None:
    n1.lock(R, held, KEPT)
    if compatible(held, wanted):
        n2.lock(R, wanted, KEPT)
    else:
        with pytest.raises(Busy):
            n2.lock(R, wanted, KEPT)


def test_a_second_request_of_the_same_node_is_refused_as_anybody_elses(world: World, n1: Port) -> None:
    n1.lock(R, EX, KEPT)
    with world.port("n1") as again, pytest.raises(Busy):
        again.lock(R, EX, KEPT)


def test_a_persistent_lock_outlives_its_process_and_is_adopted_by_its_node_and_mode(
    world: World, n1: Port, n2: Port
) -> None:
    with world.port("n1") as process:
        process.lock(R, EX, KEPT)
    with pytest.raises(Busy):
        n2.lock(R, EX, KEPT)
    with pytest.raises(NoLock):
        n2.lock(R, EX, KEPT | ORPHAN)
    with pytest.raises(Busy):
        n1.lock(R, PW, KEPT | ORPHAN)
    grant = n1.lock(R, EX, KEPT | ORPHAN)
    n1.unlock(grant.lkid)
    n2.lock(R, EX, KEPT)


def test_a_lock_without_persistent_goes_with_its_process(world: World, n1: Port, n2: Port) -> None:
    with world.port("n1") as process:
        process.lock(R, EX, NOQUEUE | VALBLK)
    n2.lock(R, EX, KEPT)


def test_nothing_to_adopt(n1: Port) -> None:
    with pytest.raises(NoLock):
        n1.lock(R, EX, KEPT | ORPHAN)


def test_the_value_is_written_on_the_way_down_and_read_by_a_new_lock_and_by_a_conversion(n1: Port, n2: Port) -> None:
    grant = n1.lock(R, EX, KEPT)
    n1.convert(grant.lkid, PW, KEPT, BLOCK)
    seat = n2.lock(R, CR, KEPT)
    assert seat.value == BLOCK
    assert n2.convert(seat.lkid, CR, KEPT).value == BLOCK


def test_the_value_of_a_resource_that_nobody_holds_is_empty(n1: Port, n2: Port) -> None:
    grant = n1.lock(R, EX, KEPT)
    n1.convert(grant.lkid, PW, KEPT, BLOCK)
    n1.unlock(grant.lkid)
    assert n2.lock(R, CR, KEPT).value == bytes(32)


def test_a_conversion_waits_for_the_others_and_leaves_the_lock_as_it_was(n1: Port, n2: Port) -> None:
    gate = n1.lock(R, PW, KEPT)
    seat = n2.lock(R, CR, KEPT)
    with pytest.raises(Busy):
        n2.convert(seat.lkid, EX, KEPT)
    with pytest.raises(Busy):
        n1.convert(gate.lkid, EX, KEPT)
    n1.unlock(gate.lkid)
    n2.convert(seat.lkid, EX, KEPT)
    with pytest.raises(Busy):
        n1.lock(R, CR, KEPT)


def test_an_unlocked_lock_is_gone(n1: Port) -> None:
    grant = n1.lock(R, EX, KEPT)
    n1.unlock(grant.lkid)
    with pytest.raises(NoLock):
        n1.unlock(grant.lkid)


def test_nobody_is_answered_between_a_nodes_death_and_its_fencing(world: World, n1: Port) -> None:
    with world.port("n2") as victim:
        victim.join()
        victim.lock(R, EX, KEPT)
    world.die("n2")
    with world.port("n1") as before, pytest.raises(Unknown):
        before.lock(R, EX, KEPT)
    world.fence("n2")
    with world.port("n1") as after:
        own(after)


def own(port: Port) -> None:
    """This node gets the lock now: by asking, or by an earlier request that was answered when nobody listened."""
    until = time.monotonic() + 60
    while True:
        try:
            port.lock(R, EX, KEPT | ORPHAN)
        except NoLock:
            with suppress(Busy):
                port.lock(R, EX, KEPT)
                return
        else:
            return
        assert time.monotonic() < until, "neither granted nor adopted"


def test_a_gate_of_a_fenced_node_goes_and_the_seat_stays(world: World, n1: Port) -> None:
    with world.port("n2") as source:
        source.join()
        grant = source.lock(R, EX, KEPT)
        source.convert(grant.lkid, PW, KEPT, BLOCK)
        seat = n1.lock(R, CR, KEPT)
        world.die("n2")
    world.fence("n2")
    n1.convert(seat.lkid, EX, KEPT)


def test_who_leaves_takes_its_locks_along(world: World, n1: Port, n2: Port) -> None:
    n1.lock(R, EX, KEPT)
    with world.port("n1") as other:
        other.leave()
    n2.lock(R, EX, KEPT)


def test_the_list_names_holder_and_mode(n1: Port, n2: Port) -> None:
    n1.lock(R, EX, KEPT)
    listed = n2.list()
    if listed is None:
        pytest.skip("this lock manager shows a node too little to name a holder")
    assert [(held.resource, held.node, held.mode) for held in listed] == [(R, "n1", EX)]

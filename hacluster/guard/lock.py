"""The run-lock of one VM on this node: the table's steps, carried out over a DLM port.

Each operation adopts what this node already holds, asks the table, and acts, in a child with a deadline, under the
VM's flock; so two processes of one node never mistake each other's locks for another node's. No handle and no flock
is ever held across a call to libvirt. The state file never claims more than the lock: raising changes the lock
first, lowering the file first, and a crash between the two is healed by the next adoption, which tries all modes.
An operation that takes a new lock leaves a file with mode NL before it asks, so that the sweep looks at that VM even
when the answer came only after the asking child had been given up.
"""

from __future__ import annotations

import fcntl
import os
import time

from hacluster.guard import state, table
from hacluster.guard.child import NotAllowed, in_child
from hacluster.guard.dlm import (
    CONFIG,
    CR,
    EX,
    MODE_NAMES,
    NL,
    NOQUEUE,
    ORPHAN,
    PERSISTENT,
    PW,
    VALBLK,
    Busy,
    Grant,
    NoLock,
    Port,
    Unknown,
    open_port,
)
from hacluster.guard.proof import ABSENT
from hacluster.guard.state import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from hacluster.guard.child import Runner
    from hacluster.guard.proof import Presence

KEPT = PERSISTENT | VALBLK
POLL = 0.02
"""Seconds between two tries of a seat's conversion: the guest is paused meanwhile."""
_LOST = "unknown"
"""Stands for the nonce of an arrival whose record was lost: that it is still to be let run must not get lost too."""


class RunLock:
    """The run-lock of `uuid`. Every method raises Busy, NotAllowed or Unknown; `timeout` is seconds.

    `runner` and `connect` are seams for the simulator and tests: how a child is run and a port is had.
    """

    def __init__(
        self,
        uuid: str,
        *,
        directory: str = "",
        runner: Runner = in_child,
        connect: Callable[[float], Port] | None = None,
        config: str = CONFIG,
    ) -> None:
        self.uuid = uuid
        self.directory = directory
        self._runner = runner
        self._connect = connect or (lambda timeout: open_port(config, timeout))

    def recorded(self) -> State:
        """The claim of the state file: never more than the lock, and no call to the lock manager."""
        return state.read(self.uuid, self.directory)

    def adopt(self, timeout: float) -> int:
        """The mode this node really holds; the state file is made to agree with it."""
        return int(self._operate(self._find, timeout))

    def seal(self, timeout: float) -> None:
        """NL→EX, for a fresh start, or EX found again. Busy names the holder if it can be seen."""
        self._operate(self._seal, timeout)

    def open_gate(self, target: str, nonce: str, source_boot: str, timeout: float) -> None:
        """EX→PW, with the value block that admits `target` for the move `nonce`. Idempotent for the same move."""

        def work(port: Port, deadline: float) -> str:
            mode, grant = self._adopt(port)
            self._allowed(mode, table.OPEN_GATE)
            before = self.recorded()
            if mode == PW and (before.target, before.nonce) != (target, nonce):
                raise NotAllowed(f"its gate is open to {before.target or 'another node'}; it is resealed first")
            state.remove(state.path(self.uuid, ".ended", self.directory))
            state.write(self.uuid, State(PW, nonce, target), self.directory)
            port.convert(grant, PW, NOQUEUE | KEPT, state.encode(target, nonce, source_boot))
            return ""

        self._operate(work, timeout)

    def reseal(self, timeout: float) -> None:
        """PW→EX; granted only when no seat is left anywhere, which is what makes another target thinkable."""
        self._raise(table.RESEAL, timeout)

    def seal_seat(self, timeout: float) -> None:
        """CR→EX, tried every 20 ms until `timeout`: granted once the source's gate has gone, by proof or fencing.

        Whether the copy may then run is in the record: `handed`. A child that dies between lock and record leaves
        no: the value block could be read again, but nobody could tell any more that it is the one of this grant.
        """
        self._raise(table.SEAL_SEAT, timeout)

    def take_seat(self, node: str, nonce: str, timeout: float) -> None:
        """NL→CR for the move `nonce`, if the gate is open to this node for it. Idempotent for the same nonce."""

        def work(port: Port, deadline: float) -> str:
            mode, lkid = self._adopt(port)
            self._allowed(mode, table.TAKE_SEAT)
            if state.resuming(self.uuid, self.directory):
                raise NotAllowed("this node is still about to resume an earlier arrival of it; try again in a minute")
            if mode == NL:
                self._begin()
                grant = self._new(port, CR)
                lkid = grant.lkid
            else:
                grant = port.convert(lkid, CR, NOQUEUE | KEPT)
            if not state.admits(grant.value, node, nonce):
                if mode == NL:
                    port.unlock(lkid)
                    state.forget(self.uuid, self.directory)
                raise NotAllowed("no gate is open to this node for this move")
            state.write(self.uuid, State(CR, nonce, node), self.directory)
            return ""

        self._operate(work, timeout)

    def adopt_arrival(self, timeout: float) -> int:
        """For a copy that arrived and of whose seat there is no record: the mode held here, else EX if it is free.

        A seal had in this way does not say whether the copy may run. That stands in the record before anything else is
        done, so that whoever goes on after a crash here does not take the copy for a guest that an operator paused.
        """

        def work(port: Port, deadline: float) -> str:
            if self.recorded().mode == NL:
                state.write(self.uuid, State(NL, _LOST), self.directory)
            mode, _ = self._adopt(port)
            if mode == NL:
                self._allowed(mode, table.SEAL)
                self._new(port, EX)
                mode = EX
            claim = self.recorded()
            if claim.mode != mode:
                state.write(self.uuid, State(mode, claim.nonce, claim.target), self.directory)
            return str(mode)

        return int(self._operate(work, timeout))

    def settle(self, nonce: str) -> None:
        """The arrival of the move `nonce` runs, sealed: forget the nonce, which said that its resume was still to come.

        Another move's arrival is left alone: whoever comes late here speaks of one that has left again.
        """
        with self._flock(time.monotonic() + 1.0):
            claim = self.recorded()
            if claim.mode == EX and claim.nonce == nonce:
                state.write(self.uuid, State(EX), self.directory)

    def drop_seat(self, prove: Callable[[], Presence], timeout: float) -> None:
        """CR→NL with proof of absence."""
        self._give_back(table.DROP_SEAT, prove, timeout)

    def ended(self) -> None:
        """Note that this node's QEMU ended as the last step of the move that its gate is open for: after the copy was
        taken it never ran again. Only who saw the whole move may say so."""
        claim = self.recorded()
        if claim.mode == PW and claim.nonce:
            note = {"nonce": claim.nonce, "target": claim.target}
            state.write_pairs(state.path(self.uuid, ".ended", self.directory), note)

    def release(self, prove: Callable[[], Presence], timeout: float) -> None:
        """Whatever is held → NL, in this order: adopt, prove, unlock. `prove` may not call libvirt: its answer was
        fetched before, and whatever starts after that answer leaves a marker that the proof sees.

        A gate is handed over if `ended` was noted for its move, whoever releases it; else the seat behind it is void.
        """
        self._give_back(table.RELEASE, prove, timeout)

    # ---- what happens in the child

    def _operate(self, body: Callable[[Port, float], str], timeout: float) -> str:
        def work() -> str:
            # A little earlier than the parent's, so that it hears who stands against it rather than nothing.
            deadline = time.monotonic() + timeout - min(0.5, timeout / 4)
            with self._flock(deadline), self._connect(timeout) as port:
                return body(port, deadline)

        return self._runner(work, timeout)

    def _flock(self, deadline: float) -> TextIO:
        """The VM's lock file, locked until it is closed. Raises Unknown when another process keeps it."""
        path = state.path(self.uuid, ".lock", self.directory)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        file = open(path, "w", encoding="ascii")  # noqa: SIM115 - the caller closes
        while True:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                if time.monotonic() + 0.05 > deadline:
                    file.close()
                    raise Unknown("another process of this node is at this lock") from None
                time.sleep(0.01)

    def _adopt(self, port: Port) -> tuple[int, int]:
        """The mode this node holds and the lock's id; (NL, 0) when it holds none."""
        first = self.recorded().mode
        order = [first] if first != NL else []
        for mode in order + [mode for mode in (EX, PW, CR) if mode != first]:
            try:
                return mode, port.lock(self.uuid, mode, NOQUEUE | KEPT | ORPHAN).lkid
            except NoLock:
                return NL, 0
            except Busy:
                continue
        raise Unknown("this node's lock is in the hands of another of its processes")

    def _find(self, port: Port, deadline: float) -> str:
        mode, _ = self._adopt(port)
        claim = self.recorded()
        if mode == NL:
            state.forget(self.uuid, self.directory)
        elif claim.mode != mode:
            # Lowered by a release that died: what was recorded of an arrival still holds. Else it is another lock's.
            handed = claim.handed and (claim.mode, mode) == (NL, EX)
            state.write(self.uuid, State(mode, claim.nonce, claim.target, handed=handed), self.directory)
        return str(mode)

    def _seal(self, port: Port, deadline: float) -> str:
        mode, _ = self._adopt(port)
        self._allowed(mode, table.SEAL)
        if mode == NL:
            self._begin()
            self._new(port, EX)
        if self.recorded().mode != EX:
            state.write(self.uuid, State(EX), self.directory)
        return ""

    def _begin(self) -> None:
        state.write(self.uuid, State(NL), self.directory)

    def _new(self, port: Port, mode: int) -> Grant:
        try:
            return port.lock(self.uuid, mode, NOQUEUE | KEPT)
        except Busy:
            state.forget(self.uuid, self.directory)
            raise Busy(self._holders(port)) from None

    def _raise(self, event: str, timeout: float) -> None:
        def work(port: Port, deadline: float) -> str:
            mode, lkid = self._adopt(port)
            self._allowed(mode, event)
            value = None
            while mode != EX:
                try:
                    value = port.convert(lkid, EX, NOQUEUE | KEPT).value
                    break
                except Busy:
                    if time.monotonic() + 2 * POLL > deadline:
                        raise Busy(self._holders(port)) from None
                    time.sleep(POLL)
            claim = self.recorded()
            if claim.mode != EX:
                if event == table.SEAL_SEAT:
                    nonce = "" if claim.nonce == _LOST else claim.nonce
                    arrival = State(EX, nonce or _LOST, handed=state.handed_over(value, nonce))
                    state.write(self.uuid, arrival, self.directory)
                else:
                    state.write(self.uuid, State(EX), self.directory)
            return ""

        self._operate(work, timeout)

    def _give_back(self, event: str, prove: Callable[[], Presence], timeout: float) -> None:
        def work(port: Port, deadline: float) -> str:
            mode, lkid = self._adopt(port)
            if mode == NL:
                state.forget(self.uuid, self.directory)
                return ""
            self._allowed(mode, event)
            claim = self.recorded()
            state.write(self.uuid, State(NL, claim.nonce, claim.target, handed=claim.handed), self.directory)
            found = prove()
            if found.verdict != ABSENT:
                state.write(self.uuid, State(mode, claim.nonce, claim.target, handed=claim.handed), self.directory)
                raise NotAllowed(f"its absence is not proved: {found.evidence}")
            note = state.read_pairs(state.path(self.uuid, ".ended", self.directory)) or {}
            if mode == PW and note.get("nonce") and claim.nonce in ("", note["nonce"]):
                handed = state.encode_handed_over(note.get("target", ""), note["nonce"], state.boot_id())
                port.convert(lkid, PW, NOQUEUE | KEPT, handed)
            port.unlock(lkid)
            state.forget(self.uuid, self.directory)
            return ""

        self._operate(work, timeout)

    def _allowed(self, mode: int, event: str) -> None:
        answer = table.step(mode, event)
        if isinstance(answer, table.Refusal):
            raise NotAllowed(f"this node {answer.reason}")

    def _holders(self, port: Port) -> str:
        """Who holds it, as the end of a sentence. For people only: it may have changed already."""
        try:
            held = port.list()
        except Unknown:
            held = None
        names = [f"{lock.node} ({MODE_NAMES[lock.mode]})" for lock in held or () if lock.resource == self.uuid]
        others = sorted(name for name in names)
        return "held by " + ", ".join(others) if others else "held by another node"

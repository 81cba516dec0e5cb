"""The questions that several operations ask about a VM on this node, with libvirt's part under a deadline."""

from __future__ import annotations

import os
import time

from hacluster.guard import proof, state
from hacluster.guard.dlm import EX, DlmError, joined
from hacluster.guard.lock import RunLock
from resource_agents import codes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hacluster.guard.child import Result
    from hacluster.guard.proof import Presence
    from resource_agents.vm import Deadline, Sight, Vm

ASK = 8.0
"""Seconds libvirt gets for a plain question. It answers in 15 ms, but hooks of a starting domain delay it."""
LOCK = 5.0
"""Seconds a single lock operation gets before its outcome counts as unknown."""


def virsh(vm: Vm, timeout: float, *arguments: str) -> Result:
    """One virsh against this node's libvirt; code None when it did not end in time."""
    from hacluster.guard.child import run

    return run(["virsh", "-q", "-c", vm.uri, *arguments], timeout)


def together(timeout: float, *commands: Sequence[str]) -> list[Result]:
    """Several programs at once, each within `timeout` seconds; code None where one did not end."""
    from hacluster.guard.child import Command

    begun, until = [Command(argv) for argv in commands], time.monotonic() + timeout
    for command in begun:
        if not command.wait(until - time.monotonic()):
            command.kill()
    return [command.result() for command in begun]


def complaint(result: Result) -> str:
    """What virsh complained about, on one line."""
    if result.code is None:
        return "libvirt did not answer in time"
    lines = [line.removeprefix("error: ").strip() for line in result.err.splitlines() if line.strip()]
    return " ".join(lines) or f"virsh ended with {result.code}"


def resume(uri: str, uuid: str, timeout: float, nonce: str) -> Result | None:
    """virsh resume of a guest that is sealed here and, with a `nonce`, is still that move's arrival; None if it is not.

    Marked first, and the record read then: a resume that comes late would let the next arrival run under its seat.
    """
    from hacluster.guard.child import run

    suffix = f".resuming.{os.getpid()}"
    state.mark(uuid, suffix, os.getpid())
    claim = state.read(uuid)
    if claim.mode != EX or claim.nonce != nonce:
        state.remove(state.path(uuid, suffix))
        return None
    result = run(["virsh", "-q", "-c", uri, "resume", uuid], timeout)
    if result.code is not None:  # else libvirt may still do it
        state.remove(state.path(uuid, suffix))
    return result


def waits(uuid: str) -> bool:
    """Whether the copy of the move that this node's gate is, or was lately, open for waits for the seal.

    The note is the last move's from here: a move of the other kind takes it away, and so does the VM's leaving.
    """
    note, claim = state.read_pairs(state.path(uuid, ".waits")) or {}, state.read(uuid)
    sealed = claim.mode == EX and not claim.nonce
    return "nonce" in note and (sealed or note["nonce"] == claim.nonce)


def go_on(uri: str, uuid: str, sight: Sight, timeout: float) -> None:
    """Resume a guest that a broken move left paused on its source. Only under the seal: no copy waits elsewhere then.

    A copy that libvirt lets run by itself (handover=running) may have run, and have ended again: then it is the source
    that is behind, and is left to people. A guest that an operator paused has another reason in libvirt's status and
    stays as it is.
    """
    if sight.alive and (sight.state, sight.reason) == ("paused", "migration") and not sight.job:
        if waits(uuid):
            resume(uri, uuid, timeout, "")
        else:
            codes.log(
                uuid, "stays paused: its copy may have run; stop and start it afresh (hactl vm stop)", warning=True
            )


def presence(vm: Vm, timeout: float, ended: bool = False) -> Presence:
    """Whether this node runs the VM. libvirt is asked only if nothing else shows that it does."""
    seen = proof.scan()
    if evidence := proof.here(vm.uuid, seen):
        return proof.Presence(proof.PRESENT, evidence)
    active = None if ended else proof.active_uuids(vm.uri, timeout)
    return proof.presence(vm.uuid, active, seen, ended=ended)


def await_verdict(vm: Vm, deadline: Deadline, keep: float, ended: bool = False) -> Presence:
    """Ask until the answer is no longer UNKNOWN, or until only `keep` seconds are left."""
    while True:
        found = presence(vm, deadline.left(ASK, keep), ended)
        if found.verdict != proof.UNKNOWN or deadline.over(keep + 1):
            return found
        time.sleep(0.5)


def give_back(vm: Vm, timeout: float, ended: bool = False) -> bool:
    """Release whatever lock this node holds on the VM, with proof. Best effort: False and a log line otherwise.

    libvirt is asked before the lock is touched; what starts after its answer shows itself to the proof. A node that
    has not joined the lockspace holds nothing there. What ends in a move is given back by the move's own agent, which
    alone knows whether that is a hand-over.
    """
    if not joined():
        return True
    if state.in_flight(vm.uuid, ".moving"):
        return False
    active = None if ended else proof.active_uuids(vm.uri, min(ASK, timeout))
    try:
        RunLock(vm.uuid).release(lambda: proof.presence(vm.uuid, active, ended=ended), min(LOCK, timeout))
    except DlmError as problem:
        codes.log(vm.name, f"its run-lock stays with {vm.node} for now: {problem}", warning=True)
        return False
    return True

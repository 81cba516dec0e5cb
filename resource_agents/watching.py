"""What a monitor does when the guest is not simply running and sealed.

For Pacemaker these count as running: a guest that an operator paused, one that QEMU paused because its disk had an
I/O error or was full (a restart would lose its memory and cure nothing; it is logged each time and shown by hactl
status), one that is shutting down, sleeping, or moving away. These are failures: crashed or panicked, a QEMU stopped
by a signal, an incoming copy whose move is not finished, and a guest whose run-lock another node holds.
"""

from __future__ import annotations

import time

from hacluster.guard import proof
from hacluster.guard.dlm import CR, EX, NL, PW, Busy, DlmError, Unknown
from hacluster.guard.lock import RunLock
from resource_agents import codes
from resource_agents.codes import Failed
from resource_agents.presence import ASK, LOCK, complaint, give_back, go_on, presence, resume
from resource_agents.vm import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.vm import Deadline, Sight, Vm

SETTLE = 3.0
"""Seconds a start or stop that is just under way gets to become visible."""


def examine(vm: Vm, deadline: Deadline) -> int:
    """A monitor's exit code, with all the time the operation has."""
    patience = time.monotonic() + SETTLE
    while True:
        seen = proof.scan()
        if vm.uuid in seen.by_uuid:
            sight = look(vm.name, vm.uuid)
            if sight.alive or time.monotonic() > patience:
                return present(vm, sight, seen.by_uuid[vm.uuid][0], deadline)
        else:
            found = presence(vm, deadline.left(ASK))
            if found.verdict == proof.ABSENT:
                give_back(vm, deadline.left(LOCK))
                return codes.NOT_RUNNING
            if found.verdict == proof.UNKNOWN or time.monotonic() > patience:
                raise Failed(f"whether {vm.name} runs on {vm.node} is {found.verdict.lower()}: {found.evidence}")
        time.sleep(0.2)


def present(vm: Vm, sight: Sight, process: proof.Process, deadline: Deadline) -> int:
    """A QEMU of it lives here: is it sealed, and is its guest all right?"""
    if process.state in ("T", "t"):
        raise Failed(f"the QEMU of {vm.name} (pid {process.pid}) is stopped by a signal")
    lock = RunLock(vm.uuid)
    mode = lock.recorded().mode
    if mode == NL:
        try:
            mode = lock.adopt(LOCK)
            if mode == NL:
                lock.seal(LOCK)
                mode = EX
        except DlmError as problem:
            raise Failed(f"{vm.name} runs on {vm.node} without its run-lock: {problem}") from problem
    if mode == PW and "migration out" not in sight.job:
        _close_gate(vm, lock, sight)
    if mode == CR:
        claim_seat(vm, lock, sight, LOCK)
    finish_handover(vm, lock, sight, deadline)
    if mode == EX:  # whoever sealed it again may not have been able to let it go on: libvirt was dead, say
        go_on(vm.uri, vm.uuid, sight, ASK)
    return judge(vm, look(vm.name, vm.uuid))


def _close_gate(vm: Vm, lock: RunLock, sight: Sight) -> None:
    """A gate that a broken move left open. A seat may still stand against it: the guest runs here all the same."""
    try:
        lock.reseal(0.5)
        codes.log(vm.name, "a gate left open by an unfinished move is sealed again")
        go_on(vm.uri, vm.uuid, sight, ASK)
    except DlmError as problem:
        codes.log(vm.name, f"runs here with its gate open: {problem}", warning=True)


def claim_seat(vm: Vm, lock: RunLock, sight: Sight, timeout: float) -> None:
    """CR→EX for a copy that has arrived. Raises Failed while the other side may still run it, or it is half here."""
    if not sight.complete:
        raise Failed(f"{vm.name} is only arriving on {vm.node}: its memory is not complete")
    try:
        lock.seal_seat(timeout)
    except Busy as problem:
        raise Failed(f"a copy of {vm.name} waits on {vm.node}, but its run-lock is {problem}") from problem
    except Unknown as problem:
        raise Failed(f"a copy of {vm.name} waits on {vm.node}; who may run it is unknown: {problem}") from problem


def finish_handover(vm: Vm, lock: RunLock, sight: Sight, deadline: Deadline) -> None:
    """Let a sealed arrival run. The nonce in the state file says that this is still to be done.

    One that its source did not hand over is destroyed: it is started afresh. One that runs already does so under
    QEMU's own disk lock.
    """
    claim = lock.recorded()
    if claim.mode != EX or not claim.nonce:
        return
    if not claim.handed and sight.state != "running":
        from resource_agents.arriving import discard

        raise Failed(discard(vm.name, vm.uuid, vm.uri) or f"the record of {vm.name} has changed meanwhile")
    if not sight.complete:
        raise Failed(f"{vm.name} is sealed on {vm.node}, but its memory never arrived completely; stop it")
    if sight.state == "paused" and not sight.stay_paused:
        result = resume(vm.uri, vm.uuid, deadline.left(ASK), claim.nonce)
        sight = look(vm.name, vm.uuid)
        if sight.state != "running":
            said = complaint(result) if result else "its record has changed meanwhile"
            raise Failed(f"{vm.name} arrived on {vm.node} and is sealed, but does not resume: {said}")
    lock.settle(claim.nonce)


def judge(vm: Vm, sight: Sight) -> int:
    """The exit code for a sealed guest in this state."""
    if not sight.alive:
        raise Failed(f"a QEMU of {vm.name} lives on {vm.node}, but libvirt does not know it (restart libvirtd)")
    if sight.state == "crashed" or sight.reason in ("crashed", "panicked"):
        raise Failed(f"{vm.name} has crashed ({sight.state}/{sight.reason})")
    if sight.state == "paused" and sight.reason == "ioerror":
        codes.log(vm.name, "is paused by an I/O error; when the storage is well again: virsh resume", warning=True)
    if sight.state == "paused" and sight.reason == "post-copy failed":
        raise Failed(f"{vm.name} lost its memory in a failed post-copy move")
    return codes.SUCCESS

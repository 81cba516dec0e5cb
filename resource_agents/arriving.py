"""Agent migrate_from: the seat becomes the seal once the source's gate has gone, and only then the guest goes on.

And only if the source handed it over. If it was fenced, or its guest had been let go on after a broken hand-over and
ended later, the copy here is an old memory over a newer disk: it is destroyed, and the VM starts afresh.

Idempotent: Pacemaker runs it again after a cleanup, on whatever is there. The guest is paused meanwhile, so the
common path asks nobody: libvirt's status file and /proc say that the copy is here and complete.
"""

from __future__ import annotations

import os
import time

from hacluster.guard import proof, state
from hacluster.guard.child import run
from hacluster.guard.dlm import CR, EX, NL, PW, Busy, DlmError
from hacluster.guard.lock import RunLock
from resource_agents import codes
from resource_agents.codes import Failed
from resource_agents.presence import ASK, LOCK, complaint, give_back, presence, resume, virsh
from resource_agents.sweep import URI, sweep_one
from resource_agents.vm import LIBVIRT_RUN, look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.vm import Deadline, Sight, Vm

WATCH = 0.02
"""Seconds between two looks at the time stamp of libvirt's status file."""
STILL = 0.2
"""Seconds between two looks at a QEMU that is stopped by a signal."""
SLICE = 5.0
"""Seconds one child polls for the seal before another takes over: no child outlives its use by more."""
PATIENCE = 45.0
"""Seconds of hearing that the source keeps its gate before a copy that waits here is given up: longer than migrate_to
looks at both sides after the copy, and than two sweeps there. The guest is at the source, whose gate cannot close
while we wait. Time in which nothing is heard does not count: the source may have let go already."""


def migrate_from(vm: Vm, deadline: Deadline) -> int:
    """Take the VM over from `vm.source`. 0 when it runs here, sealed."""
    sight = look(vm.name, vm.uuid)
    while sight.stands_still and not deadline.over(1.0):  # the only copy of the guest's memory, perhaps being dumped
        time.sleep(STILL)
        sight = look(vm.name, vm.uuid)
    if not sight.alive:
        return _nothing_here(vm, deadline)
    lock = RunLock(vm.uuid)
    _seal(vm, lock, deadline)
    if not sight.complete:
        sight = look(vm.name, vm.uuid)
    if not sight.complete:
        return _half(vm, deadline)
    if not lock.recorded().handed and lock.recorded().nonce and sight.state != "running":
        raise Failed(discard(vm.name, vm.uuid, vm.uri) or f"the record of {vm.name} has changed meanwhile; once more")
    if sight.state == "paused" and not sight.stay_paused:
        sight = _resume(vm, deadline)
    lock.settle(lock.recorded().nonce)
    codes.log(vm.name, f"arrived on {vm.node} from {vm.source}, sealed, {sight.state}")
    return codes.SUCCESS


def _seal(vm: Vm, lock: RunLock, deadline: Deadline) -> None:
    """Wait for the seal until the operation's deadline: the source's gate goes by proof, or by its fencing."""
    mode = lock.recorded().mode
    while mode != EX:
        try:
            if mode == NL:
                mode = lock.adopt_arrival(deadline.left(LOCK))
            if mode not in (CR, EX):
                what = "its gate is open here" if mode == PW else "it has no seat here"
                raise Failed(f"{vm.name} is on {vm.node}, but {what}; it is not resumed")
            lock.seal_seat(deadline.left(SLICE))
            mode = EX
        except DlmError as problem:
            if deadline.over(1.0):
                why = "its run-lock is " if isinstance(problem, Busy) else ""
                raise Failed(f"{vm.name} waits on {vm.node}, paused: {why}{problem}") from problem


def _resume(vm: Vm, deadline: Deadline) -> Sight:
    result = resume(vm.uri, vm.uuid, deadline.left(ASK), RunLock(vm.uuid).recorded().nonce)
    sight = look(vm.name, vm.uuid)
    if sight.state != "running":
        said = complaint(result) if result else "its record has changed meanwhile"
        raise Failed(f"{vm.name} is sealed on {vm.node}, but does not resume: {said}")
    return sight


def _half(vm: Vm, deadline: Deadline) -> int:
    """We have the seal, so the source is gone, and the memory here never became complete: nothing to save."""
    virsh(vm, deadline.left(ASK), "destroy", vm.uuid)
    give_back(vm, deadline.left(LOCK))
    raise Failed(f"{vm.name} arrived on {vm.node} only in part; its copy is destroyed and {vm.name} starts afresh")


def attend(vm_name: str, uuid: str) -> None:
    """Finish an arrival from the hook's background, without waiting for Pacemaker to ask: the guest is paused.

    Ends by itself when the copy has gone, or the seat has. Whatever it leaves undone, migrate_from, a monitor or the
    sweep finds; they all do the same, and the record under the seal says whether the copy may run.
    """
    state.mark(uuid, ".attended", os.getpid())
    lock, changed = RunLock(uuid), 0
    while lock.recorded().mode == CR:
        time.sleep(WATCH)
        try:
            now = os.stat(f"{LIBVIRT_RUN}/{vm_name}.xml").st_mtime_ns
        except FileNotFoundError:
            if changed:
                return
            continue
        if now == changed:
            continue
        changed = now
        sight = look(vm_name, uuid)
        if not sight.complete:
            continue
        if sight.alive:
            _finish(vm_name, uuid, lock)
        return


def _finish(vm_name: str, uuid: str, lock: RunLock) -> None:
    """Seal as soon as the source has let go; then resume, or destroy what was not handed over."""
    kept = 0.0
    while lock.recorded().mode == CR:
        try:
            lock.seal_seat(SLICE)
        except Busy as problem:
            codes.log(vm_name, f"has arrived and waits for its run-lock: {problem}")
            kept += SLICE
            if kept > PATIENCE and look(vm_name, uuid).state == "paused":
                discard(vm_name, uuid)
                return
        except DlmError as problem:
            codes.log(vm_name, f"has arrived and waits for its run-lock: {problem}")
            time.sleep(1.0)
        if not look(vm_name, uuid).alive:
            return
    claim, sight = lock.recorded(), look(vm_name, uuid)
    if claim.mode != EX or not claim.nonce or not sight.alive:
        return
    if not claim.handed and sight.state != "running":
        discard(vm_name, uuid)
        return
    if sight.state == "paused" and not sight.stay_paused:
        resume(URI, uuid, ASK, claim.nonce)
        sight = look(vm_name, uuid)
    if sight.stay_paused or sight.state == "running":
        lock.settle(claim.nonce)
        codes.log(vm_name, f"has arrived, is sealed and {sight.state}")


def discard(vm_name: str, uuid: str, uri: str = URI) -> str:
    """Destroy a paused copy that must not run, and give its lock back; the sentence that says so.

    Nothing, and an empty text, where the record says by now that it was handed over, or that it runs.
    """
    claim = state.read(uuid)
    if claim.mode == EX and (claim.handed or not claim.nonce):
        return ""
    sentence = f"{vm_name} arrived on {state.node_name()}, but its source did not hand it over; its copy is destroyed"
    codes.log(vm_name, sentence, warning=True)
    run(["virsh", "-q", "-c", uri, "destroy", uuid], ASK)
    sweep_one(uuid)
    return sentence


def _nothing_here(vm: Vm, deadline: Deadline) -> int:
    found = presence(vm, deadline.left(ASK))
    if found.verdict == proof.ABSENT:
        give_back(vm, deadline.left(LOCK))
    raise Failed(f"{vm.name} did not arrive on {vm.node}: {found.evidence}")

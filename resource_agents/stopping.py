"""Agent stop: the guest is asked, then its domain destroyed, then its QEMU ended; success needs proof of absence.

Trouble with the lock manager alone never fails a stop: a lock that could not be given back is swept later. An
unknown outcome fails it, and Pacemaker fences the node.
"""

from __future__ import annotations

import time

from hacluster.guard import proof, state
from hacluster.guard.dlm import CR
from resource_agents import codes
from resource_agents.codes import Failed
from resource_agents.presence import ASK, LOCK, await_verdict, give_back, presence, virsh
from resource_agents.vm import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.vm import Deadline, Vm

RESEND = 4.0
"""Seconds between two presses of the guest's power button: one that came during boot or shutdown is lost."""
KILL = 10.0
"""Seconds kept for destroy and kill."""
DESTROY = 6.0
"""Seconds libvirt gets for a destroy before its QEMU is ended."""


def stop(vm: Vm, deadline: Deadline) -> int:
    """Bring the VM down here. 0 only with proof that nothing of it is left.

    Until its lock is given back this node may start the VM, and a virsh create does: what comes up meanwhile is ended
    like what was there, but its guest is not asked.
    """
    keep = min(KILL, deadline.left() / 3)
    if presence(vm, deadline.left(ASK, keep)).verdict == proof.PRESENT:
        _ask_guest(vm, deadline, keep)
    ended = False
    while True:
        ended = _force(vm, deadline, ended)
        found = await_verdict(vm, deadline, 1.0, ended)
        if found.verdict == proof.ABSENT:
            again = "" if give_back(vm, deadline.left(LOCK), ended) else proof.here(vm.uuid, proof.scan())
            if not again:
                codes.log(vm.name, f"stopped on {vm.node}: {found.evidence}")
                return codes.SUCCESS
            found = proof.Presence(proof.PRESENT, again)
        if found.verdict == proof.UNKNOWN or deadline.over(1.0):
            raise Failed(f"{vm.name} is not proved to be stopped on {vm.node}: {found.evidence}")
        time.sleep(0.1)


def _ask_guest(vm: Vm, deadline: Deadline, keep: float) -> None:
    """The power button (or the guest's agent, if shutdown_mode says so), pressed again and again until the budget is
    spent or that very QEMU has ended. Nothing for a guest that cannot react: a paused one, or a copy that waits for
    the end of its move."""
    sight = look(vm.name, vm.uuid)
    if vm.force_stop or state.read(vm.uuid).mode == CR or sight.state == "paused" or not sight.alive:
        return
    until = time.monotonic() + min(vm.stop_budget, deadline.left(keep=keep))
    pressed = 0.0
    while time.monotonic() < until and not deadline.over(keep):
        now = look(vm.name, vm.uuid)
        if not now.alive or (now.pid, now.start) != (sight.pid, sight.start):
            return
        if time.monotonic() - pressed >= RESEND:
            pressed = time.monotonic()
            virsh(vm, min(RESEND, until - pressed + 0.1), "shutdown", vm.uuid, "--mode", vm.shutdown_mode)
        time.sleep(0.1)
    codes.log(vm.name, f"did not shut down within {vm.stop_budget:.0f} s and is destroyed", warning=True)


def _force(vm: Vm, deadline: Deadline, ended: bool) -> bool:
    """Destroy what is left; if libvirt cannot, kill its QEMU. True when the last QEMU here ended by our own kill: of
    this call, or of an earlier one (`ended`) if there has been none since."""
    seen = proof.scan()
    if not proof.here(vm.uuid, seen):
        return ended
    before = {process.pid for process in seen.by_uuid.get(vm.uuid, [])}
    virsh(vm, min(DESTROY, deadline.left() * 0.6), "destroy", vm.uuid)
    left = proof.scan().by_uuid.get(vm.uuid, [])
    stubborn = [process for process in left if process.pid in before]
    if not stubborn:
        return ended and not before and not left
    codes.log(vm.name, f"libvirt does not destroy it; its QEMU is killed (pid {stubborn[0].pid})", warning=True)
    return all([proof.kill(process, vm.uuid, deadline.left(5.0, 1.0)) for process in stubborn])

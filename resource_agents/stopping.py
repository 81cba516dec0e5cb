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
    """Bring the VM down here. 0 only with proof that nothing of it is left."""
    keep = min(KILL, deadline.left() / 3)
    found = presence(vm, deadline.left(ASK, keep))
    ended = False
    if found.verdict == proof.PRESENT:
        _ask_guest(vm, deadline, keep)
        ended = _force(vm, deadline)
    found = await_verdict(vm, deadline, 1.0, ended)
    while found.verdict == proof.PRESENT and not deadline.over(1.0):
        time.sleep(0.1)
        found = presence(vm, deadline.left(ASK), ended)
    if found.verdict != proof.ABSENT:
        raise Failed(f"{vm.name} is not proved to be stopped on {vm.node}: {found.evidence}")
    give_back(vm, deadline.left(LOCK), ended)
    codes.log(vm.name, f"stopped on {vm.node}: {found.evidence}")
    return codes.SUCCESS


def _ask_guest(vm: Vm, deadline: Deadline, keep: float) -> None:
    """The power button (or the guest's agent, if shutdown_mode says so), pressed again and again until the budget is
    spent. Nothing for a guest that cannot react: a paused one, or a copy that waits for the end of its move."""
    sight = look(vm.name, vm.uuid)
    if vm.force_stop or state.read(vm.uuid).mode == CR or sight.state == "paused" or not sight.alive:
        return
    until = time.monotonic() + min(vm.stop_budget, deadline.left(keep=keep))
    pressed = 0.0
    while time.monotonic() < until and not deadline.over(keep):
        now = look(vm.name, vm.uuid)
        if not now.alive:
            return
        if time.monotonic() - pressed >= RESEND:
            pressed = time.monotonic()
            virsh(vm, min(RESEND, until - pressed + 0.1), "shutdown", vm.uuid, "--mode", vm.shutdown_mode)
        time.sleep(0.1)
    codes.log(vm.name, f"did not shut down within {vm.stop_budget:.0f} s and is destroyed", warning=True)


def _force(vm: Vm, deadline: Deadline) -> bool:
    """Destroy what is left; if libvirt cannot, kill its QEMU. True when a QEMU ended by our own kill."""
    if not proof.here(vm.uuid, proof.scan()):
        return False
    virsh(vm, deadline.left(DESTROY), "destroy", vm.uuid)
    left = proof.scan().by_uuid.get(vm.uuid, [])
    if not left:
        return False
    codes.log(vm.name, f"libvirt does not destroy it; its QEMU is killed (pid {left[0].pid})", warning=True)
    return all([proof.kill(process, vm.uuid, deadline.left(5.0, 1.0)) for process in left])

"""monitor_scripts: the admin's own programs that say whether a service inside the guest is well.

They are asked only about a guest that runs: one that an operator paused answers nothing, and is not to be restarted for
it. A probe does not ask them either, for it asks where the VM is. As with heartbeat's agent a start ends when all have
agreed once, so its timeout has to cover the guest's boot.
"""

from __future__ import annotations

import time

from hacluster.guard.child import run
from resource_agents.codes import Failed
from resource_agents.vm import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.vm import Deadline, Vm

POLL = 1.0


def complaint(vm: Vm, deadline: Deadline) -> str:
    """What the first script that does not agree said, as a sentence part; empty when all agree.

    A script gets no arguments, and as much time as the operation has left.
    """
    for script in vm.monitor_scripts:
        result = run([script], deadline.left())
        if result.code is None:
            return f"{script} did not end in time"
        if result.code != 0:
            said = " ".join((result.out + result.err).split())[-200:]
            return f"{script} ended with {result.code}" + (f": {said}" if said else "")
    return ""


def agree(vm: Vm, deadline: Deadline) -> None:
    """Ask once, unless the guest is paused. Raises Failed with the first complaint."""
    if look(vm.name, vm.uuid).state == "running" and (said := complaint(vm, deadline)):
        raise Failed(f"{vm.name} runs on {vm.node}, but its monitor script says no: {said}")


def await_agreement(vm: Vm, deadline: Deadline) -> None:
    """Ask until all agree. Raises Failed when the guest has gone, or the operation's time is over."""
    while said := complaint(vm, deadline):
        if not look(vm.name, vm.uuid).alive:
            raise Failed(f"{vm.name} was started on {vm.node} and ended again; its monitor script said: {said}")
        if deadline.over(POLL):
            raise Failed(f"{vm.name} was started on {vm.node}, but its monitor script says no: {said}")
        time.sleep(POLL)

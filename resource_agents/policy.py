"""How a live move is done: the VM's parameters as arguments of virsh migrate."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.vm import Vm


def arguments(vm: Vm) -> list[str]:
    """The switches after `virsh migrate`, without addresses and the longest pause, which is set while it goes on.

    Post-copy only where the guest may run on the target before its source has ended; who asks for it elsewhere is
    refused at start, and is moved without it if a parameter has changed since.
    """
    found = ["--live", "--abort-on-error"]
    if vm.handover == "paused":
        found.append("--suspend")
    if vm.auto_converge:
        found.append("--auto-converge")
    if vm.post_copy and vm.handover == "running":
        found += ["--postcopy", "--postcopy-after-precopy"]
    elif vm.parallel:
        found += ["--parallel", "--parallel-connections", vm.parallel]
    if vm.speed:
        found += ["--bandwidth", vm.speed]
    return found

"""Forgetting a VM's failed operations without harm to its guest.

`crm_resource --cleanup` (and `pcs resource cleanup`) after a failed migration can restart the guest: while another
node still remembers an earlier move of the VM and its home does not, Pacemaker 2.1.5 takes that move for unfinished
and forces a recovery (seen in the lab). So the other nodes forget first, one at a time, and the home last.

Unless Pacemaker does not know the home at all: once the others have forgotten, it believes that the VM runs nowhere and
starts it on one of them, where the start waits for the run-lock in vain (280 s). Then the home is looked at first.
"""

from __future__ import annotations

from hacluster.ports import World

_PACE = 0.1
_PATIENCE = 30.0
"""Seconds to wait for each node's probe; Pacemaker goes on by itself if it takes longer."""


def forget(world: World, vm: str, nodes: tuple[str, ...], home: str | None, *, known: bool = True) -> None:
    """Let the online `nodes` forget what they recorded of a VM, its `home` (where its one copy is) last.

    `known` says whether Pacemaker believes that the VM is at home; if not, the home goes first.
    """
    for node in sorted(nodes, key=lambda name: (name == home) is known):
        world.pacemaker.refresh(vm, node)
        limit = world.clock.now() + _PATIENCE
        while world.pacemaker.idle() is not True and world.clock.now() < limit:
            world.clock.sleep(_PACE)

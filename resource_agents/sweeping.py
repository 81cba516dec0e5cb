"""One round of putting right what nobody is at any more, as each node's monitors begin it: the sweep, then Pacemaker.

What the round itself needs is imported by it alone: a monitor only begins one, and must stay cheap.
"""

from __future__ import annotations

import fcntl

from hacluster.guard import state

ALONE = f"{state.RUN}/sweep"


def sweep_alone() -> None:
    """One at a time, as it may hang in the kernel as long as a dead node awaits its fencing. Raises BlockingIOError."""
    with open(ALONE, "w", encoding="ascii") as alone:
        fcntl.flock(alone.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        from resource_agents.reconcile import reconcile
        from resource_agents.sweep import sweep

        sweep()
        reconcile()

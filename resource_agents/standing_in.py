"""Who keeps the guard on a node that Pacemaker wanted it to leave, when a VM is still there: the sweep goes on.

Before a stop Pacemaker cancels the clone's monitor, and a refused stop (on-fail=block) leaves it so. Nobody would put
right then what a broken-off move has left, or remind Pacemaker of a VM that it has blocked, which may be the very
reason for the refusal: a node in standby would keep that VM for ever. So the stop that refuses leaves this behind. It
ends when Pacemaker monitors, starts or stops the clone again; once nothing managed is here any more it has Pacemaker
forget the refusal, so that the node is left after all.
"""

from __future__ import annotations

import os
import time

from hacluster.guard import state
from hacluster.guard.child import in_background, run
from hacluster.guard.dlm import joined
from resource_agents.sweeping import sweep_alone

PACE = 20.0
"""Seconds between two sweeps: those of the clone's monitor."""
ASK = 10.0


def path() -> str:
    """Where the one that stands in is noted. A monitor takes the note away."""
    return os.path.join(state.RUN, "standing-in")


def begin(resource: str, refused: bool) -> None:
    """Stand in from now on. `refused` says that the stop is to be tried again once nothing managed is here."""
    nonce = state.new_nonce()
    state.write_pairs(path(), {"nonce": nonce})
    in_background(lambda: _stand_in(nonce, resource if refused else ""))


def _stand_in(nonce: str, resource: str) -> None:
    from resource_agents.sweep import present

    while True:
        time.sleep(PACE)
        if not joined() or (state.read_pairs(path()) or {}).get("nonce") != nonce:
            return
        try:
            sweep_alone()
        except BlockingIOError:
            continue  # another one is at it
        if resource and not present():
            run(["crm_resource", "--refresh", "--resource", resource, "--node", state.node_name()], ASK)

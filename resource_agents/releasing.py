"""The node's part of `hactl lock clear`: give a VM's run-lock back, by the guard's own release.

Adopt, prove, unlock, as everywhere: a lock that is cleared without proof of absence would let the VM run twice. What
comes back is for people; the lock itself has the last word on what was done.
"""

from __future__ import annotations

import json
import sys

from hacluster.guard import proof, state
from hacluster.guard.dlm import MODE_NAMES, DlmError, joined
from hacluster.guard.lock import RunLock
from resource_agents import codes

URI = "qemu:///system"
ASK = 6.0
LOCK = 5.0
"""Seconds for libvirt's answer, and for the lock manager's."""


def release(uuid: str) -> dict[str, object]:
    """Whether this node holds nothing of the VM any more (`released`), in which mode it held it, and why not."""
    lock = RunLock(uuid)
    before = MODE_NAMES[lock.recorded().mode]
    if not joined():
        return _told(before, "this node is not in the lockspace of the run-locks")
    if state.in_flight(uuid, ".moving"):
        return _told(before, "this node's agent is moving it, and gives the lock back by itself")
    active = proof.active_uuids(URI, ASK)
    try:
        lock.release(lambda: proof.presence(uuid, active), LOCK)
    except DlmError as problem:
        return _told(before, str(problem))
    codes.log(uuid, f"its run-lock ({before}) was given back on an operator's word: it is absent from this node")
    return _told(before)


def _told(before: str, reason: str = "") -> dict[str, object]:
    return {"format": 1, "released": not reason, "mode": before, "reason": reason}


def main() -> None:
    """Entry point of the executable: one argument, the uuid."""
    uuid = state.lower_case_uuid(sys.argv[1] if len(sys.argv) == 2 else "")
    if len(uuid) != 36 or uuid.count("-") != 4 or "/" in uuid:
        sys.stderr.write("usage: release UUID\n")
        sys.exit(2)
    sys.stdout.write(json.dumps(release(uuid)) + "\n")

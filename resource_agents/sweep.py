"""Put right what nobody is at any more: claims of VMs that are proved to be absent from this node, broken-off moves.

Every proven absence releases: after a guest's own shutdown, a killed agent, a failed move. One walk of /proc and one
question to libvirt serve all VMs. A VM about which anything is unknown is left alone. Of one that is present only the
claim is mended: after a migrate_to that failed or was killed Pacemaker runs no monitor that could.
"""

from __future__ import annotations

import time

from hacluster.guard import proof, state
from hacluster.guard.child import in_background
from hacluster.guard.dlm import CR, EX, NL, PW, DlmError
from hacluster.guard.lock import RunLock
from resource_agents import codes
from resource_agents.domains import domain_names
from resource_agents.presence import go_on
from resource_agents.vm import look

URI = "qemu:///system"
ASK = 10.0
LOCK = 5.0


def sweep() -> tuple[str, ...]:
    """Look at every VM that this node has a record of or runs; the uuids that are not absent."""
    seen = proof.scan()
    uuids = sorted({*state.known(), *(seen.by_uuid.keys() & domain_names().keys())})
    if not uuids:
        return ()
    active = proof.active_uuids(URI, ASK)
    left = []
    for uuid in uuids:
        found = proof.presence(uuid, active, seen)
        if found.verdict != proof.ABSENT or not _release(uuid, active):
            left.append(uuid)
        if uuid in seen.by_uuid:
            _mend(uuid)
    return tuple(left)


def _mend(uuid: str) -> None:
    """A QEMU of it lives here. Its claim after a move that nobody attends to any more: an open gate is sealed again,
    which is granted once no seat is left, and the guest goes on, which is tried again as long as it does not; a copy
    that arrived gets somebody who waits for it; a record that was lost is written again.

    A gate is left alone while its agent lives: between opening it and the target's seat a reseal would be granted.
    """
    lock, mode = RunLock(uuid), state.read(uuid).mode
    name = domain_names().get(uuid, "")
    try:
        if mode == NL:
            if lock.adopt(LOCK) == NL:  # it came past the hook: what its lock can still prevent is another copy
                lock.seal(LOCK)
                codes.log(name or uuid, "ran here without its run-lock; it is sealed now", warning=True)
        elif mode == PW and not state.in_flight(uuid, ".moving"):
            lock.reseal(0.5)
            codes.log(name or uuid, "a gate left open by an unfinished move is sealed again")
            go_on(URI, uuid, look(name, uuid), ASK)
        elif mode == EX and not state.in_flight(uuid, ".moving"):
            go_on(URI, uuid, look(name, uuid), ASK)
        elif mode == CR and name and not state.in_flight(uuid, ".attended") and look(name, uuid).complete:
            from resource_agents.arriving import attend

            in_background(lambda: attend(name, uuid))
    except DlmError as problem:
        codes.log(name or uuid, f"the sweep leaves its run-lock as it is: {problem}")


def sweep_one(uuid: str, attempts: int = 10) -> None:
    """The same for one VM whose QEMU has just gone: libvirt and the kernel may need a moment to say so."""
    for _attempt in range(attempts):
        time.sleep(0.1)
        active = proof.active_uuids(URI, ASK)
        found = proof.presence(uuid, active)
        if found.verdict == proof.ABSENT and _release(uuid, active):
            return
        if found.verdict == proof.PRESENT and uuid in proof.scan().by_uuid:
            return


def _release(uuid: str, active: frozenset[str] | None) -> bool:
    """Adopt, prove again, unlock. True when this node holds nothing of it any more.

    The agent of a move releases by itself, and it alone knows whether that is a hand-over.
    """
    lock = RunLock(uuid)
    if state.in_flight(uuid, ".moving"):
        return False
    before = lock.recorded().mode
    try:
        lock.release(lambda: proof.presence(uuid, active), LOCK)
    except DlmError as problem:
        codes.log(uuid, f"the sweep leaves its run-lock: {problem}")
        return False
    if before:
        codes.log(uuid, "the sweep gave its run-lock back: it is absent from this node")
    return True


def present() -> tuple[str, ...]:
    """The managed VMs of which a QEMU, or a start, is here: by name where a domain file tells it, else by uuid."""
    names, seen = domain_names(), proof.scan()
    managed = {*names, *state.known()}
    return tuple(sorted(names.get(uuid, uuid) for uuid in managed if proof.here(uuid, seen)))

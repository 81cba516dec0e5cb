"""Give back what nothing needs any more: locks and seats of VMs that are proved to be absent from this node.

Every proven absence releases: after a guest's own shutdown, a killed agent, a failed move. One walk of /proc and one
question to libvirt serve all VMs. A VM that is present, or about which anything is unknown, is left alone.
"""

from __future__ import annotations

import os
import time

from hacluster.guard import proof, state
from hacluster.guard.dlm import DlmError
from hacluster.guard.lock import RunLock
from resource_agents import codes

URI = "qemu:///system"
ASK = 10.0
LOCK = 5.0


def sweep() -> tuple[str, ...]:
    """Look at every VM this node has a record of; the uuids that are not absent."""
    uuids = state.known()
    if not uuids:
        return ()
    active = proof.active_uuids(URI, ASK)
    seen = proof.scan()
    left = []
    for uuid in uuids:
        if proof.presence(uuid, active, seen).verdict != proof.ABSENT or not _release(uuid, active):
            left.append(uuid)
    return tuple(left)


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
    """Adopt, prove again, unlock. True when this node holds nothing of it any more."""
    lock = RunLock(uuid)
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
    """The managed VMs of which a QEMU lives here, by name where a domain file tells it, else by uuid."""
    names = domain_names()
    running = proof.scan().by_uuid
    return tuple(sorted(names.get(uuid, uuid) for uuid in running if uuid in names or uuid in state.known()))


def domain_names(directory: str = "/etc/hacluster/domains") -> dict[str, str]:
    """Uuid to name of the domain files that hactl laid here: NAME.CHECKSUM.xml."""
    found = {}
    try:
        files = os.listdir(directory)
    except FileNotFoundError:
        return {}
    for file in files:
        if file.endswith(".xml"):
            with open(f"{directory}/{file}", encoding="utf-8", errors="replace") as opened:
                uuid = opened.read().partition("<uuid>")[2].partition("</uuid>")[0]
            found[state.lower_case_uuid(uuid)] = file.rsplit(".", 2)[0]
    return found

"""The libvirt hook for a managed VM: admits, refuses, records and sweeps. It runs under libvirt's locks.

So it is quick, never asks libvirt, and never calls the lock manager, except in `migrate`, where the seat is taken
within a fraction of a second or the move is refused. Everything else it knows from this node's own files. A refusal
is one sentence with the next command, on standard error (virsh shows it) and in the log.
"""

from __future__ import annotations

import os
import sys

from hacluster.guard import proof, state, table
from hacluster.guard.child import in_background
from hacluster.guard.dlm import CR, DlmError
from hacluster.guard.lock import RunLock
from resource_agents import codes, lock_driver

SEAT = 0.8
"""Seconds for taking a seat: `virsh list` of everybody waits meanwhile."""
ANNOUNCED = 20.0
"""Seconds between libvirt's announcement of an incoming move and its preparation; if the move fails in between,
no hook tells us."""


class Vetoed(Exception):
    """libvirt must not go on; the text is the sentence for the operator."""


def nonce_of(xml: str) -> str:
    """The nonce of the move that an incoming domain XML belongs to; empty when it names none."""
    start = xml.find("<hacluster:move ")
    tag = xml[start : xml.find(">", start)] if start >= 0 else ""
    rest = tag.partition(" nonce=")[2]
    return rest[1:17] if len(rest) > 17 and rest[0] in "'\"" and rest[17] == rest[0] else ""


def uuid_of(xml: str) -> str:
    """The domain's uuid."""
    return state.lower_case_uuid(xml.partition("<uuid>")[2].partition("</uuid>")[0])


def _refuse(name: str, mode: int, event: str, remedy: str) -> None:
    """Ask the table; Vetoed unless it allows the step."""
    answer = table.step(mode, event)
    if isinstance(answer, table.Refusal):
        raise Vetoed(f"{name} may not start on {state.node_name()}: this node {answer.reason}; {remedy}")


def _how_to(name: str) -> str:
    node = state.node_name()
    return f"to start it, type: hactl vm start {name}; to move it here: hactl vm move {name} {node}"


def prepare(name: str, uuid: str, xml: str, daemon: int) -> None:
    """A QEMU is about to be created. The marker is set before the mode is read: a release that goes on at the same
    time lowers the mode before it looks for the marker, so that one of the two sees the other."""
    announced = state.read_pairs(state.path(uuid, ".incoming"))
    state.mark(uuid, ".starting", daemon)
    state.remove(state.path(uuid, ".incoming"))
    state.remove(state.path(uuid, ".arriving"))
    try:
        _still_joined(name)
        claim = state.read(uuid)
        if claim.mode == CR and announced is not None:
            _same_move(name, claim.nonce, announced.get("nonce", ""), nonce_of(xml))
            _refuse(name, claim.mode, table.INCOMING, _how_to(name))
        else:
            _refuse(name, claim.mode, table.FRESH_START, _how_to(name))
        _nothing_present(name, uuid)
    except Vetoed:
        state.remove(state.path(uuid, ".starting"))
        raise


def _still_joined(name: str) -> None:
    """A node that leaves the lockspace closes itself and looks for markers then: one of the two sees the other."""
    if state.leaving():
        here = state.node_name()
        raise Vetoed(f"{name} may not start on {here}: it is not in the lockspace of the run-locks; pcs cluster start")


def _same_move(name: str, seat: str, announced: str, arriving: str) -> None:
    """Seat, announcement and domain XML must speak of one and the same move."""
    if not seat or seat != announced or seat != arriving:
        raise Vetoed(f"{name} does not arrive on {state.node_name()}: its seat here is another move's; {_how_to(name)}")


def _nothing_present(name: str, uuid: str) -> None:
    seen, before = proof.scan(), proof.recorded(uuid)
    pid = next((process.pid for process in seen.by_uuid.get(uuid, [])), 0)
    if not pid and before is not None and (proof.alive(before) or before.pid in seen.nameless):
        pid = before.pid  # it dies, and shows no uuid any more, but its last writes may still be under way
    if pid:
        raise Vetoed(f"{name} may not start: a QEMU of it lives here already (pid {pid}); look at it with: ps -p {pid}")


def start(name: str, uuid: str, xml: str, daemon: int) -> None:
    """Just before the QEMU is forked. Nothing can have changed since prepare, which must have admitted it."""
    if not state.in_flight(uuid, ".starting"):
        raise Vetoed(f"{name} may not start on {state.node_name()}: it was not admitted; {_how_to(name)}")


def started(name: str, uuid: str, xml: str, daemon: int) -> None:
    """The QEMU exists: record it, then clear the marker."""
    processes = proof.scan().by_uuid.get(uuid, [])
    if not processes:
        raise Vetoed(f"{name} has no QEMU although libvirt has started it")
    process = processes[0]
    with open(f"/proc/{process.pid}/cmdline", "rb") as file:
        fresh = b"\0-incoming\0" not in file.read()
    if state.read(uuid).mode == CR and fresh:
        raise Vetoed(f"{name} may not start on {state.node_name()}: a seat never admits a fresh start")
    record = {"pid": str(process.pid), "start": str(process.start), "cgroup": _scope(process.pid)}
    state.write_pairs(state.path(uuid, ".qemu"), record)
    state.remove(state.path(uuid, ".starting"))
    if state.read(uuid).mode == CR:
        from resource_agents.arriving import attend

        in_background(lambda: attend(name, uuid))


def _scope(pid: int) -> str:
    """The machine scope that libvirt put a QEMU into; empty when it made none, as then the group is not its own."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        path = next((line.rstrip("\n").split(":", 2)[2] for line in file if line.startswith("0::")), "")
    before, found, _ = path.partition(".scope")
    return before + found if found and "machine-qemu" in before else ""


def migrate(name: str, uuid: str, xml: str, daemon: int) -> None:
    """An incoming move is announced: take the seat that the source's gate offers to this node and this nonce."""
    nonce = nonce_of(xml)
    here = state.node_name()
    if not nonce:
        raise Vetoed(f"{name} is not moved by hand; to move it to {here}, type: hactl vm move {name} {here}")
    if trouble := lock_driver.problem(state.read_pairs(state.LOCKSPACE) or {}):
        raise Vetoed(f"{name} cannot arrive on {here}: {trouble}")  # libvirt would refuse to let the copy run
    try:
        # A marker of its own: a refusal must not take away the one of a start that is under way here.
        state.mark(uuid, ".arriving", daemon, lifetime=ANNOUNCED)
        RunLock(uuid).take_seat(here, nonce, SEAT)
    except DlmError as problem:
        state.remove(state.path(uuid, ".arriving"))
        raise Vetoed(
            f"{name} gets no seat on {here}: {problem}; to move it, type: hactl vm move {name} {here}"
        ) from None
    state.write_pairs(state.path(uuid, ".incoming"), {"nonce": nonce})


def restore(name: str, uuid: str, xml: str, daemon: int) -> None:
    """A saved image is about to be resumed: as a fresh start, only a sealed node may. prepare follows."""
    _refuse(name, state.read(uuid).mode, table.RESTORE, _how_to(name))


def attach(name: str, uuid: str, xml: str, daemon: int) -> None:
    """A QEMU that somebody else started is about to be taken into libvirt."""
    _refuse(name, state.read(uuid).mode, table.ATTACH, _how_to(name))


def release(name: str, uuid: str, xml: str, daemon: int) -> None:
    """The last word on an incarnation, also on one that never held anything: look, in the background, what is left."""
    state.remove(state.path(uuid, ".starting"))
    if state.read_pairs(state.path(uuid)) is not None:
        from resource_agents.sweep import sweep_one

        in_background(lambda: sweep_one(uuid))


OPERATIONS = {
    "prepare": prepare,
    "start": start,
    "started": started,
    "migrate": migrate,
    "restore": restore,
    "attach": attach,
    "release": release,
}


def run(name: str, operation: str, xml: str, daemon: int) -> str:
    """One hook call; the refusal's sentence, or an empty text. What has no handler announces nothing that could run."""
    handler = OPERATIONS.get(operation)
    if handler is None:
        return ""
    try:
        handler(name, uuid_of(xml), xml, daemon)
    except Vetoed as veto:
        return f"hacluster: {veto}"
    return ""


def main() -> None:
    """Entry point, called by the sh front with libvirt's arguments; the XML is on standard input."""
    name, operation = sys.argv[1], sys.argv[2]
    daemon = int(os.environ.get("HACLUSTER_LIBVIRTD", "0"))
    refusal = run(name, operation, sys.stdin.read(), daemon)
    if refusal:
        codes.log(name, refusal, warning=True)
        sys.stderr.write(refusal + "\n")
    sys.exit(1 if refusal else 0)

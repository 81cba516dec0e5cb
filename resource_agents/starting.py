"""Agent start: under a sealed run-lock, from a domain XML that is exactly the one the CIB names."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from hacluster.guard import proof, state
from hacluster.guard.child import NotAllowed
from hacluster.guard.dlm import CR, PW, Busy, DlmError, Unknown
from hacluster.guard.lock import RunLock
from resource_agents import codes, lock_driver, parameters
from resource_agents.codes import ERR_ARGS, ERR_INSTALLED, Failed
from resource_agents.integrity import hook_problem
from resource_agents.presence import ASK, LOCK, await_verdict, complaint, give_back, virsh
from resource_agents.vm import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.vm import Deadline, Vm

CREATE = 15.0
"""Seconds kept for libvirt's part while we wait for the lock."""
POLL = 0.3
IMAGE_POLL = 3.0
"""Seconds between two tries while somebody else has QEMU's lock on an image."""


def start(vm: Vm, deadline: Deadline) -> int:
    """Bring the VM up here, or find it running here and seal it. Raises Failed with whom the lock is held by."""
    parameters.check(vm)
    state.mark(vm.uuid, ".agent", os.getpid())
    try:
        _bring_up(vm, deadline, min(CREATE, deadline.left() / 2))
    finally:
        state.remove(state.path(vm.uuid, ".agent"))
    if vm.monitor_scripts:
        from resource_agents.scripts import await_agreement

        await_agreement(vm, deadline)
    return codes.SUCCESS


def _bring_up(vm: Vm, deadline: Deadline, keep: float) -> None:
    found = await_verdict(vm, deadline, keep)
    if found.verdict == proof.UNKNOWN:
        raise Failed(f"{vm.name} is not started: whether it runs on {vm.node} is unknown, {found.evidence}")
    if found.verdict == proof.PRESENT:
        from resource_agents.watching import examine

        if examine(vm, deadline) == codes.SUCCESS:
            return
    ready(vm)
    _obtain(vm, deadline, keep)
    ready(vm)
    _create(vm, deadline, keep)


def ready(vm: Vm) -> None:
    """The domain XML is the right one and the hook stands: checked before the lock and again right before create."""
    read_domain(vm)
    if problem := hook_problem():
        raise Failed(f"{vm.name} is not started on {vm.node}: {problem}", ERR_INSTALLED)
    lock_driver.make_ready(vm.name)


def read_domain(vm: Vm) -> None:
    """Check that config's content has the CIB's sha256, uuid and name. Raises Failed."""
    from hashlib import sha256

    try:
        with open(vm.config, "rb") as file:
            content = file.read()
    except OSError as problem:
        text = f"{vm.config} of {vm.name} cannot be read on {vm.node}: {problem.strerror}; hactl apply distributes it"
        raise Failed(text, ERR_INSTALLED) from problem
    if vm.xml_sha256 and sha256(content).hexdigest() != vm.xml_sha256.lower():
        raise Failed(f"{vm.config} on {vm.node} is not the domain XML that the CIB names; hactl apply", ERR_ARGS)
    from xml.etree import ElementTree

    try:
        domain = ElementTree.fromstring(content)
    except ElementTree.ParseError as problem:
        raise Failed(f"{vm.config} of {vm.name} is not XML: {problem}", ERR_ARGS) from problem
    uuid, name = (domain.findtext("uuid") or "").strip().lower(), (domain.findtext("name") or "").strip()
    if uuid != vm.uuid:
        raise Failed(f"{vm.config} has the uuid {uuid or '(none)'}, not {vm.uuid} of {vm.name}", ERR_ARGS)
    if name != vm.name:
        raise Failed(f"{vm.config} has the name {name or '(none)'}, not {vm.name}", ERR_ARGS)


def _obtain(vm: Vm, deadline: Deadline, keep: float) -> None:
    """EX, however long the operation lets us wait: a dead node is fenced meanwhile, or a sweep elsewhere lets go."""
    lock, first = RunLock(vm.uuid), True
    while True:
        try:
            _tidy(vm, lock, deadline)
            lock.seal(deadline.left(LOCK, keep))
            return
        except Busy as problem:
            sentence = f"{vm.name} is not started on {vm.node}: its run-lock is {problem}"
        except Unknown as problem:
            sentence = f"{vm.name} is not started on {vm.node}: who holds its run-lock is unknown, {problem}"
        except NotAllowed as problem:
            sentence = f"{vm.name} is not started on {vm.node}: {problem}"
            _correct_record(lock)
        if first:
            codes.log(vm.name, f"{sentence}; waiting")
            first = False
        if deadline.over(keep):
            raise Failed(f"{sentence} (hactl vm show {vm.name})")
        time.sleep(POLL)


def _correct_record(lock: RunLock) -> None:
    """This node holds more than its record says: let the record say it, so that `_tidy` can give it back."""
    with suppress(DlmError):
        lock.adopt(LOCK)


def _tidy(vm: Vm, lock: RunLock, deadline: Deadline) -> None:
    """A seat or gate of an earlier move that this node still holds, though nothing runs here, goes first."""
    if lock.recorded().mode not in (CR, PW):
        return
    active = proof.active_uuids(vm.uri, deadline.left(ASK))
    lock.release(lambda: proof.presence(vm.uuid, active), LOCK)


def _create(vm: Vm, deadline: Deadline, keep: float) -> None:
    """Let libvirt create it. An image that is locked is waited for under our own lock: an NFS server keeps a dead
    client's locks until its lease ends (90 s), long after its node was fenced, and a cluster file system until its
    recovery. The mark of a start in flight stays meanwhile, so that no sweep takes the lock for one that was left.
    """
    first = True
    while True:
        result = virsh(vm, deadline.left(), "create", vm.config)
        sight = look(vm.name, vm.uuid)
        if result.code == 0 and sight.alive:
            codes.log(vm.name, f"started on {vm.node}, pid {sight.pid}")
            return
        if not _image_locked(result.err) or deadline.over(keep + IMAGE_POLL):
            break
        if first:
            codes.log(vm.name, f"waits on {vm.node} for the lock on its image: {complaint(result)}")
            first = False
        time.sleep(IMAGE_POLL)
    state.remove(state.path(vm.uuid, ".agent"))
    give_back(vm, deadline.left(LOCK))
    raise Failed(f"libvirt does not start {vm.name} on {vm.node}: {complaint(result)}")


def _image_locked(said: str) -> bool:
    """Whether QEMU refused because another process has its lock on an image (block/file-posix.c's words)."""
    return "Failed to get" in said and " lock" in said

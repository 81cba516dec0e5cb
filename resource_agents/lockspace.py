"""ocf:hacluster:lockspace: this node's share in the run-locks. A clone; guarded VMs run only where it does.

Its monitor never calls the lock manager: during a recovery that would time out on every node and stop all VMs. The
sweep, which does, runs in a child of its own that nobody waits for.
"""

from __future__ import annotations

import os
import sys

from hacluster.guard import VERSION, dlm, state
from hacluster.guard.child import in_background, in_child, run
from hacluster.guard.dlm import NL, DlmError
from resource_agents import codes, lock_driver, standing_in
from resource_agents.codes import ATTRIBUTE, ERR_INSTALLED, Failed
from resource_agents.integrity import hook_problem
from resource_agents.sweeping import sweep_alone
from resource_agents.vm import DEFAULT_TIMEOUT, Deadline, environment

WHO = "lockspace"
ASK = 10.0


def start(deadline: Deadline) -> int:
    """Join. The hook must stand: without it libvirt admits everything, so this node would be no guard at all."""
    if trouble := hook_problem():
        raise Failed(f"the guard does not start: {trouble}", ERR_INSTALLED)

    if (
        not dlm.joined()
    ):  # then no lock is held: a record of an earlier stay, whose stop was killed, would admit a start
        _lower()

    def join() -> str:
        with dlm.open_port(timeout=deadline.left()) as port:
            port.join()
        return ""

    try:
        in_child(join, deadline.left())
    except DlmError as problem:
        raise Failed(f"the lockspace of the run-locks cannot be joined: {problem}") from problem
    record = {**_told({}), **_asked()}
    state.write_pairs(state.LOCKSPACE, lock_driver.registered(record) if record.get("lock_driver") else record)
    os.makedirs(state.RUN, mode=0o700, exist_ok=True)
    _announce(True)
    return codes.SUCCESS


def monitor(_deadline: Deadline) -> int:
    """Membership by witness; the hook's integrity and the lock driver's; and a sweep in the background."""
    if not dlm.joined():
        return codes.NOT_RUNNING
    _stay()
    state.remove(standing_in.path())
    _keep_guard()
    in_background(sweep_alone)
    return codes.SUCCESS


def _stay() -> None:
    """A stop that was killed has left the node closed, but in the lockspace; Pacemaker, which asks, wants it open. A
    record that was lost or damaged is written again: without it the hook would admit nothing."""
    record = state.read_pairs(state.LOCKSPACE) or {}
    whole = {**record, **_told(record), "leaving": "0"} if _damaged(record) or record.get("leaving") == "1" else record
    if whole != record:
        state.write_pairs(state.LOCKSPACE, whole)


def _damaged(record: dict[str, str]) -> bool:
    return record.get("boot") != state.boot_id() or not record.get("node") or "admits" not in record


def _told(record: dict[str, str]) -> dict[str, str]:
    """Who this node is, since when, and what it admits, for the record."""
    node = environment().get("OCF_RESKEY_CRM_meta_on_node") or record.get("node") or state.node_name()
    return {"node": node, "boot": state.boot_id(), "guard": VERSION, "admits": record.get("admits", "1")}


def stop(deadline: Deadline) -> int:
    """Leave, when nothing managed runs here any more. Refused while a managed QEMU is present."""
    if not dlm.joined():
        state.remove(state.LOCKSPACE)
        return codes.SUCCESS
    from resource_agents.sweep import sweep

    state.remove(standing_in.path())
    sweep()
    resource = environment().get("OCF_RESOURCE_INSTANCE", "")
    try:
        _close()
    except Failed:
        standing_in.begin(resource, refused=True)
        raise
    try:
        _leave(deadline)
    except Failed:
        standing_in.begin(resource, refused=False)
        raise
    state.remove(state.LOCKSPACE)
    for uuid in state.known():
        state.forget(uuid)
    return codes.SUCCESS


def _leave(deadline: Deadline) -> None:
    _lower()
    _announce(False)

    def leave() -> str:
        with dlm.open_port(timeout=deadline.left()) as port:
            port.leave()
        return ""

    try:
        in_child(leave, deadline.left())
    except DlmError as problem:
        raise Failed(f"the lockspace of the run-locks cannot be left: {problem}") from problem


def _close() -> None:
    """Admit nothing any more, then prove that nothing is here: records and locks may outlast the sweep, and what the
    hook admits on one meanwhile has left its marker before it looks whether the node is closed."""
    from resource_agents.sweep import present

    record = state.read_pairs(state.LOCKSPACE) or {}
    state.write_pairs(state.LOCKSPACE, {**record, "leaving": "1"})
    if left := present():
        state.write_pairs(state.LOCKSPACE, {**record, "leaving": "0"})
        raise Failed(f"the guard stays: {', '.join(left)} runs here; stop or move it first")


def _lower() -> None:
    """Claim nothing any more, before the locks go: an admission would rest on a lock that is another node's by then.
    Should the node stay after all, each is found again by the sweep's adoption."""
    for uuid in state.known():
        state.write(uuid, state.State(NL))


def _announce(admits: bool) -> None:
    """Set or withdraw the node attribute that gates where guarded VMs may run; it ends with the node's membership."""
    change = ["-U", VERSION] if admits else ["-D"]
    result = run(["attrd_updater", "-n", ATTRIBUTE, *change], ASK)
    if result.code != 0:
        raise Failed(f"the node attribute {ATTRIBUTE} cannot be changed: {result.err.strip()}")


def _asked() -> dict[str, str]:
    """What the CIB wants of libvirt's lock driver: this agent's parameters, for the record. Pacemaker alone tells it,
    not who runs a monitor by hand."""
    values = environment()
    if "OCF_RESKEY_crm_feature_set" not in values:
        return {}
    return {name: values.get(f"OCF_RESKEY_{name}", "").strip() for name in lock_driver.WANTED}


def _keep_guard() -> None:
    """No VM may come here while libvirt would admit it unasked (it skips a hook that lost its run bit without a word),
    or could not give it the lease that the others rely on. What runs here goes on, sealed."""
    before = state.read_pairs(state.LOCKSPACE) or {}
    record = {**before, **_asked()}
    problem = hook_problem() or lock_driver.problem(record)
    if not problem and lock_driver.wanted(record):
        record = _note_bare(lock_driver.registered(record))
    if (record.get("admits") == "1") == bool(problem):
        codes.log(WHO, problem or "the guard stands again; guarded VMs may run here", warning=bool(problem))
        _announce(not problem)
        record["admits"] = "0" if problem else "1"
    elif _probes():
        _announce(not problem)
    if record != before:
        state.write_pairs(state.LOCKSPACE, record)


def _probes() -> bool:
    """Whether Pacemaker asks for the first time: it may have been started anew above a lockspace that stayed, as in
    maintenance, and the attribute ended with the node's membership."""
    values = environment()
    return "OCF_RESKEY_crm_feature_set" in values and values.get("OCF_RESKEY_CRM_meta_interval", "") in ("", "0")


def _note_bare(record: dict[str, str]) -> dict[str, str]:
    """The record with the guests that run here without their leases; logged when it changes."""
    from resource_agents.domains import domain_names

    found = " ".join(sorted(lock_driver.bare([*domain_names().values()], lock_driver.wanted(record))))
    if found and found != record.get("bare"):
        codes.log(WHO, f"no lease under the disks of {found}; a live move brings it back: hactl vm move", warning=True)
    return {**record, "bare": found}


ACTIONS = {"start": start, "stop": stop, "monitor": monitor, "status": monitor}


def perform(action: str) -> int:
    """One operation; its exit code."""
    if action == "meta-data":
        sys.stdout.write(codes.metadata("lockspace"))
        return codes.SUCCESS
    if action in ("validate-all", "reload-agent"):
        return codes.SUCCESS  # the parameters are read at each monitor
    if action not in ACTIONS:
        return codes.ERR_UNIMPLEMENTED
    timeout = environment().get("OCF_RESKEY_CRM_meta_timeout", "")
    try:
        return ACTIONS[action](Deadline(float(timeout) / 1000 if timeout.isdigit() else DEFAULT_TIMEOUT))
    except Failed as failed:
        return codes.fail(WHO, failed)
    except Exception as problem:  # noqa: BLE001 - an agent that dies without a word leaves the operator with nothing
        return codes.fail(WHO, Failed(f"{action} broke: {type(problem).__name__}: {problem}"))


def main() -> None:
    """Entry point of the executable."""
    sys.exit(perform(sys.argv[1] if len(sys.argv) > 1 else ""))

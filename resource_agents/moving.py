"""Agent migrate_to: open the gate for one node and one move, let libvirt copy, then look where the VM really is.

The client of a direct migration dies with the agent (a killed client cancels the migration within a second) and is
bounded below the operation's timeout, because Pacemaker kills only the agent. What virsh says at the end decides
nothing: both hosts are asked, and `outcome` says what follows from what they answered.
"""

from __future__ import annotations

import os
import time

from hacluster.guard import VERSION, proof, state
from hacluster.guard.child import Command, Result, run
from hacluster.guard.dlm import EX, DlmError
from hacluster.guard.lock import RunLock
from resource_agents import codes, lock_driver, policy
from resource_agents.codes import ATTRIBUTE, ERR_CONFIGURED, Failed
from resource_agents.presence import ASK, LOCK, complaint, go_on, together, virsh
from resource_agents.vm import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.vm import Deadline, Sight, Vm

AFTERWARDS = 15.0
"""Seconds kept for looking at both hosts and putting the lock right."""
SEAT_GOES = 8.0
"""Seconds the target's sweep gets to drop the seat of a failed move, before the gate is left open."""
MEMBERSHIP = 5.0
"""Seconds between two looks whether the target is still in the cluster, while its memory is copied."""
NAMESPACE = "https://hacluster.invalid/move/1"

TOLD = 1.0
"""Seconds for the target's word that a copy is complete; virsh's own word, which takes its place, comes in 0.2 s."""
RELEASE = 30.0
"""Seconds that the gate of a VM that has arrived may take to close. Measured in the lab with a node that needed
fencing: all recovery waited for the move, and the move for the fencing, up to the timeout of migrate_to."""
ARRIVED, STAYED, BOTH, LOST, UNCLEAR = "arrived", "stayed", "both", "lost", "unclear"


def migrate_to(vm: Vm, deadline: Deadline) -> int:
    """Send the VM to `vm.target`. 0 only when it is proved to be gone from here and is there."""
    if not vm.target:
        raise Failed("migrate_to without a target", ERR_CONFIGURED)
    if deadline.over(AFTERWARDS):
        raise Failed(
            f"{vm.name} stays on {vm.node}: the timeout of migrate_to ({vm.timeout:.0f} s) is too short, for "
            f"{AFTERWARDS:.0f} s of it are kept to look at both hosts after the copy"
        )
    xml = _admitted(vm, deadline)
    _choose_handover(vm)
    lock = RunLock(vm.uuid)
    sight = look(vm.name, vm.uuid)
    if not sight.alive:
        raise Failed(f"{vm.name} does not run on {vm.node} and cannot be moved from there")
    nonce = state.new_nonce()
    marker = state.path(vm.uuid, ".moving")
    state.mark(vm.uuid, ".moving", os.getpid())
    try:
        _open_gate(vm, lock, nonce)
        result = _migrate(vm, deadline, mark_move(xml, nonce, sight.state == "paused"), sight)
        return codes.SUCCESS if result is None else _conclude(vm, lock, result, deadline)
    finally:
        state.remove(marker)


def _open_gate(vm: Vm, lock: RunLock, nonce: str) -> None:
    try:
        if lock.recorded().mode != EX:
            lock.reseal(LOCK)
        if vm.handover != "paused":
            state.remove(state.path(vm.uuid, ".waits"))
        lock.open_gate(vm.target, nonce, state.boot_id(), LOCK)
    except DlmError as problem:
        raise Failed(f"{vm.name} stays on {vm.node}: its gate cannot be opened to {vm.target}: {problem}") from problem
    if vm.handover == "paused":
        state.write_pairs(state.path(vm.uuid, ".waits"), {"nonce": nonce})
    codes.log(vm.name, f"gate open to {vm.target}, move {nonce}, to be handed over {vm.handover}")


def _admitted(vm: Vm, deadline: Deadline) -> str:
    """What must hold before the gate is opened, asked all at once; the domain XML to send.

    A minority with no-quorum-policy=freeze could move inside itself, and then not start what it stopped. The target's
    guard must be in place and of our version: the value block is read there, by its hook.
    """
    quorum, guard, dump = together(
        deadline.left(ASK, AFTERWARDS),
        ["crm_node", "-q"],
        ["attrd_updater", "-Q", "-n", ATTRIBUTE, "-N", vm.target],
        ["virsh", "-q", "-c", vm.uri, "dumpxml", "--migratable", "--security-info", vm.uuid],
    )
    if quorum.code != 0 or quorum.out.strip() != "1":
        raise Failed(f"{vm.name} stays on {vm.node}: this part of the cluster has no quorum")
    if guard.code != 0 or f'value="{VERSION}"' not in guard.out:
        raise Failed(
            f"{vm.name} stays on {vm.node}: the guard of {vm.target} is not in place, or not version {VERSION}"
        )
    if dump.code != 0:
        raise Failed(f"{vm.name} stays on {vm.node}: libvirt does not tell its configuration: {complaint(dump)}")
    return dump.out


def _choose_handover(vm: Vm) -> None:
    """The target's guest may go on before our lock has gone only while a lease under each disk stops all others."""
    if vm.handover != "leased":
        return
    vm.handover = "running" if lock_driver.covered(vm.name, lock_driver.wanted()) else "paused"
    if vm.handover == "paused":
        codes.log(vm.name, "is handed over paused: not every disk of it has its lease now", warning=True)


def destination(vm: Vm) -> tuple[str, list[str]]:
    """The target's libvirt URI, and the arguments that say where the guest's memory goes if that is elsewhere."""
    host = vm.hosts.get(vm.target) or vm.target
    path = vm.uri.partition("://")[2].partition("/")[2] or "system"
    user, query = ("root@", "?no_tty=1") if vm.transport == "ssh" else ("", "")
    uri = f"qemu+{vm.transport}://{user}{host}/{path}{query}"
    return uri, ["--migrateuri", f"tcp://{host}"] if host != vm.target else []


def mark_move(xml: str, nonce: str, paused: bool) -> str:
    """The domain XML with this move's nonce in its metadata, in place of an earlier move's.

    `paused` says that an operator had paused the guest, so that the target leaves it so.
    """
    note = f"<hacluster:move xmlns:hacluster='{NAMESPACE}' nonce='{nonce}' paused='{'yes' if paused else 'no'}'/>"
    start = xml.find("<hacluster:move ")
    if start >= 0:
        end = xml.find("/>", start) + 2
        xml = xml[:start] + xml[end:]
    if "<metadata>" in xml:
        return xml.replace("<metadata>", f"<metadata>{note}", 1)
    if "<metadata/>" in xml:
        return xml.replace("<metadata/>", f"<metadata>{note}</metadata>", 1)
    return xml.replace("</uuid>", f"</uuid><metadata>{note}</metadata>", 1)


def _migrate(vm: Vm, deadline: Deadline, xml: str, sight: Sight) -> Result | None:
    """The copy itself, to its end or ours; None when it has proved to be over before virsh says so."""
    path = state.path(vm.uuid, ".move.xml")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(xml)
    uri, memory = destination(vm)
    argv = ["virsh", "-q", "-c", vm.uri, "migrate", *policy.arguments(vm), "--xml", path, *memory]
    try:
        client = Command([*argv, "--domain", vm.uuid, "--desturi", uri])
        if vm.downtime:
            _allow_downtime(vm, client)
        if why := _attend(vm, client, sight, deadline):
            codes.log(vm.name, f"the migration is cancelled: {why}", warning=True)
            virsh(vm, 5.0, "domjobabort", vm.uuid)
            client.wait(2.0)
            client.kill()
            return Result(1, "", f"error: cancelled, {why}")
        return None if why is None else client.result()
    finally:
        state.remove(path)


def _attend(vm: Vm, client: Command, sight: Sight, deadline: Deadline) -> str | None:
    """Wait for the client, to its end: an empty text; else why it is to be cancelled. None: it need not be waited for.

    A target that has left the cluster sends nothing any more, and TCP would wait for it for minutes. While any other
    member is lost, Pacemaker fences it, and recovers its VMs, only once the operations in flight have ended: a planned
    move has to wait then. Once the guest runs on the target and its pages follow, only the operation's own deadline
    counts: a cancelled post-copy costs the guest its memory.

    libvirt sleeps some 0.2 s between killing the source's QEMU and saying so. The guest is paused on the target
    meanwhile, so the gate is closed as soon as that very QEMU is seen to end; and where that was the last step of the
    move, nothing that virsh still has to say changes anything.
    """
    longest = deadline.left(keep=AFTERWARDS)
    until = time.monotonic() + min(vm.migration_timeout, longest)
    latest = time.monotonic() + longest
    late = f"it did not end within {vm.migration_timeout:.0f} s"
    try:
        qemu = os.pidfd_open(sight.pid)
    except ProcessLookupError:
        return "" if client.wait(until - time.monotonic()) else late
    looked, members = time.monotonic(), frozenset[str]()
    try:
        while not client.wait(min(MEMBERSHIP, until - time.monotonic()), qemu):
            if time.monotonic() >= until:
                if until == latest or look(vm.name, vm.uuid).reason != "post-copy":
                    return late
                until = latest
            elif not proof.alive(proof.Process(sight.pid, sight.start, "")):
                if _close_behind(vm, sight):
                    return None
                return "" if client.wait(until - time.monotonic()) else late
            elif time.monotonic() - looked < MEMBERSHIP:
                time.sleep(0.05)  # its leader is dead, but a thread of it is not yet
            else:
                before, members, looked = members, _members(qemu) or members, time.monotonic()
                if members and vm.target not in members:
                    return f"{vm.target} has left the cluster"
                if (lost := sorted(before - members)) and look(vm.name, vm.uuid).reason != "post-copy":
                    return f"{', '.join(lost)} has left the cluster, whose recovery would wait for this copy"
        return ""
    finally:
        os.close(qemu)


def _members(qemu: int) -> frozenset[str]:
    """The nodes of this part of the cluster; none when that is not known, or when the QEMU of this pidfd ends."""
    asked = Command(["crm_node", "-p"])
    if not asked.wait(ASK, qemu):
        asked.kill()
    told = asked.result()
    return frozenset(told.out.split()) if told.code == 0 else frozenset()


def _close_behind(vm: Vm, before: Sight) -> bool:
    """The source's QEMU has ended while the gate was open: give the lock back, so that the target may seal.

    True when the move is over: that end was its last step, the lock is given back, and the target's libvirt calls the
    copy complete. It does so once virsh has had it finish, after which virsh only has the source's QEMU ended: as that
    has happened, virsh may be left behind, and dies with us (libvirt goes on clearing away, and a stop waits for it).

    libvirt's status file still shows the state that it ended in: paused for the migration, if its end was the last step
    of the move (one that an operator had paused before is not paused anew). A guest that ran when it ended, or was let
    run and paused again after a broken hand-over, has outrun the copy, which then must not be let run: nothing is
    noted, and the release voids the seat. Where the file has gone already, virsh's word is waited for.
    """
    lock, end = RunLock(vm.uuid), look(vm.name, vm.uuid)
    if not end.state:
        return False
    uri, _ = destination(vm)
    there = Command(["virsh", "-q", "-c", uri, "domstate", "--reason", vm.uuid])
    if handed := (end.state, end.reason) == ("paused", "migration") or (before.state == end.state == "paused"):
        lock.ended()
    try:
        lock.release(lambda: proof.presence(vm.uuid, None, ended=True), LOCK)
    except DlmError as problem:
        codes.log(vm.name, f"its gate stays open for now: {problem}", warning=True)
        handed = False
    if not there.wait(TOLD):
        there.kill()
    if not handed or not _finished(there.result()):
        return False
    codes.log(vm.name, f"its QEMU has ended here, and {vm.target} has it")
    return True


def _finished(told: Result) -> bool:
    """Whether the target's libvirt has ended the move: its copy waits for us, or goes on already. Until then it is
    paused, too, but for the migration."""
    return told.code == 0 and (told.out.startswith("running") or told.out.strip() == "paused (user)")


def _allow_downtime(vm: Vm, client: Command) -> None:
    """The longest pause that the admin allows; libvirt takes it only once the migration has begun."""
    for _attempt in range(10):
        if client.wait(0.1) or virsh(vm, 5.0, "migrate-setmaxdowntime", vm.uuid, vm.downtime).code == 0:
            return


def outcome(source: str, running: bool, target: bool | None) -> str:
    """Where the VM is after a migration. `source` is the verdict here, `running` whether its guest runs here,
    `target` whether the other side's libvirt has it (None: no answer)."""
    if source == proof.ABSENT:
        return {True: ARRIVED, False: LOST, None: UNCLEAR}[target]
    if source == proof.PRESENT and target is not True:
        return STAYED if running or target is False else UNCLEAR
    return BOTH if source == proof.PRESENT else UNCLEAR


def _ask_both(vm: Vm, deadline: Deadline) -> tuple[proof.Presence, frozenset[str] | None, bool | None]:
    """This node's verdict with libvirt's own list, and whether the target has the VM; asked at the same time."""
    uri, _ = destination(vm)
    there = Command(["virsh", "-q", "-c", uri, "list", "--uuid"])
    here = proof.active_uuids(vm.uri, deadline.left(ASK))
    found = proof.presence(vm.uuid, here)
    if not there.wait(deadline.left(ASK)):
        there.kill()
    answer = there.result()
    return found, here, None if answer.code != 0 else vm.uuid in answer.out.lower().split()


def _conclude(vm: Vm, lock: RunLock, result: Result, deadline: Deadline) -> int:
    found, active, there = _ask_both(vm, deadline)
    ran = False
    if result.code == 0:
        patience = time.monotonic() + 3.0
        while found.verdict == proof.PRESENT and time.monotonic() < patience:
            end = look(vm.name, vm.uuid)
            ran = ran or (bool(end.state) and end.state != "paused")
            time.sleep(0.02)
            found, active, there = _ask_both(vm, deadline)
    where = outcome(found.verdict, look(vm.name, vm.uuid).state == "running", there)
    said = complaint(result) if result.code != 0 else "virsh reported success"
    codes.log(vm.name, f"after the migration: {where} (here {found.evidence}; {vm.target}: {there}; {said})")
    if where in (ARRIVED, LOST):
        if result.code == 0 and not ran:
            lock.ended()  # virsh's success comes after Confirm, which ends the source's QEMU without letting it run
        try:
            # While a third node awaits its fencing no lock operation is answered, and Pacemaker fences it only once
            # this operation has ended: past a while the sweep does it.
            lock.release(lambda: proof.presence(vm.uuid, active), deadline.left(RELEASE))
        except DlmError as problem:
            raise Failed(f"{vm.name} is gone from {vm.node}, but its gate does not close: {problem}") from problem
    if where == ARRIVED:
        return codes.SUCCESS
    if where == LOST:
        raise Failed(f"{vm.name} ended during its move and runs nowhere: {said}; hactl vm cleanup {vm.name}")
    if where in (STAYED, BOTH) and look(vm.name, vm.uuid).reason == "post-copy failed":
        return _give_up(vm, lock, said, deadline)
    if where == STAYED:
        return _stay(vm, lock, said, deadline)
    if where == BOTH:
        if _recall(vm, deadline):
            return _stay(vm, lock, said, deadline)
        raise Failed(
            f"{vm.name} is on {vm.node} and a copy of it on {vm.target}: {said}; "
            f"look at both (virsh domstate {vm.name}), and destroy the one that is paused"
        )
    raise Failed(f"where {vm.name} is after its move to {vm.target} is unclear: {found.evidence}; {said}")


def _recall(vm: Vm, deadline: Deadline) -> bool:
    """Destroy the copy that waits, paused, on the target; True when that is done.

    Both sides are complete and our gate is open, so the copy there has not run: it runs only once our lock is gone.
    The guest here may run, or have run, on: then the copy is an old memory, which nothing must ever resume. A copy
    that is not paused (libvirt let it run under QEMU's own disk lock, or an operator did) is left to people.
    """
    uri, _ = destination(vm)
    there = run(["virsh", "-q", "-c", uri, "domstate", vm.uuid], deadline.left(ASK, LOCK))
    if there.code != 0 or there.out.strip() != "paused":
        return False
    gone = run(["virsh", "-q", "-c", uri, "destroy", vm.uuid], deadline.left(ASK, LOCK)).code == 0
    codes.log(vm.name, f"the paused copy on {vm.target} is {'destroyed' if gone else 'not destroyed'}", warning=True)
    return gone


def _give_up(vm: Vm, lock: RunLock, said: str, deadline: Deadline) -> int:
    """A post-copy broke off: part of the guest's memory is here, the rest there, and neither can go on."""
    uri, _ = destination(vm)
    run(["virsh", "-q", "-c", uri, "destroy", vm.uuid], deadline.left(ASK, 2 * LOCK))
    virsh(vm, deadline.left(ASK, LOCK), "destroy", vm.uuid)
    try:
        active = proof.active_uuids(vm.uri, deadline.left(ASK))
        lock.release(lambda: proof.presence(vm.uuid, active), deadline.left(LOCK))
    except DlmError as problem:
        codes.log(vm.name, f"its gate stays open for now: {problem}", warning=True)
    raise Failed(
        f"{vm.name} lost its memory in a post-copy move to {vm.target} that broke off ({said}); what was left "
        f"of it is destroyed; to start it afresh: hactl vm cleanup {vm.name}"
    )


def _stay(vm: Vm, lock: RunLock, said: str, deadline: Deadline) -> int:
    """The guest is here: seal it again, which is granted only when no seat is left anywhere; resume it if need be."""
    try:
        lock.reseal(deadline.left(SEAT_GOES))
    except DlmError as problem:
        raise Failed(
            f"{vm.name} stays on {vm.node} with its gate open ({problem}); the move failed: {said}"
        ) from problem
    go_on(vm.uri, vm.uuid, look(vm.name, vm.uuid), deadline.left(ASK))
    raise Failed(f"{vm.name} stays on {vm.node}, sealed; its move to {vm.target} failed: {said}")

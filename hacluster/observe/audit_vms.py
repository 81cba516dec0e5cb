"""What an audit finds of one VM: its locks, its barriers, and whether Pacemaker acts on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hacluster.observe import state
from hacluster.observe.barriers import Barriers
from hacluster.observe.views import Observation, VmView
from hacluster.ports import Domain, HeldLock
from hacluster.problems import Problem, kind

LOCK_LEFT = kind(
    "HA509",
    "A run-lock stays where its VM is not",
    "Until it goes, the VM can start on no other node. The node's sweep gives it back when it can prove that the VM is "
    "gone; if it stays, see docs/runbooks/a-lock-stays.md.",
    severity="warning",
)
STUCK = kind(
    "HA510",
    "A gate or a seat belongs to no move that is under way",
    "A broken move left it. The node's sweep seals the gate again, or gives the seat back; until then no move can "
    "begin.",
    severity="warning",
)
UNMANAGED = kind(
    "HA512",
    "Pacemaker does not act on a VM",
    "It is unmanaged, or its node is in maintenance: nothing starts, stops, moves or recovers it.",
    severity="warning",
)
NO_SWITCH_OVER = kind(
    "HA513",
    "Nothing covers the switch-over of a live move",
    "handover=running lets libvirt run the arrived copy by itself. If libvirt's reply is lost, source and target run "
    "at the same time, unless a lock that both nodes see lies under every disk.",
)
ONLY_FENCING = kind(
    "HA514",
    "Only fencing stands under a VM",
    "It has no run-lock, and no lock under QEMU that other nodes see: whoever starts it by hand starts it twice.",
    severity="warning",
)
HALF_MOVED = kind(
    "HA516",
    "A VM runs on a move's target while its source waits, paused",
    "The end of a migration was lost on the way. `virsh resume` on the source makes the VM run twice, and no hook is "
    "asked.",
)

_MOVING = ("moving", "starting", "stopping")


def judge(vm: VmView, stands: Barriers, seen: Observation) -> Iterator[Problem]:
    """The findings of one VM."""
    yield from _locks(vm)
    yield from _halves(vm)
    where = f"vm {vm.name}"
    if not vm.managed and not vm.blocked and not seen.cluster.maintenance:
        resting = [node.name for node in seen.nodes if node.maintenance and node.name in vm.nodes]
        yield UNMANAGED(
            f"Pacemaker does not act on {vm.name}",
            where=where,
            remedy=f"pcs node unmaintenance {resting[0]}" if resting else f"pcs resource manage {vm.name}",
            state=vm.state,
        )
    if stands.run_lock is None and stands.disks_locked is False:
        yield ONLY_FENCING(
            f"{vm.name} has neither a run-lock nor a disk lock that other nodes see",
            where=where,
            remedy=f'set vms.{vm.name}.agent = "hacluster" in the spec, then: hactl apply',
        )
    elif stands.run_lock is not None and stands.switch_over is False:
        yield NO_SWITCH_OVER(
            f"{vm.name} is handed over running, and no lock that both nodes see lies under all of its disks",
            where=where,
            remedy="hactl apply (it sets handover=paused for such storage)",
            image_lock=stands.image_lock,
            lease=stands.lease,
        )


def _locks(vm: VmView) -> Iterator[Problem]:
    """Run-locks that nobody needs any more. While a VM is on its way they are as they should be."""
    if vm.state.startswith(_MOVING) and (vm.claim is not None or vm.pending):
        return
    for node, held in vm.locks.items():
        if not isinstance(held, HeldLock):
            continue
        where, told = f"vm {vm.name}", vm.domains.get(node)
        if vm.presence.get(node) == "ABSENT":
            yield LOCK_LEFT(
                f"{node} holds the run-lock of {vm.name} ({held.mode}) and has no copy of it",
                where=where,
                remedy=f"hactl lock clear {vm.name} --node {node}",
                runs_on=vm.node or "no node",
            )
        elif held.mode in ("PW", "CR") and vm.claim is None and not (isinstance(told, Domain) and told.job):
            word = f"the gate for {held.target}" if held.mode == "PW" else "a seat"
            yield STUCK(
                f"{node} still has {word} of a move of {vm.name} that nobody is making",
                where=where,
                remedy=f"hactl lock show {vm.name}",
                move=held.nonce or "unknown",
            )


def _halves(vm: VmView) -> Iterator[Problem]:
    known = {node: told for node, told in vm.domains.items() if isinstance(told, Domain) and node in vm.copies}
    running = [node for node, told in known.items() if told.state == "running"]
    waiting = [
        node
        for node, told in known.items()
        if told.state == "paused" and told.reason.startswith("migrat") and not told.job
    ]
    if len(vm.copies) == 2 and len(running) == len(waiting) == 1 and not vm.state.startswith(state.TWICE):
        yield HALF_MOVED(
            f"{vm.name} runs on {running[0]}, and waits paused after its migration on {waiting[0]}",
            where=f"vm {vm.name}",
            remedy=f"never virsh resume it on {waiting[0]}; hactl lock show {vm.name}",
            locks=vm.lock,
        )

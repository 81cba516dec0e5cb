"""Carrying out a move: look, refuse or claim, watch, prove, and take the claim away.

All decisions are in `preflight` and `move`; this is the loop around them. Nothing that was decided is remembered
outside the cluster, so `resume` in another process, on another node, is the same loop begun later.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
from lxml import etree

from hacluster import claim as claims
from hacluster import history, observe, preflight
from hacluster.cib import managed, simulate
from hacluster.claim import Claim
from hacluster.forget import forget
from hacluster.move import WAITING, Arrived, Failed, Intent, View, Wait, decide
from hacluster.observe import Observation
from hacluster.ports import HostFacts, Unknown, Unreachable, World
from hacluster.problems import Problem, Refused, kind

log = structlog.get_logger(__name__)

OTHERS_WOULD_MOVE = kind(
    "HA440",
    "The move would disturb other resources",
    "The scheduler's simulation of the move stops, starts or moves more than this VM.",
)
WOULD_NOT_MOVE = kind(
    "HA441",
    "Pacemaker would not move the VM live",
    "The scheduler was asked what it would do with the claim in place, and it would not do this one live migration.",
)
WOULD_MOVE_BACK = kind(
    "HA442",
    "The VM would not stay",
    "As soon as the move's claim goes, the scheduler would place the VM elsewhere: a preference in the spec is "
    "stronger than the stickiness.",
)
NO_CLAIM = kind("HA443", "There is no move to resume", "No claim stands on this VM.")
STILL_MOVING = kind(
    "HA444",
    "The move is not over",
    "hactl stopped watching after the time in the facts. Pacemaker goes on, and the claim stays, so "
    "that nobody else interferes.",
)

# How often the cluster is asked while a move is under way, and how long an answer to a claim may take, in seconds.
_PACE = 0.25
_GRACE = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a watcher is shown: the phase, and a running migration's numbers as libvirt has them (see Hosts.job)."""

    phase: str
    job: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A move that succeeded. `seconds` is from the claim to the proof."""

    vm: str
    source: str
    target: str
    seconds: float


Tell = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at the cluster: what was seen, and the CIB as it stood then."""

    seen: Observation
    raw: bytes
    cib: etree._Element


def look(world: World, *, consoles: bool = False) -> Looked:
    """Ask Pacemaker and every node. Raises Refused when no cluster answers."""
    seen = observe.look(world.pacemaker, world.hosts, world.clock, consoles=consoles)
    raw = world.pacemaker.cib()
    return Looked(seen, raw, etree.fromstring(raw))


def find(looked: Looked, name: str) -> managed.ManagedVm:
    """The VM of that name, or a refusal that names the nearest one."""
    vm = managed.vm(looked.cib, name)
    if vm is None:
        known = [found.name for found in managed.vms(looked.cib)]
        raise Refused(
            preflight.UNKNOWN_VM(
                f"the cluster manages no VM {name}",
                where=f"vm {name}",
                remedy=preflight.nearest(name, known, "hactl vm list"),
            )
        )
    return vm


def questions(world: World, looked: Looked, vm: managed.ManagedVm, target: str) -> preflight.Question:
    """Everything preflight wants to know about one target."""
    seen = looked.seen
    view = seen.vm(vm.name)
    assert view is not None  # both are read from the same CIB
    source = view.claim.source if view.claim and view.claim.source in view.copies else None
    source = source or next((node for node in view.copies if node != target), view.node)
    domain = _domain(world, vm, source)
    job = world.hosts.job(source, vm.name) if view.claim and source else None
    return preflight.Question(
        vm=vm,
        source=source,
        target=target,
        nodes={node.name: node.state for node in seen.nodes},
        quorate=seen.cluster.quorum,
        managed=not view.blocked and not seen.cluster.maintenance and vm.meta.get("is-managed", "true") != "false",
        facts=facts_of(seen),
        claim=view.claim,
        constraints=_foreign(looked.cib, vm.name),
        fenceable=_fenceable(seen),
        needs=managed.stands_on(looked.cib, vm),
        up_on_target=frozenset(clone.name for clone in seen.clones if clone.on.get(target) == "started"),
        domain=domain,
        cpu=None if domain is None else world.hosts.compare_cpu(target, etree.tostring(domain)),
        progress=percent(job) if isinstance(job, Mapping) else "",
        now=world.clock.wall(),
        gone=frozenset(node.name for node in seen.nodes if node.gone),
    )


def facts_of(seen: Observation) -> Mapping[str, HostFacts | Unknown]:
    """Each node's own word."""
    return {node.name: node.facts for node in seen.nodes}


def move(world: World, name: str, target: str | None, *, tell: Tell, timeout: float | None = None) -> Moved:
    """Move a VM live. Raises Refused with every finding before anything is changed, or with how the move failed.

    `timeout` is how long to watch, in seconds; the VM's own migration timeout and a minute by default.
    """
    tell(Progress("checking"))
    vm, claim, before = _prepare(world, name, target)
    intent = Intent(name, vm.uuid, claim.source, claim.target, before)
    began = world.clock.now()
    log.info("move", vm=name, source=claim.source, target=claim.target)
    if not world.pacemaker.create_constraint(claims.to_xml(claim)):
        again = look(world)
        raise Refused(preflight.check(questions(world, again, vm, claim.target)) or _raced(name))
    return _watch(world, vm, intent, began, tell=tell, timeout=timeout)


def rehearse(world: World, name: str, target: str | None) -> Claim:
    """Everything that `move` does before it changes anything; the claim that it would make. Raises Refused."""
    return _prepare(world, name, target)[1]


def _prepare(world: World, name: str, target: str | None) -> tuple[managed.ManagedVm, Claim, history.History]:
    looked = look(world)
    vm = find(looked, name)
    asked = _choose(world, looked, vm, target)
    assert asked.source is not None  # preflight found exactly one copy
    claim = Claim(name, asked.source, asked.target, _owner(), os.getpid(), int(world.clock.wall()))
    _rehearse(world, looked, claim)
    return vm, claim, history.operations(looked.cib, name)


def resume(world: World, name: str, target: str | None = None, *, tell: Tell, timeout: float | None = None) -> Moved:
    """Go on with a move whose hactl is gone, from what the cluster itself says. Raises as `move` does.

    A move to another node than `target` is not resumed: its end would not be what was asked for.
    """
    looked = look(world)
    vm = find(looked, name)
    claim = claims.find(looked.cib, name)
    if claim is None:
        raise Refused(NO_CLAIM(f"nothing moves {name}", where=f"vm {name}", remedy=f"hactl vm move {name} NODE"))
    if target not in (None, claim.target):
        raise Refused(
            preflight.MOVE_UNDER_WAY(
                f"{name} is being moved to {claim.target}, not to {target}",
                where=f"vm {name}",
                remedy=f"hactl vm move {name} {claim.target} --resume",
            )
        )
    before = _before(looked.cib, name, claim)
    intent = Intent(name, vm.uuid, claim.source, claim.target, before)
    began = world.clock.now() - max(0.0, world.clock.wall() - claim.since)
    return _watch(world, vm, intent, began, tell=tell, timeout=timeout, grace=_GRACE)


def interrupted(name: str, target: str | None) -> Problem:
    """What to tell somebody who stopped watching."""
    return STILL_MOVING(
        f"hactl stopped watching; the move of {name} goes on in Pacemaker",
        where=f"vm {name}",
        remedy=f"hactl vm move {name} {target or 'NODE'} --resume",
    )


def percent(job: Mapping[str, int]) -> str:
    """How far a migration is, for a sentence."""
    total, done = job.get("data_total", 0), job.get("data_processed", 0)
    return f"{100 * done // total} %, {job.get('data_remaining', 0) >> 20} MiB remaining" if total else "starting"


def _choose(world: World, looked: Looked, vm: managed.ManagedVm, target: str | None) -> preflight.Question:
    """The question about the target, answered without findings; Refused otherwise."""
    known = [node.name for node in looked.seen.nodes]
    if target is not None:
        if target not in known:
            raise Refused(
                preflight.UNKNOWN_NODE(
                    f"the cluster has no node {target}",
                    where=f"node {target}",
                    remedy=preflight.nearest(target, known, "hactl status"),
                )
            )
        asked = questions(world, looked, vm, target)
        if found := preflight.check(asked):
            raise Refused(found)
        return asked
    view = looked.seen.vm(vm.name)
    here = () if view is None else view.copies
    facts = facts_of(looked.seen)
    refused: list[Problem] = []
    for node in sorted((n for n in known if n not in here), key=lambda n: -_free(facts[n])):
        asked = questions(world, looked, vm, node)
        found = preflight.check(asked)
        if not found:
            return asked
        refused += [problem for problem in found if problem not in refused]
    raise Refused(
        refused
        or preflight.NO_TARGET(f"there is no other node for {vm.name}", where=f"vm {vm.name}", remedy="hactl status")
    )


def _rehearse(world: World, looked: Looked, claim: Claim) -> None:
    """Ask the scheduler what the claim would do, and what its removal would do afterwards."""
    before = simulate.parse(world.pacemaker.simulate(looked.raw))
    claimed = with_constraint(looked.cib, claims.to_xml(claim))
    then = simulate.parse(world.pacemaker.simulate(claimed))
    after = simulate.parse(world.pacemaker.simulate(history.moved(looked.cib, claim.vm, claim.source, claim.target)))
    found = list(_rehearsed(claim, before, then, after))
    if found:
        raise Refused(found)


def _rehearsed(
    claim: Claim, before: simulate.Simulation, then: simulate.Simulation, after: simulate.Simulation
) -> Iterator[Problem]:
    mine = then.of(claim.vm)
    if [(a.kind, a.source, a.target, a.blocked) for a in mine] != [("migrate", claim.source, claim.target, False)]:
        yield WOULD_NOT_MOVE(
            f"Pacemaker would not migrate {claim.vm} from {claim.source} to {claim.target}",
            where=f"vm {claim.vm}",
            remedy=f"hactl vm show {claim.vm}",
            it_would="; ".join(map(str, mine)) or "leave it where it is",
        )
    others = [str(a) for a in then.actions if a.resource != claim.vm and a not in before.actions]
    if others:
        yield OTHERS_WOULD_MOVE(
            f"moving {claim.vm} to {claim.target} is not all that would happen: {'; '.join(others)}",
            where=f"vm {claim.vm}",
            remedy="hactl plan",
        )
    if back := after.of(claim.vm):
        yield WOULD_MOVE_BACK(
            f"{claim.vm} would not stay on {claim.target}: {'; '.join(map(str, back))}",
            where=f"vm {claim.vm}",
            remedy=f"change vms.{claim.vm}.placement in the spec, then: hactl apply",
        )


def with_constraint(cib: etree._Element, constraint: bytes) -> bytes:
    """A copy of a CIB with one more constraint, as bytes."""
    copy: etree._Element = etree.fromstring(etree.tostring(cib))
    constraints = copy.find("./configuration/constraints")
    assert constraints is not None  # the schema demands the section
    constraints.append(etree.fromstring(constraint))
    text: bytes = etree.tostring(copy)
    return text


def _watch(
    world: World,
    vm: managed.ManagedVm,
    intent: Intent,
    began: float,
    *,
    tell: Tell,
    timeout: float | None,
    grace: float = 0.0,
) -> Moved:
    """Ask again and again until the move is over; free what is proven safe to free."""
    patience = timeout if timeout is not None else float(vm.parameters.get("migration_timeout", 600)) + _GRACE
    limit = max(began + patience, world.clock.now() + grace)
    tell = _narrated(tell)
    while True:
        step = _step(world, intent, tell)
        if isinstance(step, Arrived):
            seconds = world.clock.now() - began
            world.pacemaker.delete_constraint(claims.PREFIX + intent.vm)
            log.info("moved", vm=intent.vm, target=intent.target, seconds=round(seconds, 2))
            return Moved(intent.vm, intent.source, intent.target, seconds)
        if isinstance(step, Failed):
            _clear(world, intent, step)
            log.warning("move failed", vm=intent.vm, code=step.problem.code, message=step.problem.message)
            raise Refused(step.problem)
        if world.clock.now() > limit:
            raise Refused(
                STILL_MOVING(
                    f"{intent.vm} is still on its way to {intent.target}: {step.phase}",
                    where=f"vm {intent.vm}",
                    remedy=f"hactl vm move {intent.vm} {intent.target} --resume; docs/runbooks/a-move-hangs.md",
                    watched=f"{int(patience)} s",
                )
            )
        world.clock.sleep(_PACE)


def _step(world: World, intent: Intent, tell: Tell) -> Arrived | Failed | Wait:
    """One look and one decision. The nodes are asked only once Pacemaker has something to report: that is dear."""
    try:
        cib = etree.fromstring(world.pacemaker.cib())
    except (Unreachable, Refused) as error:
        # A node that hactl works through may be fenced in mid-move; the loop's limit ends a cluster that stays silent.
        step = Wait(f"the cluster does not answer ({error})")
        tell(Progress(step.phase))
        return step
    ops = history.operations(cib, intent.vm)
    states = list(cib.iterfind("./status/node_state"))
    online = frozenset(state.get("uname", "") for state in states if state.get("crmd") == "online")
    # Pacemaker expects nothing of a node that it fenced or that left in order; before that it is "member".
    gone = frozenset(
        state.get("uname", "") for state in states if state.get("crmd") != "online" and state.get("expected") == "down"
    )
    claim = claims.find(cib, intent.vm)
    quiet = claim is not None and not any(not op.pending for op in history.since(intent.before, ops))
    if quiet and intent.source in online:
        job = world.hosts.job(intent.source, intent.vm, deadline=2.0)
        moving = isinstance(job, Mapping)
        silent = f"waiting for {intent.source}'s libvirt to answer"
        step = Wait("migrating" if moving else silent if isinstance(job, Unknown) else WAITING)
        tell(Progress(step.phase, job if isinstance(job, Mapping) else None))
        return step
    nodes = [node.get("uname", "") for node in cib.iterfind("./configuration/nodes/node")]
    decided = decide(intent, View(claim, ops, world.hosts.facts(nodes, deadline=5.0), online, gone))
    if isinstance(decided, Wait):
        tell(Progress(decided.phase))
    return decided


def _narrated(tell: Tell) -> Tell:
    """`tell` for one move from its beginning: waiting after the migration is another thing than before it."""
    migrated = False

    def told(progress: Progress) -> None:
        nonlocal migrated
        migrated |= progress.phase == "migrating"
        tell(Progress("migrated; Pacemaker takes note") if migrated and progress.phase == WAITING else progress)

    return told


def _clear(world: World, intent: Intent, failed: Failed) -> None:
    """Take away what the decision says is safe; first the claim, or Pacemaker would try the migration again."""
    if failed.drop_claim:
        world.pacemaker.delete_constraint(claims.PREFIX + intent.vm)
    if failed.clean_up:
        online = tuple(
            node.name for node in observe.look(world.pacemaker, world.hosts, world.clock).nodes if node.online
        )
        forget(world, intent.vm, online, intent.source)


def _before(cib: etree._Element, vm: str, claim: Claim) -> history.History:
    """What was recorded before a claim was made, as far as the records' own times tell (whole seconds)."""
    return {
        node: tuple(op for op in ops if op.changed < claim.since) for node, ops in history.operations(cib, vm).items()
    }


def _domain(world: World, vm: managed.ManagedVm, node: str | None) -> etree._Element | None:
    """The VM as it runs on a node; None when that cannot be read.

    The file that the CIB names may be newer than the running guest: a changed memory counts from the next start on.
    """
    if node is None:
        return None
    with suppress(Unreachable, Refused, etree.XMLSyntaxError):
        done = world.runner.run(node, ["virsh", "--connect", "qemu:///system", "dumpxml", vm.name], deadline=5.0)
        if done.ok:
            parser = etree.XMLParser(resolve_entities=False, no_network=True)
            domain: etree._Element = etree.fromstring(done.out, parser)
            return domain
    return None


def _foreign(cib: etree._Element, vm: str) -> tuple[str, ...]:
    return tuple(
        location.get("id", "")
        for location in cib.iterfind("./configuration/constraints/rsc_location")
        if location.get("rsc") == vm and location.get("id", "").startswith("cli-")
    )


def _fenceable(seen: Observation) -> frozenset[str]:
    """Nodes that a running fence device stands for; a device without a list of hosts finds them by itself."""
    working = [device for device in seen.fencing if device.running_on and not device.failed]
    if not seen.cluster.stonith:
        return frozenset()
    if any(not device.targets for device in working):
        return frozenset(node.name for node in seen.nodes)
    return frozenset(target for device in working for target in device.targets)


def _free(told: HostFacts | Unknown) -> int:
    return told.mem_available or 0 if isinstance(told, HostFacts) else 0


def _owner() -> str:
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def _raced(name: str) -> Problem:
    return preflight.MOVE_UNDER_WAY(
        f"somebody else claimed {name} at the same moment", where=f"vm {name}", remedy=f"hactl vm show {name}"
    )

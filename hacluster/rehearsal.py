"""Before a move: one look at the cluster, everything that preflight asks, and what the scheduler would do.

Nothing here changes anything: `hactl vm move --dry-run` is this module alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster import claim as claims
from hacluster import converging, history, observe, preflight, strict_xml
from hacluster.cib import managed, simulate
from hacluster.claim import Claim, put
from hacluster.observe import Observation
from hacluster.ports import HostFacts, Unknown, Unreachable, World
from hacluster.problems import Problem, Refused, kind

OTHERS_WOULD_MOVE = kind(
    "HA440",
    "The move would disturb other resources",
    "The scheduler's simulation of the move stops, starts or moves more than this VM.",
)
WOULD_NOT_MOVE = kind(
    "HA441",
    "Pacemaker would not move the VM",
    "The scheduler was asked what it would do with the claim in place, and it would not do what this move needs.",
)
WOULD_MOVE_BACK = kind(
    "HA442",
    "The VM would not stay",
    "As soon as the move's claim goes, the scheduler would place the VM elsewhere: a preference in the spec is "
    "stronger than the stickiness.",
)


Mover = Literal["alive", "gone", "not known"]


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


def questions(
    world: World, looked: Looked, vm: managed.ManagedVm, target: str, *, cold: bool = False
) -> preflight.Question:
    """Everything preflight wants to know about one target."""
    seen = looked.seen
    view = seen.vm(vm.name)
    assert view is not None  # both are read from the same CIB
    source = view.claim.source if view.claim and view.claim.source in view.copies else None
    source = source or next((node for node in view.copies if node != target), view.node)
    domain = _next_domain(world, vm, target) if cold else domain_of(world, vm, source)
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
        needs=managed.must_be_up(looked.cib, vm),
        up_on_target=frozenset(clone.name for clone in seen.clones if clone.on.get(target) == "started"),
        domain=domain,
        cpu=None if domain is None or cold else world.hosts.compare_cpu(target, etree.tostring(domain)),
        progress=progress(world, looked, view.claim) if view.claim else "",
        mover=mover(world, looked, view.claim) if view.claim else "",
        now=world.clock.wall(),
        cold=cold,
        gone=frozenset(node.name for node in seen.nodes if node.gone),
    )


def facts_of(seen: Observation) -> Mapping[str, HostFacts | Unknown]:
    """Each node's own word."""
    return {node.name: node.facts for node in seen.nodes}


def under_way(world: World, looked: Looked, claim: Claim) -> Problem:
    """That a VM is being moved, as it stands now."""
    return preflight.under_way(claim, world.clock.wall(), progress(world, looked, claim), mover(world, looked, claim))


def progress(world: World, looked: Looked, claim: Claim) -> str:
    """How far a move is, for a sentence; empty when its source does not say."""
    view = looked.seen.vm(claim.vm)
    if view is not None and claim.how != "live":
        return view.state
    job = world.hosts.job(claim.source, claim.vm) if view is not None and claim.source in view.copies else None
    return converging.percent(job) if isinstance(job, Mapping) else ""


def mover(world: World, looked: Looked, claim: Claim) -> Mover:
    """Whether the hactl that made a claim still runs. Only a node of the cluster can be asked."""
    node = next((node for node in looked.seen.nodes if node.name in (claim.host, claim.host.split(".")[0])), None)
    if node is None or not claim.pid:
        return "not known"
    if node.gone:
        return "gone"
    with suppress(Unreachable, Refused):
        done = world.runner.run(node.name, ["cat", f"/proc/{claim.pid}/cmdline"], deadline=5.0)
        return "alive" if done.ok and b"hactl" in done.out else "gone"
    return "not known"


def choose(
    world: World, looked: Looked, vm: managed.ManagedVm, target: str | None, *, cold: bool = False
) -> preflight.Question:
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
        asked = questions(world, looked, vm, target, cold=cold)
        if found := preflight.check(asked):
            raise Refused(found)
        return asked
    view = looked.seen.vm(vm.name)
    here = () if view is None else view.copies
    facts = facts_of(looked.seen)
    refused: list[Problem] = []
    for node in sorted((n for n in known if n not in here), key=lambda n: -_free(facts[n])):
        asked = questions(world, looked, vm, node, cold=cold)
        found = preflight.check(asked)
        if not found:
            return asked
        refused += [problem for problem in found if problem not in refused]
    raise Refused(
        refused
        or preflight.NO_TARGET(f"there is no other node for {vm.name}", where=f"vm {vm.name}", remedy="hactl status")
    )


def rehearse(world: World, looked: Looked, claim: Claim) -> None:
    """Ask the scheduler what the claim would do, and what its removal would do afterwards.

    Raises Refused also when another claim was made since preflight looked: the CIB is read after the nodes are asked.
    """
    _unclaimed(world, looked, claim.vm)
    before = simulate.parse(world.pacemaker.simulate(looked.raw))
    claimed = with_constraint(looked.cib, claims.to_xml(claim))
    then = simulate.parse(world.pacemaker.simulate(claimed))
    after = simulate.parse(world.pacemaker.simulate(history.moved(looked.cib, claim.vm, claim.source, claim.target)))
    found = list(_rehearsed(claim, before, then, after))
    if found:
        raise Refused(found)


def rehearse_cold(world: World, looked: Looked, claim: Claim) -> None:
    """Ask the scheduler what a cold move would do: the stop, then the start, and then the claim's removal.

    Raises Refused also for a claim that preflight did not see: the push after it would replace it.
    """
    _unclaimed(world, looked, claim.vm)

    def asked(cib: etree._Element, role: str | None) -> simulate.Simulation:
        copy: etree._Element = etree.fromstring(etree.tostring(cib))
        put(copy, claim, role)
        return simulate.parse(world.pacemaker.simulate(etree.tostring(copy)))

    before = simulate.parse(world.pacemaker.simulate(looked.raw))
    stopped = etree.fromstring(history.stopped(looked.cib, claim.vm, claim.source))
    down, up = asked(looked.cib, "Stopped"), asked(stopped, None)
    after = simulate.parse(world.pacemaker.simulate(history.moved(looked.cib, claim.vm, claim.source, claim.target)))
    found = [
        *_unlike(claim, down, ("stop", claim.source)),
        *_unlike(claim, up, ("start", claim.target)),
        *_others(claim, before, down),
        *_others(claim, before, up),
        *_back(claim, after),
    ]
    if found:
        raise Refused(dict.fromkeys(found))


def _unclaimed(world: World, looked: Looked, vm: str) -> None:
    if (other := claims.find(looked.cib, vm)) is not None:
        raise Refused([under_way(world, looked, other)])


def _unlike(claim: Claim, then: simulate.Simulation, wanted: tuple[str, str]) -> Iterator[Problem]:
    mine = then.of(claim.vm)
    if [(a.kind, a.target or a.source, a.blocked) for a in mine] != [(*wanted, False)]:
        verb, node = wanted
        yield WOULD_NOT_MOVE(
            f"Pacemaker would not {verb} {claim.vm} on {node}",
            where=f"vm {claim.vm}",
            remedy=f"hactl vm show {claim.vm}",
            it_would="; ".join(map(str, mine)) or "leave it as it is",
        )


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
    yield from _others(claim, before, then)
    yield from _back(claim, after)


def _others(claim: Claim, before: simulate.Simulation, then: simulate.Simulation) -> Iterator[Problem]:
    others = [str(a) for a in then.actions if a.resource != claim.vm and a not in before.actions]
    if others:
        yield OTHERS_WOULD_MOVE(
            f"moving {claim.vm} to {claim.target} is not all that would happen: {'; '.join(others)}",
            where=f"vm {claim.vm}",
            remedy="hactl plan",
        )


def _back(claim: Claim, after: simulate.Simulation) -> Iterator[Problem]:
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


def domain_of(world: World, vm: managed.ManagedVm, node: str | None) -> etree._Element | None:
    """The VM as it runs on a node; None when that cannot be read.

    The file that the CIB names may be newer than the running guest: a changed memory counts from the next start on.
    """
    if node is None:
        return None
    with suppress(Unreachable, Refused, ValueError):
        done = world.runner.run(node, ["virsh", "--connect", "qemu:///system", "dumpxml", vm.name], deadline=5.0)
        if done.ok:
            return strict_xml.parse(done.out)
    return None


def _next_domain(world: World, vm: managed.ManagedVm, node: str) -> etree._Element | None:
    """The VM as a node would start it; None when that cannot be read."""
    files = world.hosts.read(node, [vm.config])
    with suppress(ValueError):
        if not isinstance(files, Unknown) and vm.config in files:
            return strict_xml.parse(files[vm.config])
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

"""Bringing running VMs under another agent, in one push and without stopping them.

Pacemaker restarts a resource whose agent changes. So in the same push that changes the agent, the VM goes into
maintenance: Pacemaker then neither stops it nor starts it anywhere, whatever it believes, and the old agent, which
would not understand the new parameters, is not asked any more (is-managed=false alone lets its monitors go on). Every
node forgets the old agent's answers and asks the new one, which finds the guest by its process and (the guarded one)
seals it. Only when the nodes, the locks, Pacemaker and the scheduler's simulation agree, maintenance ends. Whatever
fails before leaves the guest running and in maintenance, and the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass

from lxml import etree

from hacluster import observe
from hacluster.adopting.findings import (
    MARK,
    Question,
    acts,
    check,
    home,
    process,
    runs_under,
    sealed,
)
from hacluster.apply import delivery
from hacluster.apply.delivery import Delivery
from hacluster.apply.run import CHANGED, deliver
from hacluster.cib import compile as compiler
from hacluster.cib import managed, merge, names, simulate
from hacluster.forget import forget
from hacluster.model import Cluster, Vm
from hacluster.observe import Observation
from hacluster.observe.read import version
from hacluster.ports import Conflict, HostFacts, Unreachable, World
from hacluster.problems import Problem, Refused, kind

NOT_TAKEN = kind(
    "HA296",
    "The new agent has not taken the VM over",
    "The agent is changed, and Pacemaker keeps its hands off the VM. Its guest runs on as before. Once what is missing "
    "has been mended, the same command goes on from here.",
)
OTHER_CHANGES = kind(
    "HA297",
    "The spec has other changes",
    "Adopting pushes what concerns the VM and nothing else, so that what happens then has one cause.",
)

_PACE = 0.5
_PATIENCE = 90.0
"""Seconds for the new agent's first answers on all nodes."""
_ATTEMPTS = 12

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was found before anything is changed. `files` are what nodes lack; `pushed` says the agent is changed
    already, by an adoption that did not come to its end."""

    cluster: Cluster
    compiled: etree._Element
    vms: tuple[Vm, ...]
    seen: Observation
    planned: tuple[int, int]
    changes: tuple[merge.Change, ...]
    files: tuple[Delivery, ...]
    pushed: bool
    problems: tuple[Problem, ...]

    @property
    def nothing(self) -> bool:
        """Whether all of them are under that agent and managed already."""
        views = [self.seen.vm(vm.name) for vm in self.vms]
        return not self.problems and self.pushed and all(view is not None and view.managed for view in views)


@dataclass(frozen=True, slots=True)
class Adopted:
    """A VM that was adopted: its node, and the process that ran before and runs still."""

    vm: str
    node: str
    pid: int


def ask(world: World, cluster: Cluster, vms: tuple[str, ...], wanted: str) -> Asked:
    """Look at everything, change nothing. `cluster` is the spec with what concerns the VMs taken out of its residue."""
    chosen = tuple(vm for vm in cluster.vms if vm.name in vms)
    compiled = compiler.compile_element(cluster)
    raw = world.pacemaker.cib()
    live = etree.fromstring(raw)
    seen = observe.look(world.pacemaker, world.hosts, world.clock)
    under = {vm.name: runs_under(live, vm.name) for vm in chosen}
    questions = tuple(Question(vm, seen.vm(vm.name), *under[vm.name]) for vm in chosen)
    problems = list(check(questions, seen, wanted, world.pacemaker.idle() is True))
    merged = merge.merge(live, compiled, taking=frozenset(vms))
    pushed = all(question.under == wanted for question in questions)
    problems += _others(merged.changes, chosen, live, merged.cib)
    if not pushed:
        now = simulate.parse(world.pacemaker.simulate(raw))
        then = simulate.parse(world.pacemaker.simulate(etree.tostring(_marked(merged.cib, chosen))))
        problems += acts(_caused(now, then), "with the agent changed")
    admin, epoch, _ = version(live)
    files = tuple(_lacks(seen, cluster))
    return Asked(cluster, compiled, chosen, seen, (admin, epoch), merged.changes, files, pushed, tuple(problems))


def adopt(world: World, asked: Asked, tell: Tell) -> tuple[Adopted, ...]:
    """Carry it out. Raises Refused: with the findings, before anything is changed; with HA296 when the new agent does
    not answer as it should: the VMs run on, in maintenance.
    """
    if asked.problems:
        raise Refused(asked.problems)
    before = {vm.name: process(vm, asked.seen) for vm in asked.vms}
    if not asked.pushed:
        deliver(world, asked.files, tell)
        tell("changing the agent, hands off the guest")
        _push(world, lambda live: _changed(live, asked), asked.planned)
        _rest(world)
    online = tuple(node.name for node in asked.seen.nodes if node.online)
    for vm in asked.vms:
        tell(f"the new agent looks for {vm.name}")
        forget(world, vm.name, online, home(vm, asked.seen))
    _await(world, asked, tell)
    _would_leave_alone(world, asked)
    _tidy(world, asked)
    tell("giving it back to Pacemaker")
    _push(world, lambda live: _unmarked(live, asked.vms), None)
    _rest(world)
    seen = _await(world, asked, tell)
    return tuple(_same(vm, before[vm.name], seen) for vm in asked.vms)


def _others(
    changes: tuple[merge.Change, ...], vms: tuple[Vm, ...], live: etree._Element, then: etree._Element
) -> list[Problem]:
    """What the push would change beside these VMs, their tags, and what constrains those."""
    mine = {vm.name for vm in vms}
    for cib in (live, then):
        mine |= {
            tag.get("id", "")
            for tag in cib.iterfind("configuration/tags/tag")
            if any(member.get("id") in mine for member in tag.iterfind("obj_ref"))
        }
    about = set(mine)
    for cib in (live, then):
        for each in cib.iterfind("configuration/constraints/*"):
            if isinstance(each.tag, str) and mine & {each.get(a) for a in ("rsc", "first", "then", "with-rsc")}:
                about.add(each.get("id", ""))
    others = [change for change in changes if change.id not in about and change.kind != "adopt"]
    others = [change for change in others if change.id != names.MANIFEST]
    if not others:
        return []
    shown = ", ".join(f"{change.kind} {change.id}" for change in others[:5])
    return [
        OTHER_CHANGES(f"the spec would also {shown}", where="spec", remedy="hactl apply, which shows the price first")
    ]


def _lacks(seen: Observation, cluster: Cluster) -> list[Delivery]:
    files = [delivery.domain_file(vm) for vm in cluster.vms]
    return [
        delivery.lacking(node.name, files, node.facts.domain_files or (), {})
        for node in seen.nodes
        if isinstance(node.facts, HostFacts)
    ]


def _changed(live: etree._Element, asked: Asked) -> etree._Element:
    merged = merge.merge(live, asked.compiled, taking=frozenset(vm.name for vm in asked.vms))
    return _marked(merged.cib, asked.vms)


def _marked(cib: etree._Element, vms: tuple[Vm, ...]) -> etree._Element:
    """A copy in which Pacemaker keeps its hands off the VMs, by a setting whose id says that it is hactl's."""
    made = deepcopy(cib)
    for vm in vms:
        primitive = made.find(f"./configuration/resources/primitive[@id='{vm.name}']")
        meta = primitive.find("meta_attributes")
        if meta is None:
            meta = etree.Element("meta_attributes", id=names.meta_attributes(vm.name))
            primitive.insert(0, meta)
        if not any(pair.get("id") == _mark(vm) for pair in meta):
            etree.SubElement(meta, "nvpair", id=_mark(vm), name="maintenance", value="true")
    return made


def _unmarked(live: etree._Element, vms: tuple[Vm, ...]) -> etree._Element:
    made = deepcopy(live)
    marks = {_mark(vm) for vm in vms}
    for pair in [p for p in made.iterfind("./configuration/resources//nvpair") if p.get("id") in marks]:
        pair.getparent().remove(pair)
    return made


def _mark(vm: Vm) -> str:
    return f"{names.meta_attributes(vm.name)}-{MARK}"


def _push(world: World, change: Callable[[etree._Element], etree._Element], planned: tuple[int, int] | None) -> None:
    """Change the CIB as a compare-and-set; `planned` is the version that it must still have."""
    for _ in range(_ATTEMPTS):
        live = etree.fromstring(world.pacemaker.cib())
        if planned is not None and version(live)[:2] != planned:
            raise Refused(
                CHANGED(
                    "the CIB was changed by somebody else; nothing was pushed",
                    where="CIB",
                    remedy="the same command again",
                    planned=planned[1],
                    now=version(live)[1],
                )
            )
        try:
            world.pacemaker.replace(etree.tostring(change(live), encoding="UTF-8", xml_declaration=True))
        except Conflict:
            world.clock.sleep(_PACE)
        else:
            return
    raise Refused(CHANGED("the cluster did not hold still", where="CIB", remedy="hactl status, and then once more"))


def _rest(world: World) -> None:
    """Wait until Pacemaker has nothing to do, twice in a row: between a push and its notice all looks quiet."""
    calm, limit = 0, world.clock.now() + _PATIENCE
    while calm < 2 and world.clock.now() < limit:
        calm = calm + 1 if world.pacemaker.idle() is True else 0
        world.clock.sleep(_PACE)


def _await(world: World, asked: Asked, tell: Tell) -> Observation:
    """Wait until every VM is seen to run where it was, known to Pacemaker there, and (guarded) sealed."""
    limit = world.clock.now() + _PATIENCE
    while True:
        seen = observe.look(world.pacemaker, world.hosts, world.clock)
        missing = {vm.name: said for vm in asked.vms if (said := _missing(vm, asked.seen, seen))}
        if not missing:
            return seen
        if world.clock.now() > limit:
            raise Refused(
                [
                    NOT_TAKEN(
                        f"{name}: {said}",
                        where=f"vm {name}",
                        remedy=f"hactl vm show {name}; the same command again goes on from here",
                    )
                    for name, said in missing.items()
                ]
            )
        tell("; ".join(f"{name}: {said}" for name, said in missing.items()))
        world.clock.sleep(_PACE)


def _missing(vm: Vm, before: Observation, seen: Observation) -> str:
    """What is not yet as it should be; empty when all is."""
    view, node = seen.vm(vm.name), home(vm, seen)
    if node is None or node != home(vm, before):
        return f"it is not seen to run on {home(vm, before)} any more"
    if view is None or view.agent != vm.agent:
        return "Pacemaker does not have it under the new agent"
    if view.failed:
        said = [f.reason or f.code for f in seen.failures if f.resource == vm.name]
        return f"the new agent failed: {said[0] if said else 'no reason on record'}"
    if view.nodes != (node,) or view.pending:
        return f"Pacemaker does not know yet that it runs on {node}"
    if vm.agent == "hacluster" and not sealed(vm, seen):
        return "its run-lock is not sealed"
    return ""


def _would_leave_alone(world: World, asked: Asked) -> None:
    """Ask the scheduler what it would do with the VMs managed again; Refused if that is anything."""
    live = etree.fromstring(world.pacemaker.cib())
    now = simulate.parse(world.pacemaker.simulate(etree.tostring(live)))
    then = simulate.parse(world.pacemaker.simulate(etree.tostring(_unmarked(live, asked.vms))))
    if found := acts(_caused(now, then), "managed again"):
        raise Refused(found)


def _caused(now: simulate.Simulation, then: simulate.Simulation) -> tuple[simulate.Action, ...]:
    before = {(a.kind, a.subject, a.source, a.target) for a in now.actions}
    return tuple(a for a in then.actions if (a.kind, a.subject, a.source, a.target) not in before)


def _tidy(world: World, asked: Asked) -> None:
    """Delete domain files that nothing names any more: one that stays in the guard's folder would let the hook refuse
    the VM to heartbeat's agent. A node that cannot do so now is told again by the next apply."""
    cib = etree.fromstring(world.pacemaker.cib())
    kept = {vm.config for vm in managed.vms(cib)} | {delivery.domain_file(vm).path for vm in asked.cluster.vms}
    for node in asked.seen.nodes:
        if isinstance(node.facts, HostFacts) and node.facts.domain_files:
            with suppress(Unreachable, Refused, OSError):
                world.hosts.remove(node.name, delivery.obsolete(node.facts.domain_files, kept))


def _same(vm: Vm, before: tuple[int, int] | None, seen: Observation) -> Adopted:
    """The proof that the guest did not notice: the very process that ran before runs now."""
    after = process(vm, seen)
    if before is None or after != before:
        raise Refused(
            NOT_TAKEN(
                f"{vm.name} runs in another process than before",
                where=f"vm {vm.name}",
                remedy=f"hactl vm show {vm.name}",
                before=before,
                after=after,
            )
        )
    return Adopted(vm.name, home(vm, seen) or "", before[0])

"""Looking before adopting: what would be pushed, and all that stands against it. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from hacluster.adopting.findings import Question, acts, check
from hacluster.adopting.marks import marked, runs_under
from hacluster.apply import delivery
from hacluster.apply.delivery import Delivery
from hacluster.apply.sight import Sight
from hacluster.cib import compile as compiler
from hacluster.cib import merge, names, simulate
from hacluster.cib.difference import Change
from hacluster.model import Cluster, Vm
from hacluster.observe import Observation
from hacluster.observe.read import version
from hacluster.ports import HostFacts, World
from hacluster.problems import Problem, kind

OTHER_CHANGES = kind(
    "HA297",
    "The spec has other changes",
    "Adopting pushes what concerns the VM and nothing else, so that what happens then has one cause.",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was found before anything is changed. `files` are what nodes lack; `pushed` says the agent is changed
    already, by an adoption that did not come to its end."""

    cluster: Cluster
    compiled: etree._Element
    vms: tuple[Vm, ...]
    sight: Sight
    planned: tuple[int, int]
    changes: tuple[Change, ...]
    files: tuple[Delivery, ...]
    pushed: bool
    problems: tuple[Problem, ...]

    @property
    def seen(self) -> Observation:
        """The cluster before anything was changed."""
        return self.sight.seen

    @property
    def nothing(self) -> bool:
        """Whether all of them are under that agent and managed already."""
        views = [self.seen.vm(vm.name) for vm in self.vms]
        return not self.problems and self.pushed and all(view is not None and view.managed for view in views)


def ask(world: World, cluster: Cluster, vms: tuple[str, ...], wanted: str) -> Asked:
    """Look at everything, change nothing. `cluster` is the spec with what concerns the VMs taken out of its residue."""
    chosen = tuple(vm for vm in cluster.vms if vm.name in vms)
    compiled = compiler.compile_element(cluster)
    sight = Sight(world, tuple(node.name for node in cluster.nodes))
    raw, live, seen = sight.raw, sight.live, sight.seen
    under = {vm.name: runs_under(live, vm.name) for vm in chosen}
    questions = tuple(Question(vm, seen.vm(vm.name), *under[vm.name]) for vm in chosen)
    problems = list(check(questions, seen, wanted, world.pacemaker.idle() is True))
    merged = merge.merge(live, compiled, sight.base, taking=frozenset(vms))
    pushed = all(question.under == wanted for question in questions)
    problems += _others(merged, chosen, live)
    if not pushed:
        now = simulate.parse(world.pacemaker.simulate(raw))
        then = simulate.parse(world.pacemaker.simulate(etree.tostring(marked(merged.cib, chosen))))
        problems += acts(caused(now, then), "with the agent changed")
    admin, epoch, _ = version(live)
    files = tuple(_lacks(seen, cluster))
    return Asked(cluster, compiled, chosen, sight, (admin, epoch), merged.changes, files, pushed, tuple(problems))


def _others(merged: merge.Merged, vms: tuple[Vm, ...], live: etree._Element) -> list[Problem]:
    """What the push would change beside these VMs, their tags, and what constrains those; and what others changed."""
    mine = {vm.name for vm in vms}
    for cib in (live, merged.cib):
        mine |= {
            tag.get("id", "")
            for tag in cib.iterfind("configuration/tags/tag")
            if any(member.get("id") in mine for member in tag.iterfind("obj_ref"))
        }
    about = set(mine)
    for cib in (live, merged.cib):
        for each in cib.iterfind("configuration/constraints/*"):
            if isinstance(each.tag, str) and mine & {each.get(a) for a in ("rsc", "first", "then", "with-rsc")}:
                about.add(each.get("id", ""))
    others = [change for change in merged.changes if change.id not in about and change.kind != "adopt"]
    shown = [f"{change.kind} {change.id}" for change in others if change.id != names.MANIFEST]
    # What somebody else did to the VM itself is known to whoever names it; the whole of it becomes the spec's.
    met = [each.id for each in merged.theirs if each.kind != "addition" and each.id not in mine]
    shown += [f"meet what somebody else did to {id_}" for id_ in met]
    if not shown:
        return []
    said = f"the spec would also {', '.join(shown[:5])}"
    return [OTHER_CHANGES(said, where="spec", remedy="hactl apply, which shows the price first")]


def _lacks(seen: Observation, cluster: Cluster) -> list[Delivery]:
    files = [delivery.domain_file(vm) for vm in cluster.vms]
    return [
        delivery.lacking(node.name, files, node.facts.domain_files or (), {})
        for node in seen.nodes
        if isinstance(node.facts, HostFacts)
    ]


def caused(now: simulate.Simulation, then: simulate.Simulation) -> tuple[simulate.Action, ...]:
    """What the scheduler would do then and not now."""
    before = {(a.kind, a.subject, a.source, a.target) for a in now.actions}
    return tuple(a for a in then.actions if (a.kind, a.subject, a.source, a.target) not in before)

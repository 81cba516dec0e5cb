"""The CIB in an adoption: the push that changes the agent with Pacemaker's hands off, and the one that ends it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from lxml import etree

from hacluster.adopting.asking import Asked
from hacluster.adopting.marks import marked, unmarked
from hacluster.apply import delivery, record
from hacluster.apply.delivery import Delivery
from hacluster.apply.run import CHANGED, author, deliver, dropped
from hacluster.cib import merge
from hacluster.model import Vm
from hacluster.observe.read import version
from hacluster.ports import Conflict, HostFacts, Unreachable, World
from hacluster.problems import Refused

_PACE = 0.5
_ATTEMPTS = 12


def changed(live: etree._Element, asked: Asked) -> etree._Element:
    """The CIB with the agent changed and the VMs in maintenance."""
    taking = frozenset(vm.name for vm in asked.vms)
    merged = merge.merge(live, asked.compiled, asked.sight.base, taking=taking)
    return marked(merged.cib, asked.vms)


def finished(live: etree._Element, vms: tuple[Vm, ...], noted: str) -> etree._Element:
    """The CIB with the VMs managed again; it names the record of what is applied."""
    made = unmarked(live, vms)
    record.name(made, noted)
    return made


def note(world: World, asked: Asked) -> str:
    """Give every node the record of what is now applied, for the next plan and for undo; its name."""
    before, after = asked.sight.live, unmarked(etree.fromstring(world.pacemaker.cib()), asked.vms)
    parent, last = record.applied(before), asked.sight.last
    nodes = [node.name for node in asked.seen.nodes if isinstance(node.facts, HostFacts)]
    made = record.Record(
        at=world.clock.wall(),
        by=author(),
        epoch=version(after)[1] + 1,
        told=tuple(f"change VM {vm.name}" for vm in asked.vms),
        before=_configuration(before),
        after=_configuration(after),
        wanted=_configuration(asked.compiled),
        files=dropped(world, before, after, nodes),
        ancestors=((parent, *(last.ancestors if last is not None else ())) if parent else ())[: 2 * record.KEPT],
    )
    content = made.encode()
    name = record.checksum(content)
    file = delivery.File(record.path(name), content, "record", "what is applied")
    deliver(world, [Delivery(node, (file,)) for node in nodes], lambda _: None)
    return name


def tidy(world: World, asked: Asked) -> None:
    """Delete domain files that nothing names any more: one that stays in the guard's folder would let the hook refuse
    the VM to heartbeat's agent. A node that cannot do so now is told again by the next apply."""
    cib = etree.fromstring(world.pacemaker.cib())
    kept = delivery.named(cib) | {delivery.domain_file(vm).path for vm in asked.cluster.vms}
    for node in asked.seen.nodes:
        if isinstance(node.facts, HostFacts) and node.facts.domain_files:
            with suppress(Unreachable, Refused, OSError):
                world.hosts.remove(node.name, delivery.obsolete(node.facts.domain_files, kept))


def _configuration(cib: etree._Element) -> str:
    return str(etree.tostring(cib.find("configuration"), encoding="unicode"))


def push(world: World, change: Callable[[etree._Element], etree._Element], planned: tuple[int, int] | None) -> None:
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

"""Applying a prepared plan: refuse, deliver, push, wait, prove, tidy up."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass

import structlog
import tenacity
from lxml import etree

from hacluster.apply import capacities, delivery, past, record, settle
from hacluster.apply.delivery import Delivery, File
from hacluster.apply.prepare import Prepared
from hacluster.cib import difference
from hacluster.cib.difference import configuration
from hacluster.observe.read import version
from hacluster.plan import describe
from hacluster.ports import Conflict, HostFacts, NodeFile, Unknown, Unreachable, World
from hacluster.problems import Problem, Refused, errors, kind

log = structlog.get_logger(__name__)

CHANGED = kind(
    "HA342",
    "The configuration changed since it was planned",
    "Somebody else changed the CIB. What was planned may not be what would happen now, so it is not pushed.",
)
TOO_BUSY = kind(
    "HA343",
    "The cluster did not hold still",
    "Every push must be newer than what the cluster has, also than its last status change. It never was.",
)
NOT_DELIVERED = kind(
    "HA344",
    "A node could not be given its files",
    "Nothing was pushed: the CIB names only files that are there.",
)

_ATTEMPTS = 12
_TOLD = 8
# How long a push waits for a transition to end before it tries all the same, in seconds.
_STILLNESS = 20.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done. `pushed` is False when the configuration was already right; `delivered` counts files."""

    pushed: bool
    delivered: int
    pruned: int
    seconds: float


def apply(
    world: World,
    prepared: Prepared,
    tell: Tell,
    *,
    accepted: frozenset[str] = frozenset(),
    wait: float = 300.0,
) -> Applied:
    """Carry out a prepared plan. `wait` is how many seconds Pacemaker may take after the push.

    Raises Refused before anything is changed when a finding is not accepted, when the CIB is no longer the planned one,
    or a node cannot be given its files; and after the push when the cluster does not become what was planned.
    """
    if stopping := errors(prepared.problems, accepted):
        raise Refused(stopping)
    begun = world.clock.now()
    delivered, pruned = deliver(world, prepared.deliveries, tell), 0
    if not prepared.plan.nothing:
        grown = capacities.grow(world, prepared, tell)
        if grown is None:
            raise Refused(changed(prepared.before, etree.fromstring(world.pacemaker.cib())))
        noted = note(world, grown)
        tell("pushing the configuration")
        push(world, grown, noted.name)
        past.forget(world, noted.dropped, noted.nodes)
        settle.settle(world, grown, tell, wait)
        capacities.shrink(world, grown)
        pruned = prune(world, prepared)
    return Applied(not prepared.plan.nothing, delivered, pruned, world.clock.now() - begun)


def deliver(world: World, deliveries: Sequence[Delivery], tell: Tell) -> int:
    """Give every node what it lacks, all nodes at once. The number of files. Raises Refused naming every failure."""
    needy = [each for each in deliveries if each.files]
    if not needy:
        return 0
    tell(f"files for {', '.join(each.node for each in needy)}")
    _put(world, needy)
    log.info("delivered", files={each.node: [file.path for file in each.files] for each in needy})
    return sum(len(each.files) for each in needy)


def _put(world: World, deliveries: Sequence[Delivery]) -> None:
    def one(each: Delivery) -> Problem | None:
        try:
            world.hosts.put(each.node, [NodeFile(file.path, file.content) for file in each.files])
        except (Unreachable, OSError) as error:
            return NOT_DELIVERED(str(error), where=f"node {each.node}", remedy="hactl status, then hactl apply again")
        return None

    with ThreadPoolExecutor(16) as pool:
        failed = [problem for problem in pool.map(one, deliveries) if problem is not None]
    if failed:
        raise Refused(failed)


@dataclass(frozen=True, slots=True)
class Noted:
    """The record of this apply: its checksum, the nodes that have it, and records that are too old to be kept."""

    name: str
    nodes: tuple[str, ...]
    dropped: tuple[str, ...]


def note(world: World, prepared: Prepared) -> Noted:
    """Give every node the record of this apply, before the push that names it. Raises Refused naming every failure."""
    desired = etree.fromstring(prepared.plan.desired)
    parent = record.applied(prepared.before)
    earlier = (parent, *(prepared.last.ancestors if prepared.last is not None else ())) if parent else ()
    told = [f"{change.kind} {change.noun} {change.ident}" for change in prepared.plan.changes]
    made = record.Record(
        at=world.clock.wall(),
        by=author(),
        # The push itself counts as one more change.
        epoch=prepared.plan.planned[1] + 1,
        told=tuple(told),
        before=etree.tostring(configuration(prepared.before), encoding="unicode"),
        after=etree.tostring(configuration(desired), encoding="unicode"),
        wanted=prepared.wanted,
        files=dropped(world, prepared.before, desired, [each.node for each in prepared.deliveries]),
        undoes=prepared.undoes,
        ancestors=earlier[: 2 * record.KEPT],
    )
    content = made.encode()
    name = record.checksum(content)
    nodes = tuple(each.node for each in prepared.deliveries)
    file = File(record.path(name), content, "record", "what is applied")
    _put(world, [Delivery(node, (file,)) for node in nodes])
    return Noted(name, nodes, made.ancestors[record.KEPT - 1 :])


def author() -> str:
    """Who applies, for the record: user@host."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def dropped(world: World, before: etree._Element, after: etree._Element, nodes: Iterable[str]) -> dict[str, str]:
    """The domain files that are named before the push and not after it, as the first node that answers has them."""
    gone = sorted(delivery.named(before) - delivery.named(after))
    for node in nodes:
        there = world.hosts.read(node, gone) if gone else {}
        if not isinstance(there, Unknown):
            return {path: content.decode(errors="replace") for path, content in there.items()}
    return {}


def push(world: World, prepared: Prepared, noted: str = "") -> None:
    """Push as a compare-and-set against the planned configuration; `noted` is the record that the CIB is to name.

    A change of the status alone makes a push fail too; then the same configuration is put beside the newer status and
    pushed again, a bounded number of times. Raises Refused when the configuration itself is no longer the planned one.
    """
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Conflict),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random(0.1, 0.5),
        sleep=world.clock.sleep,
        reraise=True,
    )
    wanted = etree.fromstring(prepared.plan.desired)
    if noted:
        record.name(wanted, noted)
    try:
        attempts(_push_once, world, prepared, wanted.find("configuration"))
    except Conflict as error:
        raise Refused(
            TOO_BUSY(
                f"the cluster's status changed during each of {_ATTEMPTS} attempts to push",
                where="CIB",
                remedy="hactl status; apply again when nothing starts, stops or moves",
            )
        ) from error


def _push_once(world: World, prepared: Prepared, wanted: etree._Element) -> None:
    until = world.clock.now() + _STILLNESS
    while world.pacemaker.idle() is not True and world.clock.now() < until:
        world.clock.sleep(0.3)
    live = etree.fromstring(world.pacemaker.cib())
    if version(live)[:2] != prepared.plan.planned or difference.digest(live) != prepared.plan.digest:
        raise Refused(changed(prepared.before, live))
    nodes, whole = live.find("configuration/nodes"), deepcopy(wanted)
    whole.replace(whole.find("nodes"), nodes)  # what nodes have is set by itself, see capacities
    live.replace(live.find("configuration"), whole)
    world.pacemaker.replace(etree.tostring(live, encoding="UTF-8", xml_declaration=True))


def changed(planned: etree._Element, live: etree._Element, remedy: str = "hactl plan") -> Problem:
    """That the configuration is another one than was planned, with what somebody did to it meanwhile."""
    found = describe(difference.changes(planned, live), planned, live)
    told = [
        f"{change.kind} {change.noun} {change.ident}"
        + "".join(f" ({s.name}: {s.old} → {s.new})" for s in change.settings[:1])
        for change in found[:_TOLD]
    ]
    more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return CHANGED(
        "the CIB was changed by somebody else after this plan was made; nothing was pushed",
        where="CIB",
        remedy=remedy,
        planned=version(planned)[1],
        now=version(live)[1],
        changed_by=live.get("update-client", "unknown"),
        on=live.get("update-origin", "unknown"),
        at=live.get("cib-last-written", "unknown"),
        what="; ".join(told) + more or "nothing that says anything",
    )


def prune(world: World, prepared: Prepared) -> int:
    """Delete domain files that nothing names any more. Best effort: what stays behind is in nobody's way."""
    cib = etree.fromstring(world.pacemaker.cib())
    kept = delivery.named(cib) | {file.path for file in prepared.files}
    deleted = 0
    for node in prepared.seen.nodes:
        if not isinstance(node.facts, HostFacts) or not node.facts.domain_files:
            continue
        old = delivery.obsolete(node.facts.domain_files, kept)
        try:
            world.hosts.remove(node.name, old)
        except (Unreachable, Refused, OSError) as error:
            log.warning("old domain files stay", node=node.name, files=old, reason=str(error))
        else:
            deleted += len(old)
    return deleted

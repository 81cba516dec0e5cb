"""Applying a prepared plan: refuse, deliver, push, wait, prove, tidy up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog
import tenacity
from lxml import etree

from hacluster.apply import delivery, settle
from hacluster.apply.delivery import Delivery
from hacluster.apply.prepare import Prepared
from hacluster.cib import managed, merge
from hacluster.observe.read import version
from hacluster.ports import Conflict, HostFacts, NodeFile, Unreachable, World
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
        tell("pushing the configuration")
        push(world, prepared)
        settle.settle(world, prepared, tell, wait)
        pruned = prune(world, prepared)
    return Applied(not prepared.plan.nothing, delivered, pruned, world.clock.now() - begun)


def deliver(world: World, deliveries: Sequence[Delivery], tell: Tell) -> int:
    """Give every node what it lacks, all nodes at once. The number of files. Raises Refused naming every failure."""
    needy = [each for each in deliveries if each.files]
    if not needy:
        return 0
    tell(f"files for {', '.join(each.node for each in needy)}")

    def one(each: Delivery) -> Problem | None:
        try:
            world.hosts.put(each.node, [NodeFile(file.path, file.content) for file in each.files])
        except (Unreachable, OSError) as error:
            return NOT_DELIVERED(str(error), where=f"node {each.node}", remedy="hactl status, then hactl apply again")
        return None

    with ThreadPoolExecutor(min(16, len(needy))) as pool:
        failed = [problem for problem in pool.map(one, needy) if problem is not None]
    if failed:
        raise Refused(failed)
    log.info("delivered", files={each.node: [file.path for file in each.files] for each in needy})
    return sum(len(each.files) for each in needy)


def push(world: World, prepared: Prepared) -> None:
    """Push as a compare-and-set against the planned configuration.

    A change of the status alone makes a push fail too; then it is merged onto the newer CIB and pushed again, a bounded
    number of times. Raises Refused when the configuration itself is no longer the planned one.
    """
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Conflict),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random(0.1, 0.5),
        sleep=world.clock.sleep,
        reraise=True,
    )
    try:
        attempts(_push_once, world, prepared)
    except Conflict as error:
        raise Refused(
            TOO_BUSY(
                f"the cluster's status changed during each of {_ATTEMPTS} attempts to push",
                where="CIB",
                remedy="hactl status; apply again when nothing starts, stops or moves",
            )
        ) from error


def _push_once(world: World, prepared: Prepared) -> None:
    until = world.clock.now() + _STILLNESS
    while world.pacemaker.idle() is not True and world.clock.now() < until:
        world.clock.sleep(0.3)
    live = etree.fromstring(world.pacemaker.cib())
    if version(live)[:2] != prepared.plan.planned:
        raise Refused(
            CHANGED(
                "the CIB was changed by somebody else after this plan was made; nothing was pushed",
                where="CIB",
                remedy="hactl plan",
                planned=prepared.plan.planned[1],
                now=version(live)[1],
                changed_by=live.get("update-client", "unknown"),
                on=live.get("update-origin", "unknown"),
                at=live.get("cib-last-written", "unknown"),
            )
        )
    world.pacemaker.replace(merge.merge(live, prepared.compiled).as_bytes())


def prune(world: World, prepared: Prepared) -> int:
    """Delete domain files that nothing names any more. Best effort: what stays behind is in nobody's way."""
    cib = etree.fromstring(world.pacemaker.cib())
    kept = {vm.config for vm in managed.vms(cib)} | {file.path for file in delivery.wanted(prepared.cluster, {})}
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

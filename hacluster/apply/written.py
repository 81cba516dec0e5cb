"""Applying a plan from a file: exactly what was shown, or a refusal that says what is otherwise now."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

from hacluster.apply import delivery
from hacluster.apply.planfile import PlanFile, stale
from hacluster.apply.prepare import Goal, Prepared, plan_for, secret_values
from hacluster.apply.run import changed
from hacluster.apply.sight import Sight
from hacluster.cib import merge
from hacluster.plan import theirs
from hacluster.ports import Secrets, World
from hacluster.problems import Problem, Refused, kind

OTHERWISE = kind(
    "HA355",
    "The change would not cost what the plan said",
    "The configuration is still the one that was planned for, but what runs where is not: Pacemaker would now do "
    "something else with these VMs than was shown.",
)


def prepare(world: World, secrets: Secrets, plan: PlanFile, where: str) -> Prepared:
    """What applying a written plan takes now. Changes nothing.

    Raises Refused when the configuration has changed since (HA342, naming what), or a secret cannot be read.
    """
    values = secret_values(secrets, plan.secrets)
    sight = Sight(world, plan.nodes)
    again = f"hactl plan --out {where}"
    if stale(plan, sight.live):
        raise Refused(changed(plan.before, sight.live, again))
    desired = deepcopy(sight.live)
    desired.replace(desired.find("configuration"), deepcopy(plan.desired.find("configuration")))
    files = (*plan.files, *(f for name, value in sorted(values.items()) for f in delivery.secret_files(*name, value)))
    command = f"hactl apply {where}"
    found = tuple(theirs.problems(plan.others, theirs.last_change(sight.live, sight.since), command))
    merged = merge.restated(sight.live, desired)
    prepared = plan_for(world, sight, Goal(merged, plan.nodes, files, plan.wanted, found, command=command))
    told = (*prepared.problems, *_otherwise(plan, prepared, again))
    return replace(prepared, plan=replace(prepared.plan, theirs=plan.others), problems=told)


def _otherwise(plan: PlanFile, prepared: Prepared, remedy: str) -> Iterator[Problem]:
    now = {price.vm: price.price for price in prepared.plan.prices}
    for name in sorted({*now, *plan.consequences}):
        shown, is_now = plan.consequences.get(name, "none"), now.get(name, "none")
        if shown != is_now:
            yield OTHERWISE(
                f"{name}: the plan said {shown}, now it would be {is_now}",
                where=f"vm {name}",
                remedy=remedy,
                pacemaker=next((price.words for price in prepared.plan.prices if price.vm == name), "") or "nothing",
            )

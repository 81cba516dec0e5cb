"""A Plan as the JSON that `hactl plan --json` prints. Format 1; a field is added, never renamed. Pure."""

from __future__ import annotations

from typing import Any

from hacluster.oracle import UNSETTLED
from hacluster.plan.make import Plan

FORMAT = 1


def document(plan: Plan) -> dict[str, Any]:
    """The whole document. `planned` is what `hactl apply --planned` takes."""
    return {
        "format": FORMAT,
        "planned": plan.planned[1],
        "nothing_to_do": plan.nothing,
        "changes": [
            {
                "kind": change.kind,
                "what": change.noun,
                "id": change.ident,
                "settings": [{"name": s.name, "old": s.old, "new": s.new} for s in change.settings],
            }
            for change in plan.changes
        ],
        "others": [
            {
                "kind": each.kind,
                "what": each.noun,
                "id": each.ident,
                "name": each.name,
                "applied": each.applied,
                "live": each.live,
                "wanted": each.wanted,
                "kept": each.kept,
            }
            for each in plan.theirs
        ],
        "actions": [str(action) for action in plan.caused],
        "actions_anyway": [str(action) for action in plan.anyway],
        "oracle": ("clean" if not any(p.code == UNSETTLED.code for p in plan.problems) else "refuses")
        if plan.judged
        else "not asked",
        "vms": [
            {
                "name": price.vm,
                "price": price.price,
                "consequence": price.consequence,
                "down_s": None if price.down is None else [round(value, 3) for value in price.down],
                "estimated_from": price.basis,
                "why": price.words,
            }
            for price in plan.prices
        ],
        "stages": [{"why": stage.why, "commands": list(stage.commands)} for stage in plan.stages],
        "problems": [problem.as_json() for problem in plan.problems],
    }

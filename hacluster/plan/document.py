"""A Plan as the JSON that `hactl plan --json` prints. Format 1; a field is added, never renamed. Pure."""

from __future__ import annotations

from typing import Any

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
        "actions": [str(action) for action in plan.caused],
        "actions_anyway": [str(action) for action in plan.anyway],
        "vms": [{"name": price.vm, "price": price.price, "why": price.words} for price in plan.prices],
        "problems": [problem.as_json() for problem in plan.problems],
    }

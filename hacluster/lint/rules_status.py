"""Rules of the status that a CIB carries: what Pacemaker still remembers and nobody cleared. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hacluster.lint.subject import Subject
from hacluster.lint.words import listed
from hacluster.problems import Problem, kind

ORPHANS = kind(
    "HA858",
    "Resources that run, or failed, and are no longer configured",
    "Somebody deleted them while they were active, or while their node was away. Pacemaker stops them if it can; a VM "
    "among them keeps its disk open until then.",
    severity="warning",
)
FAILURES = kind(
    "HA859",
    "Failures that nobody cleared",
    "Pacemaker counts them. At migration-threshold it keeps the resource off that node, also when the cause is long "
    "gone.",
    severity="warning",
)

_COUNT = re.compile(r"fail-count-(.+?)(#.+)?")


def orphans(subject: Subject) -> Iterator[Problem]:
    """What a node's history says is active, and the configuration does not know."""
    facts = subject.facts
    known = set(facts.resource) | {r.meta.get("remote-node", "") for r in facts.resources} | set(facts.places)
    bundles = tuple(f"{bundle.get('id')}-" for bundle in facts.root.iterfind("configuration/resources/bundle"))
    found: dict[str, list[str]] = {}
    for node in facts.root.iterfind("status/node_state"):
        for resource in node.iterfind("lrm/lrm_resources/lrm_resource"):
            name = resource.get("id", "")
            if name.partition(":")[0] not in known and not name.startswith(bundles) and _active(resource):
                found.setdefault(name, []).append(node.get("uname", ""))
    for name, nodes in found.items():
        yield ORPHANS(
            f"{name} is not configured and still known on {listed(nodes)}",
            where=name,
            remedy=f"crm_resource --cleanup --resource {name}, once nothing of it runs there",
        )


def _active(resource: object) -> bool:
    """Whether the last thing recorded is anything but a stop or a probe that found nothing."""
    operations = [op for op in resource.iterfind("lrm_rsc_op") if op.get("operation") not in ("notify",)]  # type: ignore[attr-defined]
    if not operations:
        return False
    last = max(operations, key=lambda op: _number(op.get("call-id")))
    if last.get("operation") in ("stop", "migrate_to") and last.get("rc-code") == "0":
        return False
    return not (last.get("operation") == "monitor" and last.get("rc-code") in ("7", "5", "6"))


def _number(text: str | None) -> int:
    return int(text) if text and text.lstrip("-").isdecimal() else -1


def failures(subject: Subject) -> Iterator[Problem]:
    """Fail counts, by resource."""
    found: dict[str, dict[str, str]] = {}
    for node in subject.facts.root.iterfind("status/node_state"):
        for pair in node.iterfind("transient_attributes/instance_attributes/nvpair"):
            named = _COUNT.fullmatch(pair.get("name", ""))
            if named is not None and pair.get("value", "0") != "0":
                found.setdefault(named[1], {})[node.get("uname", "")] = pair.get("value", "")
    for name, nodes in found.items():
        counted = [f"{count} on {node}" for node, count in nodes.items()]
        yield FAILURES(
            f"{name} has failures on record: {listed(counted)}",
            where=name,
            remedy=f"find out why, then: pcs resource cleanup {name}",
        )


RULES = (orphans, failures)

"""Rules of constraints: leftovers, names that do not exist, rings, and clones that wait for every node. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hacluster.lint.facts import is_on
from hacluster.lint.relations import INFINITY
from hacluster.lint.subject import Subject
from hacluster.lint.words import alike, listed, meant, verb
from hacluster.problems import Problem, kind

NOT_INTERLEAVED = kind(
    "HA842",
    "A clone waits for every node's instance instead of its own",
    "Without interleave=true each instance of a clone waits for all instances of the clone before it: one node's "
    "restart of the lower clone restarts the upper one, and the VMs on it, on every node.",
    severity="warning",
)
LEFTOVER = kind(
    "HA843",
    "A constraint of `pcs resource move` or ban is left",
    "It goes on deciding where the resource runs. After a failure it keeps the resource off a healthy node, or pulls "
    "it back to one that somebody meant to empty.",
    severity="warning",
)
NO_RESOURCE = kind(
    "HA844",
    "A constraint for something that does not exist",
    "Pacemaker leaves such a constraint out: an order or colocation that somebody relies on does not hold.",
    acceptable=True,
)
NO_NODE = kind(
    "HA845",
    "A constraint for a node that does not exist",
    "It has no effect. With a misspelt node a fence device may be run by its victim, or a VM by a host that it must "
    "not use.",
    severity="warning",
)
LOOP = kind(
    "HA846",
    "Resources that wait for each other in a ring",
    "Each may start only after the one before it, and the first only after the last. Pacemaker breaks such a ring at "
    "some place of its own choice, or starts none of them.",
    acceptable=True,
)
BANNED = kind(
    "HA847",
    "A resource that is banned from every node",
    "It can run nowhere, whatever happens to the others.",
    severity="warning",
)

_CLI = re.compile(r"cli-(ban|prefer|standby)-.*")


def not_interleaved(subject: Subject) -> Iterator[Problem]:
    """Clones that follow another clone by order or colocation."""
    facts, relations = subject.facts, subject.relations
    tops = {resource.id: resource.clone for resource in facts.resources}
    following: dict[str, set[str]] = {}
    pairs = [(order.first, order.then) for order in relations.orders if order.kind != "Serialize"]
    pairs += [(each.primary, each.dependent) for each in relations.colocations if each.score == INFINITY]
    for lower, upper in pairs:
        below = {tops.get(p) for name in lower for p in relations.primitives(name)} & set(facts.clones)
        above = {tops.get(p) for name in upper for p in relations.primitives(name)} & set(facts.clones)
        for clone in above:
            following.setdefault(str(clone), set()).update(str(each) for each in below - {clone})
    for clone, lower_ones in following.items():
        meta = facts.clones[clone]
        if lower_ones and not is_on(meta.get("interleave")) and not is_on(meta.get("globally-unique")):
            yield NOT_INTERLEAVED(
                f"{clone} waits for {listed(sorted(lower_ones))} on every node",
                where=clone,
                remedy=f"pcs resource meta {clone} interleave=true",
            )


def leftovers(subject: Subject) -> Iterator[Problem]:
    """Constraints that pcs and crm_resource make for a move."""
    for each in subject.facts.root.iterfind("configuration/constraints/rsc_location"):
        ident = each.get("id", "")
        if _CLI.fullmatch(ident):
            rule = each.find("rule")
            node = each.get("node") or next((e.get("value") for e in each.iter("expression")), "a node")
            weight = each.get("score") or (rule.get("score", "0") if rule is not None else "0")
            word = "off" if weight.startswith("-") else "on"
            until = next((date.get("end") for date in each.iter("date_expression") if date.get("end")), None)
            yield LEFTOVER(
                f"{ident} keeps {each.get('rsc')} {word} {node}",
                where=ident,
                remedy=f"pcs resource clear {each.get('rsc')}",
                **({"until": until} if rule is not None and until else {}),
            )


def unknown_names(subject: Subject) -> Iterator[Problem]:
    """References to nothing."""
    facts, relations = subject.facts, subject.relations
    resources = {
        each.get("id", "")
        for path in ("configuration/resources//*[@id]", "configuration/tags/tag")
        for each in facts.root.iterfind(path)
        if each.tag in ("primitive", "group", "clone", "master", "bundle", "template", "tag")
    }
    named = [(order.id, name) for order in relations.orders for name in (*order.first, *order.then)]
    named += [(each.id, name) for each in relations.colocations for name in (*each.dependent, *each.primary)]
    named += [(each.id, name) for each in relations.locations for name in each.resources]
    for ident, name in dict.fromkeys(named):
        # The number of a clone's instance is taken as well.
        if name not in resources and name.partition(":")[0] not in resources:
            near = meant(name, resources)
            yield NO_RESOURCE(
                f"{ident} names {name}, which does not exist" + (f"; {near} is probably meant" if near else ""),
                where=ident,
                remedy=f"pcs constraint delete {ident}",
            )
    for level in facts.root.iterfind("configuration/fencing-topology/fencing-level"):
        for name in filter(None, re.split(r"[\s,]+", level.get("devices", ""))):
            if name not in facts.resource:
                yield NO_RESOURCE(
                    f"level {level.get('index')} of {level.get('target') or 'the topology'} names the fence device "
                    f"{name}, which does not exist",
                    where=level.get("id", ""),
                    remedy=f"pcs stonith level remove {level.get('index')} target {level.get('target')}",
                )
    places = {place.casefold() for place in facts.places}
    strange = [each for each in relations.locations if each.node and each.node.casefold() not in places]
    for node, group in alike(strange, lambda each: str(each.node)):
        if facts.places:
            near = meant(node, facts.places)
            yield NO_NODE(
                f"{listed([each.id for each in group])} {verb(group, 'names', 'name')} the node {node}, which does not "
                "exist" + (f"; {near} is probably meant" if near else ""),
                where=group[0].id,
                remedy=f"pcs constraint delete {group[0].id}",
            )


def ring(subject: Subject) -> Iterator[Problem]:
    """Orders that go round."""
    found = subject.relations.loop()
    if found is not None:
        names, constraints = found
        shown = [*names, names[0]] if names[0] != names[-1] else list(names)
        yield LOOP(
            " → ".join(shown),
            where=constraints[0] if constraints else names[0],
            remedy=f"delete the order that is wrong: pcs constraint delete {constraints[0] if constraints else 'ID'}",
            constraints=", ".join(constraints) or "the group's own order",
        )


def banned(subject: Subject) -> Iterator[Problem]:
    """Resources that location constraints leave no node."""
    if not subject.facts.nodes or not is_on(subject.facts.properties.get("symmetric-cluster", "true")):
        return
    names = [
        resource.id
        for resource in subject.facts.resources
        if not resource.is_fencing and resource.enabled and _nowhere(resource.id, subject)
    ]
    if names:
        yield BANNED(
            f"{listed(names)} {verb(names, 'is', 'are')} banned from every node",
            where=names[0],
            remedy=f"pcs constraint location config resources {names[0]}; then delete the bans that are wrong",
        )


def _nowhere(name: str, subject: Subject) -> bool:
    """Banned from members and from whatever else could run it."""
    others = subject.facts.places - set(subject.facts.nodes)
    return subject.relations.allowed(name) == frozenset() and not others


RULES = (not_interleaved, leftovers, unknown_names, ring, banned)

"""What is alike in one box: VMs with the same bonds, and what belongs to one VM alone. Pure.

Two resources are alike when they are of one kind and their bonds lead to the same boxes; this is found by starting with
one box for each kind and parting it until nothing in a box differs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hacluster.graph.bonds import Bond, bonds
from hacluster.lint import Subject
from hacluster.lint.facts import Resource
from hacluster.lint.storage import DLM, VOLUMES, file_system, mount, on_dlm


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its members, what it is in words, and how it is painted (vm, storage, locks, fencing or other).

    `outside` are folders with disks that no resource holds.
    """

    members: tuple[str, ...]
    what: str
    look: str
    group: str | None = None
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """Bonds between two boxes (numbers into the boxes). `each` says that each member has one to its own counterpart."""

    upper: int
    lower: int
    bond: Bond
    each: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn. `of` is the VM that was asked for, `ring` the resources that wait for each other."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    of: str | None = None
    ring: frozenset[str] = frozenset()


def picture(subject: Subject, of: str | None = None) -> Picture:
    """The whole cluster, or one VM (any primitive) with all that it stands on and all that it keeps away from."""
    found = list(bonds(subject))
    resources = list(subject.facts.resources)
    if of is not None:
        kept = _reach(of, ((b.upper, b.lower) for b in found if not b.apart))
        near = {name for b in found if b.apart and of in (b.upper, b.lower) for name in (b.upper, b.lower)}
        resources = [r for r in resources if r.id in kept | near]
        found = [b for b in found if {b.upper, b.lower} <= kept or (b.apart and of in (b.upper, b.lower))]
    bound = {name for bond in found for name in (bond.upper, bond.lower)}
    resources = [r for r in resources if r.id in bound or r.is_vm or r.id == of]
    classes = _parted(resources, found, subject.outside, of)
    members: dict[int, list[Resource]] = defaultdict(list)
    for resource in resources:
        members[classes[resource.id]].append(resource)
    order = {number: place for place, number in enumerate(members)}
    return Picture(
        boxes=tuple(_box(each, subject.outside) for each in members.values()),
        lines=tuple(_lines(found, {name: order[number] for name, number in classes.items()}, members)),
        of=of,
        ring=_ring(subject, found),
    )


def _reach(name: str, steps: Iterable[tuple[str, str]]) -> set[str]:
    """A name and all that can be reached from it."""
    onward: dict[str, list[str]] = defaultdict(list)
    for here, there in steps:
        onward[here].append(there)
    seen, waiting = {name}, [name]
    while waiting:
        for each in onward[waiting.pop()]:
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return seen


def _ring(subject: Subject, found: Iterable[Bond]) -> frozenset[str]:
    """Everything that waits for itself by way of the ring that lint finds; nothing when there is none."""
    loop = subject.relations.loop()
    if loop is None:
        return frozenset()
    steps = [(bond.upper, bond.lower) for bond in found if bond.waits == "must"]
    some = loop[0][0]
    return frozenset(_reach(some, steps) & _reach(some, ((lower, upper) for upper, lower in steps)))


def _parted(
    resources: Iterable[Resource], found: Iterable[Bond], outside: Mapping[str, tuple[str, ...]], of: str | None
) -> dict[str, int]:
    """The number of each resource's box."""
    links: dict[str, list[tuple[str, Bond, str]]] = defaultdict(list)
    users: dict[str, set[str]] = defaultdict(set)
    for bond in found:
        bare = replace(bond, upper="", lower="", why=())
        links[bond.upper].append(("down", bare, bond.lower))
        links[bond.lower].append(("up", bare, bond.upper))
        users[bond.lower].add(bond.upper)
    vms = {r.id for r in resources if r.is_vm}
    numbers: dict[object, int] = {}
    classes: dict[str, int] = {}
    for r in resources:  # a volume that one VM alone uses belongs to that VM, as the next one's to the next
        private = len(users[r.id]) == 1 and users[r.id] <= vms and r.agent in VOLUMES
        alike = r.group is None and r.id != of and (r.is_vm or private)
        kind = (r.agent, private, r.clone is None, outside.get(r.id, ()))
        classes[r.id] = numbers.setdefault(kind if alike else r.id, len(numbers))
    while True:
        numbers = {}
        parted = {
            name: numbers.setdefault(
                (own, frozenset((way, bond, classes[other]) for way, bond, other in links[name])), len(numbers)
            )
            for name, own in classes.items()
        }
        if len(set(parted.values())) == len(set(classes.values())):
            return parted
        classes = parted


def _lines(found: Iterable[Bond], box: Mapping[str, int], members: Mapping[int, list[Resource]]) -> Iterable[Line]:
    sizes = [len(each) for each in members.values()]
    bundles: dict[tuple[int, int, Bond], list[Bond]] = defaultdict(list)
    for bond in found:
        if bond.upper in box and bond.lower in box:
            bundles[box[bond.upper], box[bond.lower], replace(bond, upper="", lower="", why=())].append(bond)
    for (upper, lower, bare), each in bundles.items():
        why = tuple(dict.fromkeys(reason for bond in each for reason in bond.why))
        yield Line(upper, lower, replace(bare, why=why), each=sizes[lower] > 1 and upper != lower and not bare.apart)


def _box(resources: list[Resource], outside: Mapping[str, tuple[str, ...]]) -> Box:
    first = resources[0]
    what, look = _described(first)
    return Box(tuple(r.id for r in resources), what, look, first.group, outside.get(first.id, ()))


def _described(r: Resource) -> tuple[str, str]:
    """What a resource is, in an operator's words, and how it is painted."""
    everywhere = "\non every node" if r.clone is not None else ""
    if r.is_vm:
        return ("VM" if r.agent == "ocf:hacluster:VirtualDomain" else "VM (stock agent)"), "vm"
    if r.agent.endswith(("VirtualDomain", ":Xen")):
        return f"VM ({r.agent.rpartition(':')[2]})", "vm"
    if r.agent == DLM:
        return f"lock manager (DLM){everywhere}", "locks"
    if r.agent == "ocf:hacluster:lockspace":
        return f"run-locks of the VMs{everywhere}", "locks"
    if (place := mount(r)) is not None:
        kind = {"none": "directory", "": "file system"}.get(file_system(r), file_system(r).upper())
        return f"{kind} at {place}{everywhere}", "storage"
    if r.agent in VOLUMES:
        name = "/".join(filter(None, (r.parameters.get("vgname"), r.parameters.get("lvname"))))
        return f"volume {name or r.parameters.get('volgrpname', '')}{everywhere}", "storage"
    if on_dlm(r):
        return f"volume locks ({r.agent.rpartition(':')[2]}){everywhere}", "locks"
    if r.is_fencing:
        return f"fence device ({r.agent.removeprefix('stonith:')})", "fencing"
    return f"{r.agent.rpartition(':')[2]}{everywhere}", "other"

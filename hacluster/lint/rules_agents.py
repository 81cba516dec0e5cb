"""Rules of agents: parameters and meta attributes that nobody reads, and what the choice of an agent costs. Pure.

Parameters are judged by the agent's own metadata; where it is not known, nothing is said of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from hacluster.cib.durations import seconds
from hacluster.cib.metadata import Metadata, Parameter
from hacluster.lint.facts import Resource
from hacluster.lint.subject import Subject
from hacluster.lint.words import alike, listed, meant, pattern_of, verb
from hacluster.problems import Problem, kind

MISSPELT = kind(
    "HA820",
    "A misspelt agent parameter",
    "An agent ignores a parameter that it does not know: its default holds, and nothing says so. A meta attribute "
    "among the parameters is ignored in the same way.",
    acceptable=True,
)
UNKNOWN = kind(
    "HA821",
    "A parameter that the agent does not know",
    "The agent installed here ignores it. Another version may know it.",
    severity="warning",
)
MISSING = kind(
    "HA822",
    "A parameter that the agent needs is missing",
    "The agent refuses to start, or cannot be told what to act on.",
    acceptable=True,
)
DEPRECATED = kind(
    "HA823",
    "A parameter under an old name",
    "The agent says that this name will go. If both names are given, which one counts depends on the version.",
    severity="warning",
)
MISTYPED = kind(
    "HA824",
    "A parameter with a value of another type",
    "The agent says what it expects; another value is taken for the default, for zero, or refused when it matters.",
    acceptable=True,
)
META_MISSPELT = kind(
    "HA825",
    "A misspelt meta attribute",
    "Pacemaker ignores a meta attribute that it does not know. `allow-migration` for `allow-migrate` makes every live "
    "migration a stop and a start, and shows itself at the first one.",
    acceptable=True,
)
META_MISPLACED = kind(
    "HA826",
    "A meta attribute where Pacemaker does not read it",
    "What a clone does is read from the clone, not from the resource within it.",
    severity="warning",
)
CONFIG_ON_STORAGE = kind(
    "HA828",
    "A VM's configuration lies on storage that may be missing",
    "ocf:heartbeat:VirtualDomain reads the domain's name from that file. Where the file system is not mounted it says "
    "that the VM is stopped, without asking libvirt, and the VM is started a second time elsewhere (ClusterLabs "
    "resource-agents issue 856: data lost). Keep a copy of the file on each node.",
    severity="warning",
)
NO_RUN_LOCK = kind(
    "HA829",
    "VMs without a run-lock",
    "ocf:heartbeat:VirtualDomain trusts libvirt's word and its own configuration file: a `virsh start` by hand, a lost "
    "migration verdict or a libvirt that does not answer can make a VM run twice. ocf:hacluster:VirtualDomain needs a "
    "lock that belongs to a node and goes with proof or with fencing only.",
    severity="warning",
)
SHUTDOWN_MODE = kind(
    "HA837",
    "A shutdown mode that virsh never sees",
    "ocf:heartbeat:VirtualDomain declares shutdown_mode and reads another name (seen in 4.12.0): the VM is shut down "
    "in libvirt's default way whatever stands there.",
    severity="warning",
)
NAME_IS_PATTERN = kind(
    "HA838",
    "A VM's name that its agent reads as a pattern",
    "When libvirt does not answer, ocf:heartbeat:VirtualDomain looks for the VM in QEMU's command lines and takes its "
    "name for a regular expression (seen in 4.12.0): `web.old` also finds web-old, so a dead VM counts as running, "
    "and `c++` does not find itself, so a running VM counts as stopped and is started a second time.",
    severity="warning",
)

RESOURCE_META = frozenset(
    [
        "allow-migrate", "allow-unhealthy-nodes", "container", "container-attribute-target", "critical",
        "failure-timeout", "is-managed", "maintenance", "migration-threshold", "multiple-active", "priority",
        "provides",
        "remote-addr", "remote-allow-migrate", "remote-connect-timeout", "remote-node", "remote-port", "requires",
        "resource-stickiness", "target-role",
    ]
)  # fmt: skip
"""Meta attributes of a primitive (Pacemaker Explained, resource options; guest nodes)."""

CLONE_META = frozenset(
    [
        "clone-max", "clone-min", "clone-node-max", "globally-unique", "interleave", "master-max", "master-node-max",
        "notify", "ordered", "promotable", "promoted-max", "promoted-node-max",
    ]
)  # fmt: skip
"""Meta attributes of a clone, on top of those of a resource."""

_KNOWN_META = RESOURCE_META | CLONE_META | {"collocated", "hacluster-move", "description"}
# Pacemaker's own parameters of every fence device, and what ocf-shellfuncs reads for every agent.
_FENCE = re.compile(
    r"pcmk_(host_(argument|map|list|check)|delay_(max|base)|action_limit|"
    r"(reboot|off|on|list|monitor|status|metadata|validate-all)_(action|timeout|retries))"
)
_EVERYWHERE = frozenset(["trace_ra", "trace_file", "OCF_CHECK_LEVEL", "stonith-timeout", "priority", "provides"])
_SPECIAL = frozenset(".^$*+?{}[]|()\\")
_BOOLEANS = re.compile(r"(?i)true|false|yes|no|on|off|y|n|t|f|0|1|ja|nein")


def parameters(subject: Subject) -> Iterator[Problem]:
    """Every parameter against what the agent says of itself."""
    strange: list[tuple[Resource, tuple[str, ...]]] = []
    old: list[tuple[Resource, tuple[str, ...]]] = []
    slips: list[tuple[Resource, tuple[str, str]]] = []
    for resource in subject.facts.resources:
        described = subject.describe(resource.agent)
        if described is None or not described.parameters:
            continue
        known = described.parameters
        slips += [(resource, slip) for name in resource.parameters if (slip := _slip(resource, name, known))]
        strange.append((resource, tuple(name for name in resource.parameters if _is_strange(resource, name, known))))
        given = [known[name] for name in resource.parameters if name in known and known[name].deprecated]
        old.append((resource, tuple(f"{p.name} (now {p.newer})" if p.newer else p.name for p in given)))
        for name, value in resource.parameters.items():
            if name in known and (wrong := _mistyped(known[name], value, resource)) is not None:
                yield MISTYPED(
                    f"{name} of {resource.id} is {value!r}, which is {wrong}",
                    where=resource.id,
                    remedy=f"{_update(resource)} {name}=…",
                )
        # A fence agent is given some by Pacemaker, and takes others from a script or a file.
        if not resource.is_fencing and (missing := _missing(described, resource)):
            yield MISSING(
                f"{resource.id} has no {listed(missing)}, which {resource.agent} needs",
                where=resource.id,
                remedy=f"{_update(resource)} {missing[0]}=…",
            )
    yield from _misspelt(slips)
    for (agent, names), resources in _together(strange):
        yield UNKNOWN(
            f"{agent} as it is installed here has no parameter {listed(names)}, which {listed(resources)} "
            f"{verb(resources, 'has', 'have')}",
            where=resources[0],
            remedy=f"pcs {'stonith' if agent.startswith('stonith:') else 'resource'} describe "
            f"{agent.removeprefix('stonith:')}",
        )
    for (_, names), resources in _together(old):
        yield DEPRECATED(
            f"{listed(resources)} {verb(resources, 'has', 'have')} {listed(names)}",
            where=resources[0],
            remedy=f"{_update(subject.facts.resource[resources[0]])} with the new names, and the old ones empty",
        )


def _together(
    found: list[tuple[Resource, tuple[str, ...]]],
) -> Iterator[tuple[tuple[str, tuple[str, ...]], list[str]]]:
    """The resources of one agent with the same names, which are one finding."""
    named = [(resource, tuple(sorted(names))) for resource, names in found if names]
    for key, group in alike(named, lambda pair: (pair[0].agent, pair[1])):
        yield key, [resource.id for resource, _ in group]


def _missing(described: Metadata, resource: Resource) -> list[str]:
    """The parameters that the agent needs and that stand there under no name."""
    given = {described.parameters[name].newer or name for name in resource.parameters if name in described.parameters}
    return [
        parameter.name
        for parameter in described.parameters.values()
        if parameter.required and parameter.default is None and not parameter.deprecated and parameter.name not in given
    ]


def _foreign(resource: Resource, name: str, known: Collection[str]) -> bool:
    """Whether the agent has no such parameter, nor Pacemaker one for every agent of its kind."""
    everywhere = name in _EVERYWHERE or name.startswith("CRM_meta_")
    return name not in known and not everywhere and not (resource.is_fencing and _FENCE.fullmatch(name))


def _is_strange(resource: Resource, name: str, known: Collection[str]) -> bool:
    return _foreign(resource, name, known) and name not in _KNOWN_META and meant(name, known) is None


def _slip(resource: Resource, name: str, known: Collection[str]) -> tuple[str, str] | None:
    """A misspelt parameter and what was meant; of a meta attribute among the parameters that is the name itself."""
    if not _foreign(resource, name, known):
        return None
    if name in _KNOWN_META:
        return None if name in resource.meta else (name, name)
    near = meant(name, known)
    return None if near is None else (name, near)


def _misspelt(slips: list[tuple[Resource, tuple[str, str]]]) -> Iterator[Problem]:
    for (agent, (name, near)), group in alike(slips, lambda slip: (slip[0].agent, slip[1])):
        names = [resource.id for resource, _ in group]
        first = group[0][0]
        if name == near:
            yield MISSPELT(
                f"{name} stands among the parameters of {listed(names)}; it is a meta attribute, and has no effect "
                f"there",
                where=first.id,
                remedy=f"pcs resource meta {first.id} {name}=…; {_update(first)} {name}= --force",
            )
        else:
            yield MISSPELT(
                f"{agent} has no parameter {name}, which {listed(names)} {verb(names, 'has', 'have')}; {near} is "
                "probably meant, and has its default now",
                where=first.id,
                remedy=f"{_update(first)} {near}={first.parameters[name]} {name}= --force",
            )


def _update(resource: Resource) -> str:
    return f"pcs {'stonith' if resource.is_fencing else 'resource'} update {resource.id}"


def _mistyped(parameter: Parameter, value: str, resource: Resource) -> str | None:
    """What a value is not, in words. Resource agents call a boolean what has a third value (Filesystem's `safe`)."""
    if not value:
        return None
    if parameter.kind == "integer" and not re.fullmatch(r"\s*[+-]?\d+\s*", value):
        return "no whole number"
    if parameter.kind == "boolean" and resource.is_fencing and not _BOOLEANS.fullmatch(value):
        return "neither true nor false"
    if parameter.kind == "second" and seconds(value) is None and value != "-1":
        return "no number of seconds"
    if parameter.kind == "select" and parameter.options and value not in parameter.options:
        return f"none of {', '.join(parameter.options)}"
    return None


def meta_attributes(subject: Subject) -> Iterator[Problem]:
    """Meta attributes that Pacemaker does not know, or not there."""
    facts = subject.facts
    slips = []
    for element in facts.root.iterfind("configuration/resources//*"):
        if element.tag in ("primitive", "template", "group", "clone", "master", "bundle"):
            for pair in element.iterfind("meta_attributes/nvpair"):
                name = pair.get("name") or ""
                if name not in _KNOWN_META and (near := meant(name, _KNOWN_META)):
                    slips.append((element.get("id", ""), name, near, pair.get("value", "")))
    for (name, near), group in alike(slips, lambda slip: slip[1:3]):
        names = [slip[0] for slip in group]
        yield META_MISSPELT(
            f"{listed(names)} {verb(names, 'has', 'have')} {name}; {near} is probably meant, and has its default now",
            where=names[0],
            remedy=f"pcs resource meta {names[0]} {near}={group[0][3]} {name}=",
        )
    for resource in facts.resources:
        stray = sorted(resource.own_meta & CLONE_META)
        if stray and resource.clone is not None and resource.clone in facts.clones:
            lacking = [name for name in stray if name not in facts.clones[resource.clone]]
            if lacking:
                yield META_MISPLACED(
                    f"{listed(lacking)} {verb(lacking, 'stands', 'stand')} at {resource.id}, and {resource.clone} does "
                    f"not read {verb(lacking, 'it', 'them')} there",
                    where=resource.id,
                    remedy=f"pcs resource meta {resource.clone} {lacking[0]}={resource.meta[lacking[0]]}",
                )


def stock_agent(subject: Subject) -> Iterator[Problem]:
    """What is lost with ocf:heartbeat:VirtualDomain."""
    stock = [vm for vm in subject.facts.vms if vm.agent == "ocf:heartbeat:VirtualDomain"]
    where_held = ((vm, subject.holders(vm.parameters.get("config", ""))) for vm in stock)
    lying = [(vm, held) for vm, held in where_held if held]
    for top, group in alike(lying, lambda pair: pair[1][0].top):
        names = [vm.id for vm, _ in group]
        yield CONFIG_ON_STORAGE(
            f"the configuration of {listed(names)} lies on {top}, and is gone where that is not mounted",
            where=names[0],
            remedy=f"copy it to /etc/libvirt/qemu on each node, then: pcs resource update {names[0]} config=…",
        )
    modes = [vm.id for vm in stock if vm.parameters.get("shutdown_mode")]
    if modes:
        yield SHUTDOWN_MODE(
            f"shutdown_mode of {listed(modes)} has no effect",
            where=modes[0],
            remedy="set the guest up to obey an ACPI power button, or use ocf:hacluster:VirtualDomain",
        )
    domains = {_domain_name(vm, subject): vm.id for vm in stock}
    for name in domains:
        if set(name) & _SPECIAL:
            yield from _read_as_pattern(name, domains)


def _read_as_pattern(name: str, domains: Mapping[str, str]) -> Iterator[Problem]:
    wanted = pattern_of(name)
    found = [] if wanted is None else [other for other in domains if wanted.fullmatch(other)]
    others = [other for other in found if other != name]
    if others or name not in found:
        yield NAME_IS_PATTERN(
            f"the name {name}, read as a pattern, "
            + (f"finds {listed(others)}" if others else "does not find the VM itself"),
            where=domains[name],
            remedy="rename it, or use ocf:hacluster:VirtualDomain, which looks for the UUID",
        )


def _domain_name(vm: Resource, subject: Subject) -> str:
    domain = subject.domains.get(vm.id)
    return domain.name if domain is not None and domain.name else vm.id


def no_run_lock(subject: Subject) -> Iterator[Problem]:
    """VMs of the stock agent."""
    names = [vm.id for vm in subject.facts.vms if vm.agent == "ocf:heartbeat:VirtualDomain"]
    if names:
        yield NO_RUN_LOCK(
            f"{listed(names)} {verb(names, 'runs', 'run')} under ocf:heartbeat:VirtualDomain, without a run-lock",
            where=names[0],
            remedy='hactl import writes them into a spec; agent = "hacluster" there gives them the run-lock',
        )


RULES = (parameters, meta_attributes, stock_agent, no_run_lock)

"""What a fence device needs so that its "yes, it is dead" can be believed: the profiles of fencing/profiles, as data.

A profile names agents of one kind, whether they cut power or only storage, and the parameters that such a device
needs, should have, and must not have, each with the reason. Which agents do not fence at all is the spec's business;
whether an agent is installed and knows a parameter is asked of its own metadata, elsewhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from hacluster import model
from hacluster.cib import fence_catalogue, fence_devices, fence_parameters
from hacluster.cib.fence_parameters import Describe
from hacluster.problems import Problem, kind

MISSING_PARAMETER = kind(
    "HA220",
    "A fence device lacks a parameter that it needs",
    "Without it the device fails when it is called, which is when a node has already died.",
)
ADVISED_PARAMETER = kind(
    "HA221",
    "A fence device lacks a parameter that it should have",
    "The device works without it, but slower, less safely, or on fewer machines.",
    severity="warning",
)
FORBIDDEN_PARAMETER = kind(
    "HA222",
    "A fence device has a parameter that it must not have",
    "With it the device can report a success that is none, or contradict what hactl tells Pacemaker.",
)
UNKNOWN_AGENT = kind(
    "HA223",
    "No fencing profile knows this agent",
    "hactl compiles the device as it is; whether its parameters are complete, and whether it cuts power, is not known.",
    severity="warning",
)
MISSING_PORT = kind(
    "HA268",
    "A fence device does not know a target's port",
    "The device has numbers or keys for its outlets, and a node's name is none of them: fencing that node would fail.",
)
MISSING_PROPERTY = kind(
    "HA269",
    "A fence device lacks a cluster property, or the name, that it needs",
    "Pacemaker ignores the device without it, and says so in its log only.",
)
ONE_TARGET = kind(
    "HA224",
    "A fence device that belongs to one host has several targets",
    "A management board switches the host it is built into, whatever name Pacemaker calls: fencing the one would kill "
    "the other and leave the first alive.",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of fence device.

    `cuts` is `power` or `storage`: storage fencing is no proof of a guest's death. `targets` is `one` when the device
    switches one host only. `provides` is Pacemaker's meta attribute of that name. The parameters map to the reason;
    a forbidden one is a name, or `name=value` when it is that value only; `ports` stands for the spec's ports or a host
    map. `properties` are cluster properties that it needs, `called` the only name under which Pacemaker takes it.
    `purpose` is the file's first line: what such a device is.
    """

    name: str
    cuts: Literal["power", "storage"]
    why: str
    agents: tuple[str, ...]
    targets: Literal["one", "many"]
    required: Mapping[str, str]
    recommended: Mapping[str, str]
    forbidden: Mapping[str, str]
    provides: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    called: str | None = None
    purpose: str = ""


@cache
def profiles(directory: Path | None = None) -> tuple[Profile, ...]:
    """All profiles of a directory, by name. They are part of the program: an unreadable one is a bug (KeyError)."""
    found = []
    for path in sorted((directory or fence_catalogue.directory() / "profiles").glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
        found.append(
            Profile(
                name=path.stem,
                cuts=data["kind"],
                why=data["why"],
                agents=tuple(data["agents"]),
                targets=data["targets"],
                required=data["required"],
                recommended=data["recommended"],
                forbidden=data["forbidden"],
                provides=data.get("provides"),
                properties=data.get("properties", {}),
                called=data.get("name"),
                purpose=text.partition("\n")[0].removeprefix("#").strip(),
            )
        )
    return tuple(found)


def profile_of(agent: str, among: tuple[Profile, ...] | None = None) -> Profile | None:
    """The profile that knows an agent; None when none does."""
    return next((p for p in among or profiles() if agent in p.agents), None)


def rules(profile: Profile) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """A profile's rules in words: what it needs, should have and must not have, each with the reasons by name."""
    return (
        ("needs", profile.required),
        ("needs the cluster property", profile.properties),
        ("should have", profile.recommended),
        ("must not have", profile.forbidden),
    )


def to_json(profile: Profile) -> dict[str, object]:
    """A profile in `hactl fence profiles --json`. Format 1; a field is added, never renamed."""
    return {
        "name": profile.name,
        "purpose": profile.purpose,
        "why": profile.why,
        "cuts": profile.cuts,
        "agents": list(profile.agents),
        "targets": profile.targets,
        "provides": profile.provides,
        "called": profile.called,
        "required": dict(profile.required),
        "properties": dict(profile.properties),
        "recommended": dict(profile.recommended),
        "forbidden": dict(profile.forbidden),
    }


def provides(agent: str) -> str | None:
    """What Pacemaker has to be told that a device of this agent provides: `unfencing`, or None."""
    found = profile_of(agent)
    return found.provides if found else None


def check(
    cluster: model.Cluster, describe: Describe | None = None, among: tuple[Profile, ...] | None = None
) -> tuple[Problem, ...]:
    """Every finding about the cluster's fence devices, errors and warnings, in the order of the devices.

    `describe` gives an installed agent's own metadata; without it, and where it gives none, Debian's catalogue is used.
    """
    found: list[Problem] = []
    for device in cluster.fence_devices:
        where = f"fence_devices.{device.name}"
        profile = profile_of(device.agent, among)
        by_profile = list(_unprofiled(device, where) if profile is None else _check_device(cluster, device, profile))
        found += by_profile
        said = {problem.where for problem in by_profile}
        given = {**device.parameters, **dict.fromkeys(device.secrets, fence_devices.SECRET)}
        by_agent = fence_parameters.check(device.agent, given, where, describe)
        # What the profile forbids, with its reason, is not said a second time as unknown or old.
        found += (problem for problem in by_agent if problem.where == where or problem.where not in said)
    return tuple(found)


def _unprofiled(device: model.FenceDevice, where: str) -> Iterator[Problem]:
    yield UNKNOWN_AGENT(
        f"no profile knows {device.agent}",
        where=where,
        remedy=f"read `pcs stonith describe {device.agent}`, and try it: hactl fence test --device {device.name}",
    )


def _check_device(cluster: model.Cluster, device: model.FenceDevice, profile: Profile) -> Iterator[Problem]:
    where = f"fence_devices.{device.name}"
    given = {**device.parameters, **dict.fromkeys(device.secrets, "")}
    plugs = {**fence_devices.host_map(device.parameters.get("pcmk_host_map", "")), **device.ports}
    if plugs:
        given["ports"] = ""
    for name, reason in profile.required.items():
        if name == "ports":
            yield from _ports(device, plugs, reason)
        elif name not in given:
            yield MISSING_PARAMETER(
                f"{device.agent} needs {name}: {reason}", where=where, remedy=f"add `{name}` to it in the spec"
            )
    for name, reason in profile.recommended.items():
        if name not in given:
            yield ADVISED_PARAMETER(
                f"{device.agent} should have {name}: {reason}", where=where, remedy=f"add `{name}` to it in the spec"
            )
    for rule, reason in profile.forbidden.items():
        name, _, value = rule.partition("=")
        if name in given and value in ("", given[name]):
            yield FORBIDDEN_PARAMETER(
                f"{device.agent} must not have {rule}: {reason}", where=f"{where}.{name}", remedy=f"remove `{name}`"
            )
    if profile.targets == "one" and len(device.targets) > 1:
        yield ONE_TARGET(
            f"{device.agent} switches one host, and {device.name} has {len(device.targets)} targets",
            where=where,
            remedy="write one device for each host",
            targets=", ".join(device.targets),
        )
    for name, reason in profile.properties.items():
        if name not in cluster.properties:
            yield MISSING_PROPERTY(
                f"{device.agent} needs the cluster property {name}: {reason}",
                where=f"cluster.properties.{name}",
                remedy=f"add `{name}` to [cluster.properties]",
            )
    if profile.called not in (None, device.name):
        yield MISSING_PROPERTY(
            f"Pacemaker takes {device.agent} under the name {profile.called} only",
            where=where,
            remedy=f"rename it: [fence_devices.{profile.called}]",
        )


def _ports(device: model.FenceDevice, plugs: Mapping[str, str], reason: str) -> Iterator[Problem]:
    missing = [target for target in device.targets if target not in plugs]
    if missing:
        example = ", ".join(f"{node} = …" for node in missing)
        yield MISSING_PORT(
            f"{device.name} has no port for {', '.join(missing)}: {reason}",
            where=f"fence_devices.{device.name}.ports",
            remedy=f"add ports = {{ {example} }}",
        )

"""What a fence device needs so that its "yes, it is dead" can be believed: the profiles of fencing/profiles, as data.

A profile names agents of one kind, whether they cut power or only storage, and the parameters that such a device
needs, should have, and must not have, each with the reason. Which agents do not fence at all is the spec's business;
whether an agent is installed and knows a parameter is asked of its own metadata, elsewhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from hacluster import model
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
    a forbidden one is a name, or `name=value` when it is that value only.
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


def shipped_directory() -> Path:
    """Where the project's profiles lie: beside the package in a checkout, inside it when installed from a wheel."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "data" / "fencing" / "profiles"
    return installed if installed.is_dir() else package.parent / "fencing" / "profiles"


@cache
def profiles(directory: Path | None = None) -> tuple[Profile, ...]:
    """All profiles of a directory, by name. They are part of the program: an unreadable one is a bug (KeyError)."""
    found = []
    for path in sorted((directory or shipped_directory()).glob("*.toml")):
        data = tomllib.loads(path.read_text())
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
            )
        )
    return tuple(found)


def profile_of(agent: str, among: tuple[Profile, ...] | None = None) -> Profile | None:
    """The profile that knows an agent; None when none does."""
    return next((p for p in among or profiles() if agent in p.agents), None)


def provides(agent: str) -> str | None:
    """What Pacemaker has to be told that a device of this agent provides: `unfencing`, or None."""
    found = profile_of(agent)
    return found.provides if found else None


def check(cluster: model.Cluster, among: tuple[Profile, ...] | None = None) -> tuple[Problem, ...]:
    """Every finding about the cluster's fence devices, errors and warnings, in the order of the devices."""
    return tuple(problem for device in cluster.fence_devices for problem in _check_device(device, among))


def _check_device(device: model.FenceDevice, among: tuple[Profile, ...] | None) -> Iterator[Problem]:
    where = f"fence_devices.{device.name}"
    profile = profile_of(device.agent, among)
    if profile is None:
        yield UNKNOWN_AGENT(
            f"no profile knows {device.agent}",
            where=where,
            remedy=f"read `pcs stonith describe {device.agent}`, and try it with `pcs stonith fence NODE`",
        )
        return
    given = {**device.parameters, **dict.fromkeys(device.secrets, "")}
    for name, reason in profile.required.items():
        if name not in given:
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

"""Are these the machines that bootstrap can work on, each another one, with one idea of what time it is?

It changes nothing: all that it finds is for an admin to mend.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from hacluster.bootstrap import distributions
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.steps import Looked, Site
from hacluster.problems import Problem, kind

NO_NAMES = kind(
    "HA613",
    "A machine runs a distribution for which no package names are known",
    "Bootstrap installs packages by name, and knows those of Debian 12, RHEL 9 and SLES 15.",
)
UNTRIED = kind(
    "HA614",
    "A machine runs a distribution on which bootstrap was never run",
    "The names of its packages are written down, and that is all: nothing installs there yet, and no test has ever "
    "seen it work. Bootstrap installs on Debian 12.",
)
ONE_MACHINE = kind(
    "HA615",
    "Two nodes of the spec are one machine",
    "They answer with the same boot id, which no two running kernels share: two addresses of one machine.",
)
NO_TIME = kind(
    "HA616",
    "A machine has no time service",
    "Clocks that drift apart make logs of a failover unreadable, and certificates and leases go wrong. Nothing here "
    "decides by the time of day who may run a VM, so the risk can be taken.",
    acceptable=True,
)
CLOCKS = kind(
    "HA617",
    "The machines' clocks differ",
    "They are further apart than a time service would leave them. pcsd's certificates may not be valid yet, and no two "
    "logs can be read side by side.",
    acceptable=True,
)

APART = 5.0
"""Seconds between two clocks that are still called one time: asking by ssh on a slow machine takes some itself."""

_TIME_SERVICES = ("chrony", "chronyd", "ntpsec", "ntp", "ntpd", "systemd-timesyncd")


@dataclass(frozen=True, slots=True)
class _Facts:
    release: str
    boot: str
    ahead: float
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machines:
    """The step."""

    name: str = "machines"
    title: str = "the machines"
    together: bool = True

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        told = site.each(_facts)
        return Looked(problems=(*_releases(told), *_same(told), *_clocks(told)))


def _facts(host: Host) -> _Facts:
    release = (host.read("/etc/os-release") or b"").decode(errors="replace")
    boot = (host.read("/proc/sys/kernel/random/boot_id") or b"").decode().strip()
    began = time.time()
    said = host.run(["date", "+%s.%N"]).out.decode(errors="replace").strip()
    ended = time.time()
    # Its clock was read between the two: the nearer end is what it may be apart at least.
    clock = float(said) if said.replace(".", "", 1).isdecimal() else ended
    ahead = clock - ended if clock > ended else min(0.0, clock - began)
    active = host.run(["systemctl", "is-active", *_TIME_SERVICES]).out.decode(errors="replace").split()
    services = tuple(name for name, state in zip(_TIME_SERVICES, active, strict=False) if state == "active")
    return _Facts(release, boot, ahead, services)


def _releases(told: Mapping[str, _Facts]) -> list[Problem]:
    found = []
    for name, facts in told.items():
        known = distributions.of_release(facts.release)
        title = next((line for line in facts.release.splitlines() if line.startswith("PRETTY_NAME=")), "PRETTY_NAME=?")
        said = title.partition("=")[2].strip('"')
        if known is None:
            remedy = "install Debian 12, or the packages by hand and run bootstrap with --only for the other steps"
            found.append(NO_NAMES(f"{name} runs {said}", where=f"node {name}", remedy=remedy))
        elif not known.tried:
            remedy = f"install Debian 12; hactl knows {known.title}'s package names and no more"
            found.append(UNTRIED(f"{name} runs {said}", where=f"node {name}", remedy=remedy))
    return found


def _same(told: Mapping[str, _Facts]) -> list[Problem]:
    owners: dict[str, str] = {}
    found = []
    for name, facts in told.items():
        first = owners.setdefault(facts.boot, name)
        if facts.boot and first != name:
            message = f"{first} and {name} are one machine"
            remedy = f"give {name} its own address: nodes.{name}.ssh_host or nodes.{name}.addresses"
            found.append(ONE_MACHINE(message, where=f"node {name}", remedy=remedy, boot_id=facts.boot))
    return found


def _clocks(told: Mapping[str, _Facts]) -> list[Problem]:
    found = []
    for name, facts in told.items():
        if not facts.services:
            remedy = f"on {name}: apt-get install chrony; or take the risk: --accept {NO_TIME.code}"
            message = f"{name} runs none of {', '.join(_TIME_SERVICES)}"
            found.append(NO_TIME(message, where=f"node {name}", remedy=remedy))
    if told:
        last, first = (pick(told, key=lambda name: told[name].ahead) for pick in (max, min))
        apart = told[last].ahead - told[first].ahead
        if apart > APART:
            remedy = f"set both by one time service; or take the risk: --accept {CLOCKS.code}"
            message = f"{last}'s clock is {apart:.0f} s before {first}'s"
            found.append(CLOCKS(message, where=f"node {last}", remedy=remedy))
    return found

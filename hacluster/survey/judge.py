"""All that stands against what the hosts said, in the order in which an admin would mend it. Pure.

A host that did not answer is a finding, and so is a part of an answer that is missing: unknown is never "fine".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from hacluster import model
from hacluster.ports import Unknown
from hacluster.problems import Problem, kind
from hacluster.survey import judge_hardware, judge_software, judge_ways
from hacluster.survey.ask import Asked
from hacluster.survey.facts import Host

FORMAT = 1
NO_ANSWER = kind(
    "HA640",
    "A host did not answer the survey",
    "What it has and whom it reaches is not known. Nothing about it is taken for right.",
)
NOT_TOLD = kind(
    "HA641",
    "A host could not tell part of what was asked",
    "A tool is missing there, hung, or printed something else than expected: that part is unknown, not all right.",
    severity="warning",
)

_PARTS = {
    "system": "what machine it is",
    "memory": "its memory",
    "versions": "its programs' versions",
    "hypervisor": "its libvirt",
    "links": "its networks",
    "luns": "its disks",
    "iommu": "its IOMMU",
    "watchdogs": "its watchdogs",
    "units": "its services (systemd did not answer)",
    "autostart": "what libvirt starts by itself",
    "starters": "what its cron tables start",
    "synchronized": "whether anybody keeps its clock (timedatectl does not answer)",
    "devices": "the shared devices",
    "peers": "the way to its peers",
    "skew": "its clock",
}


def judge(cluster: model.Cluster, asked: Asked) -> tuple[Problem, ...]:
    """Every finding."""
    return (
        *asked.refused,
        *_unknown(asked),
        *judge_ways.judge(cluster, asked.survey),
        *judge_software.judge(cluster, asked.survey, asked.baseline),
        *judge_hardware.judge(cluster, asked.survey),
    )


def _unknown(asked: Asked) -> Iterator[Problem]:
    said = {problem.where for problem in asked.refused}
    for name, host in asked.survey.items():
        if isinstance(host, Unknown):
            if name not in said:
                yield NO_ANSWER(f"{name}: {host.reason}", where=f"node {name}", remedy=f"ssh root@{name} true")
            continue
        missing = [what for part, what in _PARTS.items() if getattr(host, part) is None]
        missing += [f"the way to {other}" for other, peer in (host.peers or {}).items() if peer is None]
        missing += [
            f"whether packets reach {address} of {other}"
            for other, peer in (host.peers or {}).items()
            for address, frame in (peer.frames.items() if peer else ())
            if frame.small is None and frame.mtu is not None
        ]
        if missing:
            yield NOT_TOLD(f"{name} does not tell {', nor '.join(missing)}", where=f"node {name}")


def to_json(asked: Asked, found: tuple[Problem, ...]) -> dict[str, Any]:
    """The document of `hactl check --hosts --json`. A field is added, never renamed; null is "not known"."""
    return {
        "format": FORMAT,
        "baseline": asked.baseline,
        "hosts": {
            name: asdict(host) if isinstance(host, Host) else {"name": name, "unknown": host.reason}
            for name, host in asked.survey.items()
        },
        "problems": [problem.as_json() for problem in found],
    }

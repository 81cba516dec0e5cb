"""Facts of three real hosts, as the probe printed them on the namespace lab (Debian 12; 2026-11-20), and their spec.

What that lab has not got, multipath and an IOMMU, is put into them by hand where a test needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hacluster import spec
from hacluster.model import Cluster
from hacluster.ports import Unknown
from hacluster.survey import facts
from hacluster.survey.ask import Asked
from hacluster.survey.facts import Host

ROOT = Path(__file__).parents[3]
Told = dict[str, dict[str, Any]]
Change = Callable[[Told], object]


def told(change: Change = lambda _told: None) -> Told:
    """What each host printed, changed by `change`."""
    found: Told = json.loads((Path(__file__).parent / "lab.json").read_text())
    change(found)
    return found


def asked(change: Change = lambda _told: None, **beside: Any) -> Asked:
    """The survey of those hosts; clocks are together."""
    survey: dict[str, Host | Unknown] = {}
    for name, one in told(change).items():
        host = facts.read(name, json.dumps(one).encode())
        clock = one.get("clock", 0.0)
        survey[name] = replace(host, skew=clock, doubt=0.02) if isinstance(host, Host) else host
    return Asked(**{"survey": survey, "refused": (), "baseline": "EPYC", **beside})


def cluster() -> Cluster:
    """The lab's spec."""
    return spec.load(ROOT / "examples" / "lab.toml")

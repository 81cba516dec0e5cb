"""Rules of fencing: is there any, does it fence, and does it still work when its victim does not? Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hacluster.lint.subject import Subject
from hacluster.problems import Problem, kind

NO_FENCING = kind(
    "HA801",
    "Fencing is off, or there is no fence device",
    "A node that does not answer may still run its VMs. Without fencing Pacemaker either starts them a second time "
    "(stonith-enabled=false) or never again.",
    acceptable=True,
)


def no_fencing(subject: Subject) -> Iterator[Problem]:
    """Fencing off, or on with nothing that could fence."""
    facts = subject.facts
    if not facts.resources:
        return
    if not subject.fencing_enabled:
        yield NO_FENCING(
            "stonith-enabled is false: a lost node's VMs are started elsewhere while it may still run them",
            where="stonith-enabled",
            remedy="configure a fence device for every node, then: pcs property set stonith-enabled=true",
        )
    elif not subject.fence_devices and not subject.watchdog_fencing:
        yield NO_FENCING(
            "fencing is on, and no fence device is configured and enabled: a lost node's VMs stay down for ever",
            where="resources",
            remedy="pcs stonith create NAME fence_ipmilan pcmk_host_list=NODE …",
        )

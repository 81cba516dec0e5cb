"""Whether a host's drain unit stands: what empties a node before its libvirt and Pacemaker go down. Pure.

The audit of a running cluster and the survey of hosts both ask; the unit itself is resource_agents/systemd.
"""

from __future__ import annotations

from hacluster.ports import DrainUnit
from hacluster.problems import kind

DRAIN = kind(
    "HA518",
    "A host that is shut down is not drained first",
    "At a reboot systemd stops libvirt, Pacemaker and the guests in an order of its own. The unit hacluster-drain is "
    "ordered after either kind of libvirt daemon and Pacemaker, so it is stopped first: it moves the node's VMs away. "
    "Without it they are stopped, or killed.",
    severity="warning",
)
UNIT = "hacluster-drain.service"
AFTER = ("pacemaker.service", "corosync.service", "libvirtd.service", "virtqemud.service")
"""What must still run while the node is drained: stopping goes in the opposite order of starting."""


def complaint(unit: DrainUnit) -> str:
    """What is wrong with the unit as systemd has it, empty when nothing is. It must be active to be stopped at all."""
    missing = [each for each in AFTER if each not in unit.after]
    if not unit.loaded:
        return "the drain unit is not installed"
    if not unit.enabled:
        return "the drain unit is not enabled, so that it does not stand after the next boot"
    if not unit.active:
        return "the drain unit is not active, so that a shutdown does not drain the node"
    return f"the drain unit is not ordered after {', '.join(missing)}" if missing else ""

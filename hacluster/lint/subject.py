"""What the rules judge: a CIB's facts, and what else could be learnt (agents' metadata, the VMs' domain XML). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hacluster.cib.metadata import Metadata
from hacluster.lint.facts import Facts, Resource, is_on

Describe = Callable[[str], Metadata | None]
"""An agent's metadata by its name (`ocf:heartbeat:VirtualDomain`), None where nobody knows it."""


def _nobody(_agent: str) -> Metadata | None:
    return None


@dataclass(frozen=True)
class Subject:
    """One cluster as lint sees it.

    `domains` are the VMs' domain XML by resource id, as far as they are known. `corosync` is corosync.conf's text.
    """

    facts: Facts
    describe: Describe = _nobody
    domains: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    corosync: str | None = None

    @property
    def fencing_enabled(self) -> bool:
        """Whether Pacemaker fences at all."""
        return is_on(self.facts.properties.get("stonith-enabled", "true"))

    @property
    def fence_devices(self) -> tuple[Resource, ...]:
        """The fence devices that are not disabled."""
        return tuple(device for device in self.facts.fence_devices if device.enabled)

    @property
    def watchdog_fencing(self) -> bool:
        """Whether nodes fence themselves by their watchdog, without a shared disk (diskless SBD)."""
        return self.facts.properties.get("stonith-watchdog-timeout", "0").rstrip("ms") not in ("", "0")

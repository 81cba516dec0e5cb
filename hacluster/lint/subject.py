"""What the rules judge: a CIB's facts, and what else could be learnt (agents' metadata, the VMs' domain XML). Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from functools import cached_property

from hacluster.cib.metadata import Metadata
from hacluster.lint import domains as reading
from hacluster.lint import storage
from hacluster.lint.domains import Domain
from hacluster.lint.facts import Facts, Resource, is_on
from hacluster.lint.relations import Relations

Describe = Callable[[str], Metadata | None]
"""An agent's metadata by its name (`ocf:heartbeat:VirtualDomain`), None where nobody knows it."""


def nobody(_agent: str) -> Metadata | None:
    """No agent's metadata is known."""
    return None


class Subject:
    """One cluster as lint sees it.

    `domains` are the VMs' domain XML by resource id, as far as they are known, and `corosync` is corosync.conf's text.
    """

    def __init__(
        self,
        facts: Facts,
        describe: Describe = nobody,
        domains: Mapping[str, bytes] | None = None,
        corosync: str | None = None,
    ) -> None:
        self.facts = facts
        self.describe = describe
        self.corosync = corosync
        self.relations = Relations(facts)
        self._domains = domains or {}

    @cached_property
    def domains(self) -> Mapping[str, Domain]:
        """The VMs' domains that are known and can be read, by resource id."""
        read = {name: reading.read(text) for name, text in self._domains.items()}
        return {name: domain for name, domain in read.items() if domain is not None}

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

    def paths(self, vm: Resource) -> tuple[str, ...]:
        """The paths that a VM stands on: its disks', or its configuration's while its domain XML is not known."""
        domain = self.domains.get(vm.id)
        if domain is None:
            return tuple(path for path in (vm.parameters.get("config"),) if path)
        return tuple(disk.path for disk in domain.disks if disk.path)

    @cached_property
    def _places(self) -> storage.Places:
        return storage.Places(self.facts.resources)

    def holders(self, path: str) -> tuple[Resource, ...]:
        """The storage resources that hold a path."""
        return self._places.holders(path)

    @cached_property
    def _holders(self) -> Mapping[str, Mapping[str, tuple[Resource, ...]]]:
        """What holds each path of each VM; nothing for a path that no resource mounts or activates."""
        held: dict[str, tuple[Resource, ...]] = {}
        for vm in self.facts.vms:
            for path in self.paths(vm):
                if path not in held:
                    held[path] = self.holders(path)
        return {vm.id: {path: held[path] for path in self.paths(vm)} for vm in self.facts.vms}

    @cached_property
    def standing(self) -> Mapping[str, tuple[Resource, ...]]:
        """The storage resources that each VM's paths lie on, by the VM's id."""
        return {
            vm: tuple({each.id: each for resources in paths.values() for each in resources}.values())
            for vm, paths in self._holders.items()
        }

    @cached_property
    def outside(self) -> Mapping[str, tuple[str, ...]]:
        """The folders of each VM's disks that no resource holds: what the hosts mount or attach themselves."""
        return {
            vm: tuple(sorted({posixpath.dirname(path) for path, resources in paths.items() if not resources}))
            for vm, paths in self._holders.items()
            if vm in self.domains
        }

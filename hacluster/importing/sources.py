"""What a cluster has beside its CIB and import wants to know: domain XML files, and corosync's addresses. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Sources:
    """Domain files by the name of the file (without its folder), and the text of corosync.conf, empty if not known."""

    domains: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    corosync: str = ""

    def domain(self, config: str, vm: str) -> bytes | None:
        """The domain XML that a resource's `config` names; or the one named like the VM."""
        found = self.domains.get(config.rsplit("/", 1)[-1])
        return found if found is not None else self.domains.get(f"{vm}.xml")


def addresses(corosync: str) -> dict[str, tuple[str, ...]]:
    """Each node's addresses by link, from corosync.conf(5); nodes without a name are left out."""
    found = {}
    for block in re.findall(r"\bnode\s*\{([^{}]*)\}", corosync):
        settings = dict(re.findall(r"^\s*([a-z0-9_]+)\s*:\s*(\S+)\s*$", block, re.MULTILINE))
        links = sorted(
            (int(m[1]), text) for key, text in settings.items() if (m := re.fullmatch(r"ring(\d)_addr", key))
        )
        if "name" in settings and links:
            found[settings["name"]] = tuple(text for _, text in links)
    return found

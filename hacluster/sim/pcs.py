"""pcs, as an admin types it beside hactl: standby, cleanup, maintenance, a move by hand, a death confirmed by a human.

Only what the scenarios do. Another command is an error of the simulation, never an exit code.
"""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from hacluster.sim import status
from hacluster.sim.clones import SHUTDOWN
from hacluster.sim.cluster import Cluster, Part


class Pcs:
    """The client; each method is one command, `part` the part of the cluster that the node it is typed on is in."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __call__(self, argv: list[str], part: Part) -> int:
        """Run it; its exit code."""
        do: dict[tuple[str, str], Callable[[], None]] = {
            ("node", "standby"): lambda: self._standby(part, argv[2], "on"),
            ("node", "unstandby"): lambda: self._standby(part, argv[2], None),
            ("resource", "cleanup"): lambda: self._forget(part, argv[2], failed_only=True),
            ("resource", "refresh"): lambda: self._forget(part, argv[2], failed_only=False),
            ("resource", "unmanage"): lambda: self._meta(part, argv[2], "false"),
            ("resource", "manage"): lambda: self._meta(part, argv[2], None),
            ("resource", "move"): lambda: self._location(part, f"cli-prefer-{argv[2]}", argv[2], argv[3], "INFINITY"),
            ("resource", "ban"): lambda: self._location(part, f"cli-ban-{argv[2]}", argv[2], argv[3], "-INFINITY"),
            ("resource", "clear"): lambda: self._clear(part, argv[2]),
            ("property", "set"): lambda: self._property(part, *argv[2].split("=", 1)),
            ("cluster", "stop"): lambda: self._shut_down(part, argv[2]),
            ("cluster", "start"): lambda: self._cluster.come(argv[2]),
            ("stonith", "confirm"): lambda: self._cluster.confirm(argv[2]),
        }
        do[argv[0], argv[1]]()
        part.changed(configuration=True)
        self._cluster.poke()
        return 0

    def _standby(self, part: Part, node: str, value: str | None) -> None:
        known = part.cib.find(f"./configuration/nodes/node[@uname='{node}']")
        for old in known.findall("instance_attributes"):
            known.remove(old)
        if value is not None:
            holder = etree.SubElement(known, "instance_attributes", id=f"nodes-{node}")
            etree.SubElement(holder, "nvpair", id=f"nodes-{node}-standby", name="standby", value=value)

    def _forget(self, part: Part, resource: str, *, failed_only: bool) -> None:
        failed = {ran.node for ran in status.operations(part.cib, resource) if ran.code is not None and not ran.ok}
        for node in part.members & failed if failed_only else part.members:
            status.forget(part.cib, node, resource)

    def _meta(self, part: Part, resource: str, value: str | None) -> None:
        primitive = part.cib.find(f"./configuration/resources//primitive[@id='{resource}']")
        meta = primitive.find("meta_attributes")
        for old in meta.findall("nvpair[@name='is-managed']"):
            meta.remove(old)
        if value is not None:
            etree.SubElement(meta, "nvpair", id=f"{resource}-is-managed", name="is-managed", value=value)

    def _location(self, part: Part, ident: str, resource: str, node: str, score: str) -> None:
        constraints = part.cib.find("./configuration/constraints")
        place = {"id": ident, "rsc": resource, "node": node, "score": score}
        etree.SubElement(constraints, "rsc_location", place)

    def _clear(self, part: Part, resource: str) -> None:
        constraints = part.cib.find("./configuration/constraints")
        for old in list(constraints):
            if old.get("rsc") == resource and old.get("id", "").startswith("cli-"):
                constraints.remove(old)

    def _property(self, part: Part, name: str, value: str) -> None:
        holder = part.cib.find("./configuration/crm_config/cluster_property_set")
        for old in holder.findall(f"nvpair[@name='{name}']"):
            holder.remove(old)
        etree.SubElement(holder, "nvpair", id=f"{holder.get('id')}-{name}", name=name, value=value)

    def _shut_down(self, part: Part, node: str) -> None:
        if node in part.members:
            status.set_attribute(part.cib, node, SHUTDOWN, "1")

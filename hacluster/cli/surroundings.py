"""What lint can learn beside a CIB: agents' metadata, the VMs' domain XML, corosync.conf. Any of it may be missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import typer

from hacluster.cib import metadata
from hacluster.edge.agents import InstalledAgents
from hacluster.lint import Facts, Subject
from hacluster.lint.domains import LIMIT
from hacluster.ports import Agents, Unknown

if TYPE_CHECKING:  # what needs no cluster does not load ssh and libvirt
    from hacluster.cli.world import World

COROSYNC = "/etc/corosync/corosync.conf"
DOMAINS = typer.Option(
    None,
    "--domains",
    metavar="DIR",
    help="with a CIB: a folder with the VMs' domain XML (NAME.xml, or called as in the CIB)",
    show_default=False,
    exists=True,
    file_okay=False,
)


def describe(agents: Agents) -> Callable[[str], metadata.Metadata | None]:
    """Metadata by agent; None for an agent that is not installed there or says nothing that can be read."""

    def told(agent: str) -> metadata.Metadata | None:
        text = agents.metadata(agent)
        try:
            return metadata.parse(text) if isinstance(text, bytes) else None
        except ValueError:
            return None

    return told


def domains_in(folder: Path, facts: Facts) -> Mapping[str, bytes]:
    """The VMs' domain XML in a folder: called like the file that the CIB names, or like the VM."""
    found = {}
    for vm in facts.vms:
        names = (PurePosixPath(vm.parameters.get("config", "")).name, f"{vm.id}.xml")
        path = next((path for name in names if name and (path := folder / name).is_file()), None)
        if path is not None and path.stat().st_size <= LIMIT:
            found[vm.id] = path.read_bytes()
    return found


def of_cluster(world: World, facts: Facts) -> Subject:
    """The running cluster, with what its nodes say: the node that hactl works through, then the others for the rest."""
    first = world.pacemaker.local_node()
    configs = {vm.id: vm.parameters["config"] for vm in facts.vms if vm.parameters.get("config")}
    files: dict[str, bytes] = {}
    for node in (first, *(name for name in facts.nodes if name != first)):
        wanted = {*configs.values(), COROSYNC} - set(files)
        read = world.hosts.read(node, sorted(wanted)) if wanted else {}
        files.update({} if isinstance(read, Unknown) else read)
    corosync = files.get(COROSYNC)
    agents = InstalledAgents(run=lambda argv, deadline: world.runner.run(first, argv, deadline=deadline))
    return Subject(
        facts,
        describe(agents),
        {vm: files[path] for vm, path in configs.items() if path in files},
        None if corosync is None else corosync.decode(errors="replace"),
    )

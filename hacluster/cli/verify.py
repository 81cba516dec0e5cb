"""`hactl verify`: is everything that the promise stands on really there?"""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Table

from hacluster import verify as verifying
from hacluster.cli import render
from hacluster.cli.cluster import JSON, NODE, paint, table_of
from hacluster.cli.world import connect
from hacluster.observe.barriers import Barriers, manager
from hacluster.ports import HostAudit, HostFacts, Unknown
from hacluster.verify import Verified

_REACH = {"cluster": "cluster-wide", "node": "this node only", "none": "none", "unknown": "?"}


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(verify)


def verify(node: str = NODE, as_json: bool = JSON) -> None:
    """Audit the running cluster: copies, run-locks, barriers, hooks, files, leftovers. Exits 1 on any finding."""
    found = verifying.verify(connect(node))
    if as_json:
        render.json_out(verifying.to_json(found))
    else:
        _show(found)
        render.problems(found.problems)
    if found.problems:
        raise typer.Exit(1)


def _show(found: Verified) -> None:
    render.out.print(_nodes(found))
    if found.seen.vms:
        render.out.print()
        render.out.print(_vms(found))
    several = "finding" if len(found.problems) == 1 else "findings"
    render.out.print(f"\n{len(found.problems)} {several}" if found.problems else "\nnothing is wrong")


def _nodes(found: Verified) -> Table:
    table = table_of("node", "state", "guard", "hook", "libvirt", "lock driver", "Pacemaker")
    for node in found.seen.nodes:
        table.add_row(
            node.name, paint(node.state), node.guard or "–", *_probed(node.facts), _pacemaker(found, node.name)
        )
    return table


def _probed(facts: HostFacts | Unknown) -> tuple[str, str, str]:
    if isinstance(facts, Unknown):
        return "?", "?", "?"
    hook = {True: "stands", False: "[red]missing or changed[/]", None: "?"}[facts.hook_ok]
    driver = "?" if facts.leases is None else manager(facts.leases) or "none"
    return hook, "answers" if facts.libvirt_answers else "[red]silent[/]", escape(driver)


def _pacemaker(found: Verified, node: str) -> str:
    told = found.audits.get(node)
    return (told.pacemaker if isinstance(told, HostAudit) else None) or "?"


def _vms(found: Verified) -> Table:
    table = table_of("VM", "state", "run-lock", "fencing", "disks on", "image lock", "lease", "hand-over")
    for vm in found.seen.vms:
        stands = found.barriers[vm.name]
        lock = paint(vm.lock) if vm.agent == "hacluster" else f"– ({escape(vm.agent)})"
        table.add_row(
            vm.name,
            paint(vm.state),
            lock,
            _fencing(stands),
            escape(", ".join(stands.storage)) or "?",
            _REACH[stands.image_lock],
            _REACH[stands.lease],
            stands.handover,
        )
    return table


def _fencing(stands: Barriers) -> str:
    if not stands.fencing:
        return "[red]off[/]"
    return f"[red]not {escape(', '.join(stands.unfenceable))}[/]" if stands.unfenceable else "every node"

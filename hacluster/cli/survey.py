"""`hactl check --hosts`: a spec's hosts, each one and from each to each, as tables; and what stands against them."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from hacluster import model, spec
from hacluster.cli import render
from hacluster.cli.cluster import ssh_hosts, table_of
from hacluster.cli.progress import Line
from hacluster.edge.clock import SystemClock
from hacluster.edge.ssh import NodeRunner
from hacluster.problems import Refused, errors
from hacluster.survey import ask, judge
from hacluster.survey.facts import Host, Peer, Survey
from hacluster.survey.judge_software import daemon_of


def check(path: Path, as_json: bool, accepted: frozenset[str]) -> None:
    """Survey the hosts of a spec. Exits 1 when an error stands against them."""
    cluster, wrong = spec.check(path)
    if cluster is None:
        raise Refused(wrong)
    runner = NodeRunner(ssh_hosts(cluster))
    with Line("asking the hosts") as line:
        asked = ask.ask(cluster, runner, SystemClock(), line)
    found = judge.judge(cluster, asked)
    if as_json:
        render.json_out(judge.to_json(asked, found))
    else:
        show(cluster, asked)
        render.problems(found, accepted=accepted)
        count = len(found)
        render.out.print(f"\n{count} finding{'s' if count != 1 else ''}" if found else "\nnothing stands against them")
    if errors(found, accepted):
        raise typer.Exit(1)


def show(cluster: model.Cluster, asked: ask.Asked) -> None:
    """The hosts, and the ways between them."""
    render.out.print(_hosts(asked.survey))
    render.out.print()
    render.out.print(_ways(cluster, asked.survey))
    render.out.print(
        f"\nfrom row to column: root's ssh, libvirt by {cluster.migration_transport}, ports "
        f"{', '.join(map(str, ask.ports(cluster)))}, and the largest frame that passed on each address"
        f"\nCPU that every host can give: {escape(asked.baseline or 'not known')}"
    )


def _hosts(survey: Survey) -> Table:
    names = ("system", "Pacemaker", "Corosync", "libvirt", "QEMU", "CPU", "memory free", "clock", "watchdog", "LUNs")
    table = table_of("host", *names)
    for name, host in survey.items():
        if not isinstance(host, Host):
            table.add_row(escape(name), "[red]no answer[/]", *["?"] * (len(names) - 1))
            continue
        told, libvirt = host.versions or {}, host.hypervisor
        table.add_row(
            escape(name),
            escape(host.system.release if host.system else "?"),
            told.get("pacemaker") or "[red]none[/]",
            told.get("corosync") or "[red]none[/]",
            f"{told.get('libvirt') or '[red]none[/]'} ({daemon_of(host) or '?'})",
            f"{libvirt.qemu or '?'} ({'KVM' if libvirt.kvm else 'no KVM'})" if libvirt and libvirt.answers else "?",
            escape((libvirt.cpu if libvirt else None) or "?"),
            _free(host),
            "?" if host.skew is None else f"{host.skew:+.2f} ± {host.doubt or 0:.2f} s",
            _watchdog(host),
            "?" if host.luns is None else str(len(host.luns)),
        )
    return table


def _free(host: Host) -> str:
    if host.memory is None:
        return "?"
    return f"{host.memory.available >> 20} of {host.memory.total >> 20} MiB"


def _watchdog(host: Host) -> str:
    if host.watchdogs is None:
        return "?"
    return escape(", ".join(dict.fromkeys(each.identity or each.device for each in host.watchdogs)) or "none")


def _ways(cluster: model.Cluster, survey: Survey) -> Table:
    names = [node.name for node in cluster.nodes]
    table = table_of("from \\ to", *names)
    for name in names:
        host = survey[name]
        peers = (host.peers or {}) if isinstance(host, Host) else {}
        table.add_row(escape(name), *("–" if other == name else _way(peers.get(other)) for other in names))
    return table


def _way(peer: Peer | None) -> str:
    if peer is None:
        return "?"
    silent = [port for port, word in peer.ports.items() if word not in ("open", "refused")]
    frames = ["?" if f.full is None else str(f.mtu) if f.full else f"[red]not {f.mtu}[/]" for f in peer.frames.values()]
    return ", ".join(
        (
            "ssh" if peer.ssh.word == "ok" else f"[red]ssh: {peer.ssh.word}[/]",
            "libvirt" if peer.libvirt.ok else "[red]no libvirt[/]",
            f"[red]silent: {' '.join(silent)}[/]" if silent else "ports",
            "/".join(frames),
        )
    )

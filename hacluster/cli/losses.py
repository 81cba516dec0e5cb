"""The part of `hactl check` that asks Pacemaker's scheduler what the loss of nodes would cost, and shows the answer."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence

from lxml import etree
from rich.table import Table

from hacluster import capacity
from hacluster.cib.placement import CPU, MEMORY
from hacluster.cli import render
from hacluster.cli.progress import Line
from hacluster.edge import local
from hacluster.edge.pacemaker import PacemakerTools
from hacluster.edge.ssh import NodeRunner
from hacluster.problems import Refused, kind

NOT_ASKED = kind(
    "HA192",
    "What a loss would cost cannot be asked here",
    "hactl leaves it to Pacemaker's scheduler where VMs go, and asks it through crm_simulate on this machine. No "
    "cluster has to run for that.",
)


def installed() -> bool:
    """Whether the scheduler can be asked on this machine."""
    return shutil.which("crm_simulate", path=local.search_path()) is not None


def ask_here(cib: etree._Element, lost: int, *, qdevice: bool = False) -> capacity.Forecast:
    """Ask the scheduler on this machine, without a cluster. Raises Refused with HA192 when it is not installed."""
    if not installed():
        message = "crm_simulate is not installed on this machine"
        raise Refused(NOT_ASKED(message, where="--nodes-lost", remedy="apt-get install pacemaker-cli-utils"))
    runner = NodeRunner()
    return ask(cib, PacemakerTools(runner, socket.gethostname()), lost, qdevice=qdevice)


def ask(cib: etree._Element, tools: PacemakerTools, lost: int, *, qdevice: bool = False) -> capacity.Forecast:
    """Ask the scheduler through a node's tools. Raises Refused when they cannot read this CIB."""
    with Line("asking the scheduler") as line:
        # On a terminal only: elsewhere a line for each node would be noise.
        return capacity.forecast(cib, tools.simulate, lost, qdevice=qdevice, tell=lambda gone: line("", gone))


def show(told: capacity.Forecast) -> None:
    """A line for each node, or pair of nodes, that may be lost."""
    shares = {share.node: share for share in told.shares}
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("if lost", "VMs there", "memory", "CPUs", "start elsewhere", "stay down"):
        table.add_column(title, justify="right" if title in ("VMs there", "start elsewhere") else "left")
    for loss in told.losses:
        there = [shares[node] for node in loss.nodes]
        table.add_row(
            " + ".join(loss.nodes),
            str(sum(len(share.vms) for share in there)),
            _parts(there, MEMORY, 1024, " GiB"),
            _parts(there, CPU, 1, ""),
            str(len(loss.recovered)),
            ", ".join(loss.down[:6]) + (f" and {len(loss.down) - 6} more" if len(loss.down) > 6 else "") or "-",
        )
    render.out.print(table)


def _parts(shares: Sequence[capacity.Share], name: str, unit: int, word: str) -> str:
    """How much of something is used, of how much there is, for each; nothing where it is not counted."""
    counted = [share for share in shares if name in share.has]
    return ", ".join(f"{s.used.get(name, 0) / unit:.4g} of {s.has[name] / unit:.4g}{word}" for s in counted) or "-"

"""How hactl shows a plan: what changes, what Pacemaker will do, what each VM pays, and which files go where."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lxml import etree
from rich.markup import escape

from hacluster.apply import Prepared
from hacluster.cli import render
from hacluster.oracle import UNSETTLED
from hacluster.plan import Change, Plan, VmPrice, as_pcs
from hacluster.problems import Problem, Refused, kind
from hacluster.spec import source

NOT_WRITTEN = kind("HA356", "The plan could not be written to the file", "Its folder has to exist and be writable.")

LIMIT = 64 << 20
"""Bytes; the plan of three thousand VMs has about 30 MB."""

_MARK = {"add": "[green]+[/]", "change": "[yellow]~[/]", "remove": "[red]-[/]", "adopt": "[dim]=[/]"}
_COLOUR = {"restart": "bold red", "stop": "bold red", "migrate": "yellow", "start": "green", "reload": "green"}
_SHOWN_SETTINGS = 12
_SHOWN_VMS = 30
_DIGEST = re.compile(r"^([0-9a-f]{16})[0-9a-f]{48}$")


def show(prepared: Prepared) -> None:
    """Print a plan; its findings are the caller's."""
    plan = prepared.plan
    if prepared.nothing:
        render.out.print("nothing to do")
    for change in plan.changes:
        for line in _change(change):
            render.out.print(line)
    if plan.theirs:
        _section("others changed what hactl owns", list(_others(plan)))
    for line in _files(prepared):
        render.out.print(line)
    if plan.caused:
        _section("Pacemaker will", [escape(str(action)) for action in plan.caused])
        if plan.judged and not any(problem.code == UNSETTLED.code for problem in prepared.problems):
            render.out.print("  and it starts no VM before every place where that was is settled")
    if plan.anyway:
        _section("Pacemaker is about to do this anyway", [escape(str(action)) for action in plan.anyway])
    if plan.changes:
        paying = [price for price in plan.prices if price.price != "none"]
        lines = [f"{price.vm}: [{_COLOUR[price.price]}]{price.price}[/]{_explained(price)}" for price in paying]
        if others := len(plan.prices) - len(paying):
            lines.append(
                f"[dim]{', '.join(_names(plan))}: none[/]" if others <= _SHOWN_VMS else f"{others} others: none"
            )
        if lines:
            _section("what it costs each VM", lines)
    if plan.stages:
        _section("better done in stages", list(_stages(plan)))
    if plan.changes:
        render.out.print(f"\nplanned from configuration {plan.planned[1]}")


def _explained(price: VmPrice) -> str:
    """What the price means for the guest, and what an estimate rests on."""
    basis = f" [dim]({escape(price.basis)})[/]" if price.basis else ""
    return f": {escape(str(price))}{basis}" if price.price in ("migrate", "restart", "stop", "reload") else ""


def _names(plan: Plan) -> list[str]:
    return [price.vm for price in plan.prices if price.price == "none"]


def _stages(plan: Plan) -> Iterator[str]:
    for number, stage in enumerate(plan.stages, start=1):
        yield f"{number}. {escape(stage.why)}"
        for command in stage.commands:
            yield f"       {escape(command)}"


def _others(plan: Plan) -> Iterator[str]:
    """What others did to what hactl owns: which of it stays, and which does not."""
    for each in plan.theirs:
        value = each.live if each.applied == "-" else f"{each.applied} → {each.live}"
        name = f" {each.name}" if each.name else ""
        end = "stays" if each.kept else f"becomes {each.wanted}" if each.wanted != "-" else "goes"
        yield escape(f"{each.noun} {each.ident}{name}: {value} ({end})")


def write(path: Path, content: bytes) -> None:
    """Write a plan's file, whole or not at all; it is for its owner's eyes. Raises Refused."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise Refused(
            NOT_WRITTEN(f"{said}", where=str(path), remedy="name a file in a folder that is there")
        ) from error


def content(path: Path) -> bytes:
    """The bytes of a spec or a plan. Raises Refused when it cannot be read."""
    found: list[Problem] = []
    read = source.read(path, found, LIMIT)
    if read is None:
        raise Refused(found)
    return read


def show_as_pcs(prepared: Prepared) -> None:
    """Print the change as pcs commands: the configuration's part of it, and in a comment the files'."""
    out = [f"# {' '.join(line.split())}" for line in _AS_PCS]
    about = {(f.kind, f.about): f.path for each in prepared.deliveries for f in each.files}
    out += [f"# first, to every node: the {kind_} {name} ({path})" for (kind_, name), path in about.items()]
    out += as_pcs.commands(prepared.before, etree.fromstring(prepared.plan.desired))
    sys.stdout.write("\n".join(out) + "\n")


_AS_PCS = (
    """hactl apply pushes all of this in one step; here every line is a push of its own, and Pacemaker acts between
    them.""",
    "What pcs has no words for is said with cibadmin. What hactl notes for itself in the CIB is left out.",
)


def _section(title: str, lines: Sequence[str]) -> None:
    render.out.print(f"\n{title}:")
    for line in lines:
        render.out.print(f"  {line}")


def _change(change: Change) -> Iterator[str]:
    value = f" = {escape(change.settings[0].new)}" if (change.kind, change.noun) == ("add", "property") else ""
    yield f"{_MARK[change.kind]} {change.noun} [bold]{escape(change.ident)}[/]{value}"
    if change.kind != "change":
        return
    for setting in change.settings[:_SHOWN_SETTINGS]:
        old, new = (_DIGEST.sub(r"\1…", value) for value in (setting.old, setting.new))
        yield f"    {escape(f'{setting.name}: {old} → {new}')}"
    if len(change.settings) > _SHOWN_SETTINGS:
        yield f"    and {len(change.settings) - _SHOWN_SETTINGS} more settings (--json shows all)"


def _files(prepared: Prepared) -> Iterator[str]:
    """One line for each thing that goes to nodes, with the nodes that lack it."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for each in prepared.deliveries:
        for file in each.files:
            nodes = lacking.setdefault((file.kind, file.about), [])
            if each.node not in nodes:
                nodes.append(each.node)
    for (what, about), nodes in lacking.items():
        yield f"[green]>[/] {what} [bold]{escape(about)}[/] to {', '.join(nodes)}"


def deliveries(prepared: Prepared) -> list[dict[str, object]]:
    """The files for `--json`; never their content."""
    return [
        {"node": each.node, "files": [{"path": f.path, "kind": f.kind, "for": f.about} for f in each.files]}
        for each in prepared.deliveries
        if each.files
    ]

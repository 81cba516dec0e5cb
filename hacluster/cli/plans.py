"""How hactl shows a plan: what changes, what Pacemaker will do, what each VM pays, and which files go where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.markup import escape

from hacluster.apply import Prepared
from hacluster.cli import render
from hacluster.plan import Change

_MARK = {"add": "[green]+[/]", "change": "[yellow]~[/]", "remove": "[red]-[/]", "adopt": "[dim]=[/]"}
_COLOUR = {"restart": "bold red", "stop": "bold red", "migrate": "yellow", "start": "green", "reload": "green"}
_SHOWN_SETTINGS = 12
_DIGEST = re.compile(r"^([0-9a-f]{16})[0-9a-f]{48}$")


def show(prepared: Prepared) -> None:
    """Print a plan; its findings are the caller's."""
    plan = prepared.plan
    if prepared.nothing:
        render.out.print("nothing to do")
    for change in plan.changes:
        for line in _change(change):
            render.out.print(line)
    for line in _files(prepared):
        render.out.print(line)
    if plan.caused:
        _section("Pacemaker will", [escape(str(action)) for action in plan.caused])
    if plan.anyway:
        _section("Pacemaker is about to do this anyway", [escape(str(action)) for action in plan.anyway])
    if plan.changes:
        tolls = [f"{price.vm}: [{_COLOUR.get(price.price, 'dim')}]{price.price}[/]" for price in plan.prices]
        if tolls:
            _section("what it costs each VM", [", ".join(tolls)])
        render.out.print(f"\nplanned from configuration {plan.planned[1]}")


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
    for (kind, about), nodes in lacking.items():
        yield f"[green]>[/] {kind} [bold]{escape(about)}[/] to {', '.join(nodes)}"


def deliveries(prepared: Prepared) -> list[dict[str, object]]:
    """The files for `--json`; never their content."""
    return [
        {"node": each.node, "files": [{"path": f.path, "kind": f.kind, "for": f.about} for f in each.files]}
        for each in prepared.deliveries
        if each.files
    ]

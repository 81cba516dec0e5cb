"""`hactl undo`: what was applied, and taking it back."""

from __future__ import annotations

from datetime import UTC, datetime

import typer
from rich.markup import escape

from hacluster import apply as applying
from hacluster.apply import Entry
from hacluster.cli import catalogue, render
from hacluster.cli.cluster import ACCEPT, KEEP, NODE, WAIT, carry_out, show_prepared, table_of
from hacluster.cli.world import connect
from hacluster.problems import errors

FORMAT = 1
_TOLD = 3


def register(app: typer.Typer) -> None:
    """Add `hactl undo` to the command line."""
    app.command()(undo)


def undo(
    change: str = typer.Argument(
        None, metavar="[CHANGE]", help="go back to before this one, see --list; else the newest", show_default=False
    ),
    listed: bool = typer.Option(False, "--list", help="show what was applied and undone, the newest first"),
    node: str = NODE,
    accept: list[str] = ACCEPT,
    keep: list[str] = KEEP,
    dry_run: bool = typer.Option(False, "--dry-run", help="show the plan, change nothing"),
    as_json: bool = typer.Option(False, "--json", help="print JSON, change nothing"),
    wait: float = WAIT,
) -> None:
    """Take the last apply back: the configuration from before it, with what others did since. An undo can be undone."""
    accepted = catalogue.accepted(accept)
    world = connect(node)
    if listed:
        _list(applying.past_of(world), as_json)
        return
    prepared = applying.prepare_undo(world, change or "", frozenset(keep))
    if as_json:
        show_prepared(prepared, as_json=True, accepted=accepted)
        if errors(prepared.problems, accepted):
            raise typer.Exit(1)
        return
    carry_out(world, prepared, accepted, wait, "undo", dry_run=dry_run)


def _list(entries: tuple[Entry, ...], as_json: bool) -> None:
    if as_json:
        render.json_out({"format": FORMAT, "changes": [_told(entry) for entry in entries]})
        return
    if not entries:
        render.out.print("nothing was applied")
        return
    table = table_of("change", "when", "by", "configuration", "what")
    for entry in entries:
        if entry.record is None:
            table.add_row(entry.name[:12], "?", "?", "?", "no node has its record")
            continue
        what = f"undo of {entry.record.undoes[:12]}: " if entry.record.undoes else ""
        what += "; ".join(entry.record.told[:_TOLD])
        if len(entry.record.told) > _TOLD:
            what += f" and {len(entry.record.told) - _TOLD} more"
        table.add_row(
            entry.name[:12], _when(entry.record.at), escape(entry.record.by), str(entry.record.epoch), escape(what)
        )
    render.out.print(table)


def _told(entry: Entry) -> dict[str, object]:
    found = entry.record
    if found is None:
        return {"change": entry.name, "known": False}
    return {
        "change": entry.name,
        "known": True,
        "at": found.at,
        "by": found.by,
        "epoch": found.epoch,
        "undoes": found.undoes or None,
        "what": list(found.told),
    }


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")

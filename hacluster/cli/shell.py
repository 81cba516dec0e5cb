"""What every hactl command has in common with a shell's habits: the command that was meant, and Ctrl-C.

Typer's newest releases carry their own copy of click, so nothing here names click.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from hacluster.problems import Refused, kind
from hacluster.spec.wording import nearest

INTERRUPTED = kind(
    "HA001",
    "Interrupted",
    "hactl was stopped by a signal. What it had begun can be seen with `hactl status`; a move goes on in Pacemaker.",
)


class Commands(TyperGroup):
    """A group of commands that names the nearest one, and ends as a Problem when it is interrupted."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - click's types, or those of typer's copy
        """The command of that name; a usage error that names the nearest one when there is none."""
        found = super().get_command(ctx, cmd_name)
        if found is None and (near := nearest(cmd_name, self.commands)) is not None:
            ctx.fail(f"No such command '{cmd_name}'; did you mean {near}?")
        return found

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as above
        """Run the command. Raises Refused for a KeyboardInterrupt, of which typer would only say "Aborted"."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Refused(INTERRUPTED("hactl was stopped by a signal", where="hactl", remedy="hactl status")) from None

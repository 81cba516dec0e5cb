"""Secrets, read on the machine where hactl runs. Their values appear in no log, no message and no command line."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from hacluster.edge import local
from hacluster.ports import Unreachable
from hacluster.problems import Problem, Refused, kind

NO_SECRET = kind(
    "HA621",
    "A secret cannot be read",
    "The spec names where a secret lies (file:, env: or cmd:), and there is none.",
)
READABLE_SECRET = kind(
    "HA622",
    "A secret's file can be read by others",
    "Whoever can read the password of a fence device can switch off its host.",
)


class LocalSecrets:
    """The Secrets port."""

    def read(self, scheme: str, argument: str, *, deadline: float = 20.0) -> str:
        """As Secrets.read. A command is run without a shell."""
        where = f"{scheme}:{argument}"
        if scheme == "env":
            value = os.environ.get(argument, "")
        elif scheme == "file":
            value = _file(Path(argument), where)
        else:
            value = _command(argument, where, deadline)
        value = value.removesuffix("\n").removesuffix("\r")
        if not value:
            raise Refused(_missing(where, "it is empty or not set"))
        return value


def _file(path: Path, where: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise Refused(
                    READABLE_SECRET(
                        f"{path} can be read or written by everybody", where=where, remedy=f"chmod 600 {path}"
                    )
                )
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise Refused(_missing(where, reason or str(error))) from error


def _command(line: str, where: str, deadline: float) -> str:
    try:
        done = local.run(shlex.split(line), stdin=b"", deadline=deadline)
    except (Unreachable, ValueError) as error:
        raise Refused(_missing(where, str(error))) from error
    if not done.ok:
        # Its stderr is for the admin; its stdout may be half a secret.
        raise Refused(_missing(where, f"exit code {done.code}: {done.err.decode(errors='replace').strip()[-200:]}"))
    return done.out.decode(errors="replace")


def _missing(where: str, reason: str) -> Problem:
    return NO_SECRET(
        f"the secret cannot be read: {reason}",
        where=where,
        remedy="put it there, on the machine where hactl runs, or change the spec",
    )

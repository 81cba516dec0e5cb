"""What a step would change on a machine: a file, or whatever a command does. Values that show themselves. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import unified_diff


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file's content before and after; None stands for "no such file". `instead` is shown in place of the content
    where that is long and nobody's to review (our own programs)."""

    node: str
    path: str
    before: bytes | None
    after: bytes | None
    mode: int = 0o644
    instead: str = ""

    @property
    def headline(self) -> str:
        """One line: what happens to which file."""
        if self.after is None:
            return f"remove {self.path}"
        return f"{'write' if self.before is None else 'change'} {self.path}"

    def diff(self) -> str:
        """The difference as `diff -u` has it; a sentence where that would help nobody."""
        if self.instead:
            return f"({self.instead})"
        try:
            before, after = (text.decode() if text is not None else "" for text in (self.before, self.after))
        except UnicodeDecodeError:
            return "(its content is no text)"
        old = "/dev/null" if self.before is None else self.path
        new = "/dev/null" if self.after is None else self.path
        lines = unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm="", n=2)
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class CommandChange:
    """A command, in whose place `why` says what it is for. What it reads (`stdin`) is never shown.

    `deadline` is seconds. Where `argv` is a script, `sh -c SCRIPT NAME ARGUMENT…`, its name and arguments show it.
    """

    node: str
    argv: tuple[str, ...]
    why: str
    deadline: float = 60.0
    stdin: bytes = field(default=b"", repr=False)

    @property
    def headline(self) -> str:
        """One line: the command, and what for."""
        return f"run {self.command}   # {self.why}"

    @property
    def command(self) -> str:
        """The command as it would be typed."""
        script = self.argv[:2] == ("sh", "-c") and len(self.argv) > 3
        return " ".join([self.argv[3], shlex.join(self.argv[4:])]) if script else shlex.join(self.argv)

    def diff(self) -> str:
        """The script behind it, where there is one."""
        return self.argv[2].strip() if self.argv[:2] == ("sh", "-c") else ""


Change = FileChange | CommandChange


def as_json(change: Change) -> Mapping[str, object]:
    """A change as `--json` prints it."""
    if isinstance(change, FileChange):
        told = {"file": change.path, "diff": change.diff(), "mode": f"{change.mode:04o}"}
        return {"node": change.node, **told, "removed": change.after is None}
    return {"node": change.node, "command": change.command, "why": change.why}


def file_change(
    node: str, path: str, before: bytes | None, after: bytes | None, mode: int = 0o644
) -> tuple[FileChange, ...]:
    """The change of a file to that content; none when it has it already. The mode is that of a file that is new."""
    return () if before == after else (FileChange(node, path, before, after, mode),)

"""A machine that has nothing of ours yet: files and commands over a Runner, with a shell and coreutils alone.

`Runner.put` needs a Python there, which the smallest Debian does not have. This is bootstrap's Host.
"""

from __future__ import annotations

from collections.abc import Sequence

from hacluster.ports import Completed, NodeFile, Runner

_NOT_THERE = 66

_READ = 'if [ -e "$1" ]; then cat -- "$1"; else exit 66; fi'

_WRITE = """
set -eu
umask 077
folder=$(dirname -- "$1")
[ -d "$folder" ] || (umask 022; mkdir -p -- "$folder")
beside=$(mktemp -- "$folder/.hactl.XXXXXX")
trap 'rm -f -- "$beside"' EXIT
cat > "$beside"
if [ "$(wc -c < "$beside")" -ne "$3" ]; then echo "only a part of it arrived" >&2; exit 1; fi
chmod -- "$2" "$beside"
sync -- "$beside"
mv -f -T -- "$beside" "$1"
sync -- "$folder"
"""


class BareHost:
    """One node of a Runner."""

    def __init__(self, runner: Runner, name: str) -> None:
        self._runner = runner
        self._name = name

    @property
    def name(self) -> str:
        """As Host.name."""
        return self._name

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        """As Host.run."""
        return self._runner.run(self._name, argv, stdin=stdin, deadline=deadline)

    def read(self, path: str) -> bytes | None:
        """As Host.read."""
        done = self.run(["sh", "-c", _READ, "read", path])
        if done.code == _NOT_THERE:
            return None
        if not done.ok:
            raise OSError(f"{path} cannot be read on {self._name}: {_said(done)}")
        return done.out

    def write(self, file: NodeFile) -> None:
        """As Host.write."""
        argv = ["sh", "-c", _WRITE, "write", file.path, f"{file.mode:o}", str(len(file.content))]
        done = self.run(argv, stdin=file.content, deadline=60.0)
        if not done.ok:
            raise OSError(f"{file.path} cannot be written on {self._name}: {_said(done)}")

    def remove(self, path: str) -> None:
        """As Host.remove."""
        done = self.run(["rm", "-f", "--", path])
        if not done.ok:
            raise OSError(f"{path} cannot be removed on {self._name}: {_said(done)}")


def _said(done: Completed) -> str:
    return done.err.decode(errors="replace").strip() or f"exit code {done.code}"

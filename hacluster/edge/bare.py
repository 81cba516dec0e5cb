"""A machine that has nothing of ours yet: files and commands over a Runner, with a shell and coreutils alone.

`Runner.put` needs a Python there, which the smallest Debian does not have. This is bootstrap's Host.
"""

from __future__ import annotations

from collections.abc import Sequence

from hacluster.ports import Completed, NodeFile, Runner

_NOT_THERE = 66

_READ = 'if [ -e "$1" ]; then cat -- "$1"; else exit 66; fi'

# Arguments are path, mode and size of each file; their contents come on standard input, one after another. The name
# beside a file is our process's own, so that a second run never writes into what the first one left.
_WRITE = """
set -eu
umask 077
number=0
each() {
  while [ $# -gt 0 ]; do
    number=$((number + 1))
    "$step" "$1" "$2" "$3" "${1%/*}/.hactl.$$.$number"
    shift 3
  done
  number=0
}
take() {
  [ -d "${1%/*}" ] || (umask 022; mkdir -p -- "${1%/*}")
  head -c "$3" > "$4"
  if [ "$(wc -c < "$4")" -ne "$3" ]; then echo "only a part of $1 arrived" >&2; exit 1; fi
  chmod -- "$2" "$4"
  sync -- "$4"
}
place() { mv -f -T -- "$4" "$1"; }
lasting() { sync -- "${1%/*}"; }
trap 'step=tidy; each "$@"' EXIT
tidy() { rm -f -- "$4"; }
step=take; each "$@"
step=place; each "$@"
step=lasting; each "$@"
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

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 120.0) -> Completed:
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

    def write(self, *files: NodeFile) -> None:
        """As Host.write."""
        told = [word for file in files for word in (file.path, f"{file.mode:o}", str(len(file.content)))]
        content = b"".join(file.content for file in files)
        done = self.run(["sh", "-c", _WRITE, "write", *told], stdin=content, deadline=120.0)
        if not done.ok:
            raise OSError(f"{files[0].path} cannot be written on {self._name}: {_said(done)}")

    def remove(self, path: str) -> None:
        """As Host.remove."""
        done = self.run(["rm", "-f", "--", path])
        if not done.ok:
            raise OSError(f"{path} cannot be removed on {self._name}: {_said(done)}")


def _said(done: Completed) -> str:
    return done.err.decode(errors="replace").strip() or f"exit code {done.code}"

"""Putting the guard on a node: agents, hook and their code, over the Runner port.

Idempotent: what is in place already is not written again, and libvirt is told to read its hooks only when one of them
changed. It installs no packages and touches no storage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hacluster.host.payload import UNITS, PayloadFile
from hacluster.ports import Completed, NodeFile, Runner, Unreachable
from hacluster.problems import Refused, kind

FAILED = kind(
    "HA610",
    "A node could not be prepared",
    "A file could not be written or a command failed on the node. What was written before is harmless: nothing uses it "
    "until the cluster is told to, and running bootstrap again goes on from there.",
)
TOO_OLD = kind(
    "HA611",
    "A node's software is too old or missing",
    "Live moves need Pacemaker 2.1.5 or newer: before it, an interrupted migration whose target changed could leave "
    "two active copies. The guard's hook needs libvirt with hook directories (6.5 or newer).",
)

GUARD_CONF = "/etc/hacluster/guard.conf"
_HOOKS = "/etc/libvirt/hooks/"
_CODE = "/usr/lib/hacluster"
# libvirt's daemon is called libvirtd where it is monolithic and virtqemud where it is modular.
_RELOAD = "systemctl try-reload-or-restart libvirtd.service virtqemud.service"
# Starting the drain unit does nothing; only what has been started can be stopped, and its stopping drains.
_ENABLE = "systemctl daemon-reload && systemctl enable --now hacluster-drain.service"
_VERSIONS = "pacemakerd --version | head -n 1; virsh --version"


@dataclass(frozen=True, slots=True)
class Done:
    """What bootstrap did on a node: the files it wrote (or would write)."""

    node: str
    written: tuple[str, ...]


def bootstrap(
    runner: Runner, node: str, files: Sequence[PayloadFile], *, dry_run: bool = False, tell: Callable[[str], None]
) -> Done:
    """Install the guard on one node. Raises Refused; with `dry_run` it only compares."""
    try:
        _check(runner, node)
        present = _checksums(runner, node, [file.destination for file in files])
        stale = [f for f in files if present.get(f.destination) != (hashlib.sha256(f.content).hexdigest(), f.mode)]
        if not dry_run:
            _write(runner, node, stale, tell)
    except (Unreachable, OSError) as error:
        raise Refused(FAILED(str(error), where=f"node {node}", remedy=f"ssh root@{node} true")) from error
    return Done(node, tuple(file.destination for file in stale))


def _write(runner: Runner, node: str, stale: Sequence[PayloadFile], tell: Callable[[str], None]) -> None:
    # The hook goes last: until then libvirt refuses nothing, after it everything that it needs is there.
    ordered = sorted(stale, key=lambda f: f.destination.startswith(_HOOKS))
    for file in ordered:
        tell(f"{node}: {file.destination}")
    if ordered:
        runner.put(node, [NodeFile(file.destination, file.content, file.mode) for file in ordered])
        _must(
            runner.run(node, ["/usr/bin/python3", "-m", "compileall", "-q", _CODE], deadline=60.0), node, "compileall"
        )
    if any(file.destination.startswith(_HOOKS) for file in stale):
        _must(runner.run(node, ["sh", "-c", _RELOAD], deadline=60.0), node, _RELOAD)
    if any(file.destination.startswith(UNITS) for file in stale):
        _must(runner.run(node, ["sh", "-c", _ENABLE], deadline=60.0), node, _ENABLE)


def _checksums(runner: Runner, node: str, paths: Sequence[str]) -> dict[str, tuple[str, int]]:
    """The sha256 and mode of those files that are there."""
    script = 'for f; do [ -f "$f" ] && echo "$(sha256sum < "$f" | cut -c 1-64) $(stat -c %a "$f") $f"; done; true'
    done = _must(runner.run(node, ["sh", "-c", script, "sh", *paths]), node, "sha256sum")
    lines = (line.split(" ", 2) for line in done.out.decode(errors="replace").splitlines())
    return {path: (digest, int(mode, 8)) for digest, mode, path in lines}


def _check(runner: Runner, node: str) -> None:
    words = _must(runner.run(node, ["sh", "-c", _VERSIONS]), node, "asking for versions").out.decode().split("\n")
    pacemaker, libvirt = _version(words[0]), _version(words[1] if len(words) > 1 else "")
    found = []
    if pacemaker < (2, 1, 5):
        found.append(
            TOO_OLD(
                f"{node} has {words[0] or 'no Pacemaker'}",
                where=f"node {node}",
                remedy="install Pacemaker 2.1.5 or newer (Debian 12 has it)",
            )
        )
    if libvirt < (6, 5):
        found.append(
            TOO_OLD(
                f"{node} has {'libvirt ' + words[1] if libvirt else 'no libvirt'}",
                where=f"node {node}",
                remedy="install libvirt 6.5 or newer",
            )
        )
    if found:
        raise Refused(found)


def _version(text: str) -> tuple[int, ...]:
    """The first dotted number in a line, () when there is none."""
    for word in text.split():
        numbers = word.split("-")[0].split("+")[0].split(".")
        if all(n.isdecimal() for n in numbers):
            return tuple(int(n) for n in numbers)
    return ()


def _must(done: Completed, node: str, what: str) -> Completed:
    if not done.ok:
        said = done.err.decode(errors="replace").strip()
        raise Refused(FAILED(f"{what} failed on {node}: {said}", where=f"node {node}", exit_code=done.code))
    return done

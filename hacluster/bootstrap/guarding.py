"""The guard on a node: agents, libvirt's hook and their code, and guard.conf, which names the lock manager.

The hook is written last: until then libvirt refuses nothing, after it everything that it needs is there. That libvirt
reads a new hook is the libvirt step's business, which comes after this one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from hacluster.bootstrap.changes import Change, CommandChange, FileChange
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.steps import Looked, Site
from hacluster.host.payload import HOOK, LIBRARY, UNITS, PayloadFile

GUARD_CONF = "/etc/hacluster/guard.conf"

_SUMS = 'for f; do [ -f "$f" ] && echo "$(sha256sum < "$f" | cut -c 1-64) $(stat -c %a "$f") $f"; done; true'
_COMPILED = f'[ -z "$(find {LIBRARY} -name "*.py" -newer {LIBRARY}/.compiled 2>&1)" ]'
_COMPILE = f"/usr/bin/python3 -m compileall -q {LIBRARY} && touch {LIBRARY}/.compiled"

# Starting the drain unit does nothing; only what was started can be stopped, and its stopping drains the node.
_DRAIN = "hacluster-drain.service"


@dataclass(frozen=True, slots=True)
class Guarding:
    """The step. `files` are what every node gets (host.payload); guard.conf is added where there is none."""

    files: Sequence[PayloadFile]
    name: str = "guard"
    title: str = "agents, guard and libvirt's hook"
    together: bool = True

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        members = {node.name for node in site.cluster.members}
        answers = site.each(lambda host: _changes(host, self.files, site) if host.name in members else ())
        return Looked(tuple(change for changes in answers.values() for change in changes))


def _changes(host: Host, files: Sequence[PayloadFile], site: Site) -> tuple[Change, ...]:
    there = _checksums(host, [file.destination for file in files])
    stale = [f for f in files if there.get(f.destination) != (hashlib.sha256(f.content).hexdigest(), f.mode)]
    changes: list[Change] = []
    for file in sorted(stale, key=lambda file: file.destination == HOOK):
        before = b"" if file.destination in there else None
        said = f"a file of hactl's own, {len(file.content.splitlines())} lines"
        changes.append(FileChange(host.name, file.destination, before, file.content, file.mode, said))
    conf = host.read(GUARD_CONF)
    if conf is None and site.cluster.lock_manager == "dlm":
        changes.insert(0, FileChange(host.name, GUARD_CONF, None, b"dlm=libdlm\nlockspace=hacluster\n"))
    if stale or not host.run(["sh", "-c", _COMPILED]).ok:
        argv = ("sh", "-c", _COMPILE, "compileall", LIBRARY)
        changes.append(CommandChange(host.name, argv, "an agent has milliseconds to start", deadline=120.0))
    told = host.run(["systemctl", "show", "--property=ActiveState,UnitFileState", _DRAIN]).out.decode()
    if any(file.destination.startswith(UNITS) for file in stale):
        changes.append(CommandChange(host.name, ("systemctl", "daemon-reload"), "there are new units", deadline=60.0))
    if not {"ActiveState=active", "UnitFileState=enabled"} <= set(told.split()):
        enable = ("systemctl", "enable", "--now", _DRAIN)
        changes.append(CommandChange(host.name, enable, "a shutdown moves the VMs away first", deadline=60.0))
    return tuple(changes)


def _checksums(host: Host, paths: Sequence[str]) -> dict[str, tuple[str, int]]:
    """The sha256 and mode of those files that are there."""
    done = host.run(["sh", "-c", _SUMS, "sha256sum", *paths])
    if not done.ok:
        raise OSError(f"sha256sum: {done.err.decode(errors='replace').strip()}")
    lines = (line.split(" ", 2) for line in done.out.decode(errors="replace").splitlines())
    return {path: (digest, int(mode, 8)) for digest, mode, path in lines}

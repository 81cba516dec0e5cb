"""The nodes' names: each machine's own, and all of them in every /etc/hosts.

A cluster must find its members when the name server is down, so the addresses of the first link stand in the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hacluster import model
from hacluster.bootstrap.changes import Change, CommandChange, file_change
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.settings import with_block
from hacluster.bootstrap.steps import Looked, Site

HOSTS = "/etc/hosts"


@dataclass(frozen=True, slots=True)
class Naming:
    """The step."""

    name: str = "names"
    title: str = "names and addresses"
    together: bool = True

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        answers = site.each(lambda host: _changes(host, site.cluster.nodes))
        return Looked(tuple(change for changes in answers.values() for change in changes))


def _changes(host: Host, nodes: Sequence[model.Node]) -> tuple[Change, ...]:
    changes: tuple[Change, ...] = ()
    now = host.run(["hostname"]).out.decode(errors="replace").strip()
    if now.split(".")[0] != host.name:
        changes += file_change(host.name, "/etc/hostname", host.read("/etc/hostname"), f"{host.name}\n".encode(), 0o644)
        changes += (CommandChange(host.name, ("hostname", host.name), f"it is called {now or 'nothing'}"),)
    before = host.read(HOSTS)
    after = hosts_file((before or b"").decode(errors="replace"), nodes).encode()
    return (*changes, *file_change(host.name, HOSTS, before, after))


def hosts_file(text: str, nodes: Sequence[model.Node]) -> str:
    """A hosts file in which every node has the address of its first link, and none is at home on 127.0.1.1.

    Debian's installer gives a machine's own name that address. Others would be told it, and dial themselves.
    """
    names = {node.name for node in nodes}
    kept = []
    for line in text.splitlines(keepends=True):
        words = line.split("#")[0].split()
        loops = bool(words) and bool(re.match(r"127\.|::1$", words[0]))
        others = [word for word in words[1:] if word.split(".")[0] not in names]
        if not loops or len(others) == len(words) - 1:
            kept.append(line)
        elif others:
            kept.append(f"{words[0]}\t{' '.join(others)}\n")
    return with_block("".join(kept), [f"{node.addresses[0]}\t{node.name}" for node in nodes if _is_ip(node)])


def _is_ip(node: model.Node) -> bool:
    """Whether the first address is a number; a name has to be known to the resolver anyway."""
    return bool(re.fullmatch(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", node.addresses[0]))

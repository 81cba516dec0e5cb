"""Who may reach whose libvirt by ssh: each node has a key of its own, and the others know its public half.

The private half is made on its node and never leaves it. What it opens on the other nodes is one command, the one that
hands libvirt's connection through (virt-ssh-helper(8)); a shell it does not open. Whoever has a node's libvirt can
still do there what root can: the restriction keeps accidents away, not an attacker who is root.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from hacluster import model
from hacluster.bootstrap.changes import Change, CommandChange, file_change
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.settings import with_block
from hacluster.bootstrap.steps import Looked, Site

KEY = "/root/.ssh/id_ed25519"
AUTHORIZED = "/root/.ssh/authorized_keys"
KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"

_MAKE = f'umask 077; mkdir -p /root/.ssh; exec ssh-keygen -q -t ed25519 -N "" -C "root@$1" -f {KEY}'


@dataclass(frozen=True, slots=True)
class Keys:
    """The step that gives each node a key."""

    name: str = "keys"
    title: str = "each node's own ssh key"
    together: bool = True

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        if site.cluster.migration_transport != "ssh":
            return Looked()
        public = site.each(lambda host: host.read(f"{KEY}.pub"))
        return Looked(
            tuple(
                CommandChange(name, ("sh", "-c", _MAKE, "ssh-keygen", name), "a key that never leaves the node")
                for name, key in public.items()
                if key is None
            )
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    key: str | None
    host_key: str | None
    authorized: bytes | None
    known_hosts: bytes | None


@dataclass(frozen=True, slots=True)
class Trust:
    """The step that tells each node the others' public keys: those of their hosts, and those that may log in."""

    name: str = "trust"
    title: str = "the nodes' public keys on each other"
    together: bool = True

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        if site.cluster.migration_transport != "ssh":
            return Looked()
        told = site.each(_facts)
        nodes = {node.name: node for node in site.cluster.nodes if node.name in told}
        return Looked(tuple(change for name in nodes for change in _changes(name, nodes, told)))


def _facts(host: Host) -> _Facts:
    return _Facts(
        _first_line(host.read(f"{KEY}.pub")),
        _first_line(host.read(HOST_KEY)),
        host.read(AUTHORIZED),
        host.read(KNOWN_HOSTS),
    )


def _changes(here: str, nodes: Mapping[str, model.Node], told: Mapping[str, _Facts]) -> tuple[Change, ...]:
    facts = told[here]
    known = [_known(node, told[name].host_key) for name, node in nodes.items()]
    admins = with_block((facts.authorized or b"").decode(errors="replace"), ())
    allowed = [
        _allowed(node, told[name].key)
        for name, node in nodes.items()
        # A key that an admin has let in himself stays as he did it: sshd takes the first line that has a key.
        if name != here and (told[name].key or "- -").split()[1] not in admins.split()
    ]
    return (
        *file_change(here, KNOWN_HOSTS, facts.known_hosts, _edited(facts.known_hosts, known), 0o644),
        *file_change(here, AUTHORIZED, facts.authorized, _edited(facts.authorized, allowed), 0o600),
    )


def _known(node: model.Node, key: str | None) -> str:
    names = ",".join(dict.fromkeys(_called(node)))
    return f"{names} {key}" if key else f"# {node.name} has no ed25519 host key yet"


def _allowed(node: model.Node, key: str | None) -> str:
    if key is None:
        return f"# the public key of {node.name}, once it has one"
    sources = [address for address in dict.fromkeys(_called(node)) if _is_ip(address)]
    options = f'restrict,command="virt-ssh-helper qemu:///system",from="{",".join(sources)}"'
    return f"{options} {key}" if sources else f"{options.rpartition(',')[0]} {key}"


def _called(node: model.Node) -> tuple[str, ...]:
    """Every name and address of a node."""
    more = (name for name in (node.migration_host, node.ssh_host) if name is not None)
    return (node.name, *node.addresses, *more)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _first_line(content: bytes | None) -> str | None:
    """A public key without its comment, None where there is none."""
    words = (content or b"").decode(errors="replace").split()
    return " ".join(words[:2]) if len(words) > 1 else None


def _edited(content: bytes | None, lines: list[str]) -> bytes:
    return with_block((content or b"").decode(errors="surrogateescape"), lines).encode(errors="surrogateescape")

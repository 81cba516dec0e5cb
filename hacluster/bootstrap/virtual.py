"""libvirt on every node: its lock driver, the network that migrations go over, its hook, and nothing that starts VMs.

A daemon that was started before its files were written has not read them. That is seen by their times, so an
interruption between the two loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from hacluster import lock_driver, model
from hacluster.bootstrap import units
from hacluster.bootstrap.changes import Change, CommandChange, file_change
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.settings import assigned
from hacluster.bootstrap.steps import Looked, Site
from hacluster.host.payload import HOOK
from hacluster.problems import Problem, kind

TRANSPORT = kind(
    "HA629",
    "A migration transport that bootstrap does not set up",
    "Over ssh bootstrap gives each node a key that opens the others' libvirt and nothing else. Certificates for tls "
    "come from an admin's own authority; tcp has neither login nor encryption and is for a lab.",
)

CERTIFICATES = (
    "/etc/pki/CA/cacert.pem",
    "/etc/pki/libvirt/servercert.pem",
    "/etc/pki/libvirt/clientcert.pem",
    "/etc/pki/libvirt/private/serverkey.pem",
    "/etc/pki/libvirt/private/clientkey.pem",
)
"""What libvirt needs for tls, and where (libvirt's tlscerts page)."""

_DAEMON = "libvirtd.service"
_SOCKETS = ("libvirtd.socket", "virtlogd.socket")
_GUESTS = ("libvirt-guests.service",)


@dataclass(frozen=True, slots=True)
class Virtual:
    """The step."""

    name: str = "libvirt"
    title: str = "libvirt"
    together: bool = True

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        members = {node.name: node for node in site.cluster.nodes}
        answers = site.each(lambda host: _changes(host, members[host.name], site.cluster))
        return Looked(
            tuple(change for changes in answers.values() for change in changes), _transport(site, site.cluster)
        )


def _transport(site: Site, cluster: model.Cluster) -> tuple[Problem, ...]:
    if cluster.migration_transport == "ssh":
        return ()
    where, remedy = "cluster.migration_transport", 'migration_transport = "ssh"'
    if cluster.migration_transport == "tcp":
        return (TRANSPORT("tcp is for a lab: bootstrap does not open it", where=where, remedy=remedy),)
    lacking = {
        name: missing
        for name, missing in site.each(
            lambda host: [path for path in CERTIFICATES if not host.run(["test", "-e", path]).ok]
        ).items()
        if missing
    }
    return tuple(
        TRANSPORT(
            f"{name} has no certificates for tls",
            where=f"node {name}",
            remedy=f"put them there, from your own authority; or {remedy}",
            missing=", ".join(missing),
        )
        for name, missing in lacking.items()
    )


def _changes(host: Host, node: model.Node, cluster: model.Cluster) -> tuple[Change, ...]:
    changes: list[Change] = []
    wanted = lock_driver.settings(cluster.lock_driver, node.id)
    own = {lock_driver.QEMU_CONF: {"migration_host": _address(node)}}
    for path, settings in wanted.items():
        before = host.read(path)
        after = assigned((before or b"").decode(errors="surrogateescape"), {**settings, **own.get(path, {})})
        changes += file_change(host.name, path, before, after.encode(errors="surrogateescape"), 0o600)
    sockets = (*_SOCKETS, *(("virtlockd.socket",) if cluster.lock_driver.name == "lockd" else ()))
    told = units.look(host, (_DAEMON, *sockets, *_GUESTS))
    changes += units.on(host, told, sockets, "libvirt answers, also after a boot")
    why = "at shutdown it would stop VMs that the cluster runs, at boot start them"
    changes += units.not_at_boot(host, told, _GUESTS, why)
    if told[_DAEMON].active and (changes or _older(host, (*wanted, HOOK))):
        argv = ("systemctl", "restart", _DAEMON)
        changes.append(
            CommandChange(host.name, argv, "it reads these files at its start; guests run on", deadline=120.0)
        )
    return tuple(changes)


def _address(node: model.Node) -> str:
    """What the source of a migration is told to send the guest's memory to."""
    return node.migration_host or node.addresses[0]


_OLDER = """
since=$(date -d "$(systemctl show --property=ActiveEnterTimestamp --value "$1")" +%s) || exit 1
shift
for file; do [ ! -e "$file" ] || [ "$(stat -c %Y "$file")" -le "$since" ] || exit 0; done
exit 1
"""


def _older(host: Host, files: tuple[str, ...]) -> bool:
    """Whether the daemon was started before one of these files was written."""
    return host.run(["sh", "-c", _OLDER, "older", _DAEMON, *files]).ok

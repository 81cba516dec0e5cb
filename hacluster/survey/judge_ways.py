"""What stands against the ways between the hosts: logins, host keys, libvirt, ports, frames, Corosync's links. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hacluster import model
from hacluster.problems import Problem, kind
from hacluster.survey.facts import Frame, Host, Peer, Survey

NO_LOGIN = kind(
    "HA642",
    "A host cannot log in to another as root",
    "libvirt's migrations over ssh, and hactl from any node, log in from each host to each. One that cannot is a "
    "move that fails on the day when that node is the source.",
)
KEY_UNKNOWN = kind(
    "HA643",
    "A host does not know another's ssh host key, or knows another one",
    "A key that is trusted at its first use protects nobody. An unknown one makes a migration wait for an answer that "
    "nobody types; a changed one is a host that was installed anew, or somebody else at its address.",
)
NO_LIBVIRT = kind(
    "HA644",
    "A host does not reach another's libvirt",
    "The source of a live move talks to the target's libvirt, over the transport that the spec names.",
)
FILTERED = kind(
    "HA645",
    "A port between two hosts gives no answer",
    "A port on which nobody listens is refused at once; one that a firewall drops is silent. Corosync, pcsd, libvirt "
    "and the migration's own ports must be open between all hosts.",
)
NO_FRAME = kind(
    "HA657",
    "A full frame does not pass between two hosts",
    "Small packets pass and those as large as the interface's MTU do not: a switch or the other end has a smaller one. "
    "Corosync's joins and a migration then hang where pings look well.",
)
NO_WAY = kind(
    "HA667",
    "An address of a host is not reached",
    "Corosync's links are these addresses: each host must reach each of them.",
)

_PORTS = {2224: "pcsd", 16509: "libvirt (tcp)", 16514: "libvirt (tls)", 22: "ssh", 49152: "migrations"}
_OPEN = "firewall-cmd --permanent --add-service=high-availability --add-service=libvirt --add-port=49152-49215/tcp"


def judge(cluster: model.Cluster, survey: Survey) -> Iterator[Problem]:
    """Every finding, by the host that made it. Hosts that did not answer are found elsewhere."""
    for name, host in survey.items():
        if isinstance(host, Host):
            for other, peer in (host.peers or {}).items():
                if peer is not None:
                    yield from _login(cluster, name, other, peer)
                    yield from _libvirt(cluster, name, other, peer)
                    yield from _ports(host, other, peer)
                    yield from _frames(host, other, peer)
            yield from _corosync(cluster, host)


def _login(cluster: model.Cluster, name: str, other: str, peer: Peer) -> Iterator[Problem]:
    word, where = peer.ssh.word, f"{name} → {other}"
    node = next(node for node in cluster.nodes if node.name == other)
    dialled = node.migration_host or node.ssh_host or other
    if word in ("key unknown", "key changed"):
        yield KEY_UNKNOWN(
            f"{name} {'does not know' if word == 'key unknown' else 'knows another'} host key of {dialled}",
            where=where,
            remedy=f"on {other}: cat /etc/ssh/ssh_host_ed25519_key.pub; on {name}: put it into "
            f"/etc/ssh/ssh_known_hosts after the names {other},{dialled}",
            ssh=peer.ssh.said,
        )
    elif word != "ok":
        yield NO_LOGIN(
            f"{name} cannot log in to {dialled} as root: {word}",
            where=where,
            remedy=f"on {name}: ssh-copy-id root@{dialled}" if word == "login refused" else f"on {name}: ssh {dialled}",
            ssh=peer.ssh.said,
        )


def _libvirt(cluster: model.Cluster, name: str, other: str, peer: Peer) -> Iterator[Problem]:
    if cluster.migration_transport == "ssh" and peer.ssh.word != "ok":
        return  # said already
    if not peer.libvirt.ok:
        yield NO_LIBVIRT(
            f"{name} does not reach {other}'s libvirt by {cluster.migration_transport}",
            where=f"{name} → {other}",
            remedy=f"on {other}: systemctl status libvirtd virtqemud"
            + ("" if cluster.migration_transport == "ssh" else f" libvirtd-{cluster.migration_transport}.socket"),
            virsh=peer.libvirt.said,
        )


def _ports(host: Host, other: str, peer: Peer) -> Iterator[Problem]:
    silent = [int(port) for port, word in peer.ports.items() if word == "silent"]
    nameless = [port for port, word in peer.ports.items() if word == "no address"]
    if nameless:
        yield FILTERED(
            f"{host.name} knows no address for {other}",
            where=f"{host.name} → {other}",
            remedy=f"put {other} into /etc/hosts on {host.name}",
        )
    if silent:
        named = ", ".join(f"{port} ({_PORTS.get(port, 'tcp')})" for port in sorted(silent))
        yield FILTERED(
            f"{host.name} gets no answer from {other} on {named}",
            where=f"{host.name} → {other}",
            remedy=f"on {other}: {_OPEN} (with firewalld), or the like",
        )


def _frames(host: Host, other: str, peer: Peer) -> Iterator[Problem]:
    for address, frame in peer.frames.items():
        if _lost(frame):
            yield NO_WAY(
                f"{host.name} does not reach {address} of {other}",
                where=f"{host.name} → {other}",
                remedy=f"on {host.name}: ip route get {address}; ping {address}",
            )
        elif frame.small and frame.full is False:
            yield NO_FRAME(
                f"a frame of {frame.mtu} bytes from {host.name} does not reach {address} of {other}",
                where=f"{host.name} → {other}",
                remedy=f"ping -M do -s {(frame.mtu or 28) - 28} {address}; set one MTU on both hosts and the switch",
            )


def _lost(frame: Frame) -> bool:
    """No packet came back, or there is not even a route."""
    return frame.small is False or (frame.small is None and frame.mtu is None)


def _corosync(cluster: model.Cluster, host: Host) -> Iterator[Problem]:
    names = {str(node.id): node.name for node in cluster.members}
    for ident, links in (host.corosync_links or {}).items():
        other = names.get(ident)
        down = [number for number, connected in enumerate(links) if not connected]
        if other is not None and other != host.name and down:
            yield NO_WAY(
                f"Corosync's link {', '.join(map(str, down))} from {host.name} to {other} is down",
                where=f"{host.name} → {other}",
                remedy=f"on both: UDP ports {', '.join(str(5405 + number) for number in down)} in the firewall; "
                "corosync-cfgtool -n",
            )

"""Commands and files on nodes: as a child process when the node is this machine, over ssh otherwise.

One connection per node is opened at its first use and kept. Host keys are checked, against the key that the spec pins
for the node or else this machine's known_hosts files, and never learnt here: a key that is trusted on first use
protects nobody. Nothing is ever retried, for the
runner does not know what a command does; only a kept connection that turns out to be dead before anything was sent on
it is opened anew. What is logged of a command is its argument vector, so a secret must travel on stdin.
"""

from __future__ import annotations

import shlex
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import paramiko
import structlog

from hacluster.edge import host_keys, local, placing
from hacluster.ports import Completed, NodeFile, Unreachable
from hacluster.problems import Refused, kind

log = structlog.get_logger(__name__)

UNKNOWN_HOST = kind(
    "HA601",
    "ssh does not know a node's host key",
    "hactl runs commands as root on every node, so it only talks to hosts whose key an admin has confirmed.",
)
CHANGED_HOST = kind(
    "HA602",
    "A node shows another ssh host key than the one on record",
    "Either the node was reinstalled, or something else answers at its address.",
)
NO_LOGIN = kind(
    "HA603",
    "A node refuses root's ssh key",
    "hactl logs in as root with root's own keys or an ssh agent, never with a password.",
)

KNOWN_HOSTS = (Path("/etc/ssh/ssh_known_hosts"), Path("~/.ssh/known_hosts"))
_CONNECT_LIMIT = 4.0
"""Seconds for TCP, key exchange and login together. A dead node costs this much, not a whole command's deadline."""


class NodeRunner:
    """The Runner port. Safe to use from several threads.

    `hosts` maps node names to what ssh dials where that is not the node's name. `here` is the name under which this
    machine is a node; None means its hostname. `pins` are host keys by node name, as the spec has them: for these
    nodes known_hosts is not asked. `patience` is the seconds that a connection may take in all, where that is not the
    usual few.
    """

    def __init__(
        self,
        hosts: Mapping[str, str] | None = None,
        *,
        here: str | None = None,
        port: int = 22,
        pins: Mapping[str, str] | None = None,
        patience: float | None = None,
    ) -> None:
        self._hosts = dict(hosts or {})
        self._pins = dict(pins or {})
        self._patience = patience
        self._port = port
        name = here or socket.gethostname()
        self._here = {name, name.split(".")[0]}
        self._guard = threading.Lock()
        self._clients: dict[str, paramiko.SSHClient] = {}
        self._connecting: dict[str, threading.Lock] = {}

    def is_local(self, node: str) -> bool:
        """Whether commands for this node run on this machine."""
        return node in self._here

    def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        """As Runner.run. Raises Refused as well, when the node's host key or our login is not accepted."""
        begun = time.monotonic()
        try:
            if self.is_local(node):
                done = local.run(argv, stdin=stdin, deadline=deadline)
            else:
                done = self._run_remote(node, argv, stdin, begun + deadline)
        except Unreachable as error:
            log.warning("no answer", node=node, command=_shown(argv), seconds=_since(begun), reason=str(error))
            raise
        log.info("ran", node=node, command=_shown(argv), seconds=_since(begun), code=done.code, stdin_bytes=len(stdin))
        return done

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        """As Runner.put."""
        done = self.run(node, placing.COMMAND, stdin=placing.packed(files), deadline=60.0)
        if not done.ok:
            raise OSError(f"files could not be written on {node}: {done.err.decode(errors='replace').strip()}")

    def close(self) -> None:
        """Close every connection."""
        with self._guard:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()

    def _run_remote(self, node: str, argv: Sequence[str], stdin: bytes, until: float) -> Completed:
        # Closing a channel does not end the command behind it, so the node gets the deadline too, a second later.
        limit = f"{max(1.0, until - time.monotonic()) + 1:.1f}"
        command = shlex.join(["env", "LC_ALL=C.UTF-8", "timeout", "--kill-after=2", limit, *argv])
        channel = self._channel(node, until)
        try:
            channel.settimeout(_left(until))
            channel.exec_command(command)
            return _exchange(channel, stdin, until)
        except TimeoutError:
            raise Unreachable(f"{node}: {argv[0]} did not end in time") from None
        except OverflowError:
            raise Unreachable(f"{node}: {argv[0]} wrote more than {local.OUTPUT_LIMIT >> 20} MiB") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            self._forget(node)
            raise Unreachable(f"{node}: the connection broke ({_text(error)})") from error
        finally:
            channel.close()

    def _channel(self, node: str, until: float) -> paramiko.Channel:
        """A channel on the node's connection. Raises Unreachable, Refused."""
        for kept in (True, False):
            transport = self._transport(node, until)
            try:
                return transport.open_session(timeout=min(self._patience or _CONNECT_LIMIT, _left(until)))
            except (paramiko.SSHException, EOFError, OSError) as error:
                self._forget(node)
                # Nothing was sent yet. An immediate error is a connection that had died before; a timeout is a node
                # that does not answer, and asking it again would only cost the time twice.
                if not kept or "imeout" in str(error) or isinstance(error, TimeoutError):
                    raise Unreachable(f"{node} does not answer on its ssh connection ({_text(error)})") from error
        raise AssertionError("unreachable: the loop returns or raises")

    def _transport(self, node: str, until: float) -> paramiko.Transport:
        with self._guard:
            lock = self._connecting.setdefault(node, threading.Lock())
        if not lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise Unreachable(f"{node} does not answer")
        try:
            client = self._clients.get(node)
            transport = client.get_transport() if client else None
            if transport is None or not transport.is_active():
                client = self._connect(node, until)
                transport = client.get_transport()
                if transport is None:
                    raise Unreachable(f"{node} closed the connection at once")
                transport.set_keepalive(5)
                with self._guard:
                    self._clients[node] = client
            return transport
        finally:
            lock.release()

    def _connect(self, node: str, until: float) -> paramiko.SSHClient:
        host = self._hosts.get(node, node)
        limit = max(0.1, min(self._patience or _CONNECT_LIMIT, until - time.monotonic()))
        client = paramiko.SSHClient()
        pin = self._pins.get(node)
        if pin is None:
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
            for path in KNOWN_HOSTS:
                with suppress(OSError):
                    client.load_system_host_keys(str(path.expanduser()))
        else:
            client.set_missing_host_key_policy(host_keys.Pinned(pin))
        try:
            client.connect(
                host,
                port=self._port,
                username="root",
                timeout=limit,
                banner_timeout=limit,
                auth_timeout=limit,
            )
        except host_keys.NotPinned as error:
            client.close()
            raise Refused(
                CHANGED_HOST(
                    f"{host} shows another host key than the one that the spec pins for it.",
                    where=node,
                    remedy=f"compare both with the node's own (ssh-keygen -lf {host_keys.OWN}), on its console; if the "
                    f"node was reinstalled: nodes.{node}.host_key",
                    expected=host_keys.fingerprint(pin or ""),
                    shown=str(error),
                )
            ) from error
        except paramiko.BadHostKeyException as error:
            client.close()
            raise Refused(
                CHANGED_HOST(
                    f"{host} shows another host key than the one in known_hosts.",
                    where=node,
                    remedy=f"if the node was reinstalled: ssh-keygen -R {host}, then connect once with ssh root@{host}",
                    expected=error.expected_key.get_name(),
                    shown=error.key.get_name(),
                )
            ) from error
        except paramiko.AuthenticationException as error:
            client.close()
            raise Refused(
                NO_LOGIN(
                    f"root@{host} does not accept any of this account's ssh keys.",
                    where=node,
                    remedy=f"ssh-copy-id root@{host}",
                    reason=_text(error),
                )
            ) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            client.close()
            if "not found in known_hosts" in str(error):
                raise Refused(
                    UNKNOWN_HOST(
                        f"The host key of {host} is not in {' or '.join(map(str, KNOWN_HOSTS))}.",
                        where=node,
                        remedy=f"connect once with ssh root@{host} and compare the key it shows with the node's own "
                        "(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)",
                    )
                ) from error
            raise Unreachable(f"{node} cannot be reached by ssh ({_text(error)})") from error
        return client

    def _forget(self, node: str) -> None:
        with self._guard:
            client = self._clients.pop(node, None)
        if client is not None:
            client.close()


def _exchange(channel: paramiko.Channel, stdin: bytes, until: float) -> Completed:
    """Feed stdin and read both streams to their end. Raises TimeoutError, OverflowError, SSHException, OSError."""
    # The command may fill its output window while we still write, so writing has its own thread.
    threading.Thread(target=_feed, args=(channel, stdin), daemon=True).start()
    err = bytearray()
    reader = threading.Thread(target=_drain, args=(channel.recv_stderr, err), daemon=True)
    reader.start()
    out = bytearray()
    while True:
        channel.settimeout(_left(until))
        data = channel.recv(1 << 16)
        if not data:
            break
        out += data
        if len(out) + len(err) > local.OUTPUT_LIMIT:
            raise OverflowError
    reader.join(_left(until))
    if reader.is_alive() or not channel.status_event.wait(_left(until)):
        raise TimeoutError
    code = channel.recv_exit_status()
    if code < 0:
        raise paramiko.SSHException("closed before the command ended")
    return Completed(code, bytes(out), bytes(err))


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    # An error here means the command ended or the connection broke; the reading side sees which.
    with suppress(OSError, EOFError, paramiko.SSHException):
        if stdin:
            channel.sendall(stdin)
        channel.shutdown_write()


def _drain(receive: object, into: bytearray) -> None:
    # Any error ends the stream: the main reader judges the connection.
    with suppress(OSError, EOFError, paramiko.SSHException):
        while data := receive(1 << 16):  # type: ignore[operator]  # paramiko has no types
            into += data
            if len(into) > local.OUTPUT_LIMIT:
                return


def _shown(argv: Sequence[str]) -> str:
    """A command for the log: a script goes by the name it was given, as `sh -c SCRIPT NAME ARGUMENT…` has it."""
    script = list(argv[:2]) == ["sh", "-c"] and len(argv) > 3
    return shlex.join(argv[3:] if script else argv)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 3)


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # without the number before it
    return str(error) or type(error).__name__

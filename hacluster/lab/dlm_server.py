"""The DLM stand-in as a server in the lab's switch: the lock table behind TCP, one JSON object a line.

A kernel without DLM is why it exists; the guard's port to it is the same as to the real one. Which node speaks is
known by its address, never by its word. The power switch and the BMCs tell it over a Unix socket what became of a
node. It uses the standard library only, and starts without site-packages.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from itertools import count
from pathlib import Path

from hacluster.lab.dlm_fencer import Fencer
from hacluster.lab.dlm_table import Replies, Table

KEEPALIVE = ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 5))
LONGEST_LINE = 1 << 16


class Server:
    """The table, and who is connected to it."""

    def __init__(self, nodes: dict[str, str], run: Path) -> None:
        self.table = Table()
        self.nodes = nodes
        self.fencer = Fencer(run, list(nodes.values()), self.unfenced)
        self.connections: dict[int, Connection] = {}
        self.numbers = count(1)

    def unfenced(self) -> set[str]:
        """The members of any lockspace that are dead and not known to be fenced."""
        return {node for space in self.table.lockspaces.values() for node in space.dead}

    def deliver(self, replies: Replies) -> None:
        """Send replies to those that are still there; each then gets its next request in."""
        for number, reply in replies:
            connection = self.connections.get(number)
            if connection is not None:
                connection.answer(reply)

    def event(self, request: dict[str, object]) -> dict[str, object]:
        """An event of the lab: `off` and `fenced` with a node, or `dump`."""
        operation, node = request.get("op"), str(request.get("node", ""))
        if operation == "off":
            self.deliver(self.table.off(node))
            for connection in [c for c in self.connections.values() if c.node == node]:
                connection.drop()
            if node in self.unfenced():
                self.fencer.died(node)
        elif operation == "fenced":
            self.deliver(self.table.fenced(node))
        elif operation == "dump":
            return {"rc": 0, "lockspaces": self.table.dump()}
        else:
            return {"rc": 22}
        return {"rc": 0}


class Connection(asyncio.Protocol):
    """A process of a node. Its requests are taken one after the other; its end is seen while one waits."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.number = next(server.numbers)
        self.node = ""
        self.buffer = b""
        self.busy = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn which node this is; a stranger is turned away."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.node = self.server.nodes.get(transport.get_extra_info("peername")[0], "")
        if not self.node:
            transport.abort()
            return
        line = transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, seconds in KEEPALIVE:
            line.setsockopt(socket.IPPROTO_TCP, option, seconds)
        self.server.connections[self.number] = self

    def data_received(self, data: bytes) -> None:
        """Requests, whole or in part."""
        self.buffer += data
        if len(self.buffer) > LONGEST_LINE:
            self.drop()
        self.next()

    def next(self) -> None:
        """Take the next request, unless one is still waiting for its reply."""
        if self.busy or b"\n" not in self.buffer:
            return
        line, self.buffer = self.buffer.split(b"\n", 1)
        self.busy = True
        request: dict[str, object] = {}
        try:
            request = dict(json.loads(line))
        except (ValueError, TypeError):
            request = {"op": "unreadable"}
        self.server.deliver(self.server.table.submit(self.number, self.node, request))

    def answer(self, reply: dict[str, object]) -> None:
        """Send the reply to the request that was waiting."""
        if self.transport is not None:
            self.transport.write(json.dumps(reply).encode() + b"\n")
        self.busy = False
        self.next()

    def drop(self) -> None:
        """Forget this process without a word to it."""
        if self.transport is not None:
            self.transport.abort()

    def eof_received(self) -> None:
        """The process is gone: at once, before another's request that came later is answered."""
        self.gone()

    def connection_lost(self, exc: Exception | None) -> None:
        """The process is gone, or its node is."""
        del exc
        self.gone()

    def gone(self) -> None:
        """Take this connection's locks and requests from it, once."""
        if self.server.connections.pop(self.number, None) is not None:
            self.server.deliver(self.server.table.close(self.number))


async def serve(path: str, addresses: list[tuple[str, int]], nodes: dict[str, str]) -> None:
    """Serve nodes at `addresses` and the lab at the Unix socket `path`, for ever. `nodes` maps address to name."""
    server = Server(nodes, Path(path).parent)
    loop = asyncio.get_running_loop()

    async def lab(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        try:
            reply = server.event(dict(json.loads(line)))
        except (ValueError, TypeError):
            reply = {"rc": 22}
        writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
        writer.close()

    listeners = [await loop.create_server(lambda: Connection(server), host, port) for host, port in addresses]
    await asyncio.start_unix_server(lab, path)
    await asyncio.gather(*(listener.serve_forever() for listener in listeners))


def main(argv: list[str]) -> None:
    """`SOCKET ADDRESS:PORT,… ADDRESS=NODE,…`."""
    path, listen, known = argv
    addresses = [(host, int(port)) for host, port in (pair.rsplit(":", 1) for pair in listen.split(","))]
    nodes = dict(pair.split("=", 1) for pair in known.split(","))
    asyncio.run(serve(path, addresses, nodes))


if __name__ == "__main__":
    main(sys.argv[1:])

"""The guard's way to the lab's DLM stand-in: the same methods as to libdlm, over one TCP connection.

It is laid into each lab node as /usr/lib/hacluster/lab_dlm.py and imported there by `python3 -IS` in the few
milliseconds an agent may spend, so it imports little and nothing of the project. It decides nothing: modes, flags and
return codes are the DLM's. Deadlines are absolute, in seconds of time.monotonic(). No reply by then raises
TimeoutError and closes the connection, because what became of the request is unknown; the connection's persistent
locks then are orphans of this node, to be adopted again, exactly as after a process that died.
"""

import errno
import json
import os
import socket
import time

CONFIGURATION = "/etc/hacluster/lab_dlm.conf"
MODES = ("NL", "CR", "CW", "PR", "PW", "EX")
FLAGS = ((1, "NOQUEUE"), (4, "CONVERT"), (8, "VALBLK"), (0x80, "PERSISTENT"), (0x4000, "ORPHAN"))
ONE_LINK = 1.0


class Grant:
    """A granted lock: its id, the 32 bytes of the value block, and whether these are known to be right."""

    __slots__ = ("lkid", "value", "value_valid")

    def __init__(self, lkid: int, value: bytes, value_valid: bool) -> None:
        self.lkid = lkid
        self.value = value
        self.value_valid = value_valid


class StandIn:
    """One process's connection to one lockspace. Not for several threads."""

    def __init__(self, lockspace: str) -> None:
        self.lockspace = lockspace
        self._line: socket.socket | None = None
        self._rest = b""

    def connect(self, deadline: float) -> None:
        """Reach the server over the first link that answers. Raises TimeoutError at the deadline, else OSError."""
        with open(CONFIGURATION, encoding="ascii") as file:
            addresses = [(host, int(port)) for host, port in (line.split() for line in file if line.strip())]
        while True:
            for address in addresses:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(errno.ETIMEDOUT, "no link reaches the lock server")
                try:
                    line = socket.create_connection(address, timeout=min(left, ONE_LINK))
                except OSError:
                    continue
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._line, self._rest = line, b""
                return
            time.sleep(max(0.0, min(0.05, deadline - time.monotonic())))

    def close(self) -> None:
        """End the connection: ordinary locks go, persistent ones become this node's orphans."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def lock(self, resource: str, mode: int, *, flags: int, value: "bytes | None" = None, deadline: float) -> Grant:
        """A new lock, or with ORPHAN the adoption of this node's orphan of exactly that mode.

        Raises OSError: EAGAIN (not now, with NOQUEUE; an orphan of another mode), ENOENT (no orphan here),
        ENOTCONN (this node has not joined, or there is no connection). TimeoutError: unknown.
        """
        return self._granted(
            {"op": "lock", "resource": resource, "mode": MODES[mode], "flags": _names(flags), "value": _hex(value)},
            deadline,
        )

    def convert(self, lkid: int, mode: int, *, flags: int, value: "bytes | None" = None, deadline: float) -> Grant:
        """Change the mode of a lock of this connection; going down from PW or EX with VALBLK writes `value`.

        Raises OSError as `lock` does; ENOENT: no such lock, EINVAL: not this connection's.
        """
        return self._granted(
            {"op": "convert", "lkid": lkid, "mode": MODES[mode], "flags": _names(flags), "value": _hex(value)}, deadline
        )

    def unlock(self, lkid: int, *, deadline: float) -> None:
        """Give a lock of this connection back."""
        self._ask({"op": "unlock", "lkid": lkid}, deadline)

    def join(self, deadline: float) -> None:
        """Make this node a member of the lockspace. Waits while a member is dead and not fenced. Idempotent."""
        self._ask({"op": "join"}, deadline)

    def leave(self, deadline: float) -> None:
        """Take this node out of the lockspace; all its locks there go. Idempotent."""
        self._ask({"op": "leave"}, deadline)

    def members(self, deadline: float) -> "list[str]":
        """The nodes in the lockspace."""
        return list(self._ask({"op": "list"}, deadline)["members"])

    def list(self, deadline: float) -> "list[dict[str, object]]":
        """All locks of the lockspace: resource, lkid, node, mode, wanted, orphan, value, valnotvalid."""
        return list(self._ask({"op": "list"}, deadline)["locks"])

    def _granted(self, request: "dict[str, object]", deadline: float) -> Grant:
        reply = self._ask(request, deadline)
        return Grant(int(reply["lkid"]), bytes.fromhex(reply["value"]), not reply["valnotvalid"])

    def _ask(self, request: "dict[str, object]", deadline: float):  # type: ignore[no-untyped-def]  # JSON: any shape
        if self._line is None:
            raise OSError(errno.ENOTCONN, "not connected to the lock server")
        request["lockspace"] = self.lockspace
        try:
            self._line.settimeout(max(0.001, deadline - time.monotonic()))
            self._line.sendall(json.dumps(request).encode() + b"\n")
            while b"\n" not in self._rest:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(errno.ETIMEDOUT, "the lock server has not answered in time")
                self._line.settimeout(left)
                more = self._line.recv(65536)
                if not more:
                    raise OSError(errno.ENOTCONN, "the lock server closed the connection")
                self._rest += more
        except OSError:
            self.close()
            raise
        answer, self._rest = self._rest.split(b"\n", 1)
        reply = json.loads(answer)
        if reply["rc"]:
            raise OSError(reply["rc"], os.strerror(reply["rc"]))
        return reply


def _names(flags: int) -> "list[str]":
    return [name for bit, name in FLAGS if flags & bit]


def _hex(value: "bytes | None") -> "str | None":
    return None if value is None else value.hex()

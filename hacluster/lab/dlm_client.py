"""The guard's way to the lab's DLM stand-in: the same methods as to libdlm, over one TCP connection.

It is laid into each lab node as /usr/lib/hacluster/lab_dlm.py and imported there by `python3 -IS` in the few
milliseconds an agent may spend, so it imports little and nothing of the project. It decides nothing: modes, flags and
return codes are the DLM's. Deadlines are absolute, in seconds of time.monotonic(). No reply by then raises
TimeoutError and closes the connection, because what became of the request is unknown; the connection's persistent
locks then are orphans of this node, to be adopted again, exactly as after a process that died.
"""

from __future__ import annotations

# The private halves of json and socket: their public ones take 35 ms to import, these less than one.
import _json
import _socket
import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
        self._line: _socket.socket | None = None
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
                line = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
                line.settimeout(min(left, ONE_LINK))
                try:
                    line.connect(address)
                except OSError:
                    line.close()
                    continue
                line.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
                self._line, self._rest = line, b""
                return
            time.sleep(max(0.0, min(0.05, deadline - time.monotonic())))

    def close(self) -> None:
        """End the connection: ordinary locks go, persistent ones become this node's orphans."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def lock(self, resource: str, mode: int, *, flags: int, value: bytes | None = None, deadline: float) -> Grant:
        """A new lock, or with ORPHAN the adoption of this node's orphan of exactly that mode.

        Raises OSError: EAGAIN (not now, with NOQUEUE; an orphan of another mode), ENOENT (no orphan here),
        ENOTCONN (this node has not joined, or there is no connection). TimeoutError: unknown.
        """
        return self._granted(
            {"op": "lock", "resource": resource, "mode": MODES[mode], "flags": _names(flags), "value": _hex(value)},
            deadline,
        )

    def convert(self, lkid: int, mode: int, *, flags: int, value: bytes | None = None, deadline: float) -> Grant:
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

    def members(self, deadline: float) -> tuple[str, ...]:
        """The nodes in the lockspace."""
        return tuple(self._ask({"op": "list"}, deadline)["members"])

    def list(self, deadline: float) -> tuple[dict[str, object], ...]:
        """All locks of the lockspace: resource, lkid, node, mode, wanted, orphan, value, valnotvalid."""
        return tuple(self._ask({"op": "list"}, deadline)["locks"])

    def _granted(self, request: dict[str, object], deadline: float) -> Grant:
        reply = self._ask(request, deadline)
        return Grant(int(reply["lkid"]), bytes.fromhex(reply["value"]), not reply["valnotvalid"])

    def _ask(self, request: dict[str, object], deadline: float) -> dict[str, Any]:
        if self._line is None:
            raise OSError(errno.ENOTCONN, "not connected to the lock server")
        request["lockspace"] = self.lockspace
        try:
            answer = self._exchange(self._line, _json_text(request).encode() + b"\n", deadline)
        except OSError:
            self.close()
            raise
        reply: dict[str, Any] = _parse(answer.decode(), 0)[0]
        if reply["rc"]:
            raise OSError(reply["rc"], os.strerror(reply["rc"]))
        return reply

    def _exchange(self, line: _socket.socket, question: bytes, deadline: float) -> bytes:
        line.settimeout(max(0.001, deadline - time.monotonic()))
        line.sendall(question)
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(errno.ETIMEDOUT, "the lock server has not answered in time")
            line.settimeout(left)
            more = line.recv(65536)
            if not more:
                raise OSError(errno.ENOTCONN, "the lock server closed the connection")
            self._rest += more
        answer, self._rest = self._rest.split(b"\n", 1)
        return answer


class _Plain:
    """How `_json` shall read: plain values, nothing replaced."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = None
    memo: dict[str, str] = {}  # noqa: RUF012 - _json asks for it under this name


_plain: Any = _Plain
_parse = _json.make_scanner(_plain)


def _json_text(value: object) -> str:
    """A request as JSON; it has no other values than these."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json_text(name)}:{_json_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_json_text(item) for item in value) + "]"
    return _json.encode_basestring_ascii(value) if isinstance(value, str) else str(value)


def _names(flags: int) -> list[str]:
    return [name for bit, name in FLAGS if flags & bit]


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()

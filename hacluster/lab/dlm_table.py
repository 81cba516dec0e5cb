"""The lock table of the DLM stand-in: what the kernel's DLM would answer, as a pure state machine.

Requests and events go in, replies come out; there is no clock, no socket and no thread here, so that every rule can
be tested by itself. The rules are dlm's (include/uapi/linux/dlmconstants.h, fs/dlm/lock.c; LAB.md's measurements):
the compatibility matrix, conversions before new requests, persistent locks that become their node's orphans, value
blocks, and nothing at all is answered between a member's loss of power and its fencing.

A connection stands for a process. Callers give each a number, and send at most one request at a time on it.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

NL, CR, CW, PR, PW, EX = range(6)
MODES = ("NL", "CR", "CW", "PR", "PW", "EX")
COMPATIBLE = (
    # NL CR CW PR PW EX
    (1, 1, 1, 1, 1, 1),
    (1, 1, 1, 1, 1, 0),
    (1, 1, 1, 0, 0, 0),
    (1, 1, 0, 1, 0, 0),
    (1, 1, 0, 0, 0, 0),
    (1, 0, 0, 0, 0, 0),
)
WRITTEN = {(PW, NL), (PW, CR), (PW, CW), (PW, PR), (PW, PW), (EX, NL), (EX, CR), (EX, CW), (EX, PR), (EX, PW), (EX, EX)}
"""Conversions (granted, wanted) that write the caller's value block; all others return it."""

EMPTY = bytes(32)
Reply = dict[str, object]
Replies = list[tuple[int, Reply]]


@dataclass(slots=True, eq=False)
class Lock:
    """One lock. `owner` is the connection that may use it, None for an orphan; `wanted` is a mode it waits for."""

    lkid: int
    node: str
    resource: str
    mode: int
    owner: int | None
    persistent: bool
    wanted: int | None = None
    wants_value: bool = False
    value: bytes | None = None


@dataclass(slots=True)
class Resource:
    """What is locked. Queues are in order of arrival; `value` lives as long as any lock on the resource does."""

    granted: list[Lock] = field(default_factory=list)
    converting: list[Lock] = field(default_factory=list)
    waiting: list[Lock] = field(default_factory=list)
    value: bytes = EMPTY
    value_lost: bool = False


@dataclass(slots=True)
class Lockspace:
    """A lockspace: its members, those of them that lost their power and are not fenced, and its locks."""

    members: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    resources: dict[str, Resource] = field(default_factory=dict)
    deferred: list[tuple[int, str, dict[str, object]]] = field(default_factory=list)


class Table:
    """All lockspaces. Every method returns the replies that have become due, as (connection, reply)."""

    def __init__(self) -> None:
        self.lockspaces: dict[str, Lockspace] = {}
        self._locks: dict[int, tuple[Lockspace, Lock]] = {}
        self._due: Replies = []
        self._last = 0

    def submit(self, connection: int, node: str, request: dict[str, object]) -> Replies:
        """A request of a process of `node`. No reply among those returned means that it waits."""
        try:
            self._submit(connection, node, request)
        except (KeyError, ValueError, TypeError):
            self._due.append((connection, _refused(errno.EINVAL)))
        return self._take()

    def close(self, connection: int) -> Replies:
        """The process is gone: its requests are cancelled, persistent locks become orphans, the others go."""
        for space in self.lockspaces.values():
            space.deferred = [entry for entry in space.deferred if entry[0] != connection]
        for lkid, (space, lock) in list(self._locks.items()):
            if lock.owner != connection:
                continue
            resource = space.resources[lock.resource]
            if lock in resource.waiting:
                resource.waiting.remove(lock)
                self._forget(space, lkid)
            else:
                if lock in resource.converting:
                    resource.converting.remove(lock)
                    lock.wanted = None
                lock.owner = None
                # A dead node's locks stay as they are until it is fenced: nobody has told its partners anything.
                if not lock.persistent and lock.node not in space.dead:
                    resource.granted.remove(lock)
                    self._forget(space, lkid)
            self._grant(space, lock.resource)
        return self._take()

    def off(self, node: str) -> Replies:
        """`node` has lost its power. Lockspaces it had joined stand still from now on, until it is fenced."""
        for space in self.lockspaces.values():
            if node in space.members:
                space.dead.add(node)
                space.deferred = [entry for entry in space.deferred if entry[1] != node]
        return self._take()

    def fenced(self, node: str) -> Replies:
        """`node` is known to be dead: its locks go, and what stood still goes on unless another death is unproven."""
        for space in self.lockspaces.values():
            self._purge(space, node, lost=True)
            space.members.discard(node)
            space.dead.discard(node)
            self._go_on(space)
        return self._take()

    def dump(self) -> dict[str, object]:
        """Everything, for people and tests."""
        return {
            name: {
                "members": sorted(space.members),
                "unfenced": sorted(space.dead),
                "blocked": len(space.deferred),
                "waiting": [lock.node for resource in space.resources.values() for lock in resource.waiting],
                "locks": _listing(space),
            }
            for name, space in self.lockspaces.items()
        }

    def _take(self) -> Replies:
        due, self._due = self._due, []
        return due

    def _submit(self, connection: int, node: str, request: dict[str, object]) -> None:
        operation = request["op"]
        space = self._space(request)
        if operation == "ping":
            self._due.append((connection, {"rc": 0}))
        elif operation == "list":
            self._due.append((connection, {"rc": 0, "members": sorted(space.members), "locks": _listing(space)}))
        elif operation == "leave":
            self._purge(space, node, lost=False)
            space.members.discard(node)
            self._due.append((connection, {"rc": 0}))
            self._go_on(space)
        elif space.dead:
            space.deferred.append((connection, node, request))
        elif operation == "join":
            space.members.add(node)
            self._due.append((connection, {"rc": 0}))
        elif node not in space.members:
            self._due.append((connection, _refused(errno.ENOTCONN)))
        elif operation == "lock":
            self._lock(space, connection, node, request)
        elif operation == "convert":
            self._convert(space, connection, request)
        elif operation == "unlock":
            self._unlock(space, connection, request)
        else:
            raise ValueError(operation)

    def _space(self, request: dict[str, object]) -> Lockspace:
        if request["op"] in ("convert", "unlock") and (known := self._locks.get(_number(request))) is not None:
            return known[0]
        return self.lockspaces.setdefault(str(request.get("lockspace", "hacluster")), Lockspace())

    def _lock(self, space: Lockspace, connection: int, node: str, request: dict[str, object]) -> None:
        name, mode, flags = str(request["resource"]), MODES.index(str(request["mode"])), _flags(request)
        if "ORPHAN" in flags:
            self._adopt(space, connection, node, request)
            return
        resource = space.resources.setdefault(name, Resource())
        self._last += 1
        lock = Lock(self._last, node, name, NL, connection, "PERSISTENT" in flags, mode, "VALBLK" in flags)
        if "NOQUEUE" in flags and not (
            _fits(resource, lock, mode) and not resource.converting and not resource.waiting
        ):
            self._due.append((connection, _refused(errno.EAGAIN)))
            self._tidy(space, name)
            return
        self._locks[lock.lkid] = (space, lock)
        resource.waiting.append(lock)
        self._grant(space, name)

    def _adopt(self, space: Lockspace, connection: int, node: str, request: dict[str, object]) -> None:
        name, mode, flags = str(request["resource"]), MODES.index(str(request["mode"])), _flags(request)
        resource = space.resources.get(name, Resource())
        orphans = [lock for lock in resource.granted if lock.node == node and lock.owner is None]
        match = next((lock for lock in orphans if lock.mode == mode), None)
        if match is None:
            self._due.append((connection, _refused(errno.EAGAIN if orphans else errno.ENOENT)))
            return
        match.owner, match.persistent = connection, "PERSISTENT" in flags
        self._due.append((connection, _granted(resource, match)))

    def _convert(self, space: Lockspace, connection: int, request: dict[str, object]) -> None:
        lock = self._own(connection, request)
        if lock is None:
            return
        mode, flags, resource = MODES.index(str(request["mode"])), _flags(request), space.resources[lock.resource]
        value = bytes.fromhex(str(request["value"])) if request.get("value") is not None else None
        if value is not None and len(value) != len(EMPTY):
            raise ValueError(value)
        if lock.wanted is not None:
            raise ValueError(lock.lkid)
        if "NOQUEUE" in flags and not _fits(resource, lock, mode):
            self._due.append((connection, _refused(errno.EAGAIN)))
            return
        lock.wanted, lock.wants_value, lock.value = mode, "VALBLK" in flags, value
        if "PERSISTENT" in flags:
            lock.persistent = True
        resource.converting.append(lock)
        self._grant(space, lock.resource)

    def _unlock(self, space: Lockspace, connection: int, request: dict[str, object]) -> None:
        lock = self._own(connection, request)
        if lock is None:
            return
        space.resources[lock.resource].granted.remove(lock)
        self._forget(space, lock.lkid)
        self._due.append((connection, {"rc": 0, "lkid": lock.lkid}))
        self._grant(space, lock.resource)

    def _own(self, connection: int, request: dict[str, object]) -> Lock | None:
        known = self._locks.get(_number(request))
        if known is None or known[1].owner != connection:
            self._due.append((connection, _refused(errno.ENOENT if known is None else errno.EINVAL)))
            return None
        return known[1]

    def _grant(self, space: Lockspace, name: str) -> None:
        """Grant what has become possible: conversions in order, then, when none is left, new requests in order."""
        resource = space.resources.get(name)
        if resource is None or space.dead:
            return
        for lock in list(resource.converting):
            assert lock.wanted is not None
            if not _fits(resource, lock, lock.wanted):
                continue
            resource.converting.remove(lock)
            if (lock.mode, lock.wanted) in WRITTEN and lock.wants_value and lock.value is not None:
                resource.value, resource.value_lost = lock.value, False
            self._granted(resource, lock)
        while resource.waiting and not resource.converting:
            lock = resource.waiting[0]
            assert lock.wanted is not None
            if not _fits(resource, lock, lock.wanted):
                break
            resource.granted.append(resource.waiting.pop(0))
            self._granted(resource, lock)
        self._tidy(space, name)

    def _granted(self, resource: Resource, lock: Lock) -> None:
        assert lock.wanted is not None
        assert lock.owner is not None
        lock.mode, lock.wanted, lock.value = lock.wanted, None, None
        self._due.append((lock.owner, _granted(resource, lock)))

    def _purge(self, space: Lockspace, node: str, *, lost: bool) -> None:
        """Take away all locks of `node`. `lost`: it died, and what it may have written last is not known."""
        for name, resource in list(space.resources.items()):
            for queue in (resource.granted, resource.converting, resource.waiting):
                for lock in [lock for lock in queue if lock.node == node]:
                    queue.remove(lock)
                    if lost and lock.mode >= PW:
                        resource.value_lost = True
                    self._locks.pop(lock.lkid, None)
            self._tidy(space, name)

    def _go_on(self, space: Lockspace) -> None:
        if space.dead:
            return
        for name in list(space.resources):
            self._grant(space, name)
        deferred, space.deferred = space.deferred, []
        for connection, node, request in deferred:
            try:
                self._submit(connection, node, request)
            except (KeyError, ValueError, TypeError):
                self._due.append((connection, _refused(errno.EINVAL)))

    def _forget(self, space: Lockspace, lkid: int) -> None:
        _, lock = self._locks.pop(lkid)
        self._tidy(space, lock.resource)

    def _tidy(self, space: Lockspace, name: str) -> None:
        """A resource without locks is forgotten, and its value block with it."""
        resource = space.resources.get(name)
        if resource is not None and not (resource.granted or resource.waiting):
            del space.resources[name]


def _fits(resource: Resource, lock: Lock, mode: int) -> bool:
    return all(COMPATIBLE[mode][other.mode] for other in resource.granted if other is not lock)


def _flags(request: dict[str, object]) -> list[str]:
    flags = request.get("flags") or []
    if not isinstance(flags, list):
        raise TypeError(flags)
    return [str(flag) for flag in flags]


def _number(request: dict[str, object]) -> int:
    return int(str(request["lkid"]))


def _granted(resource: Resource, lock: Lock) -> Reply:
    return {"rc": 0, "lkid": lock.lkid, "value": resource.value.hex(), "valnotvalid": resource.value_lost}


def _refused(code: int) -> Reply:
    return {"rc": code, "lkid": 0, "value": None, "valnotvalid": False}


def _listing(space: Lockspace) -> list[dict[str, object]]:
    return [
        {
            "resource": name,
            "lkid": lock.lkid,
            "node": lock.node,
            "mode": MODES[lock.mode],
            "wanted": None if lock.wanted is None else MODES[lock.wanted],
            "orphan": lock.owner is None,
            "value": resource.value.hex(),
            "valnotvalid": resource.value_lost,
        }
        for name, resource in sorted(space.resources.items())
        for lock in resource.granted
    ]

"""A lock manager in memory, for tests and the simulator: the kernel DLM's semantics as far as the guard leans on them.

A `Fabric` is the cluster's lock manager, a `MemoryPort` one process on one node. What would block in the kernel
raises `Unknown` here at once: to a caller with a deadline the two are the same.
"""

from __future__ import annotations

import errno
import itertools

from hacluster.guard.dlm import (
    EX,
    NOQUEUE,
    ORPHAN,
    PERSISTENT,
    PW,
    VALBLK,
    VALUE_SIZE,
    Grant,
    Held,
    Port,
    Unknown,
    compatible,
    error,
)


class _Lock:
    __slots__ = ("lkid", "mode", "node", "owner", "persistent", "resource")

    def __init__(self, lkid: int, resource: str, node: str, mode: int, owner: MemoryPort, *, persistent: bool) -> None:
        self.lkid = lkid
        self.resource = resource
        self.node = node
        self.mode = mode
        self.owner: MemoryPort | None = owner
        self.persistent = persistent


class Fabric:
    """The locks of one lockspace over all nodes. Value blocks live as long as their resource has a lock."""

    def __init__(self) -> None:
        self.joined: set[str] = set()
        self.dead: set[str] = set()
        self.locks: dict[int, _Lock] = {}
        self.values: dict[str, bytes | None] = {}
        self._next = itertools.count(1)

    def die(self, node: str) -> None:
        """The node lost its power. Until `fence` every operation of the lockspace blocks."""
        if node in self.joined:
            self.dead.add(node)
        for lock in self.locks.values():
            if lock.node == node:
                lock.owner = None

    def fence(self, node: str) -> None:
        """The node is known to be dead: its locks are purged, the others go on.

        The value block of a resource whose lock could have written it is lost (the kernel marks it not valid).
        """
        self.dead.discard(node)
        self.joined.discard(node)
        for lock in [lock for lock in self.locks.values() if lock.node == node]:
            if lock.mode in (PW, EX):
                self.values[lock.resource] = None
            self.remove(lock)

    def remove(self, lock: _Lock) -> None:
        """Take a lock out, and its resource's value block with the last one."""
        del self.locks[lock.lkid]
        if not any(other.resource == lock.resource for other in self.locks.values()):
            self.values.pop(lock.resource, None)

    def grantable(self, resource: str, mode: int, without: int = 0) -> bool:
        """Whether `mode` goes with every lock on the resource but the one with id `without`."""
        return all(
            compatible(lock.mode, mode)
            for lock in self.locks.values()
            if lock.resource == resource and lock.lkid != without
        )

    def new_id(self) -> int:
        """A lock id that was never used."""
        return next(self._next)


class MemoryPort(Port):
    """One process on `node`."""

    def __init__(self, fabric: Fabric, node: str) -> None:
        super().__init__("memory", 0.0)
        self.fabric = fabric
        self.node = node

    def _ready(self) -> None:
        if self.fabric.dead:
            raise Unknown(f"blocked until {', '.join(sorted(self.fabric.dead))} has been fenced")
        if self.node not in self.fabric.joined:
            raise error(errno.ENOTCONN, f"{self.node} has not joined the lockspace")

    def join(self) -> None:
        """See Port."""
        if self.fabric.dead:
            raise Unknown(f"blocked until {', '.join(sorted(self.fabric.dead))} has been fenced")
        self.fabric.joined.add(self.node)

    def leave(self) -> None:
        """See Port."""
        if self.node not in self.fabric.joined:
            return
        self._ready()
        for lock in [lock for lock in self.fabric.locks.values() if lock.node == self.node]:
            self.fabric.remove(lock)
        self.fabric.joined.discard(self.node)

    def _value(self, resource: str, flags: int) -> bytes | None:
        return self.fabric.values.get(resource, bytes(VALUE_SIZE)) if flags & VALBLK else None

    def lock(self, resource: str, mode: int, flags: int, value: bytes | None = None) -> Grant:
        """See Port. A request that would have to wait raises Unknown: there is nobody to wait in memory."""
        self._ready()
        if flags & ORPHAN:
            return self._adopt(resource, mode)
        if not self.fabric.grantable(resource, mode):
            raise error(errno.EAGAIN if flags & NOQUEUE else errno.ETIMEDOUT, f"lock {resource}")
        lkid = self.fabric.new_id()
        self.fabric.locks[lkid] = _Lock(lkid, resource, self.node, mode, self, persistent=bool(flags & PERSISTENT))
        return Grant(lkid, self._value(resource, flags))

    def _adopt(self, resource: str, mode: int) -> Grant:
        orphans = [
            lock
            for lock in self.fabric.locks.values()
            if lock.resource == resource and lock.node == self.node and lock.owner is None
        ]
        for lock in orphans:
            if lock.mode == mode:
                lock.owner = self
                return Grant(lock.lkid)
        raise error(errno.EAGAIN if orphans else errno.ENOENT, f"adopt {resource}")

    def _mine(self, lkid: int) -> _Lock:
        lock = self.fabric.locks.get(lkid)
        if lock is None or lock.owner is not self:
            raise error(errno.ENOENT, f"lock {lkid}")
        return lock

    def convert(self, lkid: int, mode: int, flags: int, value: bytes | None = None) -> Grant:
        """See Port."""
        self._ready()
        lock = self._mine(lkid)
        if not self.fabric.grantable(lock.resource, mode, lkid):
            raise error(errno.EAGAIN if flags & NOQUEUE else errno.ETIMEDOUT, f"convert {lock.resource}")
        writes = lock.mode in (PW, EX) and mode <= lock.mode
        if flags & VALBLK and writes and value is not None:
            self.fabric.values[lock.resource] = value
        lock.mode = mode
        return Grant(lkid, None if writes else self._value(lock.resource, flags))

    def unlock(self, lkid: int) -> None:
        """See Port."""
        self._ready()
        self.fabric.remove(self._mine(lkid))

    def list(self) -> tuple[Held, ...]:
        """See Port."""
        return tuple(
            Held(lock.resource, lock.node, lock.mode, lock.owner is None, self.fabric.values.get(lock.resource))
            for lock in self.fabric.locks.values()
        )

    def close(self) -> None:
        """See Port. Locks of a dead node stay as they are until it has been fenced."""
        for lock in [lock for lock in self.fabric.locks.values() if lock.owner is self]:
            lock.owner = None
            if not lock.persistent and lock.node not in self.fabric.dead:
                self.fabric.remove(lock)

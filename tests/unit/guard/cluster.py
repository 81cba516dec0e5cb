"""Some nodes over one lock manager in memory, which allows nobody what the kernel's would make them regret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hacluster.guard import state
from hacluster.guard.dlm import MODE_NAMES, NL, NOQUEUE, ORPHAN, PERSISTENT, VALBLK, Grant, Port
from hacluster.guard.lock import RunLock
from hacluster.guard.memory import Fabric, MemoryPort
from hacluster.guard.proof import Presence
from hacluster.guard.state import State

UUID = "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a001"
BOOT = "00000000-1111-2222-3333-444444444444"
NONCE, OTHER = "0123456789abcdef", "fedcba9876543210"


class Strict(MemoryPort):
    """A port that takes no request which waits in the kernel, dies with its process or gives up the value block."""

    def __init__(self, fabric: Fabric, node: str, asked: list[str]) -> None:
        super().__init__(fabric, node)
        self.asked = asked

    def lock(self, resource: str, mode: int, flags: int, value: bytes | None = None) -> Grant:
        self._note("adopt" if flags & ORPHAN else "lock", mode, flags)
        return super().lock(resource, mode, flags, value)

    def convert(self, lkid: int, mode: int, flags: int, value: bytes | None = None) -> Grant:
        self._note("convert", mode, flags)
        return super().convert(lkid, mode, flags, value)

    def unlock(self, lkid: int) -> None:
        self.asked.append("unlock")
        super().unlock(lkid)

    def _note(self, what: str, mode: int, flags: int) -> None:
        assert flags & NOQUEUE, "a request that waits in the kernel cannot be taken back"
        assert flags & PERSISTENT, "the lock would go with its process, and the VM runs on"
        assert flags & VALBLK, "the value block would be neither read nor written"
        self.asked.append(f"{what} {MODE_NAMES[mode]}")


def answer(work: Callable[[], str], _timeout: float) -> str:
    """Run it here, and insist on the text that a child would have to send to its parent."""
    text = work()
    assert isinstance(text, str), "a child that sends no text is taken for one that learnt nothing"
    return text


class Cluster:
    """`lock(node)` is what a process of that node would use; `asked` is what reached the lock manager so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fabric = Fabric()
        self.asked: list[str] = []

    def port(self, node: str) -> Port:
        return Strict(self.fabric, node, self.asked)

    def directory(self, node: str) -> str:
        return f"{self.root}/{node}"

    def lock(self, node: str) -> RunLock:
        MemoryPort(self.fabric, node).join()
        return RunLock(UUID, directory=self.directory(node), runner=answer, connect=lambda _timeout: self.port(node))

    def holds(self, node: str, mode: int, resource: str = UUID) -> None:
        """A process of this node got the lock and died before it wrote anything down."""
        with MemoryPort(self.fabric, node) as port:
            port.join()
            port.lock(resource, mode, NOQUEUE | PERSISTENT | VALBLK)

    def mode(self, node: str) -> int:
        return next((lock.mode for lock in self.fabric.locks.values() if lock.node == node), NL)

    def recorded(self, node: str) -> State:
        return state.read(UUID, self.directory(node))

    def known(self, node: str) -> bool:
        """Whether the sweep would look at the VM here."""
        return state.known(self.directory(node)) == (UUID,)

    def text(self, node: str, suffix: str = "") -> str:
        """A record as it lies there; empty when there is none."""
        path = Path(state.path(UUID, suffix, self.directory(node)))
        return path.read_text() if path.exists() else ""

    def gate(self) -> tuple[RunLock, RunLock]:
        """n1 runs the VM with its gate open to n2 for the move NONCE; both nodes' locks."""
        source, target = self.lock("n1"), self.lock("n2")
        source.seal(1)
        source.open_gate("n2", NONCE, BOOT, 1)
        return source, target


def says(verdict: str) -> Callable[[], Presence]:
    return lambda: Presence(verdict, "so it is")

"""Work in a child process that can be abandoned: what may sleep in the kernel, or hang on a daemon, never hangs us.

`in_child` runs a function (lock operations), `Command` a program (virsh). Both have a deadline; when it passes the
child is killed, and what it was doing counts as unknown.
"""

from __future__ import annotations

import os
import select
import time

from hacluster.guard.dlm import Busy, DlmError, NoLock, Unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Runner = Callable[[Callable[[], str], float], str]

PR_SET_PDEATHSIG = 1
SIGKILL = 9
PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}


class NotAllowed(DlmError):
    """The truth table, or a proof that did not come, stands against it."""


_KINDS = {"Busy": Busy, "NoLock": NoLock, "NotAllowed": NotAllowed}


def directly(work: Callable[[], str], _timeout: float) -> str:
    """Run it in this process: for the simulator, and for tests over a lock manager in memory."""
    return work()


def in_child(work: Callable[[], str], timeout: float) -> str:
    """Run `work` in a forked child without standard streams; its text, or its DlmError. Expiry raises Unknown.

    Anything else that goes wrong in the child is Unknown too.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer(work, writer, timeout)
    os.close(writer)
    try:
        reply = _read_until(reader, time.monotonic() + timeout)
    finally:
        os.close(reader)
    if reply is None:
        os.kill(pid, SIGKILL)
        os.waitpid(pid, os.WNOHANG)
        raise Unknown(f"no answer from the lock manager within {timeout:.0f} s")
    os.waitpid(pid, 0)
    kind, _, text = reply.decode().partition("\n")
    if kind == "":
        return text
    raise _KINDS.get(kind, Unknown)(text)


def _answer(work: Callable[[], str], writer: int, timeout: float) -> None:
    try:
        import signal

        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.dup2(writer, 3)
        os.closerange(4, 1024)
        signal.alarm(int(timeout) + 2)  # the parent may be killed meanwhile; this child must still end by itself
        try:
            reply = "\n" + work()
        except DlmError as problem:
            reply = f"{type(problem).__name__}\n{problem}"
        except Exception as problem:  # noqa: BLE001 - whatever it is, the parent must hear that nothing is known
            reply = f"Unknown\n{type(problem).__name__}: {problem}"
        os.write(3, reply.encode())
    finally:
        os._exit(0)


def _read_until(descriptor: int, deadline: float) -> bytes | None:
    """All bytes until end of file; None when the deadline passes first, or when nothing came at all."""
    parts: list[bytes] = []
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            return None
        part = os.read(descriptor, 65536)
        if not part:
            return b"".join(parts) or None
        parts.append(part)
    return None


def in_background(work: Callable[[], None]) -> None:
    """Run `work` in a process of its own that nobody waits for and that keeps none of our streams open."""
    if os.fork():
        return
    try:
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            os.closerange(3, 1024)
            work()
    finally:
        os._exit(0)


class Result:
    """How a program ended: exit code, standard output and standard error. `code` is None when it was killed."""

    __slots__ = ("code", "err", "out")

    def __init__(self, code: int | None, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


class Command:
    """A running program that is killed when we die, however we die: Pacemaker kills only the agent itself."""

    def __init__(self, argv: Sequence[str]) -> None:
        import ctypes

        libc = ctypes.CDLL(None)
        self._out, out = os.pipe()
        self._err, err = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                libc.prctl(PR_SET_PDEATHSIG, SIGKILL)
                if os.getppid() != parent:
                    os._exit(126)
                null = os.open(os.devnull, os.O_RDONLY)
                for source, stream in ((null, 0), (out, 1), (err, 2)):
                    os.dup2(source, stream)
                os.closerange(3, 1024)
                os.execvpe(argv[0], list(argv), PATH)
            finally:
                os._exit(127)
        os.close(out)
        os.close(err)
        self._parts: dict[int, list[bytes]] = {self._out: [], self._err: []}
        self._open = {self._out, self._err}
        self._code: int | None = None
        self._ended = False

    def wait(self, timeout: float, watch: int = -1) -> bool:
        """Collect its output for at most `timeout` seconds; True once it has ended.

        False as soon as the descriptor `watch` (a pidfd, say) becomes readable.
        """
        deadline = time.monotonic() + timeout
        while self._open:
            left = deadline - time.monotonic()
            ready = select.select([*self._open, *([watch] if watch >= 0 else [])], [], [], max(0.0, left))[0]
            if not ready or watch in ready:
                return False
            for descriptor in ready:
                part = os.read(descriptor, 65536)
                if part:
                    self._parts[descriptor].append(part)
                else:
                    self._open.discard(descriptor)
                    os.close(descriptor)
        while not self._reap():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return True

    def _reap(self) -> bool:
        if not self._ended:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._ended = True
                code = os.waitstatus_to_exitcode(status)
                self._code = code if code >= 0 else None
        return self._ended

    def kill(self) -> None:
        """End it; it is not waited for long, as it may be asleep in the kernel."""
        if not self._ended:
            os.kill(self.pid, SIGKILL)
            self.wait(0.5)
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()

    def result(self) -> Result:
        """How it ended; the code is None unless it exited by itself."""
        texts = [b"".join(self._parts[stream]).decode(errors="replace") for stream in (self._out, self._err)]
        return Result(self._code, texts[0], texts[1])


def run(argv: Sequence[str], timeout: float) -> Result:
    """Run a program to its end, or kill it after `timeout` seconds (the code is then None)."""
    command = Command(argv)
    if not command.wait(timeout):
        command.kill()
    return command.result()

"""Commands on this machine, with a deadline over the whole exchange and a bound on what they may write.

`subprocess.run(timeout=…)` kills only the child and waits without limit for pipes that a grandchild still holds; this
runs the command in a process group of its own and ends the group.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from hacluster.ports import Completed, Unreachable

OUTPUT_LIMIT = 64 << 20
"""Bytes of output, both streams together. The CIB of a thousand VMs with its status is about 10 MB."""

_CHUNK = 1 << 16


def search_path() -> str:
    """Where programs are looked for. Pacemaker's tools lie in sbin, which Debian leaves out of a user's own path."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def run(argv: Sequence[str], *, stdin: bytes, deadline: float) -> Completed:
    """Run one command here. A program that does not exist is exit code 127, as a shell has it.

    Raises Unreachable when it does not end within `deadline` seconds, or writes more than OUTPUT_LIMIT.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": search_path()},
        )
    except (FileNotFoundError, PermissionError) as error:
        return Completed(127, b"", str(error).encode())
    with process:
        try:
            return _exchange_or_end(process, stdin, time.monotonic() + deadline)
        except TimeoutError:
            raise Unreachable(f"{argv[0]} did not end within {deadline:g} s") from None
        except OverflowError:
            raise Unreachable(f"{argv[0]} wrote more than {OUTPUT_LIMIT >> 20} MiB") from None


def _exchange_or_end(process: subprocess.Popen[bytes], stdin: bytes, until: float) -> Completed:
    try:
        return _exchange(process, stdin, until)
    except BaseException:
        _end_group(process)
        raise


def _end_group(process: subprocess.Popen[bytes]) -> None:
    # The command itself may have ended already, and left children behind that hold its pipes.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _exchange(process: subprocess.Popen[bytes], stdin: bytes, until: float) -> Completed:
    """Feed and read all three streams until the command ends. Raises TimeoutError, OverflowError."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise ValueError("the process was started without pipes")
    output: dict[int, bytearray] = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    pending = memoryview(stdin)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        if pending:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        while selector.get_map():
            for key, _ in selector.select(_left(until)):
                stream: IO[bytes] = key.fileobj  # type: ignore[assignment]  # only our three pipes are registered
                if stream is process.stdin:
                    pending = _feed(stream, pending)
                    if not pending:
                        selector.unregister(stream)
                        with suppress(BrokenPipeError):
                            stream.close()
                elif data := os.read(key.fd, _CHUNK):
                    output[key.fd] += data
                    if sum(map(len, output.values())) > OUTPUT_LIMIT:
                        raise OverflowError
                else:
                    selector.unregister(stream)
    out, err = (bytes(text) for text in output.values())
    try:
        code = process.wait(_left(until))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return Completed(code, out, err)


def _feed(stream: IO[bytes], pending: memoryview) -> memoryview:
    """Write what the pipe takes; what is left. A reader that closed its end wants nothing more."""
    try:
        return pending[os.write(stream.fileno(), pending[:_CHUNK]) :]
    except BrokenPipeError:
        return pending[:0]


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left

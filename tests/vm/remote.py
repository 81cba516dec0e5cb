"""A process on a node that speaks to its kernel's DLM, told from here what to ask: libdlm's port over ssh.

One object is one process there, as the port's contract wants it: closing it ends the process. What hangs in the
node's kernel is given up here after a deadline, and counts as unknown; the process there may still be answered later.
"""

import base64
import json
import select
import subprocess
import time

from hacluster.guard.dlm import Busy, DlmError, Grant, NoLock, Port, Unknown
from hacluster.lab.machines.bed import Machines

ANSWERS_WITHIN = 60.0
"""Longer than a healthy emulated node ever takes."""

KINDS: dict[str, type[DlmError]] = {"Busy": Busy, "NoLock": NoLock, "Unknown": Unknown}

PROGRAM = """
import sys
sys.path.insert(0, "/usr/lib/hacluster")
import base64, json
from hacluster.guard.dlm import DlmError
from hacluster.guard.libdlm import LibDlm

with LibDlm(sys.argv[1], 5.0) as port:
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        operation, arguments, value = json.loads(line)
        if value is not None:
            arguments.append(base64.b64decode(value))
        try:
            grant = getattr(port, operation)(*arguments)
        except DlmError as problem:
            print(json.dumps({"kind": type(problem).__name__, "text": str(problem)}), flush=True)
            continue
        block = getattr(grant, "value", None)
        told = None if block is None else base64.b64encode(block).decode()
        print(json.dumps({"lkid": getattr(grant, "lkid", 0), "value": told}), flush=True)
"""


class RemotePort(Port):
    """LibDlm on a node."""

    def __init__(self, bed: Machines, node: str, lockspace: str, patience: float = ANSWERS_WITHIN) -> None:
        super().__init__(lockspace, patience)
        words = bed.ssh(node, ["python3", "-IS", "-u", "-c", PROGRAM, lockspace])
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._rest = b""
        self._read(ANSWERS_WITHIN)

    def _read(self, within: float) -> dict[str, object]:
        assert self._process.stdout is not None
        until = time.monotonic() + within
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
            got = self._process.stdout.read(1 << 16) if ready else b""
            if not got:
                raise Unknown(f"{self.lockspace}: no answer from the node within {within:.0f} s")
            self._rest += got
        line, _, self._rest = self._rest.partition(b"\n")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def _ask(self, operation: str, *arguments: object, value: bytes | None = None) -> Grant:
        assert self._process.stdin is not None
        told = None if value is None else base64.b64encode(value).decode()
        try:
            self._process.stdin.write(json.dumps([operation, list(arguments), told]).encode() + b"\n")
        except OSError as problem:
            raise Unknown(f"{self.lockspace}: the process on the node is gone") from problem
        answer = self._read(self.timeout)
        if "kind" in answer:
            raise KINDS[str(answer["kind"])](str(answer["text"]))
        block = answer["value"]
        return Grant(int(str(answer["lkid"])), None if block is None else base64.b64decode(str(block)))

    def join(self) -> None:
        """See Port."""
        self._ask("join")

    def leave(self) -> None:
        """See Port."""
        self._ask("leave")

    def lock(self, resource: str, mode: int, flags: int, value: bytes | None = None) -> Grant:
        """See Port."""
        return self._ask("lock", resource, mode, flags, value=value)

    def convert(self, lkid: int, mode: int, flags: int, value: bytes | None = None) -> Grant:
        """See Port."""
        return self._ask("convert", lkid, mode, flags, value=value)

    def unlock(self, lkid: int) -> None:
        """See Port."""
        self._ask("unlock", lkid)

    def list(self) -> None:
        """See Port: the kernel's DLM shows a node too little to name a holder."""
        return

    def close(self) -> None:
        """End the process there. One that hangs in its kernel, or on a dead node, is left to itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

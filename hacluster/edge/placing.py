"""Many files to their places on a node with one command: the program that runs there, and what it reads.

Each is written beside its place and synced; only when all are there are they renamed, in order. The guard's own
programs run on the same python3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from hacluster.ports import NodeFile

_PROGRAM = """
import json, os, sys, tempfile
os.umask(0o077)
told = sys.stdin.buffer
ready, path = [], ""
try:
    for path, mode, size in json.loads(told.readline()):
        folder = os.path.dirname(path)
        os.makedirs(folder, 0o700, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=".hactl.", dir=folder)
        ready.append((beside, path))
        with open(handle, "wb") as file:
            if file.write(told.read(size)) != size:
                sys.exit("only a part of them arrived")
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
    folders = {os.path.dirname(path) for _, path in ready}
    while ready:
        beside, path = ready[0]
        os.rename(beside, path)
        del ready[0]
    for folder in folders:
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
except OSError as problem:
    sys.exit(f"{path}: {problem.strerror}")
finally:
    for beside, _ in ready:
        os.unlink(beside)
"""
COMMAND = ("/usr/bin/python3", "-ISc", _PROGRAM)


def packed(files: Sequence[NodeFile]) -> bytes:
    """What the program reads: a line of JSON that lists path, mode and size, then the contents."""
    listed = json.dumps([(file.path, file.mode, len(file.content)) for file in files])
    return b"".join([listed.encode(), b"\n", *(file.content for file in files)])

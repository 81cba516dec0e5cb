"""The power switch of a virtual machine: QEMU runs, or it does not. It is what the machine's BMC switches, too.

ipmi_sim asks this module for each chassis command, in a process of its own; so it imports little, and knows no more
than the run directory: `bed.json` says in which cgroup the bed lives, a node's `argv.json` what its QEMU is started
with. A restored machine's first start reads its memory from a file; each one after that boots.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hacluster.lab.power import ENVIRONMENT, kill_cgroup


class Supply:
    """The power of one machine of the bed whose run directory is `run`."""

    def __init__(self, run: Path, node: str) -> None:
        bed = json.loads((run / "bed.json").read_text(encoding="utf-8"))
        self.run = run
        self.node = node
        self.directory = run / "nodes" / node
        self.cgroup = Path(bed["cgroup"], node)
        self.netns = run / "ns" / "machines"

    def is_on(self) -> bool:
        """Whether its QEMU runs."""
        return is_populated(self.cgroup)

    def status(self) -> str:
        """`on`, `frozen` or `off`."""
        if not self.is_on():
            return "off"
        return "frozen" if is_frozen(self.cgroup) else "on"

    def off(self) -> None:
        """Cut its power; one without power stays so."""
        kill_cgroup(str(self.cgroup))

    def on(self, memory: Path | None = None) -> None:
        """Start it; one that runs goes on. `memory` is a saved machine's: it goes on from there when it is told to."""
        if self.is_on():
            return
        self.off()
        self.cgroup.mkdir(parents=True)
        argv: list[str] = json.loads((self.directory / "argv.json").read_text(encoding="utf-8"))
        if memory is not None:
            argv += ["-incoming", f"exec:exec zstd -dcq {memory}"]
        # The shell enters the cgroup, so that whoever switches the machine on does not stay in it.
        script = '{ echo 0 >"$0" && exec nsenter --net="$1" -- "${@:2}"; } &'
        with (self.directory / "qemu.log").open("ab") as log:
            subprocess.run(
                ["/bin/bash", "-c", script, str(self.cgroup / "cgroup.procs"), str(self.netns), *argv],
                env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=True,
            )  # fmt: skip

    @contextmanager
    def held(self) -> Iterator[None]:
        """One order at a time."""
        with (self.directory / "power.lock").open("w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def is_populated(cgroup: Path) -> bool:
    """Whether a process lives in a cgroup."""
    return "populated 1" in _read(cgroup / "cgroup.events")


def is_frozen(cgroup: Path) -> bool:
    """Whether a cgroup was stopped."""
    return _read(cgroup / "cgroup.freeze").strip() == "1"


def freeze(cgroup: Path, frozen: bool, within: float = 10.0) -> None:
    """Stop or continue every process of a cgroup: a machine, or the BMC of one. Raises TimeoutError."""
    (cgroup / "cgroup.freeze").write_text(str(int(frozen)), encoding="ascii")
    until = time.monotonic() + within
    while f"frozen {int(frozen)}" not in _read(cgroup / "cgroup.events"):
        if time.monotonic() > until:
            raise TimeoutError(f"{cgroup} did not {'freeze' if frozen else 'thaw'}")
        time.sleep(0.005)


def chassis(supply: Supply, words: list[str]) -> None:
    """Answer ipmi_sim's chassis control: `get NAME…`, `set NAME VALUE…` or `check NAME…` (ipmi_lan(5))."""
    order, rest = words[0], words[1:]
    if order == "get":
        for name in rest:
            print(f"{name}:{ {'power': str(int(supply.is_on())), 'boot': 'default'}.get(name, '0') }")
    if order != "set":
        return
    for name, value in zip(rest[::2], rest[1::2], strict=True):
        if name not in ("power", "reset"):
            continue
        with (supply.run / "bmc.log").open("a", encoding="utf-8") as log:
            log.write(f"{time.time():.3f} {supply.node} {name} {value}\n")
        with supply.held():
            if name == "reset" or value == "0":
                supply.off()
            if name == "reset" or value == "1":
                supply.on()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def main(argv: list[str]) -> None:
    """`RUN NODE get|set|check …`, as ipmi_sim's script calls it."""
    run, node, *words = argv
    chassis(Supply(Path(run), node), words)


if __name__ == "__main__":
    main(sys.argv[1:])

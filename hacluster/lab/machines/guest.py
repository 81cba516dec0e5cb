"""Commands in a machine through QEMU's guest agent: they need no network there, and no cluster, only the kernel.

The agent starts a command and answers at once, so that one that hangs in the kernel, as a DLM request may, keeps
nobody else from asking.
"""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from hacluster.lab.machines import channel

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FIRST_LOOK, LAST_LOOK = 0.05, 0.5
"""Seconds between two looks at a running command; each costs the emulated machine some milliseconds."""


class Guest:
    """The agent behind one machine's socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def answers(self, within: float = 2.0) -> bool:
        """Whether the agent is there."""
        try:
            channel.ask_agent(self._socket, "guest-ping", within=within)
        except channel.NoAnswer:
            return False
        return True

    def set_clock(self) -> None:
        """Give the machine this machine's time: one that was restored goes on with the time it was saved at."""
        channel.ask_agent(self._socket, "guest-set-time", within=30, time=time.time_ns())

    def run(
        self, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as root. One that does not end is killed after `timeout` seconds: 124 or 137.

        Raises channel.NoAnswer when the machine does not answer, or when even killing the command did not end it.
        """
        bounded = ["--kill-after=1", str(timeout), *argv]
        extra = {} if stdin is None else {"input-data": base64.b64encode(stdin.encode()).decode()}
        started = channel.ask_agent(
            self._socket, "guest-exec", within=30, path="/usr/bin/timeout", arg=bounded,
            env=[PATH, "HOME=/root", "LANG=C.UTF-8"], **{"capture-output": True}, **extra,
        )  # fmt: skip
        assert isinstance(started, dict)
        until, pause = time.monotonic() + timeout + 30, FIRST_LOOK
        while time.monotonic() < until:
            time.sleep(pause)
            pause = min(pause * 1.5, LAST_LOOK)
            state = channel.ask_agent(self._socket, "guest-exec-status", within=30, pid=started["pid"])
            assert isinstance(state, dict)
            if state["exited"]:
                code = state["exitcode"] if "exitcode" in state else 128 + state.get("signal", 0)
                return subprocess.CompletedProcess(
                    list(argv), code, _text(state.get("out-data")), _text(state.get("err-data"))
                )
        raise channel.NoAnswer(f"{' '.join(argv)}: neither ended nor killed")


def _text(data: str | None) -> str:
    return base64.b64decode(data or "").decode(errors="replace")

"""OCF exit codes, and how an agent speaks: one sentence for the operator, and every decision in the system's log."""

from __future__ import annotations

import sys

SUCCESS = 0
ERR_GENERIC = 1
ERR_ARGS = 2
ERR_UNIMPLEMENTED = 3
ERR_INSTALLED = 5
ERR_CONFIGURED = 6
NOT_RUNNING = 7

ATTRIBUTE = "hacluster-guard"
"""The node attribute with the version of the guard that stands on a node."""


class Failed(Exception):
    """The operation ends here: its exit code, and the sentence Pacemaker shows as the reason."""

    def __init__(self, sentence: str, code: int = ERR_GENERIC) -> None:
        self.sentence = sentence
        self.code = code
        super().__init__(sentence)


def metadata(agent: str) -> str:
    """What an agent tells Pacemaker about itself."""
    from os.path import abspath, dirname

    with open(f"{dirname(abspath(__file__))}/metadata/{agent}.xml", encoding="utf-8") as file:
        return file.read()


def log(who: str, message: str, *, warning: bool = False) -> None:
    """To syslog (and so the journal), as `hacluster(WHO)`."""
    import syslog

    syslog.openlog(f"hacluster({who})", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_WARNING if warning else syslog.LOG_INFO, message)


def fail(who: str, failed: Failed) -> int:
    """Say why an operation failed: Pacemaker shows the last such line of standard error. Returns the exit code."""
    sentence = " ".join(failed.sentence.split())
    log(who, sentence, warning=True)
    sys.stderr.write(f"ocf-exit-reason:{sentence}\n")
    return failed.code

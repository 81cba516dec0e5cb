"""What this agent and ocf:heartbeat:VirtualDomain answer in every state that a VM can be in: the one list of it.

It was measured, and tests/lab/test_differential.py measures it again. The page docs/agents-compared.md is made from it:
`python3 -m tests.lab.agents_compared`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resource_agents.parameters import REFUSED

PAGE = Path(__file__).parents[2] / "docs" / "agents-compared.md"
TIMEOUT = 12
"""Seconds that each operation gets, from the agent's point of view and from the one who kills it."""
LIVES = "; its QEMU lives"
KILLED = "killed"
"""Instead of an exit code: it did not end within its operation's timeout."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What an operation answers: this agent, and heartbeat's; and why they differ, if they do."""

    ours: str
    theirs: str
    why: str = ""


def both(code: str) -> Answers:
    """One answer of both."""
    return Answers(code, code)


@dataclass(frozen=True, slots=True)
class Case:
    """A state, and what monitor and stop answer in it. An exit code, with LIVES when a QEMU of the VM is left."""

    state: str
    probe: Answers | None
    monitor: Answers
    stop: Answers | None = None


def operations(case: Case) -> dict[str, Answers]:
    """The operations that are tried, in this order."""
    answers = {"probe": case.probe, "monitor": case.monitor, "stop": case.stop}
    return {name: answer for name, answer in answers.items() if answer is not None}


UNKNOWN = "Absence needs libvirt's word beside /proc; without it the VM is unknown, and unknown is not 7."
BY_UUID = "The VM is looked for by its uuid, which is in the CIB; the file is needed to start it, and for nothing else."
NOT_FAILED = "Nothing has failed: it does not run."
ONE_LINE = "No name is read from the file; heartbeat's agent finds one only on a line of its own."
NO_ASK = "libvirt's status file and /proc show it; libvirtd is not asked."
KILL = "What libvirt does not destroy is killed by its pid, held so that it cannot be another's, and seen to end."
IN_TIME = "Every question to libvirt has a deadline, so the operation fails with a sentence instead of being killed."
STOPPED = "It does not run, whatever libvirt's records say."
ARRIVING = "Its memory is not here yet. A 0 would have Pacemaker believe in two running copies."

CASES = (
    Case("running", both("0"), both("0"), both("0")),
    Case("paused by an operator", both("0"), both("0"), both("0")),
    Case("crashed, kept by on_crash=preserve", both("1"), both("1"), both("0")),
    Case("shut off", both("7"), both("7"), both("0")),
    Case(
        "running, its domain XML gone",
        Answers("0", "7", BY_UUID),
        Answers("0", "1", BY_UUID),
        Answers("0", "0" + LIVES, BY_UUID),
    ),
    Case("not running, its domain XML gone", both("7"), Answers("7", "1", NOT_FAILED), both("0")),
    Case(
        "running, its domain XML on one line",
        Answers("0", "7", ONE_LINE),
        Answers("0", "1", ONE_LINE),
        Answers("0", "0" + LIVES, ONE_LINE),
    ),
    Case("running, libvirtd down", both("0"), both("0"), Answers("0", "1" + LIVES, KILL)),
    Case("not running, libvirtd down", Answers("1", "7", UNKNOWN), Answers("1", "7", UNKNOWN), both("1")),
    Case("running, libvirtd hung", None, Answers("0", KILLED, NO_ASK), Answers("0", KILLED + LIVES, KILL)),
    Case("not running, libvirtd hung", None, Answers("1", KILLED, IN_TIME), Answers("1", KILLED, IN_TIME)),
    Case("running, libvirtd restarting", both("0"), both("0"), both("0")),
    Case("QEMU killed", both("7"), both("7"), both("0")),
    Case("QEMU killed while libvirtd was down", Answers("1", "7", UNKNOWN), Answers("1", "7", UNKNOWN), both("1")),
    Case(
        "QEMU stopped by a signal",
        Answers("1", "0", STOPPED),
        Answers("1", "0", STOPPED),
        Answers("0", KILLED + LIVES, KILL),
    ),
    Case("not running, and one whose name begins with its name runs", both("7"), both("7"), both("0")),
    Case("the same with libvirtd down", Answers("1", "7", UNKNOWN), Answers("1", "7", UNKNOWN), both("1")),
    Case("migrating away", both("0"), both("0")),
    Case("migrating here", Answers("1", "0", ARRIVING), Answers("1", "0", ARRIVING)),
)


# --- the page


INTRO = f"""\
# Two agents compared: ocf:hacluster:VirtualDomain and ocf:heartbeat:VirtualDomain

Made from the table in `tests/lab/agents_compared.py`; its test runs both agents (heartbeat's is that of resource-agents
4.12) in each of these states, in the lab, and compares their exit codes: 0 success or running, 1 failure, 7 not
running. Each operation gets {TIMEOUT} s; *{KILLED}* means that it did not end within them.

| the VM is | operation | hacluster | heartbeat | why they differ |
|---|---|---|---|---|
"""
BETWEEN = """
Pacemaker probes every node before it starts a VM anywhere: whoever answers 7 there while the guest runs has it started
a second time. A stop that answers 0 while the guest runs does the same. After a stop that failed, or was killed because
its time was over, the node is fenced.

## Parameters of heartbeat's agent that this one refuses

One that is set, and not to a false value, makes start and validate-all fail with this sentence. heartbeat's agent has
`shutdown_mode` as well, but reads another variable than Pacemaker sets, so that there it changes nothing.

| parameter | why it is not taken |
|---|---|
"""


def page() -> str:
    """docs/agents-compared.md."""
    states = "".join(
        f"| {case.state} | {names} | {answers.ours} | {answers.theirs} | {answers.why} |\n"
        for case in CASES
        for names, answers in rows(case)
    )
    return INTRO + states + BETWEEN + "".join(f"| `{name}` | {why} |\n" for name, why in sorted(REFUSED.items()))


def rows(case: Case) -> Iterator[tuple[str, Answers]]:
    """The operations of a case with their answers; those with the same ones together."""
    told = operations(case)
    for answers in dict.fromkeys(told.values()):
        yield ", ".join(name for name, each in told.items() if each == answers), answers


if __name__ == "__main__":
    PAGE.write_text(page())

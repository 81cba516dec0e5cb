"""The truth table of the guard, as data: what a node may do in each mode of its run-lock, and why not.

One lock per VM uuid and node; it belongs to the node, not to a process, and outlives every process.

    EX  sealed     the VM runs here; nobody else may even try
    PW  gate open  the VM runs here; the one node and move that the value block names may take a seat
    CR  seat       this node may host the incoming QEMU of that one move, and nothing else
    NL  nothing    no claim

The laws, which the exhaustive test checks by walking every state that the table allows:

1. Sealed excludes all: while a node is in EX no other node holds a gate or a seat.
2. A seat needs an open gate that names this node and this move's nonce.
3. A seat never admits a fresh start, and never lets vCPUs run before it has become EX, unless QEMU's own disk lock
   or a lease makes the switch-over atomic (handover=running).
4. A release is: adopt the lock, then prove absence, then unlock, in one process and never in another order.
5. An arrived copy runs only if its source handed it over: a release that writes into the value block that the source's
   QEMU ended as the last step of this very move. A source that was released otherwise, or fenced, may have run on
   after the copy was taken; what then waits here is an old memory over a newer disk, and it is destroyed.

And over all of them: unknown refuses. All other guard code asks `step`; it decides nothing beside it.
"""

from __future__ import annotations

from hacluster.guard.dlm import CR, EX, NL, PW

MODES = (NL, CR, PW, EX)
MEANING = {NL: "no claim", CR: "a seat for an incoming move", PW: "running with the gate open", EX: "sealed"}

# What has to hold beside the mode, before the step may be taken. Whoever takes the step checks each of them.
GATE_NAMES_US = "the value block names this node and this nonce"
NOBODY_RESUMES = "no process of this node is still about to resume an earlier arrival"
SAME_MOVE = "target and nonce are those of the gate or seat that is already there"
NONCE_IS_SEATS = "the XML's nonce is the seat's, and libvirt has just announced an incoming move"
ABSENT = "proof of absence, made after the adoption"
HANDED_OVER = "an arrived copy: the value block says that its source handed it over"


class Step:
    """An allowed step: the mode afterwards, and what must hold for it."""

    __slots__ = ("mode", "needs")

    def __init__(self, mode: int, *needs: str) -> None:
        self.mode = mode
        self.needs = needs


class Refusal:
    """A step that is not allowed, and the reason as the middle of an operator's sentence."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


FRESH_START = "fresh start"
RESTORE = "restore"
ATTACH = "attach"
INCOMING = "incoming"
RESUME = "resume"
SEAL = "seal"
OPEN_GATE = "open gate"
RESEAL = "reseal"
TAKE_SEAT = "take seat"
SEAL_SEAT = "seal seat"
DROP_SEAT = "drop seat"
RELEASE = "release"

_NO_LOCK = "does not hold its run-lock"
_ONLY_A_SEAT = "holds only a seat for an incoming move, and a seat never admits a fresh start"
_GATE_OPEN = "is handing it over to another node"
_RUNS_HERE = "runs it already"


def _fresh(event: str) -> dict[tuple[int, str], Step | Refusal]:
    """Events that create a QEMU of their own: only a sealed node may."""
    return {
        (NL, event): Refusal(_NO_LOCK),
        (CR, event): Refusal(_ONLY_A_SEAT),
        (PW, event): Refusal(_GATE_OPEN),
        (EX, event): Step(EX),
    }


TABLE: dict[tuple[int, str], Step | Refusal] = {
    **_fresh(FRESH_START),
    **_fresh(RESTORE),
    **_fresh(ATTACH),
    (NL, INCOMING): Refusal("has no seat for this move"),
    (CR, INCOMING): Step(CR, NONCE_IS_SEATS),
    (PW, INCOMING): Refusal(_RUNS_HERE),
    (EX, INCOMING): Refusal(_RUNS_HERE),
    (NL, RESUME): Refusal(_NO_LOCK),
    (CR, RESUME): Refusal("holds only a seat: the other side may still run it"),
    (PW, RESUME): Refusal("has its gate open: the other side may run it already"),
    (EX, RESUME): Step(EX, HANDED_OVER),
    (NL, SEAL): Step(EX),
    (CR, SEAL): Refusal("holds a seat, which is sealed or dropped first"),
    (PW, SEAL): Refusal("has its gate open, which is resealed first"),
    (EX, SEAL): Step(EX),
    (NL, OPEN_GATE): Refusal(_NO_LOCK),
    (CR, OPEN_GATE): Refusal("holds only a seat itself"),
    (PW, OPEN_GATE): Step(PW, SAME_MOVE),
    (EX, OPEN_GATE): Step(PW),
    (NL, RESEAL): Refusal(_NO_LOCK),
    (CR, RESEAL): Refusal("holds only a seat"),
    (PW, RESEAL): Step(EX),
    (EX, RESEAL): Step(EX),
    (NL, TAKE_SEAT): Step(CR, GATE_NAMES_US, NOBODY_RESUMES),
    (CR, TAKE_SEAT): Step(CR, GATE_NAMES_US, NOBODY_RESUMES),
    (PW, TAKE_SEAT): Refusal(_RUNS_HERE),
    (EX, TAKE_SEAT): Refusal(_RUNS_HERE),
    (NL, SEAL_SEAT): Refusal("has no seat"),
    (CR, SEAL_SEAT): Step(EX),
    (PW, SEAL_SEAT): Refusal("has its gate open and no seat"),
    (EX, SEAL_SEAT): Step(EX),
    (NL, DROP_SEAT): Step(NL),
    (CR, DROP_SEAT): Step(NL, ABSENT),
    (PW, DROP_SEAT): Refusal("has no seat but an open gate"),
    (EX, DROP_SEAT): Refusal("has no seat but is sealed"),
    (NL, RELEASE): Step(NL),
    (CR, RELEASE): Step(NL, ABSENT),
    (PW, RELEASE): Step(NL, ABSENT),
    (EX, RELEASE): Step(NL, ABSENT),
}

EVENTS = tuple(dict.fromkeys(event for _, event in TABLE))


def step(mode: int, event: str) -> Step | Refusal:
    """The table's answer. KeyError for a mode or event it does not know: nothing is allowed by default."""
    return TABLE[mode, event]

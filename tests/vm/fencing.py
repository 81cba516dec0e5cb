"""A node's death with a board that does not answer, and its fencing once the board does: what the DLM waits for."""

import time

from hacluster.lab.machines.bed import Machines

FENCED_WITHIN = 300.0
LOST_WITHIN = 120.0


def kill_without_fencing(bed: Machines, node: str) -> None:
    """Cut the node's power while its BMC hears nothing; return when the others wait for its fencing."""
    bed.freeze_bmc(node, True)
    bed.power(node, "off")
    witness = next(machine.name for machine in bed.description.machines if machine.name != node)
    until = time.monotonic() + LOST_WITHIN
    while "wait fencing" not in lockspaces(bed, witness):
        assert time.monotonic() < until, f"{witness}'s DLM does not wait for {node}'s fencing"
        time.sleep(1)


def let_fencing_through(bed: Machines, node: str) -> None:
    """Let the BMC answer; return when no lockspace waits any more."""
    bed.freeze_bmc(node, False)
    witness = next(machine.name for machine in bed.description.machines if machine.name != node)
    until = time.monotonic() + FENCED_WITHIN
    while "wait fencing" in (shown := lockspaces(bed, witness)):
        assert time.monotonic() < until, shown
        time.sleep(1)


def lockspaces(bed: Machines, node: str) -> str:
    """What dlm_controld says of its lockspaces."""
    return bed.exec(node, ["dlm_tool", "ls"], timeout=30).stdout


def orders(bed: Machines, node: str) -> list[str]:
    """What the node's board has been told, in order. One that is off already is only told to switch it on."""
    log = bed.run / "bmc.log"
    told = [line.split()[1:] for line in log.read_text().splitlines()] if log.exists() else []
    return [" ".join(words) for target, *words in told if target == node]

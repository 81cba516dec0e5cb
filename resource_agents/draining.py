"""Emptying this node when it goes down: what the unit hacluster-drain runs when systemd stops it.

Pacemaker moves the VMs, each as its spec says; this only asks it to (a standby that ends with this boot), waits, and
says how it goes, within a budget. What is still here then, or where Pacemaker does not act at all, is asked to shut
down, and in the end destroyed: a guest that its host takes with it loses more, and Pacemaker cannot end in order while
one is left that it may not touch (docs/decisions/0028). Nothing here decides where a VM may run.
"""

from __future__ import annotations

import os
import sys
import time

from hacluster.guard import proof, state
from hacluster.guard.child import run

CONFIG = "/etc/hacluster/drain.conf"
CIB = "/var/lib/pacemaker/cib/cib.xml"
DOMAINS = "/etc/hacluster/domains"
BUDGET, MOST = 600.0, 1200.0
"""Seconds for moving everything away, by default and at most: after half an hour systemd reboots by force."""
GRACE, MOST_GRACE = 120.0, 240.0
"""Seconds that guests get to shut down by themselves where they could not be moved, by default and at most."""
PACE, AGAIN, TELL = 0.5, 10.0, 30.0
ASK = 15.0
URI = "qemu:///system"


def say(text: str) -> None:
    """To the journal, by standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def settings(path: str = "") -> tuple[float, float]:
    """Budget and grace in seconds, from the file if it is there; what it says wrongly is said and not taken."""
    told = state.read_pairs(path or CONFIG) or {}
    found = {"budget": BUDGET, "grace": GRACE}
    for name, most in (("budget", MOST), ("grace", MOST_GRACE)):
        value = told.get(name, "")
        if value.isdecimal():
            found[name] = min(float(value), most)
        elif value:
            say(f"{CONFIG}: {name}={value} is not a number of seconds")
    return found["budget"], found["grace"]


def going_down() -> bool:
    """Whether the whole machine goes down: an upgrade or an admin may stop the unit alone."""
    return run(["systemctl", "is-system-running"], ASK).out.strip() == "stopping"


def guests() -> dict[str, str]:
    """The managed VMs that have a QEMU here, by uuid with their names."""
    seen = proof.scan().by_uuid
    if not seen:
        return {}
    names: dict[str, str] = {}
    for folder in (DOMAINS, f"{DOMAINS}/heartbeat"):
        for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            text = _text(f"{folder}/{file}").lower() if file.endswith(".xml") else ""
            names.update((uuid, file.split(".")[0]) for uuid in seen if uuid in text)
    cib = _text(CIB).lower()
    return {uuid: names.get(uuid, uuid) for uuid in seen if uuid in names or uuid in cib}


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def idle_reason(node: str) -> str:
    """Why Pacemaker would not move anything now, as a sentence part; empty when it will."""
    quorum = run(["crm_node", "--quorum"], ASK)
    if quorum.code != 0:
        return "the cluster is stopped here, or does not answer"
    if quorum.out.strip() != "1":
        return "this partition has no quorum"
    wide = run(["crm_attribute", "--type", "crm_config", "--name", "maintenance-mode", "--query", "--quiet"], ASK)
    own = run(["crm_attribute", "--node", node, "--name", "maintenance", "--query", "--quiet"], ASK)
    for answer, what in ((wide, "the cluster"), (own, "this node")):
        if answer.code == 0 and answer.out.strip().lower() in ("true", "yes", "on", "1", "y"):
            return f"{what} is in maintenance mode"
    return ""


def ask_to_move(node: str) -> str:
    """Put this node into standby until its next start; what went wrong, or nothing."""
    argv = ["crm_attribute", "--node", node, "--name", "standby", "--update", "on", "--lifetime", "reboot"]
    done = run(argv, ASK)
    return "" if done.code == 0 else " ".join((done.err or done.out).split()) or "crm_attribute did not end in time"


def drain() -> int:
    """Move everything away within the budget, then shut down what is left; 0 when nothing is."""
    node, (budget, grace) = state.node_name(), settings()
    here = guests()
    reason = idle_reason(node) or ask_to_move(node)
    if not here:
        say(f"{node} runs no managed VM")
        return 0
    if reason:
        say(f"{_listed(here)} cannot be moved away from {node}: {reason}")
        return _shut_down(grace)
    say(f"moving {_listed(here)} away from {node}, for at most {budget:.0f} s")
    left = _await(budget)
    if not left:
        say(f"{node} is empty")
        return 0
    say(f"{_listed(left)} could not be moved away from {node} within {budget:.0f} s")
    return _shut_down(grace)


def _await(seconds: float) -> dict[str, str]:
    """Wait until no managed VM is here; who is left when the time is over."""
    until, told, last = time.monotonic() + seconds, time.monotonic(), guests()
    while last and time.monotonic() < until:
        time.sleep(PACE)
        now = guests()
        gone = sorted(name for uuid, name in last.items() if uuid not in now)
        if gone:
            say(f"{', '.join(gone)} gone, {len(now)} left")
        elif time.monotonic() - told > TELL:
            say(f"waiting for {_listed(now)}, {until - time.monotonic():.0f} s left")
        else:
            last = now
            continue
        told, last = time.monotonic(), now
    return last


def _shut_down(grace: float) -> int:
    """Press the power button of every guest that is left, again and again: a booting guest misses the first."""
    until = time.monotonic() + grace
    while (left := guests()) and time.monotonic() < until:
        say(f"shutting down {_listed(left)}, {until - time.monotonic():.0f} s left")
        for uuid in left:
            run(["virsh", "-q", "-c", URI, "shutdown", uuid], ASK)
        _await(min(AGAIN, max(0.0, until - time.monotonic())))
    for uuid, name in left.items():
        say(f"{name} did not shut down in time and is destroyed: this host would take it with it")
        run(["virsh", "-q", "-c", URI, "destroy", uuid], ASK)
    left = _await(ASK) if left else {}
    if left:
        say(f"{_listed(left)} cannot be ended here")
    return 1 if left else 0


def _listed(here: dict[str, str]) -> str:
    return ", ".join(sorted(here.values()))


def main() -> None:
    """Entry point of the executable."""
    if not going_down():
        say("the machine is not going down, so nothing is moved (hactl node drain moves VMs away)")
        return
    sys.exit(drain())

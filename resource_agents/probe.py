"""This node's facts as one JSON object: what hactl sees of a host. Within five seconds, and exit code 0.

What could not be learnt in time is null, never an empty list: unknown is not "none".
"""

from __future__ import annotations

import json
import os
import sys
import time

from hacluster.guard import VERSION, proof, state
from hacluster.guard.child import run
from hacluster.guard.dlm import MODE_NAMES, NL
from resource_agents import lock_facts
from resource_agents.integrity import INSTALLED, hook_problem

FORMAT = 1
BUDGET = 4.5
"""Seconds in all."""
URI = "qemu:///system"
DOMAINS = "/etc/hacluster/domains"
SEPARATOR = "hacluster-next"

# Names of `virsh domjobinfo --rawstats` (libvirt's typed parameters) and ours; sizes are bytes, times milliseconds.
JOB_FIELDS = (
    "time_elapsed", "data_total", "data_processed", "data_remaining", "memory_total", "memory_processed",
    "memory_remaining", "memory_bps", "memory_dirty_rate", "memory_page_size", "memory_iteration", "downtime",
)  # fmt: skip


def facts() -> dict[str, object]:
    """Everything the contract names."""
    until = time.monotonic() + BUDGET
    version = run(["virsh", "-q", "-c", URI, "version", "--daemon"], _left(until, 2.0))
    domains = _domains(until) if version.code == 0 else None
    seen = proof.scan()
    active = None if domains is None else {str(d["uuid"]) for d in domains if d["id"] is not None}
    running = {uuid for uuid in seen.by_uuid if len(uuid) == 36}
    watched = sorted({*state.known(), *running, *(active or ())})
    return {
        "format": FORMAT,
        "node": state.node_name(),
        "boot_id": state.boot_id(),
        "guard_version": VERSION,
        "hook": _hook(),
        "libvirt": {"answers": version.code == 0, "version": _daemon_version(version.out)},
        "mem_total": _memory("MemTotal"),
        "mem_available": _memory("MemAvailable"),
        "bridges": sorted(
            name for name in os.listdir("/sys/class/net") if os.path.isdir(f"/sys/class/net/{name}/bridge")
        ),
        "cpus": os.cpu_count(),
        "domains": domains,
        "qemus": [
            {"uuid": uuid, "pid": process.pid, "start": process.start, "state": process.state}
            for uuid, processes in sorted(seen.by_uuid.items())
            for process in processes
        ],
        "locks": _locks(),
        "domain_files": _domain_files(),
        "failures": state.failures(),
        "lock_driver": lock_facts.facts(DOMAINS),
        "presence": {uuid: proof.presence(uuid, active, seen).verdict for uuid in watched},
    }


def _left(until: float, most: float) -> float:
    return max(0.1, min(most, until - time.monotonic()))


def _daemon_version(text: str) -> str | None:
    line = next((line for line in text.splitlines() if "daemon" in line.lower()), "")
    return line.split()[-1] if line else None


def _memory(field: str) -> int | None:
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return None


def _bridges() -> list[str]:
    net = "/sys/class/net"
    return sorted(name for name in os.listdir(net) if os.path.isdir(f"{net}/{name}/bridge"))


def _hook() -> dict[str, object]:
    try:
        with open(INSTALLED, "rb") as file:
            content = file.read()
    except OSError:
        return {"installed": False, "sha256": None, "executable": False, "expected": False}
    from hashlib import sha256

    return {
        "installed": True,
        "sha256": sha256(content).hexdigest(),
        "executable": os.access(INSTALLED, os.X_OK),
        "expected": not hook_problem(),
    }


def _locks() -> list[dict[str, object]]:
    claims = [(uuid, state.read(uuid)) for uuid in state.known()]
    return [
        {
            "uuid": uuid,
            "mode": MODE_NAMES[claim.mode],
            "nonce": claim.nonce or None,
            "target": claim.target or None,
            "since": claim.since,
            "handed": claim.handed,
        }
        for uuid, claim in claims
        if claim.mode != NL
    ]


def _domain_files() -> list[str]:
    """The guard's, and below `heartbeat/` those of the other agent."""
    found = []
    for folder in ("", "heartbeat/"):
        try:
            names = os.listdir(f"{DOMAINS}/{folder}")
        except FileNotFoundError:
            continue
        found += [f"{folder}{name}" for name in names if name.endswith(".xml")]
    return sorted(found)


def _domains(until: float) -> list[dict[str, object]] | None:
    """Every domain that libvirt knows, by two calls of virsh however many there are; None when one failed."""
    listed = run(["virsh", "-q", "-c", URI, "list", "--all", "--uuid"], _left(until, 3.0))
    if listed.code != 0:
        return None
    uuids = [line.strip() for line in listed.out.splitlines() if line.strip()]
    if not uuids:
        return []
    script = "; ".join(
        f"dominfo {uuid}; echo {SEPARATOR}; domstate --reason {uuid}; echo {SEPARATOR}; "
        f"domjobinfo --rawstats {uuid}; echo {SEPARATOR}"
        for uuid in uuids
    )
    answer = run(["virsh", "-q", "-c", URI, script], _left(until, 4.0))
    if answer.code is None:
        return None
    parts = answer.out.split(SEPARATOR)
    found = []
    for index, uuid in enumerate(uuids):
        info, reason, job = (parts + [""] * 3 * len(uuids))[3 * index : 3 * index + 3]
        if "Name:" in info:  # otherwise it ended between the two questions
            found.append(_domain(uuid, _pairs(info), reason.strip(), _pairs(job)))
    return found


def _pairs(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, colon, value in lines if colon}


def _domain(uuid: str, info: dict[str, str], state_and_reason: str, job: dict[str, str]) -> dict[str, object]:
    kind, _, reason = state_and_reason.partition(" (")
    numbers = {name: int(job[name]) for name in JOB_FIELDS if job.get(name, "").isdigit()}
    return {
        "name": info.get("Name", ""),
        "uuid": uuid,
        "state": kind,
        "reason": reason.rstrip(")"),
        "id": int(info["Id"]) if info.get("Id", "-").isdigit() else None,
        "persistent": info.get("Persistent") == "yes",
        "autostart": info.get("Autostart") == "enable",
        "job": numbers or None,
    }


def main() -> None:
    """Entry point of the executable; with the word audit it tells what only `hactl verify` asks."""
    if "audit" in sys.argv[1:]:
        from resource_agents.audit import main as audit

        audit()
        return
    sys.stdout.write(json.dumps(facts()) + "\n")

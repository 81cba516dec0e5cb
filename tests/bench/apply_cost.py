"""Where the time of one `hactl apply` goes up to its push: runs in a node, on that cluster. Prints JSON.

The same calls in the same order as the command makes them, over ports that a stopwatch stands before. What comes after
the push (waiting for Pacemaker, looking again) is left out, as `pcs resource create` does not wait either.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import structlog

from hacluster import apply as applying
from hacluster import spec
from hacluster.apply import run
from hacluster.cli.world import connect
from hacluster.edge.secret import LocalSecrets
from hacluster.ports import Clock, Hosts, Pacemaker, Runner
from hacluster.problems import errors

DELIVERY = "files to all nodes (ssh)"


class Stopwatch:
    """Stands before a port and adds up the seconds spent in each of its methods, as PORT.METHOD."""

    def __init__(self, port: Any, name: str, spent: dict[str, float]) -> None:
        self._port = port
        self._name = name
        self._spent = spent

    def __getattr__(self, method: str) -> Callable[..., Any]:
        inner = getattr(self._port, method)

        @wraps(inner)
        def timed(*args: Any, **options: Any) -> Any:
            begun = time.monotonic()
            try:
                return inner(*args, **options)
            finally:
                key = f"{self._name}.{method}"
                self._spent[key] = self._spent.get(key, 0.0) + time.monotonic() - begun

        return timed


@dataclass(frozen=True)
class TimedWorld:
    """The ports of a node, with stopwatches."""

    pacemaker: Pacemaker
    hosts: Hosts
    runner: Runner
    clock: Clock


def main() -> None:
    """Apply the spec that the argument names as far as the push; JSON: seconds by step, files, changes."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    spent: dict[str, float] = {}
    begun = time.monotonic()
    cluster = spec.load(Path(sys.argv[1]))
    loaded = time.monotonic()
    real = connect()
    pacemaker: Any = Stopwatch(real.pacemaker, "pacemaker", spent)
    hosts: Any = Stopwatch(real.hosts, "hosts", spent)
    world = TimedWorld(pacemaker, hosts, real.runner, real.clock)
    prepared = applying.prepare(world, LocalSecrets(), cluster)
    planned = time.monotonic()
    if found := errors(prepared.problems, frozenset()):
        raise SystemExit("\n".join(str(problem) for problem in found))
    files = run.deliver(world, prepared.deliveries, lambda line: None)
    delivered = time.monotonic()
    noted = run.note(world, prepared)
    recorded = time.monotonic()
    run.push(world, prepared, noted.name)
    pushed = time.monotonic()
    # What is asked while planning is asked at once, so its parts add up to more than the whole; each is told apart.
    steps = {
        "read the spec": loaded - begun,
        "plan": planned - loaded,
        "in it, crm_simulate of now": spent["pacemaker.simulate"],
        "in it, crm_simulate of then": spent.get("pacemaker.foresee", 0.0),
        "in it, crm_verify": spent.get("pacemaker.verify", 0.0),
        DELIVERY: delivered - planned,
        "record to all nodes (ssh)": recorded - delivered,
        "push (compare-and-set)": pushed - recorded,
    }
    told = {"steps": steps, "seconds": pushed - begun, "files": files, "changes": len(prepared.plan.changes)}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()

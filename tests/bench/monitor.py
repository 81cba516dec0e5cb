"""The agent's monitor beside heartbeat's: what Pacemaker pays every ten seconds for each VM of a host.

The agents are run by hand, as the executor runs them, in the node where both guests run; the cluster is in maintenance
mode meanwhile, so that its own monitors are not counted. heartbeat's agent is measured with autoset_utilization_* as it
comes (on) and off: on, it asks libvirt and the CIB for numbers that are the same every time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from tests.bench.figures import Series
from tests.bench.stage import GUARDED, HOME, ROOT, STOCK, Failed, Stage

OURS = "hacluster"
AGENTS = {
    OURS: "/usr/lib/ocf/resource.d/hacluster/VirtualDomain",
    "heartbeat, autoset off": "/usr/lib/ocf/resource.d/heartbeat/VirtualDomain",
    "heartbeat, as it comes": "/usr/lib/ocf/resource.d/heartbeat/VirtualDomain",
}
FIELDS = ("cpu_ms", "wall_ms", "libvirtd", "pacemaker-based")


@dataclass(frozen=True, slots=True)
class Monitor:
    """What one agent's monitor costs. All series are in milliseconds; `tasks` counts processes and threads."""

    cpu_ms: Series
    wall_ms: Series
    libvirtd: Series
    based: Series
    tasks: int | None

    def as_json(self) -> dict[str, object]:
        """All series."""
        return {
            "cpu_ms": self.cpu_ms.as_json(),
            "wall_ms": self.wall_ms.as_json(),
            "libvirtd_cpu_ms": self.libvirtd.as_json(),
            "pacemaker_based_cpu_ms": self.based.as_json(),
            "processes_and_threads": self.tasks,
        }


def measure(stage: Stage, rounds: int, tell: Callable[[str], None]) -> dict[str, Monitor]:
    """Run each agent's monitor `rounds` times. Raises Failed, also when a monitor does not find its guest running."""
    stage.peers()
    stage.home()
    cib = etree.fromstring(stage.do(HOME, ["cibadmin", "--query"]).encode())
    stock = parameters(cib, STOCK)
    plain = {name: value for name, value in stock.items() if not name.startswith("OCF_RESKEY_autoset")}
    given = dict(zip(AGENTS, (parameters(cib, GUARDED), stock, plain), strict=True))
    asked = {
        "rounds": rounds,
        "agents": {label: {"path": path, "environment": given[label]} for label, path in AGENTS.items()},
    }
    tell(f"monitors of three agents, {rounds} times each, in turns")
    stage.do(HOME, ["pcs", "property", "set", "maintenance-mode=true"])
    try:
        stage.settle()
        done = stage.bed.exec(
            HOME,
            ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.bench.agent_cost"],
            stdin=json.dumps(asked),
            timeout=600,
        )
    finally:
        stage.do(HOME, ["pcs", "property", "unset", "maintenance-mode"])
    if done.returncode:
        raise Failed(f"the monitors could not be measured: {done.stderr}")
    found = json.loads(done.stdout)
    stage.settle()
    return {label: _monitor(label, found[label]) for label in AGENTS}


def parameters(cib: etree._Element, resource: str) -> dict[str, str]:
    """The agent's environment for a primitive of a CIB, as Pacemaker makes it from the resource's parameters."""
    primitive = cib.find(f".//primitive[@id='{resource}']")
    if primitive is None:
        raise Failed(f"there is no primitive {resource}")
    made = {
        "OCF_RESOURCE_INSTANCE": resource,
        "OCF_RESOURCE_TYPE": str(primitive.get("type")),
        "OCF_RESOURCE_PROVIDER": str(primitive.get("provider")),
        "OCF_RESKEY_CRM_meta_on_node": HOME,
    }
    for pair in primitive.iterfind("instance_attributes/nvpair"):
        made[f"OCF_RESKEY_{pair.get('name')}"] = str(pair.get("value", ""))
    return made


def _monitor(label: str, found: dict[str, object]) -> Monitor:
    runs = found["runs"]
    assert isinstance(runs, list)
    if wrong := {run["exit"] for run in runs} - {0}:
        raise Failed(f"{label}: the monitor of a running guest ended with {sorted(wrong)}")
    cpu, wall, libvirtd, based = (Series("ms", tuple(run[field] for run in runs)) for field in FIELDS)
    tasks = found["tasks"]
    return Monitor(cpu, wall, libvirtd, based, tasks if isinstance(tasks, int) else None)

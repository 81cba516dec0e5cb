"""A grid of failures under Pacemaker's own scheduler: no start comes before every place where the VM was is settled.

Each CIB that we generate is carried out, and then each node is well, in standby, dead or lost, while each VM runs, has
failed, could not be stopped, or is on its way to another node (copying, copied, failed, arrived and not yet stopped).
The oracle looks at the transition graph of each combination.

One it finds: a part without quorum, whose guest has been copied away to a node that is lost, starts the VM again at
home (Pacemaker 2.1.5, no-quorum-policy=freeze: a failed VM is "recovered" where it is). Nothing was fenced. There the
run-lock is what hinders a second copy, and only it: a start waits for EX, which no minority gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
from lxml import etree

from hacluster import spec
from hacluster.cib import compile as compiler
from hacluster.cib import managed
from tests import scheduler
from tests.depth import DEEP
from tests.scenarios import scenario

ROOT = Path(__file__).parents[2]
SPECS = {
    "examples-lab": ROOT / "examples" / "lab.toml",
    "examples-gfs2": ROOT / "examples" / "kvm-cluster.toml",
    "examples-clvmd": ROOT / "examples" / "kvm-cluster-clvmd.toml",
    "scenarios": Path(scenario.__file__).with_name("cluster.toml"),
}
NODE_STATES = ("well", "standby", "dead", "lost")
VM_STATES = (
    "runs", "failed", "stop failed", "start failed", "copying", "copied", "copy failed", "arriving", "arrival failed",
    "arrived",
)  # fmt: skip
# "copied, claimed" is no state of the grid: Pacemaker goes on with the migration then, and the graph has a migrate_from
# without the migrate_to, which is over. The oracle judges graphs, not records. The same with the source in standby.
MIGRATIONS = {
    "copying": (("migrate_to", None),),
    "copied": (("migrate_to", 0),),
    "copied, claimed": (("migrate_to", 0),),
    "copy failed": (("migrate_to", 1),),
    "arriving": (("migrate_to", 0), ("migrate_from", None)),
    "arrival failed": (("migrate_to", 0), ("migrate_from", 1)),
    "arrived": (("migrate_to", 0), ("migrate_from", 0)),
}
BY_THE_RUN_LOCK_ALONE = frozenset({("copied", "lost"), ("arriving", "lost")})
"""(VM's state, state of the node it is moved to) in which Pacemaker starts it unsettled: see above."""
pytestmark = scheduler.needs_tools


def loaded(path: Path) -> etree._Element:
    cluster, found = spec.check(path)
    assert cluster is not None, found
    return etree.fromstring(compiler.compile(cluster))


def migrating(cib: etree._Element, vm: str, source: str, target: str, state: str) -> None:
    """Write the records of a live migration, as Pacemaker leaves them, into a CIB."""
    for name, code in MIGRATIONS[state]:
        node = source if name == "migrate_to" else target
        history = cib.xpath(f"//node_state[@uname='{node}']//lrm_resource[@id='{vm}']")[0]
        last = history.find("lrm_rsc_op")
        pending = code is None
        magic = "-1:193" if pending else f"0:{code}"
        _, transition, _, uuid = last.get("transition-key").split(":")
        key = f"{transition}:0:{uuid}"
        record = dict(last.attrib) | {
            "id": f"{vm}_{name}_0", "operation": name, "operation_key": f"{vm}_{name}_0", "interval": "0",
            "migrate_source": source, "migrate_target": target, "on_node": node, "call-id": "-1" if pending else "900",
            "rc-code": "193" if pending else str(code), "op-status": "-1" if pending else "0",
            "transition-key": f"7:{key}", "transition-magic": f"{magic};7:{key}",
        }  # fmt: skip
        etree.SubElement(history, "lrm_rsc_op", record)


def homes(cib: etree._Element, vm: str) -> list[str]:
    """Where a VM runs, by its recurring monitor."""
    path = f"//lrm_resource[@id='{vm}']/lrm_rsc_op[@operation='monitor'][@interval!='0']/ancestor::node_state/@uname"
    return [str(name) for name in cib.xpath(path)]


def combinations(cib: etree._Element) -> Iterator[tuple[str, str, str, str]]:
    """(VM, its state, node, the node's state); without HACLUSTER_DEEP of the first VM on each node only."""
    nodes = [str(name) for name in cib.xpath("/cib/configuration/nodes/node/@uname")]
    seen: set[str] = set()
    for vm in managed.vms(cib):
        home = homes(cib, vm.name)
        if not home or (home[0] in seen and not DEEP):
            continue
        seen.add(home[0])
        for state in VM_STATES:
            for node in nodes:
                for how in NODE_STATES:
                    yield vm.name, state, node, how


def target_of(cib: etree._Element, home: str) -> str:
    """The node that a VM is moved to."""
    return next(str(name) for name in cib.xpath("/cib/configuration/nodes/node/@uname") if name != home)


def in_state(cib: etree._Element, where: Path, vm: str, state: str) -> etree._Element:
    """The CIB with a VM in a state."""
    (home,) = homes(cib, vm)
    if state in MIGRATIONS:
        changed, target = deepcopy(cib), target_of(cib, home)
        migrating(changed, vm, home, target, state)
        if state.endswith("claimed"):
            claim = {"id": f"hactl-move-{vm}", "rsc": vm, "node": target, "score": "INFINITY"}
            etree.SubElement(changed.find("./configuration/constraints"), "rsc_location", claim)
        return changed
    failure = {"failed": f"{vm}_monitor_10000", "stop failed": f"{vm}_stop_0", "start failed": f"{vm}_start_0"}
    return cib if state == "runs" else scheduler.with_failure(cib, where, f"{failure[state]}@{home}=1")


def what_happens(cib: etree._Element, node: str, how: str) -> tuple[etree._Element, tuple[str, ...]]:
    """The CIB and the options for a node's state: `dead` is down and unclean, `lost` unclean without quorum."""
    if how == "standby":
        changed = deepcopy(cib)
        known = changed.find(f"./configuration/nodes/node[@uname='{node}']")
        holder = etree.SubElement(known, "instance_attributes", id=f"grid-{node}")
        etree.SubElement(holder, "nvpair", id=f"grid-{node}-standby", name="standby", value="on")
        return changed, ()
    lost = ("--quorum", "false") if how == "lost" else ()
    return cib, ("--node-fail", node, *lost) if how != "well" else ()


@pytest.mark.parametrize("name", SPECS)
def test_no_start_comes_before_the_vm_is_settled_where_it_was(name: str, tmp_path: Path) -> None:
    running = scheduler.carried_out(etree.tostring(loaded(SPECS[name])), tmp_path)
    vms = [vm.name for vm in managed.vms(running)]
    states: dict[tuple[str, str], etree._Element] = {}
    asked, wrong = 0, []
    for vm, state, node, how in combinations(running):
        if (vm, state) not in states:
            states[vm, state] = in_state(running, tmp_path, vm, state)
        cib, options = what_happens(states[vm, state], node, how)
        found = scheduler.ask(cib, tmp_path, *options).findings(*vms)
        home = homes(running, vm)[0]
        goes_on = node == home and how == "standby" and state in ("copied", "arriving")
        unsettled = node == target_of(running, home) and (state, how) in BY_THE_RUN_LOCK_ALONE
        if found != (["HA250"] if unsettled else []) and not goes_on:
            wrong.append(f"{vm} {state}, {node} {how}: {found}")
        asked += 1
    assert asked >= len(VM_STATES) * len(NODE_STATES) * 2
    assert wrong == []


def test_the_grid_has_migrations_that_the_scheduler_believes(tmp_path: Path) -> None:
    """The hand-written records are worth something only if the scheduler goes on with them."""
    running = scheduler.carried_out(etree.tostring(loaded(SPECS["scenarios"])), tmp_path)
    outcome = scheduler.ask(in_state(running, tmp_path, "web", "copied"), tmp_path)
    assert {step.operation for step in outcome.graph.of("web") if step.real} & {"migrate_from", "stop"}
    claimed = scheduler.ask(in_state(running, tmp_path, "web", "copied, claimed"), tmp_path)
    assert [step.operation for step in claimed.graph.of("web", "migrate_from") if step.real] == ["migrate_from"]
    arrived = scheduler.ask(in_state(running, tmp_path, "web", "arrived"), tmp_path)
    assert {step.operation for step in arrived.graph.of("web") if step.real} <= {"stop", "monitor"}

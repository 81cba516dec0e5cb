"""Starting and stopping a VM: the wish goes into the CIB (target-role), and the end is proven on the nodes.

`hactl vm stop` is what `pcs resource disable` does, with an end that can be believed: it returns when no node has a
copy any more, or says what it still sees.
"""

from __future__ import annotations

from collections.abc import Callable

from hacluster import history
from hacluster.move import mode_on, sealed_at, state_on, whereabouts
from hacluster.moving import find, look
from hacluster.ports import World
from hacluster.problems import Refused, kind

NOT_STOPPED = kind(
    "HA450",
    "The VM is not proven to be stopped",
    "The time passed and a node still has a copy, or did not answer. Pacemaker goes on stopping it; if its agent "
    "cannot prove that the VM is gone, the node is fenced.",
)
NOT_STARTED = kind(
    "HA451",
    "The VM did not start",
    "Pacemaker was told to start it, and no node runs it. The facts name the last failure.",
)

_PACE = 0.5
Tell = Callable[[str], None]


def stop(world: World, name: str, *, tell: Tell, timeout: float | None = None) -> None:
    """Stop a VM and wait for the proof; one that is stopped already is left as it is. Raises Refused.

    `timeout` is seconds; the VM's stop budget and a minute by default.
    """
    looked = look(world)
    vm = find(looked, name)
    world.pacemaker.set_target_role(name, "Stopped")
    limit = world.clock.now() + (timeout or float(vm.parameters.get("stop_budget", 120)) + 60.0)
    nodes = [node.name for node in looked.seen.nodes]
    while True:
        facts = world.hosts.facts(nodes)
        copies, unknown = whereabouts(facts, vm.uuid)
        fenced = {node.name for node in look(world).seen.nodes if node.state == "offline"}
        unknown = tuple(node for node in unknown if node not in fenced)
        if not copies and not unknown:
            return
        tell(f"stopping on {', '.join(copies)}" if copies else f"waiting for {', '.join(unknown)}")
        if world.clock.now() > limit:
            raise Refused(
                NOT_STOPPED(
                    f"{name} is not proven to be stopped",
                    where=f"vm {name}",
                    remedy=f"hactl vm show {name}",
                    copies=", ".join(copies) or "none seen",
                    no_answer=", ".join(unknown) or "none",
                )
            )
        world.clock.sleep(_PACE)


def start(world: World, name: str, *, tell: Tell, timeout: float | None = None) -> str:
    """Start a VM and wait until it runs, sealed, on one node; that node's name. Raises Refused.

    `timeout` is seconds; two minutes by default.
    """
    looked = look(world)
    vm = find(looked, name)
    before = history.operations(looked.cib, name)
    world.pacemaker.set_target_role(name, None)
    limit = world.clock.now() + (timeout or 120.0)
    nodes = [node.name for node in looked.seen.nodes]
    while True:
        facts = world.hosts.facts(nodes)
        copies, _unknown = whereabouts(facts, vm.uuid)
        if (
            len(copies) == 1
            and sealed_at(facts, copies[0], vm.uuid)
            and state_on(facts, copies[0], vm.uuid) == "running"
        ):
            return copies[0]
        if world.clock.now() > limit:
            now = history.operations(look(world).cib, name)
            failed = next((op for op in reversed(history.since(before, now)) if op.failed), None)
            raise Refused(
                NOT_STARTED(
                    f"{name} does not run",
                    where=f"vm {name}",
                    remedy=f"hactl vm show {name}; pcs resource failcount show {name}",
                    last_failure=f"{failed.name} on {failed.node}: {failed.reason}" if failed else "none recorded",
                    locks=", ".join(f"{n} {mode_on(facts, n, vm.uuid)}" for n in nodes),
                )
            )
        tell(f"starting on {', '.join(copies)}" if copies else "waiting for Pacemaker")
        world.clock.sleep(_PACE)

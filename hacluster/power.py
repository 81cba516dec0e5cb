"""Starting and stopping a VM: the wish goes into the CIB (target-role), and the end is proven on the nodes.

`hactl vm stop` is what `pcs resource disable` does, with an end that can be believed: it returns when no node has a
copy any more, or says what it still sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hacluster import history, observe, preflight
from hacluster.forget import forget
from hacluster.move import SEALED
from hacluster.observe import VmView
from hacluster.ports import HeldLock, World
from hacluster.problems import Problem, Refused, kind
from hacluster.rehearsal import Looked, find, look, under_way

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

NOT_KNOWN = kind(
    "HA452",
    "A VM's failures are not forgotten while it is not known where it runs",
    "A cleanup makes Pacemaker act on the VM at once. With an unknown or a second copy that could be the wrong act.",
)

_PACE = 0.5
Tell = Callable[[str], None]


def stop(world: World, name: str, *, tell: Tell, timeout: float | None = None) -> None:
    """Stop a VM and wait for the proof; one that is stopped already is left as it is. Raises Refused.

    `timeout` is seconds; the VM's stop budget and a minute by default.
    """
    looked = look(world)
    vm = find(looked, name)
    _listening(world, looked, name, vm.meta)
    world.pacemaker.set_target_role(name, "Stopped")
    limit = world.clock.now() + (timeout or float(vm.parameters.get("stop_budget", 120)) + 60.0)
    while True:
        view = _view(world, name)
        if not view.copies and not view.unknown:
            return
        tell(f"stopping on {', '.join(view.copies)}" if view.copies else f"waiting for {', '.join(view.unknown)}")
        if world.clock.now() > limit:
            raise Refused(_not_stopped(view, [node.name for node in look(world).seen.nodes if node.unclean]))
        world.clock.sleep(_PACE)


def _not_stopped(view: VmView, unclean: Sequence[str]) -> Problem:
    """What is still seen of it; `unclean` are the nodes that await their fencing."""
    message, remedy = f"{view.name} is not proven to be stopped", f"hactl vm show {view.name}"
    if unclean:
        message += f": Pacemaker begins nothing new while it tries to fence {', '.join(unclean)}"
        remedy = f"stonith_admin --history {unclean[0]}; {remedy}"
    return NOT_STOPPED(
        message,
        where=f"vm {view.name}",
        remedy=remedy,
        copies=", ".join(view.copies) or "none seen",
        no_answer=", ".join(view.unknown) or "none",
        to_be_fenced=", ".join(unclean) or "none",
    )


def start(world: World, name: str, *, tell: Tell, timeout: float | None = None) -> str:
    """Start a VM and wait until it runs, sealed, on one node; that node's name. Raises Refused.

    `timeout` is seconds; two minutes by default.
    """
    looked = look(world)
    _listening(world, looked, name, find(looked, name).meta)
    before = history.operations(looked.cib, name)
    world.pacemaker.set_target_role(name, None)
    limit = world.clock.now() + (timeout or 120.0)
    while True:
        view = _view(world, name)
        if view.node is not None and view.state.startswith("running") and _sealed(view):
            return view.node
        if world.clock.now() > limit:
            now = history.operations(look(world).cib, name)
            raise Refused(
                NOT_STARTED(
                    f"{name} does not run: {view.state}",
                    where=f"vm {name}",
                    remedy=f"hactl vm show {name}; pcs resource failcount show {name}",
                    last_failure=history.last_failure(before, now),
                    run_lock=view.lock,
                )
            )
        tell(f"starting on {', '.join(view.copies)}" if view.copies else "waiting for Pacemaker")
        world.clock.sleep(_PACE)


def clean_up(world: World, name: str) -> str | None:
    """Forget a VM's failed operations, so that Pacemaker acts on it again; its home, if it has one. Raises Refused.

    Refused while it is not known where the VM runs: Pacemaker would act on what its nodes then say. Also while it is
    being moved: what the nodes remember is how whoever moves it sees how far it is.
    """
    looked = look(world)
    find(looked, name)
    view = looked.seen.vm(name)
    assert view is not None  # found in the same CIB
    if view.claim is not None:
        raise Refused(under_way(world, looked, view.claim))
    if view.unknown or len(view.copies) > 1:
        raise Refused(
            NOT_KNOWN(
                f"{name} is {view.state}; Pacemaker keeps its hands off it until that is known",
                where=f"vm {name}",
                remedy=f"hactl vm show {name}",
                copies=", ".join(view.copies) or "none seen",
                no_answer=", ".join(view.unknown) or "none",
            )
        )
    online = tuple(node.name for node in looked.seen.nodes if node.online)
    forget(world, name, online, view.node, known=view.node is None or view.node in view.nodes)
    return view.node


def _listening(world: World, looked: Looked, name: str, meta: Mapping[str, str]) -> None:
    """Raise Refused when Pacemaker would not act on a wish, would lose it, or carries out a move of the VM: nothing is
    written then."""
    found = []
    view = looked.seen.vm(name)
    if view is not None and view.claim is not None:
        found.append(under_way(world, looked, view.claim))
    cluster, where = looked.seen.cluster, f"vm {name}"
    if not cluster.quorum:
        message = "this partition has no quorum: what is written here is lost when it meets the majority"
        found.append(preflight.NO_QUORUM(message, where="cluster", remedy="hactl status"))
    if cluster.maintenance:
        remedy = "pcs property set maintenance-mode=false"
        found.append(preflight.NOT_MANAGED("the cluster is in maintenance mode", where="cluster", remedy=remedy))
    if meta.get("is-managed") == "false":
        remedy = f"pcs resource manage {name}"
        found.append(preflight.NOT_MANAGED(f"{name} is unmanaged", where=where, remedy=remedy))
    if found:
        raise Refused(found)


def _view(world: World, name: str) -> VmView:
    view = observe.look(world.pacemaker, world.hosts, world.clock).vm(name)
    if view is None:
        raise Refused(
            preflight.UNKNOWN_VM(f"{name} was taken out of the cluster", where=f"vm {name}", remedy="hactl vm list")
        )
    return view


def _sealed(view: VmView) -> bool:
    held = view.locks.get(view.node or "")
    return isinstance(held, HeldLock) and held.mode == SEALED

"""Rules of operations: is there time enough for them, and what happens when one fails? Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hacluster.cib.durations import seconds
from hacluster.lint import storage
from hacluster.lint.facts import DEFAULT_TIMEOUT, Resource
from hacluster.lint.subject import Subject
from hacluster.lint.words import alike, listed, verb
from hacluster.problems import Problem, kind

SHORT = kind(
    "HA830",
    "Operations have less time than their agent advises",
    "An operation that runs out of time counts as failed. For a stop that is the node's death, for a monitor a "
    "restart, and it happens first when everything is slow: while a node is being fenced, or storage has gone away.",
    severity="warning",
)
BUDGET = kind(
    "HA831",
    "A VM's stop or migration is cut off before its own budget",
    "The guest may use its whole budget to shut down, or to be copied; Pacemaker gives up before that and fences the "
    "node, or counts a migration as failed that was still going on.",
    acceptable=True,
)
NO_BLOCK = kind(
    "HA832",
    "A failed live migration ends in a cold restart",
    "When migrate_to fails, Pacemaker stops the VM on both nodes and starts it again, though the guest still runs well "
    "on its source. With on-fail=block it stays there (measured).",
    severity="warning",
)
STORAGE_FAILS = kind(
    "HA833",
    "Failed cluster storage is restarted instead of fenced",
    "A DLM, lock daemon, clustered volume or cluster file system that failed cannot be stopped in good order: its "
    "locks hang, and with them the storage on every other node. Fencing frees them. For its stop, fencing is the "
    "default.",
    severity="warning",
)
SEVERAL_ACTIVE = kind(
    "HA834",
    "Two running copies of a VM are left running",
    "multiple-active says what Pacemaker does when it finds a VM on two nodes. With block both copies go on writing; "
    "stop_unexpected may take a node that has none for one that has.",
    acceptable=True,
)
NO_MONITOR = kind(
    "HA835",
    "Nobody looks whether it still runs",
    "Without a recurring monitor Pacemaker notices a failure only when it wants to stop or move the resource.",
    severity="warning",
)
STOP_IGNORED = kind(
    "HA836",
    "A failed stop counts as a stop",
    "With on-fail=ignore Pacemaker goes on as if the VM or its storage were down, and starts it elsewhere while it may "
    "still run.",
    acceptable=True,
)

STOP_MARGIN = 15.0
"""Seconds that a destroy alone was seen to take in the field, beyond the guest's own budget."""
_NAMES = ("start", "stop", "monitor", "promote", "demote", "migrate_to", "migrate_from")


def short(subject: Subject) -> Iterator[Problem]:
    """Timeouts below the agent's advice. Fence agents advise none; those of other agents are not known here."""
    lacking = []
    for resource in subject.facts.resources:
        if resource.is_fencing or (described := subject.describe(resource.agent)) is None:
            continue
        short_ones: list[str] = []
        for name in _NAMES:
            configured = resource.operation(name)
            advised = described.action(name, configured.role if configured is not None else None)
            if advised is None or advised.timeout is None or (name.startswith("migrate") and not resource.moves_live):
                continue
            if configured is None and name == "monitor":
                continue  # it is never run
            has = DEFAULT_TIMEOUT if configured is None else configured.timeout
            if configured is None and (default := subject.facts.default("op_defaults", "timeout")) is not None:
                has = seconds(default)
            if has is not None and 0 < has < advised.timeout:
                short_ones.append(f"{name} {has:g} s (advised {advised.timeout:g})")
        if short_ones:
            lacking.append((resource, tuple(short_ones)))
    for told, group in alike(lacking, lambda pair: pair[1]):
        names = [resource.id for resource, _ in group]
        first = told[0].split()
        yield SHORT(
            f"{listed(names)} {verb(names, 'has', 'have')} {listed(told)}",
            where=names[0],
            remedy=f"pcs resource update {names[0]} op {first[0]} timeout={first[-1].rstrip(')')}s",
        )


def budget(subject: Subject) -> Iterator[Problem]:
    """The budgets that a guarded VM has in its parameters, against the operations that must hold them."""
    for vm in subject.facts.vms:
        for parameter, name, margin in (("stop_budget", "stop", STOP_MARGIN), ("migration_timeout", "migrate_to", 0.0)):
            needs = seconds(vm.parameters.get(parameter, ""))
            op = vm.operation(name)
            has = DEFAULT_TIMEOUT if op is None else op.timeout
            if needs is not None and has is not None and has < needs + margin and (name == "stop" or vm.moves_live):
                yield BUDGET(
                    f"{name} of {vm.id} ends after {has:g} s, and {parameter} is {needs:g} s",
                    where=vm.id,
                    remedy=f"pcs resource update {vm.id} op {name} timeout={needs + 60:.0f}s",
                )


def no_block(subject: Subject) -> Iterator[Problem]:
    """VMs that move live, and are restarted when that fails."""
    names = [
        vm.id
        for vm in subject.facts.vms
        if vm.moves_live and ((op := vm.operation("migrate_to")) is None or op.on_fail != "block")
    ]
    if names:
        yield NO_BLOCK(
            f"a failed migration of {listed(names)} is followed by a stop and a start",
            where=names[0],
            remedy=f"pcs resource update {names[0]} op migrate_to interval=0s on-fail=block",
        )


def storage_fails(subject: Subject) -> Iterator[Problem]:
    """What works through the DLM, and is not fenced when its monitor fails."""
    for resource in subject.facts.resources:
        # A volume that failed shows itself in the file system on it, which is fenced.
        if resource.agent in storage.VOLUMES or not (resource.agent == storage.DLM or storage.on_dlm(resource)):
            continue
        monitor, stop = resource.operation("monitor"), resource.operation("stop")
        wrong = []
        if monitor is not None and monitor.on_fail in (None, "restart", "ignore", "block", "stop"):
            wrong.append(("monitor", monitor.on_fail or "restart"))
        if stop is not None and stop.on_fail == "block":
            wrong.append(("stop", stop.on_fail))
        for name, reaction in wrong:
            yield STORAGE_FAILS(
                f"when {name} of {resource.id} fails, Pacemaker's answer is {reaction}",
                where=resource.id,
                remedy=f"pcs resource update {resource.id} op {name} on-fail=fence",
            )


def several_active(subject: Subject) -> Iterator[Problem]:
    """What is done with a VM that runs twice."""
    found = [vm for vm in subject.facts.vms if vm.meta.get("multiple-active") in ("block", "stop_unexpected")]
    for word, group in alike(found, lambda vm: vm.meta["multiple-active"]):
        names = [vm.id for vm in group]
        yield SEVERAL_ACTIVE(
            f"multiple-active of {listed(names)} is {word}",
            where=names[0],
            remedy=f"pcs resource meta {names[0]} multiple-active=stop_start",
        )


def no_monitor(subject: Subject) -> Iterator[Problem]:
    """VMs and storage without a recurring monitor."""
    names = [
        r.id
        for r in subject.facts.resources
        # The connection to a guest node is its monitor.
        if (
            (r.is_vm and "remote-node" not in r.meta)
            or storage.mount(r)
            or r.agent in storage.VOLUMES
            or r.agent == storage.DLM
        )
        and not any(op.name == "monitor" and op.interval for op in r.operations)
    ]
    if names:
        yield NO_MONITOR(
            f"{listed(names)} {verb(names, 'has', 'have')} no monitor",
            where=names[0],
            remedy=f"pcs resource op add {names[0]} monitor interval=30s timeout=60s",
        )


def stop_ignored(subject: Subject) -> Iterator[Problem]:
    """Stops whose failure is overlooked."""
    for resource in subject.facts.resources:
        stop = resource.operation("stop")
        if stop is not None and stop.on_fail == "ignore" and _matters(resource, subject):
            yield STOP_IGNORED(
                f"a failed stop of {resource.id} is ignored",
                where=resource.id,
                remedy=f"pcs resource update {resource.id} op stop on-fail=fence",
            )


def _matters(resource: Resource, subject: Subject) -> bool:
    carrying = {held.id for group in subject.standing.values() for held in group}
    return resource.is_vm or resource.id in carrying or storage.on_dlm(resource)


RULES = (short, budget, no_block, storage_fails, several_active, no_monitor, stop_ignored)

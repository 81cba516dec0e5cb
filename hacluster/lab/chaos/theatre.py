"""Puts a run together: the lab that is up, its spec, the observer, the cluster of the kind that is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from hacluster.lab.bed import Bed
from hacluster.lab.chaos.evidence import keep
from hacluster.lab.chaos.guarded import Guarded
from hacluster.lab.chaos.observer import Observer
from hacluster.lab.chaos.report import Report
from hacluster.lab.chaos.rest import Rest
from hacluster.lab.chaos.run import SETTLES_WITHIN, Run
from hacluster.lab.chaos.scene import SPEC, Scene
from hacluster.lab.chaos.stock import Stock
from hacluster.lab.chaos.verb import Verb
from hacluster.model import Cluster
from hacluster.problems import Problem, Refused, kind
from hacluster.spec import parse

TWICE = kind(
    "HA723",
    "A VM ran twice",
    "The observer saw a copy run beside or after another one, or a disk shows the hand of two writers.",
)
NOT_REFUSED = kind(
    "HA724", "A dangerous order was not refused", "A guarded cluster refuses it; this one carried it out."
)
UNWELL = kind("HA725", "A VM was left unwell, and nothing says why", "Each VM runs, or hactl status says why not.")
NOT_AT_REST = kind("HA726", "The cluster is not at rest", "Chaos begins where everything runs, so that it is to blame.")


def play(
    bed: Bed, seed: int, seconds: float, verbs: Sequence[Verb], *, stock: bool, tell: Callable[[str], None]
) -> Report:
    """Set the cluster up if need be, and run. Raises Refused when it cannot begin."""
    scene = raise_curtain(bed, stock=stock, tell=tell)
    tell(f"{scene.observer.now():6.1f} s  everything runs; seed {seed}")
    report = Run(scene, seed, verbs, stop_when_twice=not stock).whole(seconds)
    if findings(report, bed.name):
        report.evidence = str(keep(scene, report))
    return report


def raise_curtain(bed: Bed, *, stock: bool, tell: Callable[[str], None]) -> Scene:
    """The cluster of that kind, at rest, with an observer that watches; whoever asked stops it. Raises Refused."""
    cluster = spec(bed)
    canaries = {vm: bed.canary(vm) for vm in bed.disks()}
    group = str(json.loads((bed.run / "bed.json").read_text())["cgroup"])
    observer = Observer(group, {vm.uuid: vm.name for vm in cluster.vms}, canaries)
    scene: Scene = (Stock if stock else Guarded)(bed, cluster, observer, tell)
    observer.start()
    try:
        _begin(scene)
    except BaseException:
        observer.stop()
        raise
    return scene


def _begin(scene: Scene) -> None:
    scene.undo_all()
    scene.set_up()
    wrong = Rest(scene).reach(SETTLES_WITHIN)
    if wrong:
        raise Refused(NOT_AT_REST(found, where=name, remedy="hactl status") for name, found in wrong.items())


def spec(bed: Bed) -> Cluster:
    """The cluster that the lab was built from, as its first node has it. Raises Refused."""
    done = bed.exec(bed.nodes()[0], ["cat", SPEC])
    cluster, problems = parse(done.stdout.encode(), bed.run)
    if cluster is None:
        raise Refused(problems)
    return cluster


def findings(report: Report, lab: str) -> list[Problem]:
    """What a run has to answer for; empty when all was well."""
    found = []
    for vm in report.vms:
        seen = [each for each in report.twice if each.vm == vm.vm]
        if seen or vm.findings:
            first = (
                f"{seen[0].returned} {seen[0].sign} at {seen[0].at:.2f} s beside {seen[0].holder}" if seen else "none"
            )
            found.append(
                TWICE(
                    f"{vm.vm} ran twice.", where=vm.vm, remedy=f"hactl lab check --name {lab} {vm.vm}",
                    seed=report.seed, copies=vm.most, first=first, disk="; ".join(vm.findings) or "clean",
                    evidence=report.evidence,
                )
            )  # fmt: skip
    found += [
        NOT_REFUSED(
            f"{done.step.verb.name} of {done.step.aim.vm} was carried out.", where=done.step.aim.vm,
            seed=report.seed, round=done.round, said=done.deed.said, evidence=report.evidence,
        )
        for done in report.not_refused
    ]  # fmt: skip
    found += [
        UNWELL(end.found, where=end.name, seed=report.seed, round=end.round, evidence=report.evidence)
        for end in report.unexplained
    ]
    return found

"""A run of chaos: rounds of faults that overlap, all of them undone, and rest until the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from hacluster.lab.bed import Bed
from hacluster.lab.canary import NotACountingDisk
from hacluster.lab.chaos import menu
from hacluster.lab.chaos.deeds import DONE, FAILED, SKIPPED, Deed, Missed
from hacluster.lab.chaos.report import Done, End, Incident, Report, VmReport
from hacluster.lab.chaos.rest import Rest
from hacluster.lab.chaos.scene import Scene
from hacluster.lab.chaos.verb import Healing, Verb
from hacluster.problems import Refused

SETTLES_WITHIN = 240.0
FINDINGS = 5


class Run:
    """One run on a scene that is set up. `stop_when_twice` ends it at the first second copy."""

    def __init__(self, scene: Scene, seed: int, verbs: Sequence[Verb], *, stop_when_twice: bool) -> None:
        self.scene = scene
        self.observer = scene.observer
        self.verbs = [verb for verb in verbs if scene.kind in verb.kinds]
        self.every = tuple(verbs)
        self.stop_when_twice = stop_when_twice
        self.report = Report(scene.kind, seed)
        self._lock = threading.Lock()

    def whole(self, seconds: float) -> Report:
        """Make chaos for this long; the round that has begun is finished. The observer is stopped afterwards."""
        begun = time.monotonic()
        self.observer.count_from_now()
        drawn = menu.rounds(self.report.seed, self.every, self.scene.nodes, list(self.scene.vms))
        try:
            while time.monotonic() - begun < seconds and not self._over():
                self.report.rounds += 1
                self._round(next(drawn))
        except KeyboardInterrupt:
            self.scene.undo_all()
            raise
        finally:
            ended = self.observer.now()
            self.report.seconds = ended - self.observer.began
            self.observer.stop()
            self._finish(ended)
        return self.report

    def _over(self) -> bool:
        return self.stop_when_twice and self.observer.suspicion.is_set()

    def _waited(self, seconds: float) -> bool:
        """Wait that long, or until the run is over; whether it is."""
        if self.stop_when_twice:
            return self.observer.suspicion.wait(seconds)
        time.sleep(seconds)
        return False

    def _round(self, steps: Sequence[menu.Step]) -> None:
        number = self.report.rounds
        self.scene.tell(f"{self.observer.now():6.1f} s  round {number}")
        before = {vm: (len(judge.twice), judge.seconds_twice) for vm, judge in self.observer.judges.items()}
        try:
            self._steps(number, steps)
        finally:
            for vm, judge in self.observer.judges.items():
                seen, seconds = before[vm]
                if len(judge.twice) > seen:
                    verbs = tuple(f"{step.verb.name} {step.aim.vm}" for step in steps)
                    self.report.incidents.append(Incident(number, vm, judge.seconds_twice - seconds, verbs))
                    self.scene.tell(f"        {vm} RAN TWICE for {judge.seconds_twice - seconds:.1f} s")

    def _steps(self, number: int, steps: Sequence[menu.Step]) -> None:
        threads = [threading.Thread(target=self._step, args=(number, step), daemon=True) for step in steps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._over():
            return
        begun = time.monotonic()
        for name, found in Rest(self.scene).reach(SETTLES_WITHIN).items():
            end = End(number, name, found, self.scene.explained(name))
            self.report.ends.append(end)
            self.scene.tell(f"        NOT WELL {name}: {found}; {end.explained or 'unexplained'}")
        self.scene.tell(f"        at rest after {time.monotonic() - begun:.0f} s")

    def _step(self, number: int, step: menu.Step) -> None:
        if self._waited(step.at):
            return
        at, heal = self.observer.now(), None
        if self.scene.kind not in step.verb.kinds:
            deed = Deed(SKIPPED, f"not in a {self.scene.kind} cluster")
        else:
            try:
                deed, heal = step.verb.do(self.scene, step.aim)
            except Missed as missed:
                deed = Deed(SKIPPED, str(missed))
            except Refused as refused:
                deed = Deed(FAILED, str(refused))
        self._note(Done(number, at, step, deed))
        if heal is not None:
            self._waited(max(0.0, step.aim.seconds - (self.observer.now() - at)))
            self._heal(heal, step)

    def _heal(self, heal: Healing, step: menu.Step) -> None:
        try:
            heal()
        except Refused as refused:  # a node that was fenced meanwhile has nothing left to heal
            self.scene.tell(f"        undoing {step.verb.name}: {refused}")

    def _note(self, done: Done) -> None:
        with self._lock:
            self.report.steps.append(done)
            if done.step.verb.must_refuse and done.deed.outcome == DONE and self.scene.kind == "guarded":
                self.report.not_refused.append(done)
        aim = done.step.aim
        self.scene.tell(
            f"{done.at:6.1f} s    {done.step.verb.name} {aim.vm} {aim.node} {aim.seconds:.1f} s: "
            f"{done.deed.outcome} {done.deed.said}"
        )

    def _finish(self, ended: float) -> None:
        report, observer = self.report, self.observer
        report.twice = observer.twice()
        report.helped = list(self.scene.helped)
        report.samples, report.slowest = observer.samples, observer.slowest
        for vm, judge in observer.judges.items():
            service = observer.services[vm]
            boots, findings = disk(self.scene.bed, vm)
            report.vms.append(
                VmReport(
                    vm, service.share(ended), service.longest, service.restarts, service.failovers,
                    service.live_moves, judge.most, judge.present, judge.seconds_twice, boots, findings,
                )
            )  # fmt: skip


def disk(bed: Bed, vm: str) -> tuple[int, tuple[str, ...]]:
    """How often the guest booted by its disk, and the first findings of the disk checker."""
    try:
        judged = bed.canary(vm).check()
    except NotACountingDisk:
        return 0, ("its program was overwritten",)
    return len(judged.boots), tuple(f"{found.kind}: {found.text}" for found in judged.findings[:FINDINGS])

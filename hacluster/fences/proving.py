"""Proving that a node's fencing works: switch the drained node off and on through Pacemaker, and see that it was it.

Pacemaker's word is not enough, and neither is a new boot id by itself: a node that learns of its own fencing stops or
reboots itself (fence-reaction), and a device that did nothing would seem to have done it. So Pacemaker leaves the node
in order before the test. Then nobody tells the machine to go down but the device, and a machine that still answers from
its old boot after the device has reported success is the proof of a lie.

Nothing is fenced before everything that speaks against it has been said, all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from hacluster import fencing_proof, observe, rehearsal
from hacluster.cib import fence_devices
from hacluster.cib.metadata import Metadata
from hacluster.fence_ports import Fencing
from hacluster.fences import asking, readiness
from hacluster.fences.readiness import BAD_MOMENT
from hacluster.fencing_proof import Proof
from hacluster.ports import Unknown, World
from hacluster.problems import Problem, Refused, errors, kind
from hacluster.rehearsal import Looked

log = structlog.get_logger(__name__)

FENCE_FAILED = kind(
    "HA547",
    "Pacemaker could not fence the node",
    "Its devices were tried, level by level, and none succeeded. In an emergency the node's VMs would stay down.",
)
NOT_BACK = kind(
    "HA548",
    "The node did not come back",
    "Pacemaker says that it fenced the node, and the node does not answer since. Whether it was this machine that went "
    "down is not proven. It may be starting still: servers take minutes.",
)
NOT_STOPPED = kind(
    "HA553",
    "Pacemaker did not leave the node",
    "The test begins when Pacemaker has stopped there, so that nothing but the fence device takes the machine down.",
)

WAIT = 900.0
"""Seconds that a machine may take to come back: servers with much memory test it for ten minutes."""
_FENCE_LIMIT = 300.0
_ONLINE_LIMIT = 90.0
_PACE = 0.5

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Proven:
    """What was proven: the boot ids before and after, how long the parts took (seconds), whether the node is back."""

    proof: Proof
    before: str
    after: str
    fenced_after: float
    back_after: float
    online: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """The test of one node's fencing. `known` is the fence agents' metadata by name, as far as it is to be had."""

    world: World
    fence: Fencing
    target: str
    known: Mapping[str, Metadata]
    tell: Tell

    def check(self, looked: Looked) -> tuple[Problem, ...]:
        """Everything that speaks against fencing the node now; its devices are asked for that. Changes nothing."""
        seen, target = looked.seen, self.target
        node = seen.node(target)
        if node is None:
            raise ValueError(f"{target} is not in the cluster")
        found = [
            *readiness.drained(seen, node),
            *readiness.moment(seen, node),
            *readiness.provable(looked, target),
        ]
        if self.world.pacemaker.local_node() == target:
            found.append(
                BAD_MOMENT(
                    f"hactl works through {target}, which is to be fenced",
                    where=f"node {target}",
                    remedy=f"on another node, or through one: hactl fence test --really {target} --node NODE",
                )
            )
        first = fencing_proof.first_level(looked.cib, target, fence_devices.devices(looked.cib))
        wanted = [q for q in asking.questions(looked.cib, seen, [target], None) if q.device.name in first]
        answers = asking.ask(self.fence, wanted, self.known, self.tell)
        return (*found, *asking.judge(wanted, answers, seen))

    def prove(self, wait: float = WAIT) -> Proven:
        """Fence the drained node and prove that it went down and came back. Raises Refused.

        `wait` is how many seconds it may take to come back. Whatever was proven, a lie included, is remembered.
        """
        looked = rehearsal.look(self.world)
        if stopping := errors(self.check(looked)):
            raise Refused(stopping)
        clock, target, through = self.world.clock, self.target, self.world.pacemaker.local_node()
        known = fence_devices.devices(looked.cib)
        devices = fencing_proof.first_level(looked.cib, target, known)
        digest = fencing_proof.digest(looked.cib, target, known)
        before = self._boot()
        self._leave()
        self._still(before)
        log.info("fencing to prove it", target=target, devices=devices, boot=before)
        begun = clock.now()
        self._fence(through, devices)
        fenced, at = clock.now(), int(clock.wall())
        after = self._back(before, fenced + wait)
        back = clock.now()
        log.info("the machine answers", target=target, devices=devices, boot=after)
        proof = Proof(target, at, devices, digest, lied=after == before)
        self.fence.remember(through, fencing_proof.SET, proof.name, proof.value)
        if proof.lied:
            self.fence.enter(target)
            raise Refused(fencing_proof.findings([fencing_proof.Standing(target, "lied", proof)]))
        return Proven(proof, before, after, fenced - begun, back - fenced, self._online())

    def _boot(self) -> str:
        told = self.fence.boot_id(self.target)
        if isinstance(told, Unknown):
            raise Refused(
                BAD_MOMENT(
                    f"{self.target} does not say in which boot it is: {told.reason}",
                    where=f"node {self.target}",
                    remedy=f"ssh root@{self.target} true",
                )
            )
        return told

    def _leave(self) -> None:
        self.tell(f"Pacemaker leaves {self.target}")
        try:
            said = self.fence.leave(self.target)
        except BaseException:
            self.fence.enter(self.target)
            raise
        if said:
            self.fence.enter(self.target)
            raise Refused(
                NOT_STOPPED(
                    f"Pacemaker did not stop on {self.target}: {said}",
                    where=f"node {self.target}",
                    remedy=f"ssh root@{self.target} systemctl status pacemaker",
                )
            )

    def _still(self, before: str) -> None:
        """A machine that goes down because Pacemaker has left it would prove its fence device by chance."""
        if (told := self.fence.boot_id(self.target)) != before:
            self.fence.enter(self.target)
            raise Refused(
                NOT_STOPPED(
                    f"{self.target} did not outlive the end of its Pacemaker",
                    where=f"node {self.target}",
                    remedy=f"ssh root@{self.target} journalctl --boot -1",
                    boot=told.reason if isinstance(told, Unknown) else told,
                )
            )

    def _fence(self, through: str, devices: tuple[str, ...]) -> None:
        self.tell(f"{through} has Pacemaker fence {self.target}")
        if said := self.fence.fence(through, self.target, deadline=_FENCE_LIMIT):
            self.fence.enter(self.target)
            raise Refused(
                FENCE_FAILED(
                    f"Pacemaker could not fence {self.target}: {said}",
                    where=f"node {self.target}",
                    remedy=f"pcs stonith history show {self.target}",
                    devices=", ".join(devices),
                )
            )

    def _back(self, before: str, until: float) -> str:
        """The boot id that the machine answers with first. Raises Refused when it does not answer in time."""
        while isinstance(told := self.fence.boot_id(self.target), Unknown):
            self.tell(f"waiting for {self.target} to come back")
            if self.world.clock.now() > until:
                raise Refused(
                    NOT_BACK(
                        f"{self.target} does not answer: {told.reason}",
                        where=f"node {self.target}",
                        remedy=f"look at its console; once it is back: hactl fence test --really {self.target}",
                        last_boot=before,
                    )
                )
            self.world.clock.sleep(_PACE)
        return told

    def _online(self) -> bool:
        self.tell(f"waiting for {self.target} to join the cluster")
        until = self.world.clock.now() + _ONLINE_LIMIT
        while self.world.clock.now() < until:
            node = observe.look(self.world.pacemaker, self.world.hosts, self.world.clock).node(self.target)
            if node is not None and node.online and not node.pending:
                return True
            self.world.clock.sleep(_PACE)
        return False


def to_json(proven: Proven) -> dict[str, object]:
    """The document of `hactl fence test --really NODE --json`. Format 1; a field is added, never renamed."""
    return {
        "format": 1,
        "node": proven.proof.node,
        "devices": list(proven.proof.devices),
        "proven": True,
        "at": proven.proof.at,
        "boots": {"before": proven.before, "after": proven.after},
        "seconds": {"fenced": round(proven.fenced_after, 1), "back": round(proven.back_after, 1)},
        "online": proven.online,
    }

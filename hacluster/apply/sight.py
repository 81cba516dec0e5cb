"""The cluster at one moment, asked for all at once: what is slow goes on while what is quick is worked with.

Measured at a thousand VMs on 16 nodes: the scheduler takes by far the longest, so its first run begins as soon as the
CIB is there, and its second as soon as it is known what would be pushed; people's views are made meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

from lxml import etree

from hacluster.apply import past
from hacluster.apply.record import Record, as_cib
from hacluster.cib import merge, simulate
from hacluster.cib.simulate import Simulation
from hacluster.observe import Observation, observe
from hacluster.observe.read import node_names, version
from hacluster.plan import Foreseen
from hacluster.ports import Foretold, HostFacts, Unknown, World
from hacluster.problems import Problem


class Sight:
    """What was seen. `last` is the record of what was last applied, `problems` what is to be said of it."""

    def __init__(self, world: World, nodes: Iterable[str]) -> None:
        """Begin to look, at these nodes and the cluster's own. Raises Refused when there is no cluster, Unreachable;
        so do the properties, which wait for their answers."""
        self._world = world
        self.raw = world.pacemaker.cib()
        every = sorted({*nodes, *node_names(self.raw)})
        self._pool = ThreadPoolExecutor(4)
        self._facts = self._pool.submit(world.hosts.facts, every)
        self._now = self._pool.submit(world.pacemaker.simulate, self.raw)
        self._monitor = self._pool.submit(world.pacemaker.monitor)
        self._then: Future[Foretold] | None = None
        self.live: etree._Element = etree.fromstring(self.raw)
        self.last: Record | None
        self.problems: tuple[Problem, ...]
        self.last, self.problems = past.last(world, self.live, every)

    @property
    def base(self) -> etree._Element | None:
        """What was wanted when it was last applied; None where nobody knows."""
        return as_cib(self.last.wanted) if self.last is not None and self.last.wanted else None

    @property
    def since(self) -> int | None:
        """How often the CIB was changed since then; None where nobody knows."""
        return None if self.last is None else version(self.live)[1] - self.last.epoch

    @cached_property
    def facts(self) -> Mapping[str, HostFacts | Unknown]:
        """What each node says of itself."""
        return self._facts.result()

    @cached_property
    def seen(self) -> Observation:
        """The cluster as people see it."""
        return observe(self.raw, self._monitor.result(), self.facts, self._world.clock.wall())

    def ask(self, merged: merge.Merged) -> None:
        """Begin to ask the scheduler what it would do after this push. Where nothing is pushed there is no question."""
        if merged.changes:
            self._then = self._pool.submit(self._world.pacemaker.foresee, merged.as_bytes())

    @cached_property
    def foreseen(self) -> Foreseen:
        """What the scheduler says of now, and of then. That run tells what is wrong with the CIB, too: crm_verify would
        be a third."""
        now: Simulation = simulate.parse(self._now.result())
        if self._then is None:
            return Foreseen(now, now)
        then = self._then.result()
        after = simulate.parse(then.actions) if then.actions else now
        return Foreseen(now, after, then.graph, then.errors)

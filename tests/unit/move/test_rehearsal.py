"""The rehearsal: what it refuses before the scheduler is asked."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from lxml import etree

from hacluster import rehearsal
from hacluster.claim import Claim, to_xml
from hacluster.observe import Observation
from hacluster.ports import World
from hacluster.problems import Refused


@pytest.mark.parametrize("rehearse", [rehearsal.rehearse, rehearsal.rehearse_cold], ids=["live", "cold"])
def test_a_claim_that_was_made_while_the_nodes_were_asked_refuses_the_second_one(
    rehearse: Callable[[World, rehearsal.Looked, Claim], None],
) -> None:
    theirs, mine = Claim("web", "n1", "n2", "bob@n2", 7, 990), Claim("web", "n1", "n3", "alice@n3", 8, 1000)
    cib = etree.fromstring("<cib><configuration><constraints/></configuration></cib>")
    cib.find("./configuration/constraints").append(etree.fromstring(to_xml(theirs)))
    seen = cast(Observation, SimpleNamespace(vm=lambda _name: None, nodes=()))
    world = cast(World, SimpleNamespace(clock=SimpleNamespace(wall=lambda: 1000.0)))
    with pytest.raises(Refused) as refused:
        rehearse(world, rehearsal.Looked(seen, b"", cib), mine)
    assert [problem.code for problem in refused.value.problems] == ["HA411"]
    assert "bob@n2" in str(refused.value.problems[0].facts)

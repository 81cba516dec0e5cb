"""What a VM pays, and how that is estimated; and the stages that a change is better done in."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from hacluster.cib.simulate import Action, Simulation
from hacluster.observe import ClusterView, NodeView, Observation, VmView
from hacluster.plan.changes import Change, Setting
from hacluster.plan.prices import prices
from hacluster.plan.stages import Advice
from tests.unit.plan.test_make import vm as running

PARAMETERS = {"stop_budget": "120", "migration_downtime": "500"}


def cib(*vms: str, status: str = "", on: str = "") -> etree._Element:
    """A CIB with guarded VMs; `on` is what all of them stand on."""
    made = "".join(
        f'<primitive id="{name}" class="ocf" provider="hacluster" type="VirtualDomain">'
        f'<instance_attributes id="{name}-i">'
        + "".join(f'<nvpair id="{name}-{key}" name="{key}" value="{value}"/>' for key, value in PARAMETERS.items())
        + "</instance_attributes></primitive>"
        for name in vms
    )
    tag = f'<tags><tag id="t">{"".join(f"""<obj_ref id="{name}"/>""" for name in vms)}</tag></tags>'
    stand = f'<rsc_colocation id="c" rsc="t" with-rsc="{on}" score="INFINITY"/>' if on else ""
    return etree.fromstring(
        f"<cib><configuration><crm_config/><nodes/><resources>{made}</resources><constraints>{stand}</constraints>{tag}"
        f"</configuration><status>{status}</status></cib>"
    )


def took(**operations: int) -> str:
    """A node's records: `web_start=900` is a start of web that took 900 ms."""
    records = ""
    for key, spent in operations.items():
        name, _, operation = key.partition("_")
        records += (
            f'<lrm_resource id="{name}"><lrm_rsc_op operation="{operation}" rc-code="0" exec-time="{spent}" '
            f'last-rc-change="5"/></lrm_resource>'
        )
    return f'<node_state uname="n1"><lrm><lrm_resources>{records}</lrm_resources></lrm></node_state>'


def caused(*actions: Action) -> Simulation:
    return Simulation(actions, {}, {})


RESTART = Action("restart", "web", "n1", "n1")


@pytest.mark.parametrize(
    ("status", "down"),
    [
        ({"web_start": 900, "web_stop": 2000}, (2.9, 120.9)),
        ({"web_start": 900}, (0.9, 120.9)),
        ({"web_start": 900, "web_stop": 150_000}, (150.9, 150.9)),
        ({"db_start": 3000}, (3.0, 123.0)),
        ({}, None),
    ],
)
def test_a_restart_is_down_for_a_stop_and_a_start_as_they_were_measured_here(
    status: dict[str, int], down: tuple[float, float] | None
) -> None:
    live = cib("web", "db", status=took(**status))
    [price] = prices(["web"], caused(RESTART), live, live)
    assert (price.price, price.consequence) == ("restart", "restart")
    assert price.down == (None if down is None else pytest.approx(down))
    assert ("as others took" in price.basis) == ("db_start" in status)
    assert str(price).startswith("restart")


def test_what_it_stands_on_takes_its_time_too() -> None:
    live = cib("web", status=took(web_start=1000, web_stop=1000, fs_start=4000, fs_stop=500), on="fs-clone")
    [price] = prices(["web"], caused(RESTART, Action("restart", "fs:0", "n1", "n1")), live, live)
    assert price.down == pytest.approx((6.5, 125.5))
    assert "fs, on which it stands, restarts, too" in price.basis


@pytest.mark.parametrize(
    ("action", "consequence", "said"),
    [
        (Action("migrate", "web", "n1", "n2"), "live move", "live move, its guest pauses for about 0.5 s"),
        (Action("reload", "web", "n1", "n1"), "none", "none (it is told its new settings and runs on)"),
        (Action("stop", "web", "n1"), "outage", "outage until somebody starts it"),
        (Action("start", "web", None, "n1"), "start", "start"),
        (Action("start", "other", None, "n1"), "none", "none"),
    ],
)
def test_plain_words(action: Action, consequence: str, said: str) -> None:
    live = cib("web", status=took(web_start=900))
    [price] = prices(["web"], caused(action), live, live)
    assert (price.consequence, str(price)) == (consequence, said)


def advice(live: etree._Element, desired: etree._Element, *actions: Action, **changes: Any) -> list[tuple[str, ...]]:
    seen = Observation(
        cluster=ClusterView("c", (0, 7, 0), True, "n1", maintenance=False, stonith=True),
        nodes=tuple(NodeView(name, online=True) for name in changes.pop("members", ("n1", "n2"))),
        fencing=(),
        clones=(),
        vms=tuple(_named(name) for name in changes.pop("running", ("web",))),
        others={},
        failures=(),
        claims=(),
    )
    paid = prices(["web", "db"], caused(*actions), live, desired)
    nodes = changes.pop("nodes", ("n1", "n2"))
    made = Advice(changes.pop("changed", ()), paid, caused(*actions), live, desired, seen, nodes)
    return [stage.commands for stage in made.stages()]


def _named(name: str) -> VmView:
    from dataclasses import replace

    return replace(running(), name=name)


APPLY = ("hactl apply",)


def test_nothing_to_advise() -> None:
    assert advice(cib("web"), cib("web"), RESTART) == []


def test_a_vm_that_goes_is_stopped_first() -> None:
    assert advice(cib("web", "db"), cib("db"), Action("stop", "web", "n1")) == [("hactl vm stop web",), APPLY]
    assert advice(cib("web", "db"), cib("db"), running=("db",)) == []


def test_a_vm_whose_storage_changes_is_copied_while_it_is_stopped() -> None:
    told = advice(cib("web", on="a-clone"), cib("web", on="b-clone"), RESTART)
    assert told == [("hactl vm stop web",), ("hactl vm show web",), APPLY, ("hactl vm start web",)]


def test_vms_whose_storage_is_restarted_under_them_go_down_in_their_own_time() -> None:
    live = cib("web", on="a-clone")
    told = advice(live, live, RESTART, Action("restart", "a:0", "n1", "n1"))
    assert told == [("hactl vm stop web",), APPLY, ("hactl vm start web",)]


def test_live_moves_are_made_before() -> None:
    assert advice(cib("web"), cib("web"), Action("migrate", "web", "n1", "n2")) == [("hactl vm move web n2",), APPLY]


def test_a_guest_that_runs_on_with_its_old_definition_is_named() -> None:
    changed = (Change("change", "VM", "web", (Setting("xml_sha256", "a", "b"),)),)
    told = advice(cib("web"), cib("web"), Action("reload", "web", "n1", "n1"), changed=changed)
    assert told == [APPLY, ("hactl vm stop web && hactl vm start web",)]
    assert advice(cib("web"), cib("web"), RESTART, changed=changed) == []


def test_nodes_come_and_go_before_the_spec() -> None:
    gone = advice(cib("web"), cib("web"), members=("n1", "n2", "n3"))
    assert gone == [("pcs node standby n3", "hactl status", "pcs cluster node remove n3"), APPLY]
    new = advice(cib("web"), cib("web"), members=("n1",))
    assert new == [("pcs cluster node add n2", "hactl node bootstrap n2"), APPLY]

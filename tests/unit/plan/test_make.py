"""A plan's prices and findings, from simulations and an observation."""

import pytest
from lxml import etree

from hacluster.cib.difference import Change
from hacluster.cib.merge import Merged
from hacluster.cib.simulate import Action, Simulation
from hacluster.claim import Claim
from hacluster.observe import ClusterView, NodeView, Observation, VmView
from hacluster.observe.views import Presence
from hacluster.plan import Foreseen, Plan, make
from hacluster.problems import errors

CIB = etree.fromstring(
    '<cib admin_epoch="1" epoch="7" num_updates="3"><configuration><crm_config/><nodes/><resources>'
    '<primitive id="web" class="ocf" provider="hacluster" type="VirtualDomain"/></resources><constraints/>'
    "</configuration><status/></cib>"
)
CHANGE = (Change("change", "resources", "web"),)


def vm(presence: Presence = "PRESENT", state: str = "running on n1") -> VmView:
    return VmView(
        name="web",
        uuid="u",
        agent="hacluster",
        config="",
        wanted=True,
        role="Started",
        nodes=("n1",),
        pending="",
        failed=False,
        blocked=False,
        domains={},
        locks={},
        presence={"n1": presence},
        state=state,
        node="n1",
    )


def plan(
    *then: Action,
    now: tuple[Action, ...] = (),
    changes: tuple[Change, ...] = CHANGE,
    seen: VmView | None = None,
    nodes: tuple[str, ...] = ("n1", "n2"),
    quorum: bool = True,
    claims: tuple[Claim, ...] = (),
    invalid: tuple[str, ...] = (),
    cib: etree._Element = CIB,
) -> Plan:
    observed = Observation(
        cluster=ClusterView("c", (1, 7, 3), quorum, "n1", maintenance=False, stonith=True),
        nodes=(NodeView("n1", online=True), NodeView("n2", online=True)),
        fencing=(),
        clones=(),
        vms=(seen or vm(),),
        others={},
        failures=(),
        claims=claims,
    )
    foreseen = Foreseen(Simulation(now, {}, {}), Simulation(then, {}, {}), invalid=invalid)
    return make(CIB, Merged(cib, changes), foreseen, seen=observed, nodes=nodes)


def codes(made: Plan) -> list[str]:
    return [problem.code for problem in made.problems]


def test_a_remote_node_joins_by_the_push_itself() -> None:
    there = plan(nodes=("n1", "n2", "far"))
    assert codes(there) == ["HA337"]
    cib = etree.fromstring(etree.tostring(CIB))
    etree.SubElement(cib.find("configuration/resources"), "primitive", id="far", type="remote")
    assert codes(plan(nodes=("n1", "n2", "far"), cib=cib)) == []


RESTART = Action("restart", "web", "n1", "n1", "config changed")


@pytest.mark.parametrize(
    ("action", "price", "code"),
    [
        (RESTART, "restart", ["HA333"]),
        (Action("move", "web", "n1", "n2"), "restart", ["HA333"]),
        (Action("stop", "web", "n1"), "stop", ["HA332"]),
        (Action("migrate", "web", "n1", "n2"), "migrate", []),
        (Action("reload", "web", "n1", "n1"), "reload", []),
        (Action("start", "other", None, "n1"), "none", []),
    ],
)
def test_a_running_guest_that_would_go_down_has_to_be_accepted(action: Action, price: str, code: list[str]) -> None:
    made = plan(action)
    assert [p.price for p in made.prices] == [price]
    assert codes(made) == code
    assert errors(made.problems, frozenset(code)) == ()


@pytest.mark.parametrize(("presence", "code"), [("ABSENT", []), ("UNKNOWN", ["HA333"])])
def test_a_guest_that_does_not_run_pays_nothing_and_one_that_may_run_does(presence: Presence, code: list[str]) -> None:
    assert codes(plan(RESTART, seen=vm(presence, "stopped"))) == code


def test_what_would_happen_anyway_is_not_the_changes_price() -> None:
    same = Action("restart", "web", "n1", "n1", "another reason")
    made = plan(RESTART, now=(same,))
    assert (made.caused, made.anyway) == ((), (same,))
    assert codes(made) == []


def test_fencing_that_the_change_causes_is_an_error_that_nobody_can_accept() -> None:
    made = plan(Action("fence", "n2"))
    assert codes(made) == ["HA334"]
    assert errors(made.problems, frozenset({"HA334"}))
    assert codes(plan(Action("fence", "n2"), now=(Action("fence", "n2"),))) == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"quorum": False}, "HA339"),
        ({"claims": (Claim("web", "n1", "n2", "root@n1", 1, 2),)}, "HA335"),
        ({"invalid": ("Resource x does not exist",)}, "HA336"),
        ({"nodes": ("n1", "n2", "n9")}, "HA337"),
        ({"nodes": ("n1",)}, "HA338"),
    ],
)
def test_a_moment_at_which_nothing_is_pushed(wrong: dict[str, object], code: str) -> None:
    assert codes(plan(**wrong)) == [code]  # type: ignore[arg-type]  # keywords of plan


def test_no_changes_is_nothing_to_do_and_needs_no_quorum() -> None:
    made = plan(RESTART, changes=(), quorum=False)
    assert made.nothing
    assert (made.caused, made.problems) == ((), ())


def test_the_plan_remembers_the_configuration_it_was_made_for_but_not_its_status() -> None:
    assert plan().planned == (1, 7)

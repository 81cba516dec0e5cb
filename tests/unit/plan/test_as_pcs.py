"""The pcs commands for a change, typed on a copy of the CIB with `pcs -f`, lead to the CIB that a push leads to."""

from __future__ import annotations

import os
import shlex
import subprocess
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from lxml import etree

from hacluster import model
from hacluster.cib import compare, merge
from hacluster.cib import compile as compiler
from hacluster.plan.as_pcs import commands
from tests import scheduler
from tests.depth import examples
from tests.unit.cib import clusters
from tests.unit.cib.test_merge import FRESH, specs
from tests.unit.cib.test_tools import EVERYTHING

pytestmark = scheduler.needs_tools


def live(cluster: model.Cluster) -> etree._Element:
    return merge.merge(FRESH, compiler.compile_element(cluster)).cib


def typed(cib: etree._Element, told: tuple[str, ...], where: Path) -> etree._Element:
    """The CIB after an admin has typed the commands. Our agents are not installed here, which pcs minds: --force."""
    file = where / "typed.xml"
    file.write_bytes(etree.tostring(cib))
    for line in told:
        words = shlex.split(line)
        if words[0] == "pcs":
            words[1:1] = ["-f", str(file)]
            if words[3] == "resource" and words[4] in ("create", "update"):
                words.append("--force")
        environment = {**os.environ, "CIB_file": str(file)}
        done = subprocess.run(words, capture_output=True, env=environment, timeout=120, check=False)
        assert done.returncode == 0, (line, done.stderr.decode())
    return etree.parse(str(file)).getroot()


def spelled_out(cib: etree._Element) -> etree._Element:
    """With what Pacemaker takes for granted and pcs always writes, or never."""
    copy = deepcopy(cib)
    for order in copy.iterfind("configuration/constraints/rsc_order[@first]"):
        order.set("first-action", order.get("first-action", "start"))
        order.set("then-action", order.get("then-action", order.get("first-action")))
    for colocation in copy.iterfind("configuration/constraints/rsc_colocation[@rsc]"):
        for role in ("rsc-role", "with-rsc-role"):
            colocation.set(role, colocation.get(role, "Started"))
    return copy


def leads(old: etree._Element, new: etree._Element, where: Path) -> tuple[str, ...]:
    told = commands(old, new)
    assert compare.differences(spelled_out(typed(old, told, where)), spelled_out(new)) == (), told
    return told


VMS = (clusters.vm("web", "a"), clusters.vm("db", "a", priority=3))
A = clusters.cluster(storages=(clusters.gfs2("a"),), vms=VMS)


def change(**changes: object) -> model.Cluster:
    return clusters.cluster(**{"storages": (clusters.gfs2("a"),), "vms": VMS, **changes})


def test_to_nothing(tmp_path: Path) -> None:
    told = leads(live(A), live(clusters.cluster(vms=(), storages=(), fence_devices=())), tmp_path)
    assert "pcs resource delete web" in told
    assert "pcs tag delete vm-on-a" in told


def test_everything_that_a_spec_can_say(tmp_path: Path) -> None:
    told = leads(etree.fromstring(FRESH), live(EVERYTHING), tmp_path)
    assert sum(line.startswith("pcs stonith create ") for line in told) == 5
    assert any(line.startswith("pcs resource create dlm ocf:pacemaker:controld") for line in told)
    assert any(line.startswith("pcs resource create web ocf:hacluster:VirtualDomain uuid=") for line in told)
    assert "pcs tag create vm-on-a web" in told
    assert any(line.startswith("pcs constraint order dlm-clone then ") for line in told)


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (change(vms=(*VMS, clusters.vm("new", "a"))), ["pcs resource create new ", "pcs tag update vm-on-a add new"]),
        (change(vms=VMS[:1]), ["pcs tag update vm-on-a remove db", "pcs resource delete db"]),
        (
            change(vms=(clusters.vm("web", "a", stop_budget=600, priority=9), VMS[1])),
            ["pcs resource update web stop_budget=600 op stop "],
        ),
        (change(vms=(VMS[0], clusters.vm("db", "a"))), ["pcs resource update db meta priority="]),
        (
            change(vms=(clusters.vm("web", "a", placement=model.Placement({"n1": 5}, ("n3",))), VMS[1])),
            ["pcs constraint location add web-avoids-n3 web n3 -INFINITY"],
        ),
        (change(stickiness=7), ["pcs resource defaults set update hacluster-defaults meta resource-stickiness=7"]),
        (change(properties={"stonith-timeout": "99s"}), ["pcs property set stonith-timeout=99s"]),
        (change(vms=(clusters.vm("web"), VMS[1])), ["pcs tag create vm-on-nothing web"]),
        (
            change(fence_devices=tuple(clusters.bmc(f"n{i}") for i in (1, 2)), nodes=clusters.nodes(3, ())),
            ["pcs stonith delete bmc-n3"],
        ),
    ],
)
def test_one_change(cluster: model.Cluster, said: list[str], tmp_path: Path) -> None:
    told = leads(live(A), live(cluster), tmp_path)
    for words in said:
        assert any(line.startswith(words) for line in told), told


EDITS = {
    "a fence device's parameter": lambda cib: cib.find(".//nvpair[@name='cipher']").set("value", "17"),
    "a clone's meta": lambda cib: cib.find(".//clone/meta_attributes/nvpair").set("value", "false"),
    "an operation goes": lambda cib: cib.find(".//primitive[@id='web']/operations").remove(
        cib.find(".//primitive[@id='web']/operations/op[@name='migrate_from']")
    ),
    "a value with blanks and quotes": lambda cib: cib.find(".//nvpair[@name='stop_budget']").set(
        "value", 'it\'s "1" $x'
    ),
    "another agent": lambda cib: cib.find(".//primitive[@id='web']").set("provider", "heartbeat"),
    "an empty value": lambda cib: cib.find(".//nvpair[@name='stop_budget']").set("value", ""),
    "a group": lambda cib: cib.find("configuration/resources").append(
        etree.fromstring('<group id="g"><primitive id="gd" class="ocf" provider="pacemaker" type="Dummy"/></group>')
    ),
    "resource sets": lambda cib: cib.find("configuration/constraints").append(
        etree.fromstring(
            '<rsc_order id="o" kind="Optional"><resource_set id="s1" sequential="false"><resource_ref id="web"/>'
            '<resource_ref id="db"/></resource_set><resource_set id="s2"><resource_ref id="dlm-clone"/></resource_set>'
            "</rsc_order>"
        )
    ),
    "a rule": lambda cib: cib.find("configuration/constraints").append(
        etree.fromstring(
            '<rsc_location id="r" rsc="web"><rule id="r1" score="5"><expression id="r2" attribute="#uname" '
            'operation="eq" value="n1"/></rule></rsc_location>'
        )
    ),
    "a role and an action": lambda cib: cib.find("configuration/constraints").extend(
        etree.fromstring(
            '<x><rsc_colocation id="k" rsc="web" rsc-role="Started" with-rsc="db" score="-5"/>'
            '<rsc_order id="m" first="web" first-action="stop" then="db" then-action="start" symmetrical="false"/></x>'
        )
    ),
    "what a node has": lambda cib: cib.find("configuration/nodes/node").append(
        etree.fromstring('<utilization id="nu"><nvpair id="nu1" name="memory" value="5"/></utilization>')
    ),
    "utilization": lambda cib: cib.find(".//primitive[@id='web']").append(
        etree.fromstring('<utilization id="u"><nvpair id="u1" name="memory" value="5"/></utilization>')
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_what_stands_in_cibs_that_others_wrote(edit: object, tmp_path: Path) -> None:
    before = live(A)
    after = deepcopy(before)
    edit(after)  # type: ignore[operator]  # each is a function of a CIB
    assert commands(before, after), "the edit says something"
    leads(before, after, tmp_path)
    leads(after, before, tmp_path)


def test_a_plain_secret_is_not_printed() -> None:
    before = live(A)
    after = deepcopy(before)
    for pair in after.iterfind(".//nvpair[@name='password']"):
        pair.set("value", "s3cret")
    told = "\n".join(commands(before, after))
    assert "password" in told
    assert "s3cret" not in told


@settings(
    max_examples=examples(2),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(first=specs, second=specs)
def test_law_any_spec_leads_to_any_other(first: model.Cluster, second: model.Cluster, tmp_path: Path) -> None:
    leads(live(first), live(second), tmp_path)
